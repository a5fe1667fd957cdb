package wire

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// AnyAddr makes every address of a range the namespace's own (a route of type local, ip-route(8)): a socket bound to the
// unspecified address serves them all, at no cost for each.
func AnyAddr(ns *nsnet.NS, all netip.Prefix) error {
	h, index, err := device(ns, "lo")
	if err == nil {
		err = h.RouteReplace(&netlink.Route{
			LinkIndex: index, Family: family(all.Addr()), Dst: ipNet(all.Masked()),
			Type: unix.RTN_LOCAL, Table: unix.RT_TABLE_LOCAL, Scope: unix.RT_SCOPE_HOST,
		})
	}
	if err != nil {
		return fmt.Errorf("make all of %s local in namespace %s: %w", all, ns.Name(), err)
	}
	return nil
}
