package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
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
func Route(ns *nsnet.NS, r RouteSpec) error { return Routes(ns, r) }

// Routes sets several, up to the first error. They go to the kernel many at a time: a node of a large cluster has a handful for
// each of the others.
func Routes(ns *nsnet.NS, routes ...RouteSpec) error {
	index := map[string]int{} // of a device
	for some := range slices.Chunk(routes, 256) {
		var q batch
		for _, r := range some {
			i, known := index[r.Dev]
			if !known {
				var err error
				if _, i, err = device(ns, r.Dev); err != nil {
					return fmt.Errorf("set route %s in namespace %s: %w", r, ns.Name(), err)
				}
				index[r.Dev] = i
			}
			if err := q.route(i, r); err != nil {
				return fmt.Errorf("set route %s in namespace %s: %w", r, ns.Name(), err)
			}
		}
		if err := q.do(ns, nil); err != nil {
			return err
		}
	}
	return nil
}

var errNoFamily = errors.New("neither Dst nor Via nor Source says which family")

// destination is Dst, or the default route of the family that the others are of.
func (r RouteSpec) destination() (netip.Prefix, error) {
	switch {
	case r.Dst.IsValid():
		return r.Dst.Masked(), nil
	case r.Via.Is4(), r.Source.Is4():
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0), nil
	case r.Via.IsValid(), r.Source.IsValid():
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0), nil
	}
	return netip.Prefix{}, errNoFamily
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
