package wire

import (
	"fmt"
	"net"

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
