package lab_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/lab"
	"svclab/sim/world"
)

// Both families of the addresses of this topology.
func both(v4, v6 string) []netip.Addr { return addrs(v4, v6) }

// An echo is answered by a pod's kernel and by a node's, and the address that was called is the one that answers. A ClusterIP
// is no place: on this backend its echo is refused (row CIP-13).
func TestEchoes(t *testing.T) {
	l := open(t, "nftables")
	if err := l.Apply(t.Context(), state(1, 2)); err != nil {
		t.Fatal(err)
	}
	echo := func(from world.Place, to netip.Addr, session string) world.Observation {
		return send(t, l, world.Flow{From: from, To: netip.AddrPortFrom(to, 0), Proto: cluster.ICMP, Session: session, Wait: time.Second})
	}
	for _, from := range []world.Place{client, node1, laptop} {
		for _, to := range append(both("10.1.1.30", "fd00:10:1:1::30"), append(both("10.1.2.30", "fd00:10:1:2::30"), both("192.168.50.2", "fd00:192:168:50::2")...)...) {
			for _, session := range []string{"", "s", "s"} {
				o := echo(from, to, session)
				if who := netip.AddrPortFrom(to, 0); o.Outcome != world.Answered || o.Server != who || o.Peer != who || o.Source.Addr() != o.Client.Addr() {
					t.Errorf("%s → %s: %+v, want an answer from there", from, to, o)
				}
			}
		}
	}
	for _, to := range both("10.96.0.1", "fd00:10:96::1") {
		if o := echo(client, to, ""); o.Outcome != world.Refused || !o.ICMPFrom.IsValid() {
			t.Errorf("%s → %s: %+v, want refused", client, to, o)
		}
		// The send itself is rejected, which only IPv4 says.
		want := world.Denied
		if to.Is6() {
			want = world.Refused
		}
		if o := echo(node1, to, ""); o.Outcome != want {
			t.Errorf("%s → %s: %+v, want %s", node1, to, o, want)
		}
	}
	if late := l.Late(); len(late) != 0 {
		t.Errorf("late answers of nobody: %+v", late)
	}
}

