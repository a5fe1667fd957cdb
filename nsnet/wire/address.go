package wire

import (
	"fmt"
	"net"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Addr gives a device an address. Nobody looks whether an IPv6 address is somebody else's: the lab hands out no address twice,
// and duplicate detection would take a second to say so. It is in use a moment later: see Ready.
func Addr(ns *nsnet.NS, dev string, p netip.Prefix) error {
	h, index, err := device(ns, dev)
	if err == nil {
		err = addAddr(h, index, p)
	}
	if err != nil {
		return fmt.Errorf("add address %s to %s in namespace %s: %w", p, dev, ns.Name(), err)
	}
	return nil
}

// FurtherAddr gives a device an address beside its others, at which it answers but as which it never speaks by itself: over
// IPv6 it is deprecated (RFC 6724, rule 3), and over IPv4 the first address of a device goes before anyway.
func FurtherAddr(ns *nsnet.NS, dev string, p netip.Prefix) error {
	h, index, err := device(ns, dev)
	if err == nil {
		addr := nodad(p)
		if p.Addr().Is6() {
			addr.ValidLft, addr.PreferedLft = forever, 0
		}
		err = h.AddrAdd(at(index), addr)
	}
	if err != nil {
		return fmt.Errorf("add further address %s to %s in namespace %s: %w", p, dev, ns.Name(), err)
	}
	return nil
}

// forever is the lifetime that does not end (linux/if_addr.h: INFINITY_LIFE_TIME).
const forever = 1<<32 - 1

func addAddr(h *netlink.Handle, index int, p netip.Prefix) error {
	return h.AddrAdd(at(index), nodad(p))
}

func nodad(p netip.Prefix) *netlink.Addr {
	addr := &netlink.Addr{IPNet: ipNet(p)}
	if p.Addr().Is6() {
		addr.Flags = unix.IFA_F_NODAD
	}
	return addr
}

// Neighbor tells a device the hardware address of a neighbour, for good: nobody will ask for it.
func Neighbor(ns *nsnet.NS, dev string, ip netip.Addr, mac net.HardwareAddr) error {
	h, index, err := device(ns, dev)
	if err == nil {
		err = setNeighbor(h, index, ip, mac)
	}
	if err != nil {
		return fmt.Errorf("set neighbour %s of %s in namespace %s: %w", ip, dev, ns.Name(), err)
	}
	return nil
}

func setNeighbor(h *netlink.Handle, index int, ip netip.Addr, mac net.HardwareAddr) error {
	return h.NeighSet(&netlink.Neigh{
		LinkIndex: index, Family: family(ip), State: netlink.NUD_PERMANENT, IP: ip.AsSlice(), HardwareAddr: mac,
	})
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
}

// host is the prefix of one address: /32 or /128.
func host(a netip.Addr) netip.Prefix { return netip.PrefixFrom(a, a.BitLen()) }

func family(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}
