package lab_test

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

func scaleTopology(nodes, pods int) *world.Topology {
	t := &world.Topology{}
	serve := []world.Port{{Proto: cluster.TCP, Port: 5000}, {Proto: cluster.UDP, Port: 5000}}
	for i := range nodes {
		t.Nodes = append(t.Nodes, world.Host{
			Place:    world.Place{Kind: world.Node, Name: fmt.Sprintf("node-%d", i+1)},
			Addrs:    addrs(fmt.Sprintf("192.168.50.%d", i+1), fmt.Sprintf("fd00:192:168:50::%x", i+1)),
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i+1)), netip.MustParsePrefix(fmt.Sprintf("fd00:10:%x::/64", i+1))},
		})
	}
	for i := range pods {
		n := i % nodes
		k := i/nodes + 2
		t.Pods = append(t.Pods, world.Host{
			Place:  world.Place{Kind: world.Pod, Namespace: "default", Name: fmt.Sprintf("pod-%d", i+1)},
			Node:   t.Nodes[n].Name,
			Addrs:  addrs(fmt.Sprintf("10.%d.%d.%d", n+1, k>>8, k&255), fmt.Sprintf("fd00:10:%x::%x", n+1, k)),
			Listen: serve,
		})
	}
	return t
}

func BenchmarkScale(b *testing.B) {
	nstest.Need(b, "nftables", "veth", "bridge")
	p, _ := proxies.Find("nftables")
	for _, pods := range []int{100, 1000, 5000} {
		b.Run(fmt.Sprint(pods), func(b *testing.B) {
			top := scaleTopology(10, pods)
			var closed time.Duration
			for b.Loop() {
				l, err := lab.Open(b.Context(), lab.Options{Topology: top, Proxy: p.Opener(top)})
				if err != nil {
					b.Fatal(err)
				}
				at := time.Now()
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
				closed += time.Since(at)
			}
			b.ReportMetric(float64(closed.Milliseconds())/float64(b.N), "close-ms")
		})
	}
}