// What this lab cannot say is an error, not silence.
func TestFlowsThatCannotBe(t *testing.T) {
	l := open(t, "nftables")
	vip, pod := vips["ipv4"], netip.MustParseAddr("10.1.1.30")
	for _, tt := range []struct {
		flow world.Flow
		want string
	}{
		{world.Flow{To: vip, Proto: cluster.SCTP, Session: "s"}, "a session over SCTP would be an association, and this lab sends no more than its INIT"},
		{world.Flow{To: vip, Proto: cluster.SCTP, Size: 3000}, "an INIT has no payload, so no size"},
		{world.Flow{To: vip, Proto: cluster.ICMP}, "an echo has neither size nor port"},
		{world.Flow{To: netip.AddrPortFrom(pod, 0), Proto: cluster.ICMP, Size: 3000}, "an echo has neither size nor port"},
		{world.Flow{To: vip, Proto: cluster.UDP, Stray: true}, "only TCP has a window"},
		{world.Flow{To: vip, Proto: 47}, "this lab sends TCP, UDP, SCTP and ICMP"},
	} {
		tt.flow.From = client
		want := fmt.Sprintf("flow %s: %s", tt.flow, tt.want)
		if _, err := l.Send(t.Context(), tt.flow); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Requests and answers of any size come whole through a Service, also in many fragments, from every kind of place.
func TestLargePayloads(t *testing.T) {
	l := open(t, "nftables")
	large(t, l, 2, 3000, 9000, 60000)
	large(t, l, 1, 3000)
}

// between fits 1500 bytes and not 1400.
const between = 1390

func large(t *testing.T, l *lab.Lab, endpoint int, sizes ...int) {
	t.Helper()
	if err := l.Apply(t.Context(), state(endpoint)); err != nil {
		t.Fatal(err)
	}
	for family, vip := range vips {
		for _, from := range []world.Place{client, node1, laptop} {
			for _, proto := range []cluster.Proto{cluster.TCP, cluster.UDP} {
				for _, size := range sizes {
					if size == between && proto == cluster.UDP && vip.Addr().Is6() {
						continue // lost by right
					}
					f := world.Flow{From: from, To: vip, Proto: proto, Size: size, Wait: 3 * time.Second}
					o := send(t, l, f)
					if o.Outcome != world.Answered || o.Server.Port() != 5000 || o.Peer != vip {
						t.Errorf("%s, %d bytes over %s: %+v, want an answer", f, size, family, o)
					}
				}
			}
		}
	}
}

// The way between the nodes is narrower than the pods know. TCP learns of it by an ICMP error that comes back through the
// Service's translation to the pod, and another that goes to the server; UDP is cut on its way.
func TestNarrowUnderlay(t *testing.T) {
	top := topology()
	top.MTU = 1400
	l := openOf(t, "nftables", top)
	large(t, l, 2, between, 3000, 9000)
	snmp := l.Artifacts(t.Context())
	for _, want := range []struct{ file, counter string }{{"node-node-1/snmp.txt", "FragFails"}, {"node-node-2/snmp.txt", "FragFails"}} {
		if n := counter(snmp[want.file], "Ip:", want.counter); n == "0" || n == "" {
			t.Errorf("%s: Ip %s is %q: nobody was told that a packet is too large, so the way was not narrow", want.file, want.counter, n)
		}
	}
	lost := world.Flow{From: client, To: vips["ipv6"], Proto: cluster.UDP, Size: between}
	if _, err := l.Send(t.Context(), lost); err == nil || !strings.HasSuffix(err.Error(), "ask for at most 1352 bytes or for more than 1452") {
		t.Errorf("%s: %v, want an error", lost, err)
	}
	wide := topology()
	wide.MTU = 9000
	large(t, openOf(t, "nftables", wide), 2, 9000)
}

// counter reads a table of /proc/net/snmp: a line of names and one of values.
func counter(text, table, name string) string {
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 || words[0] != table {
			continue
		}
		if names == nil {
			names = words
			continue
		}
		for i, n := range names {
			if n == name && i < len(words) {
				return words[i]
			}
		}
	}
	return ""
}

// A node's further address is reached from everywhere, and nobody serves there: hostNetwork pods keep to the first ones.
func TestFurtherAddresses(t *testing.T) {
	top := topology()
	top.Nodes[0].More = both("192.168.60.1", "fd00:192:168:60::1")
	top.Pods = append(top.Pods, world.Host{Place: world.Place{Kind: world.Pod, Name: "agent"}, Node: "node-1", HostNetwork: true,
		Addrs: top.Nodes[0].Addrs, Listen: top.Pods[1].Listen})
	l := openOf(t, "nftables", top)
	if err := l.Apply(t.Context(), state(1)); err != nil {
		t.Fatal(err)
	}
	for i, more := range top.Nodes[0].More {
		first := top.Nodes[0].Addrs[i]
		for _, from := range []world.Place{client, node1, node2, web2, laptop} {
			if o := send(t, l, world.Flow{From: from, To: netip.AddrPortFrom(more, 0), Proto: cluster.ICMP, Wait: time.Second}); o.Outcome != world.Answered || o.Server.Addr() != more {
				t.Errorf("%s → %s: %+v, want an echo", from, more, o)
			}
			for _, proto := range []cluster.Proto{cluster.TCP, cluster.SCTP} {
				if o := send(t, l, world.Flow{From: from, To: netip.AddrPortFrom(more, 5000), Proto: proto, Wait: time.Second}); o.Outcome != world.Reset {
					t.Errorf("%s → %s/%s: %s, want reset", from, more, proto, o.Outcome)
				}
				at := netip.AddrPortFrom(first, 5000)
				if o := send(t, l, world.Flow{From: from, To: at, Proto: proto, Wait: time.Second}); o.Outcome != world.Answered || o.Server != at {
					t.Errorf("%s → %s/%s: %+v, want an answer", from, at, proto, o)
				}
			}
		}
		// Whoever is masqueraded shows the first address.
		vip := vips[map[bool]string{false: "ipv4", true: "ipv6"}[more.Is6()]]
		if o := send(t, l, world.Flow{From: laptop, To: vip, Proto: cluster.TCP}); o.Source.Addr() != first && !o.Source.Addr().IsLinkLocalUnicast() {
			t.Errorf("%s → %s: %+v, want %s as source", laptop, vip, o, first)
		}
	}
}

// SCTP flows at once between the same two addresses hear each other's packets and errors, and take only their own: every other
// one is to a port that is refused.
func TestManyAssociationsAtOnce(t *testing.T) {
	l := open(t, "nftables")
	if err := l.Apply(t.Context(), state(1, 2)); err != nil {
		t.Fatal(err)
	}
	for family, vip := range vips {
		const flows = 200
		answered := make(chan world.Observation, flows)
		var wait sync.WaitGroup
		for i := range flows {
			wait.Go(func() {
				to, want := vip, world.Answered
				if i%2 == 1 {
					to, want = netip.AddrPortFrom(vip.Addr(), 81), world.Refused
				}
				o, err := l.Send(t.Context(), world.Flow{From: client, To: to, Proto: cluster.SCTP})
				if err != nil || o.Outcome != want || want == world.Answered && o.Source != o.Client {
					t.Errorf("%s → %s: %+v, %v; want %s, seen as itself", client, to, o, err, want)
				}
				if o.Outcome == world.Answered {
					answered <- o
				}
			})
		}
		wait.Wait()
		close(answered)
		servers := map[netip.AddrPort]int{}
		for o := range answered {
			servers[o.Server]++
		}
		if len(servers) != 2 {
			t.Errorf("%s: answered by %v, want both endpoints", family, servers)
		}
	}
}
