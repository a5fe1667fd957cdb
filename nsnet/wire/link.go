package wire

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/vishvananda/netlink"

	"svclab/nsnet"
)

// End is one end of a wire.
type End struct {
	NS   *nsnet.NS        // required
	Name string           // required, of the device
	MAC  net.HardwareAddr // optional
	MTU  int              // optional: 1500
}

// Veth makes a wire between two namespaces, or within one, and brings both ends up. The far end is born in its namespace: it
// takes over that namespace's default settings, and moving it would cost more than making it.
func Veth(a, b End) error {
	_, _, err := veth(a, b, 0)
	return err
}

// veth returns the indexes of both ends, so that nobody need look them up by name. a joins the bridge master, unless 0.
func veth(a, b End, master int) (ai, bi int, err error) {
	fail := func(err error) (int, int, error) {
		return 0, 0, fmt.Errorf("wire %s in namespace %s to %s in %s: %w", a.Name, a.NS.Name(), b.Name, b.NS.Name(), err)
	}
	ha, err := a.NS.Netlink()
	if err != nil {
		return fail(err)
	}
	hb, err := b.NS.Netlink()
	if err != nil {
		return fail(err)
	}
	link := netlink.NewVeth(netlink.NewLinkAttrs())
	link.Name, link.HardwareAddr = a.Name, a.MAC
	link.PeerName, link.PeerHardwareAddr, link.PeerNamespace = b.Name, b.MAC, netlink.NsFd(b.NS.FD())
	link.MTU, link.PeerMTU = a.MTU, uint32(b.MTU)
	link.MasterIndex = master
	if err := ha.LinkAdd(link); err != nil {
		return fail(err)
	}
	made, err := ha.LinkByIndex(link.Index)
	if err != nil {
		return fail(err)
	}
	ai, bi = link.Index, made.Attrs().ParentIndex // the kernel names the peer as the parent, by its index over there
	if err := errors.Join(hb.LinkSetUp(at(bi)), ha.LinkSetUp(at(ai)), settle(hb, bi), settle(ha, ai)); err != nil {
		return fail(err)
	}
	return ai, bi, nil
}

// errNoCarrier means that a wire stayed dead.
var errNoCarrier = errors.New("no carrier on a wire with both ends up")

// settle waits until the kernel has noticed the carrier. It does so in a work queue, and until then drops in silence what the
// device sends and what a bridge would forward: the first packet of a flow would be lost, and sent again after a second.
// Since Linux 6.8 the question alone is enough; before, it takes a moment.
func settle(h *netlink.Handle, index int) error {
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(100 * time.Microsecond) {
		link, err := h.LinkByIndex(index)
		if err != nil {
			return err
		}
		if link.Attrs().OperState == netlink.OperUp {
			return nil
		}
		if time.Now().After(end) {
			return errNoCarrier
		}
	}
}

// Bridge makes a bridge and brings it up. It neither snoops nor asks for multicast groups.
func Bridge(ns *nsnet.NS, name string) error {
	_, err := bridge(ns, name)
	return err
}

func bridge(ns *nsnet.NS, name string) (index int, err error) {
	h, err := ns.Netlink()
	if err != nil {
		return 0, fmt.Errorf("make bridge %s: %w", name, err)
	}
	snoop := false
	br := &netlink.Bridge{LinkAttrs: netlink.NewLinkAttrs(), MulticastSnooping: &snoop}
	br.Name, br.Flags = name, net.FlagUp
	if err := h.LinkAdd(br); err != nil {
		return 0, fmt.Errorf("make bridge %s in namespace %s: %w", name, ns.Name(), err)
	}
	return br.Index, nil
}

// Enslave makes a device a port of a bridge in the same namespace.
func Enslave(ns *nsnet.NS, port, bridge string) error {
	h, p, err := device(ns, port)
	if err != nil {
		return fmt.Errorf("join %s to bridge %s: %w", port, bridge, err)
	}
	_, b, err := device(ns, bridge)
	if err != nil {
		return fmt.Errorf("join %s to bridge %s: %w", port, bridge, err)
	}
	if err := h.LinkSetMasterByIndex(at(p), b); err != nil {
		return fmt.Errorf("join %s to bridge %s in namespace %s: %w", port, bridge, ns.Name(), err)
	}
	return nil
}

// device finds a device's index, which is what the kernel goes by.
func device(ns *nsnet.NS, name string) (*netlink.Handle, int, error) {
	h, err := ns.Netlink()
	if err != nil {
		return nil, 0, err
	}
	link, err := h.LinkByName(name)
	if err != nil {
		return nil, 0, fmt.Errorf("find device %s in namespace %s: %w", name, ns.Name(), err)
	}
	return h, link.Attrs().Index, nil
}

// at is a link of which only the index is known.
func at(index int) netlink.Link {
	return &netlink.Device{LinkAttrs: netlink.LinkAttrs{Index: index}}
}
