package lab

import (
	"bufio"
	"context"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// nothing is a proxy that does nothing: these flows go straight to a pod.
type nothing struct{}

func (nothing) Apply(context.Context, *cluster.Snapshot) error { return nil }
func (nothing) Close() error                                   { return nil }

// A flow that was called silent is looked at again: this server takes its time.
func TestLateAnswersAreSeen(t *testing.T) {
	nstest.Need(t, "veth", "bridge")
	slow := world.Place{Kind: world.Pod, Name: "slow"}
	quick := world.Place{Kind: world.Pod, Name: "client"}
	addr := func(s string) []netip.Addr { return []netip.Addr{netip.MustParseAddr(s)} }
	top := &world.Topology{
		Nodes: []world.Host{{Place: world.Place{Kind: world.Node, Name: "n"}, Addrs: addr("192.168.50.1")}},
		Pods:  []world.Host{{Place: slow, Node: "n", Addrs: addr("10.0.0.1")}, {Place: quick, Node: "n", Addrs: addr("10.0.0.2")}},
	}
	l, err := Open(t.Context(), Options{Topology: top, Proxy: func(*world.Host, *nsnet.NS) (NodeProxy, error) { return nothing{}, nil }})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	to := netip.MustParseAddrPort("10.0.0.1:7")
	const delay, wait = 150 * time.Millisecond, 50 * time.Millisecond
	udp, err := l.places[slow].ns.ListenUDP(to)
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	go func() {
		b := make([]byte, 512)
		n, from, err := udp.ReadFromUDPAddrPort(b)
		if err == nil {
			time.Sleep(delay)
			_, _ = udp.WriteToUDPAddrPort([]byte(padded(answer(strings.TrimSpace(string(b[:n])), to, from), 0)), from)
		}
	}()
	tcp, err := l.places[slow].ns.ListenTCP(to)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	go func() {
		c, err := tcp.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		line, _ := bufio.NewReader(c).ReadString('\n')
		time.Sleep(delay)
		_, _ = io.WriteString(c, padded(answer(strings.TrimSpace(line), to, to), 0))
		time.Sleep(delay)
	}()
	for _, proto := range []cluster.Proto{cluster.UDP, cluster.TCP} {
		f := world.Flow{From: quick, To: to, Proto: proto, Wait: wait}
		o, err := l.Send(t.Context(), f)
		if err != nil || o.Outcome != world.Silent || o.Leaked {
			t.Fatalf("%s: %+v, %v: want silence for now", proto, o, err)
		}
		time.Sleep(delay) // measured waiting: until the slow server has answered
		late := l.Late()
		if len(late) != 1 || late[0].Seen.Outcome != world.Answered || late[0].Seen.Server != to || late[0].Flow != f {
			t.Errorf("%s: late answers %+v, want one from %s", proto, late, to)
		}
		if again := l.Late(); len(again) != 0 {
			t.Errorf("%s: told twice: %+v", proto, again)
		}
	}
}
