package fib_test

import (
	"net/netip"
	"os/exec"
	"testing"

	"svclab/nsnet/fib"
	"svclab/nsnet/nstest"
	"svclab/nsnet/wire"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func TestAsk(t *testing.T) {
	nstest.Need(t, "veth")
	node, pod := nstest.NS(t, "node"), nstest.NS(t, "pod")
	if err := wire.NodeSysctls(node); err != nil {
		t.Fatal(err)
	}
	if err := wire.PodLink(node, pod, wire.PodLinkOptions{NodeDev: "pod1", V4: netip.MustParseAddr("10.1.1.2"), V6: netip.MustParseAddr("fd00:1::2")}); err != nil {
		t.Fatal(err)
	}
	const setUp = "ip addr add 192.168.0.1/24 dev pod1 && ip route add 10.2.0.0/16 via 192.168.0.2 && ip route add blackhole 10.3.0.0/16 && ip route add default via 192.168.0.9 &&" +
		"ip rule add fwmark 5 lookup 77 && ip route add 10.2.0.0/16 via 192.168.0.7 table 77 && ip -6 route add fd00:2::/64 via fd00:1::2 dev pod1"
	if _, err := node.Run(exec.Command("sh", "-c", setUp)); err != nil {
		t.Fatal(err)
	}
	addr := netip.MustParseAddr
	for _, c := range []struct {
		name string
		q    fib.Question
		want fib.Answer
	}{
		{"a pod", fib.Question{Dst: addr("10.1.1.2")}, fib.Answer{Kind: "unicast", Out: "pod1", Table: 254, Entry: "10.1.1.2/32"}},
		{"a gateway", fib.Question{Dst: addr("10.2.3.4")}, fib.Answer{Kind: "unicast", Via: addr("192.168.0.2"), Out: "pod1", Table: 254, Entry: "10.2.0.0/16"}},
		{"by a pod", fib.Question{Dst: addr("10.2.3.4"), Src: addr("10.1.1.2"), In: "pod1"}, fib.Answer{Kind: "unicast", Via: addr("192.168.0.2"), Out: "pod1", Table: 254, Entry: "10.2.0.0/16"}},
		{"a mark", fib.Question{Dst: addr("10.2.3.4"), Mark: 5}, fib.Answer{Kind: "unicast", Via: addr("192.168.0.7"), Out: "pod1", Table: 77, Entry: "10.2.0.0/16"}},
		{"default", fib.Question{Dst: addr("10.9.9.9")}, fib.Answer{Kind: "unicast", Via: addr("192.168.0.9"), Out: "pod1", Table: 254, Entry: "default"}},
		{"its own", fib.Question{Dst: addr("192.168.0.1")}, fib.Answer{Kind: "local", Out: "lo", Table: 255, Entry: "192.168.0.1/32"}},
		{"blackhole", fib.Question{Dst: addr("10.3.3.3")}, fib.Answer{Error: "invalid argument"}},
		{"IPv6", fib.Question{Dst: addr("fd00:2::5")}, fib.Answer{Kind: "unicast", Via: addr("fd00:1::2"), Out: "pod1", Table: 254, Entry: "fd00:2::/64"}},
		{"no IPv6 route", fib.Question{Dst: addr("fd00:9::5")}, fib.Answer{Error: "network is unreachable"}},
	} {
		got, err := fib.Ask(node, c.q)
		if err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
}
