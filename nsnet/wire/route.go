package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"

	"github.com/vishvananda/netlink"

	"svclab/nsnet"
)

// RouteSpec is a route. At least one of Dst, Via and Source says which family it is of.
type RouteSpec struct {
	Dst    netip.Prefix // optional: the zero value is the default route
	Via    netip.Addr   // optional: without it the destination is on the link. Taken to be on the link itself, whatever its address
	Dev    string       // required
	Table  int          // optional: 0 is the main table
	Source netip.Addr   // optional: preferred source address
}

// String writes the route as ip(8) would take it.
func (r RouteSpec) String() string {
	s := []string{"default"}
	if r.Dst.IsValid() && r.Dst.Bits() > 0 {
		s[0] = r.Dst.String()
	}
	if r.Via.IsValid() {
		s = append(s, "via", r.Via.String())
	}
	s = append(s, "dev", r.Dev)
	if r.Table != 0 {
		s = append(s, "table", fmt.Sprint(r.Table))
	}
	if r.Source.IsValid() {
		s = append(s, "src", r.Source.String())
	}
	return strings.Join(s, " ")
}

// Route sets a route; one to the same destination in the same table is replaced.
func Route(ns *nsnet.NS, r RouteSpec) error {
	h, index, err := device(ns, r.Dev)
	if err == nil {
		err = setRoute(h, index, r)
	}
	if err != nil {
		return fmt.Errorf("set route %s in namespace %s: %w", r, ns.Name(), err)
	}
	return nil
}

var errNoFamily = errors.New("neither Dst nor Via nor Source says which family")

func setRoute(h *netlink.Handle, index int, r RouteSpec) error {
	dst := r.Dst
	if !dst.IsValid() {
		switch {
		case r.Via.Is4(), r.Source.Is4():
			dst = netip.PrefixFrom(netip.IPv4Unspecified(), 0)
		case r.Via.IsValid(), r.Source.IsValid():
			dst = netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		default:
			return errNoFamily
		}
	}
	route := &netlink.Route{
		LinkIndex: index, Family: family(dst.Addr()), Dst: ipNet(dst.Masked()), Table: r.Table,
		Src: r.Source.AsSlice(), Gw: r.Via.AsSlice(),
	}
	if r.Via.IsValid() {
		route.Flags = int(netlink.FLAG_ONLINK)
	} else {
		route.Scope = netlink.SCOPE_LINK
	}
	return h.RouteReplace(route)
}

// Rule sends packets with a mark (SO_MARK, nftables) to a routing table. The family is unix.AF_INET or AF_INET6.
func Rule(ns *nsnet.NS, mark, table, family int) error {
	rule := netlink.NewRule()
	rule.Mark, rule.Table, rule.Family = uint32(mark), table, family
	h, err := ns.Netlink()
	if err == nil {
		err = h.RuleAdd(rule)
	}
	if err != nil {
		return fmt.Errorf("add rule fwmark %d lookup %d in namespace %s: %w", mark, table, ns.Name(), err)
	}
	return nil
}
