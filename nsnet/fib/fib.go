// Package fib asks a namespace's kernel where it would send a packet, and which entry of its routing tables says so.
package fib

import (
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Question is a packet as it comes to a routing decision.
type Question struct {
	Dst  netip.Addr // required
	Src  netip.Addr // optional
	In   string     // optional: the device by which it came; empty for a packet of the namespace's own
	Mark uint32     // optional
}

// Answer is what the kernel says now, which is not a recording of what it did.
type Answer struct {
	Kind  string     // "unicast", "local", "blackhole" …
	Via   netip.Addr // the gateway; the zero Addr when the destination is on the wire itself
	Out   string     // the device
	Table int        // of the entry: 254 is main, 255 local
	Entry string     // the entry that matched: a prefix, or "default"
	Error string     // there is no way: the kernel's words; the rest is then empty
}

var kinds = map[int]string{
	unix.RTN_UNICAST: "unicast", unix.RTN_LOCAL: "local", unix.RTN_BROADCAST: "broadcast", unix.RTN_ANYCAST: "anycast", unix.RTN_MULTICAST: "multicast",
	unix.RTN_BLACKHOLE: "blackhole", unix.RTN_UNREACHABLE: "unreachable", unix.RTN_PROHIBIT: "prohibit",
}

// Ask asks for the result and for the entry. The error is of the asking; that there is no way is an Answer.
func Ask(ns *nsnet.NS, q Question) (a Answer, err error) {
	h, err := ns.Netlink()
	if err != nil {
		return a, err
	}
	o := &netlink.RouteGetOptions{Iif: q.In, Mark: q.Mark}
	if q.Src.IsValid() {
		o.SrcAddr = q.Src.AsSlice()
	}
	routes, err := h.RouteGetWithOptions(q.Dst.AsSlice(), o)
	var errno unix.Errno
	switch {
	case errors.As(err, &errno) && noWay(errno):
		a.Error = errno.Error()
		return a, nil
	case err != nil:
		return a, fmt.Errorf("ask namespace %s for the route to %s: %w", ns.Name(), q.Dst, err)
	case len(routes) == 0:
		return a, fmt.Errorf("ask namespace %s for the route to %s: no answer", ns.Name(), q.Dst)
	}
	r := routes[0]
	a.Kind = kinds[r.Type]
	if via, ok := netip.AddrFromSlice(r.Gw); ok {
		a.Via = via.Unmap()
	}
	if link, err := h.LinkByIndex(r.LinkIndex); err == nil {
		a.Out = link.Attrs().Name
	}
	o.FIBMatch = true
	if routes, err = h.RouteGetWithOptions(q.Dst.AsSlice(), o); err == nil && len(routes) > 0 {
		a.Table, a.Entry = routes[0].Table, "default"
		if d := routes[0].Dst; d != nil && !(d.IP.IsUnspecified() && ones(d.Mask) == 0) {
			a.Entry = d.String()
		}
	}
	return a, nil
}

func ones(mask interface{ Size() (int, int) }) int {
	n, _ := mask.Size()
	return n
}

// noWay are the answers that mean so: of a missing route, of blackhole, unreachable and prohibit ones, and, EXDEV and EINVAL,
// of a packet that may not have come by that device.
func noWay(e unix.Errno) bool {
	switch e {
	case unix.ENETUNREACH, unix.EHOSTUNREACH, unix.EACCES, unix.EINVAL, unix.EXDEV:
		return true
	}
	return false
}
