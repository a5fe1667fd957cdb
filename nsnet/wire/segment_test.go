package wire

import (
	"net/netip"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

// TestSegment: pods on two nodes talk through the underlay, by routes between the nodes.
func TestSegment(t *testing.T) {
	seg := newSegment(t)
	n1, n2, a, b := newNode(t, "node-1"), newNode(t, "node-2"), newPod(t, "a"), newPod(t, "b")
	ok(t, seg.Attach(n1, "eth0"), seg.Attach(n2, "eth0"),
		Addr(n1, "eth0", prefix("192.168.50.1/24")), Addr(n2, "eth0", prefix("192.168.50.2/24")),
		Addr(n1, "eth0", prefix("fd50::1/64")), Addr(n2, "eth0", prefix("fd50::2/64")),
		Route(n1, RouteSpec{Dst: prefix("10.0.2.0/24"), Via: addr("192.168.50.2"), Dev: "eth0"}),
		Route(n2, RouteSpec{Dst: prefix("10.0.1.0/24"), Via: addr("192.168.50.1"), Dev: "eth0"}),
		Route(n1, RouteSpec{Dst: prefix("fd00:2::/64"), Via: addr("fd50::2"), Dev: "eth0"}),
		Route(n2, RouteSpec{Dst: prefix("fd00:1::/64"), Via: addr("fd50::1"), Dev: "eth0"}),
		PodLink(n1, a, PodLinkOptions{NodeDev: "a", V4: addr("10.0.1.1"), V6: addr("fd00:1::1")}),
		PodLink(n2, b, PodLinkOptions{NodeDev: "b", V4: addr("10.0.2.1"), V6: addr("fd00:2::1")}))

	for _, f := range []struct{ client, server, n1, n2 string }{
		{"10.0.1.1", "10.0.2.1", "192.168.50.1", "192.168.50.2"},
		{"fd00:1::1", "fd00:2::1", "fd50::1", "fd50::2"},
	} {
		if seen, err := ask(a, serve(t, b, addr(f.server))); err != nil || seen != f.client {
			t.Errorf("pod to pod: the server saw %q (%v), want %s", seen, err, f.client)
		}
		if seen, err := ask(n1, serve(t, n2, addr(f.n2))); err != nil || seen != f.n1 {
			t.Errorf("node to node: the server saw %q (%v), want %s", seen, err, f.n1)
		}
	}
}

// TestAttachAnyNamespace: a client that keeps the kernel's settings has its link-local address already.
func TestAttachAnyNamespace(t *testing.T) {
	seg, ns := newSegment(t), nstest.NS(t, "client")
	port, err := seg.AttachPort(ns, "eth0")
	if err != nil || port != "port1" {
		t.Errorf("got port %q, %v", port, err)
	}
}

// TestBridgeByHand builds what a Segment is from its parts.
func TestBridgeByHand(t *testing.T) {
	nstest.Need(t, "veth", "bridge")
	sw, a, b := nstest.NS(t, "switch"), newPod(t, "a"), newPod(t, "b")
	mac := PodMAC(addr("10.0.0.2"))
	ok(t, Bridge(sw, "br0"),
		Veth(End{NS: a, Name: "eth0"}, End{NS: sw, Name: "a"}), Veth(End{NS: b, Name: "eth0", MAC: mac}, End{NS: sw, Name: "b"}),
		Enslave(sw, "a", "br0"), Enslave(sw, "b", "br0"),
		Addr(a, "eth0", prefix("10.0.0.1/24")), Addr(b, "eth0", prefix("10.0.0.2/24")),
		Neighbor(a, "eth0", addr("10.0.0.2"), mac))
	if seen, err := ask(a, serve(t, b, addr("10.0.0.2"))); err != nil || seen != "10.0.0.1" {
		t.Errorf("the server saw %q (%v)", seen, err)
	}
	if ips := learned(t, a); len(ips) > 0 {
		t.Errorf("a asked for the hardware of %s although it was told", ips)
	}
	if err, want := Enslave(sw, "c", "br0"), "join c to bridge br0: find device c in namespace switch: Link not found"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// TestRule: marked packets take another table, others do not.
func TestRule(t *testing.T) {
	nstest.Need(t, "veth")
	node := newNode(t, "node")
	pods := map[string]*nsnet.NS{"main": newPod(t, "main"), "marked": newPod(t, "marked")}
	for name, pod := range pods { // both have the same addresses: the table decides
		ok(t, Veth(End{NS: node, Name: name, MAC: nodeMAC}, End{NS: pod, Name: "eth0"}))
		for _, f := range []struct{ own, node string }{{"10.0.0.9", "10.0.0.1"}, {"fd00::9", "fd00::1"}} {
			table := 0
			if name == "marked" {
				table = 100
			}
			link, err := pod.Netlink()
			ok(t, err)
			eth0, err := link.LinkByName("eth0")
			ok(t, err)
			ok(t, Addr(pod, "eth0", host(addr(f.own))), Neighbor(pod, "eth0", addr(f.node), nodeMAC),
				Route(pod, RouteSpec{Via: addr(f.node), Dev: "eth0"}),
				Neighbor(node, name, addr(f.own), eth0.Attrs().HardwareAddr),
				Route(node, RouteSpec{Dst: host(addr(f.own)), Dev: name, Table: table}))
		}
	}
	ok(t, Addr(node, "lo", prefix("10.0.0.1/32")), Addr(node, "lo", prefix("fd00::1/128")),
		Rule(node, 7, 100, unix.AF_INET), Rule(node, 7, 100, unix.AF_INET6))

	for _, f := range []struct{ flag, to string }{{"-4", "10.0.0.9"}, {"-6", "fd00::9"}} {
		for mark, dev := range map[string]string{"0": "main", "7": "marked"} {
			out, err := node.Run(exec.Command("ip", f.flag, "route", "get", f.to, "mark", mark))
			ok(t, err)
			contains(t, "route of mark "+mark, string(out), "dev "+dev)
		}
	}
}

func TestRouteSpecString(t *testing.T) {
	tests := []struct {
		r    RouteSpec
		want string
	}{
		{RouteSpec{Via: addr("10.0.0.1"), Dev: "eth0"}, "default via 10.0.0.1 dev eth0"},
		{RouteSpec{Dst: prefix("0.0.0.0/0"), Dev: "eth0"}, "default dev eth0"},
		{RouteSpec{Dst: prefix("fd00::/64"), Dev: "a", Table: 7, Source: addr("fd00::1")}, "fd00::/64 dev a table 7 src fd00::1"},
	}
	for _, test := range tests {
		if got := test.r.String(); got != test.want {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestRouteReplacesAndErrs(t *testing.T) {
	nstest.Need(t, "veth")
	a, b := newPod(t, "a"), newPod(t, "b")
	ok(t, Veth(End{NS: a, Name: "x"}, End{NS: b, Name: "x"}), Veth(End{NS: a, Name: "y"}, End{NS: b, Name: "y"}),
		Addr(a, "x", prefix("10.0.0.1/32")), Addr(a, "x", prefix("fd00::1/128")))
	for _, dst := range []string{"10.1.0.0/16", "fd01::/64"} {
		for _, dev := range []string{"x", "y"} {
			ok(t, Route(a, RouteSpec{Dst: prefix(dst), Dev: dev, Source: ownOf(dst)}))
		}
		out, err := a.Run(exec.Command("ip", "route", "get", prefix(dst).Addr().Next().String()))
		ok(t, err)
		contains(t, "route", string(out), "dev y src "+ownOf(dst).String())
	}
	for _, test := range []struct {
		r    RouteSpec
		want string
	}{
		{RouteSpec{Dev: "x"}, "set route default dev x in namespace a: neither Dst nor Via nor Source says which family"},
		{RouteSpec{Dst: prefix("10.0.0.0/8"), Dev: "z"}, "set route 10.0.0.0/8 dev z in namespace a: find device z in namespace a: Link not found"},
	} {
		if err := Route(a, test.r); err == nil || err.Error() != test.want {
			t.Errorf("got  %v\nwant %s", err, test.want)
		}
	}
}

// ownOf is a's own address of the prefix's family.
func ownOf(dst string) netip.Addr {
	if prefix(dst).Addr().Is4() {
		return addr("10.0.0.1")
	}
	return addr("fd00::1")
}
