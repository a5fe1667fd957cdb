package lab

import (
	"net/netip"
	"sync"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Once a lab is open not one packet is lost to an address that the kernel has not taken up yet. Echoes, since nobody sends them
// twice; a dozen labs, since the kernel is late in one of five or so.
func TestNoFirstPacketIsLost(t *testing.T) {
	nstest.Need(t, "veth", "bridge")
	addrs := func(texts ...string) (out []netip.Addr) {
		for _, s := range texts {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	asked, client := world.Place{Kind: world.Pod, Name: "asked"}, world.Place{Kind: world.Pod, Name: "client"}
	for lab := range 12 {
		top := &world.Topology{
			Nodes: []world.Host{{Place: world.Place{Kind: world.Node, Name: "n"}, Addrs: addrs("192.168.50.1", "fd00::1")}},
			Pods: []world.Host{{Place: asked, Node: "n", Addrs: addrs("10.0.0.1", "fd00:1::1")},
				{Place: client, Node: "n", Addrs: addrs("10.0.0.2", "fd00:1::2")}},
		}
		l, err := Open(t.Context(), Options{Topology: top, Proxy: func(*world.Host, *nsnet.NS) (NodeProxy, error) { return nothing{}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		var wait sync.WaitGroup
		for _, to := range top.Pods[0].Addrs {
			for range 4 {
				wait.Go(func() {
					f := world.Flow{From: client, To: netip.AddrPortFrom(to, 0), Proto: cluster.ICMP, Wait: time.Second}
					if o, err := l.Send(t.Context(), f); err != nil || o.Outcome != world.Answered {
						t.Errorf("lab %d: %s: %s, %v, want an answer", lab, f, o.Outcome, err)
					}
				})
			}
		}
		wait.Wait()
		if err := l.Close(); err != nil {
			t.Error(err)
		}
	}
}
