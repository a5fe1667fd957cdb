package wire

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/vishvananda/netlink"

	"svclab/nsnet"
)

// TestRoutes sets more routes than one turn of the kernel takes, and each of them is there as it was asked for.
func TestRoutes(t *testing.T) {
	node, pod := newNode(t, "node"), newPod(t, "pod")
	ok(t, PodLink(node, pod, PodLinkOptions{NodeDev: "veth0", V4: addr("10.0.1.1"), V6: addr("fd00:1::1")}))
	var routes []RouteSpec
	for i := range 300 {
		routes = append(routes,
			RouteSpec{Dst: netip.PrefixFrom(netip.AddrFrom4([4]byte{172, 16, byte(i >> 8), byte(i)}), 32), Via: addr("10.0.1.1"), Dev: "veth0", Table: 1000 + i%2},
			RouteSpec{Dst: netip.PrefixFrom(addr(fmt.Sprintf("fd00:9::%x", i)), 128), Via: addr("fd00:1::1"), Dev: "veth0", Table: 1000 + i%2})
	}
	routes = append(routes, RouteSpec{Via: addr("10.0.1.1"), Dev: "veth0", Source: addr("10.0.9.9")})
	ok(t, Addr(node, "lo", prefix("10.0.9.9/32")))
	before := nsnet.Counted()
	ok(t, Routes(node, routes...), Routes(node, routes...)) // the second time they are replaced
	if got := nsnet.Counted().Sub(before).Exchanges; got != 6 {
		t.Errorf("601 routes took %d turns twice, want 6 in all", got)
	}
	h, err := node.Netlink()
	ok(t, err)
	for _, table := range []int{1000, 1001} {
		for _, family := range []int{netlink.FAMILY_V4, netlink.FAMILY_V6} {
			have, err := h.RouteListFiltered(family, &netlink.Route{Table: table}, netlink.RT_FILTER_TABLE)
			ok(t, err)
			if len(have) != 150 {
				t.Errorf("table %d has %d routes of family %d, want 150", table, len(have), family)
			}
		}
	}
	way, err := h.RouteGet(addr("203.0.113.1").AsSlice())
	if err != nil || len(way) != 1 || way[0].Gw.String() != "10.0.1.1" || way[0].Src.String() != "10.0.9.9" {
		t.Errorf("the default route leads %v (%v)", way, err)
	}

	err = Routes(node, RouteSpec{Dst: prefix("10.9.0.0/16"), Dev: "veth0"}, RouteSpec{Dst: prefix("10.8.0.0/16"), Dev: "veth0", Source: addr("10.7.7.7")})
	if want := "set route 10.8.0.0/16 dev veth0 src 10.7.7.7 in namespace node: invalid argument"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if err, want := Route(node, RouteSpec{Dev: "veth0"}), "set route default dev veth0 in namespace node: "+errNoFamily.Error(); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
