package lab

import (
	"net/netip"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// A loopback address is the caller's own: a node reaches what listens there, and is seen with it; a pod, and a client, reach
// their own and nobody else's.
func TestLoopbackIsTheCallersOwn(t *testing.T) {
	nstest.Need(t, "veth", "bridge")
	node, pod, outside := world.Place{Kind: world.Node, Name: "n"}, world.Place{Kind: world.Pod, Name: "client"}, world.Place{Kind: world.Client, Name: "laptop"}
	addrs := func(texts ...string) (out []netip.Addr) {
		for _, s := range texts {
			out = append(out, netip.MustParseAddr(s))
		}
		return out
	}
	top := &world.Topology{
		Nodes:   []world.Host{{Place: node, Addrs: addrs("192.168.50.1", "fd00::1")}},
		Pods:    []world.Host{{Place: pod, Node: "n", Addrs: addrs("10.0.0.2", "fd00:1::2")}},
		Clients: []world.Host{{Place: outside, Addrs: addrs("203.0.113.1", "2001:db8::1")}},
	}
	l, err := Open(t.Context(), Options{Topology: top, Proxy: func(*world.Host, *nsnet.NS) (NodeProxy, error) { return nothing{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, lo := range addrs("127.0.0.1", "::1") {
		at := netip.AddrPortFrom(lo, 7)
		tcp, err := l.places[node].ns.ListenTCP(at)
		if err != nil {
			t.Fatal(err)
		}
		defer tcp.Close()
		go serveTCP(l.places[node].ns, tcp, []netip.Addr{lo})
		udp, err := l.places[node].ns.ListenUDP(at)
		if err != nil {
			t.Fatal(err)
		}
		defer udp.Close()
		go serveUDP(udp, at)
		for _, tt := range []struct {
			from world.Place
			want map[cluster.Proto]world.Outcome
		}{
			{node, map[cluster.Proto]world.Outcome{cluster.TCP: world.Answered, cluster.UDP: world.Answered, cluster.SCTP: world.Reset}},
			{pod, map[cluster.Proto]world.Outcome{cluster.TCP: world.Reset, cluster.UDP: world.Refused, cluster.SCTP: world.Reset}},
			{outside, map[cluster.Proto]world.Outcome{cluster.TCP: world.Reset, cluster.UDP: world.Refused, cluster.SCTP: world.Reset}},
		} {
			for proto, want := range tt.want {
				o, err := l.Send(t.Context(), world.Flow{From: tt.from, To: at, Proto: proto, Wait: time.Second})
				if err != nil || o.Outcome != want {
					t.Errorf("%s → %s/%s: %+v, %v, want %s", tt.from, at, proto, o, err, want)
				}
				if want == world.Answered && (o.Server != at || o.Source != o.Client || o.Source.Addr() != lo) {
					t.Errorf("%s → %s/%s: %+v, want %s to be seen", tt.from, at, proto, o, lo)
				}
			}
		}
	}
}
