package oracle

import (
	"testing"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// A step of a socket's life: a state comes into force (or only begins to), or a flow is sent; what is expected of it is
// literal, then who answers is observed.
type step struct {
	state  *cluster.Snapshot
	begins bool // … but has not returned yet
	done   bool // the Apply that began has returned
	want   string
	rows   string
	saw    string // a server; "refused", "reset"; empty: nothing is observed
}

type life struct {
	name  string
	flow  string
	steps []step
}

func lives() []life {
	one, two, three, none := both("web-1"), both("web-1", "web-2"), both("web-1", "web-2", "web-3"), both()
	other := both("web-3")
	draining := state(slice("a", "10.1.0.1 serving terminating", "10.2.0.2"))
	notReady := state(slice("a", "10.1.0.1 terminating", "10.2.0.2"))
	const tcp, udp = "pod/client 172.20.0.1:80/TCP", "pod/client 172.20.0.1:53/UDP"
	const web1, web2, web3 = "10.1.0.1:5000", "10.2.0.2:5000", "10.2.0.3:5000"
	const at1, at2, at3 = "100% 10.1.0.1:5000 sees 10.1.0.9", "100% 10.2.0.2:5000 sees 10.1.0.9", "100% 10.2.0.3:5000 sees 10.1.0.9"
	const half = "50% 10.1.0.1:5000 sees 10.1.0.9; 50% 10.2.0.2:5000 sees 10.1.0.9"
	return []life{
		{"TCP keeps its endpoint whatever happens", tcp, []step{
			{state: two}, {want: half, rows: "CIP-3 CIP-2 CIP-1", saw: web2},
			{want: at2, rows: "CIP-3 CIP-4 CIP-1", saw: web2},
			{state: one}, {want: at2, rows: "CIP-3 CIP-4 CIP-1", saw: web2},
			{state: none}, {want: at2, rows: "NE-1 CIP-4 CIP-1", saw: web2},
			{state: nil}, {want: at2, rows: "CIP-12 CIP-4 CIP-1", saw: web2},
		}},
		{"a new TCP connection after a reset", tcp, []step{
			{state: two}, {want: half, rows: "CIP-3 CIP-2 CIP-1", saw: web2},
			{want: at2, rows: "CIP-3 CIP-4 CIP-1", saw: "reset"},
			{want: half, rows: "CIP-3 CIP-2 CIP-1"},
		}},
		{"a TCP connection that was refused is none", tcp, []step{
			{state: none}, {want: "or refused", rows: "NE-1", saw: "refused"},
			{state: two}, {want: half, rows: "CIP-3 CIP-2 CIP-1"},
		}},
		{"UDP keeps its endpoint while that is one", udp, []step{
			{state: two}, {want: half, rows: "CIP-3 CIP-2 CIP-1", saw: web2},
			{state: three}, {want: at2, rows: "CIP-3 CIP-4 CIP-1", saw: web2},
		}},
		{"CT-1: UDP moves when its endpoint is replaced", udp, []step{
			{state: one}, {want: at1, rows: "CIP-3 CIP-2", saw: web1},
			{state: other}, {want: at3, rows: "CIP-3 CT-1 CIP-1", saw: web3},
			{want: at3, rows: "CIP-3 CIP-4 CIP-1", saw: web3},
		}},
		{"CT-4: so does a node's", "node/node-2 172.20.0.1:53/UDP", []step{
			{state: one}, {want: "100% 10.1.0.1:5000 sees 192.0.2.2", rows: "CIP-3 CIP-5", saw: web1},
			{state: both("web-2")}, {want: "100% 10.2.0.2:5000 sees 192.0.2.2|link-local", rows: "CIP-3 CT-4 CIP-5", saw: web2},
		}},
		{"CT-1: during the change it may do either", udp, []step{
			{state: one}, {want: at1, rows: "CIP-3 CIP-2", saw: web1},
			{state: other, begins: true},
			{want: "50% 10.1.0.1:5000 sees 10.1.0.9; 50% 10.2.0.3:5000 sees 10.1.0.9", rows: "CIP-3 CT-1 CIP-2 CIP-3 CT-1 CIP-1"},
		}},
		{"UDP may have moved when its endpoint was away for a while", udp, []step{
			{state: two}, {want: half, rows: "CIP-3 CIP-2 CIP-1", saw: web1},
			{state: other}, {state: two},
			{want: half, rows: "CIP-3 CT-1 CIP-2 CIP-1", saw: web2},
			{want: at2, rows: "CIP-3 CIP-4 CIP-1", saw: web2},
		}},
		{"UDP that was answered by the old endpoint while the new state was coming", udp, []step{
			{state: two}, {state: other, begins: true},
			{want: "25% 10.1.0.1:5000 sees 10.1.0.9; 25% 10.2.0.2:5000 sees 10.1.0.9; 50% 10.2.0.3:5000 sees 10.1.0.9",
				rows: "CIP-3 CIP-2 CIP-1 CIP-3", saw: web1},
			{done: true}, {state: two},
			{want: half, rows: "CIP-3 CT-1 CIP-2 CIP-1"},
		}},
		{"CT-7: UDP is refused when no endpoint is left", udp, []step{
			{state: one}, {want: at1, rows: "CIP-3 CIP-2", saw: web1},
			{state: none}, {want: "or refused", rows: "NE-1 CT-7", saw: "refused"},
			{state: one}, {want: at1, rows: "CIP-3 CT-1 CIP-2", saw: web1},
		}},
		{"CT-5: UDP that sent too early works later", udp, []step{
			{state: none}, {want: "or refused", rows: "NE-1", saw: "refused"},
			{want: "or refused", rows: "NE-1", saw: "refused"},
			{state: one}, {want: at1, rows: "CIP-3 CT-5 CIP-2", saw: web1},
		}},
		{"CT-8: UDP stays with an endpoint that still serves", udp, []step{
			{state: one}, {want: at1, rows: "CIP-3 CIP-2", saw: web1},
			{state: draining}, {want: at1, rows: "TERM-1 CT-8 CIP-2", saw: web1},
			{state: notReady}, {want: at2, rows: "CIP-3 CT-1 CIP-1"},
		}},
		{"CT-2: so does UDP at a NodePort", "client/laptop 192.0.2.1:30080/UDP", []step{
			{state: fronted("web-1")}, {want: "100% 10.1.0.1:5000 sees 192.0.2.1|link-local", rows: "CIP-3 NP-1", saw: web1},
			{state: fronted("web-2")}, {want: "100% 10.2.0.2:5000 sees 192.0.2.1", rows: "CIP-3 CT-2 NP-1"},
		}},
		{"CT-3: and at an externalIP", "client/laptop 198.51.100.7:53/UDP", []step{
			{state: fronted("web-1")}, {want: "100% 10.1.0.1:5000 sees 192.0.2.1|link-local", rows: "CIP-3 EXT-1", saw: web1},
			{state: fronted("web-2")}, {want: "100% 10.2.0.2:5000 sees 192.0.2.1", rows: "CIP-3 CT-3 EXT-1"},
		}},
		{"CT-10: UDP that sent before the Service had the address", "client/laptop 198.51.100.7:53/UDP", []step{
			{state: one}, {want: "or silent; or unreachable", rows: "CIP-12", saw: "refused"},
			{state: fronted("web-1")}, {want: "100% 10.1.0.1:5000 sees 192.0.2.1|link-local", rows: "CIP-3 CT-10 EXT-1"},
		}},
		{"CT-10: UDP ends with its Service", udp, []step{
			{state: one}, {want: at1, rows: "CIP-3 CIP-2", saw: web1},
			{state: nil}, {want: "or silent; or unreachable", rows: "CIP-12 CT-10"},
		}},
		{"UDP to a pod itself", "pod/client 10.1.0.1:5000/UDP", []step{
			{state: one}, {want: at1, rows: "CIP-14 M-2", saw: web1},
			{state: none}, {want: at1, rows: "CIP-14 CIP-4 M-2"},
		}},
	}
}

func TestSessions(t *testing.T) {
	for _, c := range lives() {
		t.Run(c.name, func(t *testing.T) { c.live(t, NewHistory(places())) })
	}
}

func (c life) live(t *testing.T, h *History) {
	now := 0.0
	for i, s := range c.steps {
		now++
		if s.done {
			h.Done(at(now))
			continue
		}
		if s.want == "" {
			h.Begin(s.state, at(now))
			if !s.begins {
				h.Done(at(now))
			}
			continue
		}
		f := flow(c.flow)
		f.Session = "s"
		a := Expect(h, f, at(now), at(now+0.5))
		if got := text(a); got != s.want {
			t.Errorf("step %d: got %s\nwant %s", i, got, s.want)
		}
		if got := rows(a); got != s.rows {
			t.Errorf("step %d: rows %s, want %s", i, got, s.rows)
		}
		o := world.Observation{Outcome: world.Refused}
		switch s.saw {
		case "":
			continue
		case "refused":
		case "reset":
			o.Outcome = world.Reset
		default:
			o = answered(s.saw, "10.1.0.9")
		}
		o.At = at(now)
		h.Observe(f, o)
		// It may as well be judged after it was observed: nothing is learnt from the flow in question.
		if got := text(Expect(h, f, at(now), at(now+0.5))); got != s.want {
			t.Errorf("step %d, once it is observed: got %s\nwant %s", i, got, s.want)
		}
	}
}

// Sockets of the same name at two places, or to two addresses, are two.
func TestSessionsDoNotMix(t *testing.T) {
	h := in(both("web-1", "web-2"))
	f := flow("pod/client 172.20.0.1:80/TCP")
	f.Session = "s"
	h.Observe(f, answered("10.1.0.1:5000", "10.1.0.9"))
	for _, other := range []string{"pod/web-3 172.20.0.1:80/TCP", "pod/client [fd20::1]:80/TCP", "pod/client 172.20.0.1:53/UDP"} {
		g := flow(other)
		g.Session = "s"
		if a := Latest(h, g); len(a.Cases) != 2 {
			t.Errorf("%s: %s, want both endpoints", other, text(a))
		}
	}
	f.Session = "t"
	if a := Latest(h, f); len(a.Cases) != 2 {
		t.Errorf("another session: %s, want both endpoints", text(a))
	}
}

func TestSessionSentences(t *testing.T) {
	for _, c := range []struct{ flow, saw, want string }{
		{"pod/client 172.20.0.1:80/TCP", "10.2.0.2:5000",
			"answered by pod/web-2 (10.2.0.2:5000), but pod/web-1 should have answered: this connection was opened to pod/web-1 and keeps it to its end"},
		{"pod/client 172.20.0.1:53/UDP", "10.2.0.2:5000",
			"answered by pod/web-2 (10.2.0.2:5000), but pod/web-1 should have answered: this UDP socket was answered by pod/web-1 and keeps it while it is an endpoint"},
	} {
		h := in(both("web-1", "web-2"))
		f := flow(c.flow)
		f.Session = "s"
		o := answered("10.1.0.1:5000", "10.1.0.9")
		o.At = at(1)
		h.Observe(f, o)
		err := Expect(h, f, at(2), at(2)).Permits(answered(c.saw, "10.1.0.9"))
		if err == nil || err.Error() != c.want {
			t.Errorf("got  %v\nwant %s", err, c.want)
		}
	}
	// The endpoint is replaced, and the socket stays where it was.
	h := in(both("web-1"))
	f := flow("pod/client 172.20.0.1:53/UDP")
	f.Session = "s"
	o := answered("10.1.0.1:5000", "10.1.0.9")
	o.At = at(1)
	h.Observe(f, o)
	h.since(both("web-3"), 2)
	err := Expect(h, f, at(2.5), at(2.6)).Permits(answered("10.1.0.1:5000", "10.1.0.9"))
	if want := "answered by pod/web-1 (10.1.0.1:5000), which is no endpoint of default/myservice:53 any more (removed 500 ms before); " +
		"pod/web-3 should have answered: this UDP socket was answered by pod/web-1, which is no endpoint any more: it moves to a current one"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// An open connection is as it was translated when it was opened, whatever becomes of the policy; a new one follows it.
func TestAPolicyLeavesConnectionsAlone(t *testing.T) {
	local, anywhere := setup{service: outside, endpoints: []string{"10.1.0.1"}}.history(), setup{endpoints: []string{"10.1.0.1"}}.history()
	f := flow(laptopVIP)
	f.Session = "s"
	o := answered("10.1.0.1:5000", "203.0.113.7")
	o.At = at(1)
	local.Observe(f, o)
	local.since(anywhere.last.state, 2)
	kept := answered("10.1.0.1:5000", "203.0.113.7")
	if err := Expect(local, f, at(3), at(3)).Permits(kept); err != nil {
		t.Errorf("the open connection: %v", err)
	}
	f.Session = ""
	want := "pod/web-1 saw client/laptop's address 203.0.113.7, but should have seen node/node-1's address 192.0.2.1 or node/node-1's address 192.0.2.11: " +
		"198.51.100.9 is a load balancer's VIP, so the first node on the way, node/node-1, translates it and puts its own address in place, whoever calls"
	if err := Expect(local, f, at(3), at(3)).Permits(kept); err == nil || err.Error() != want {
		t.Errorf("a new one: got  %v\nwant %s", err, want)
	}
}

// What a wrong answer is told where policy or a wrong way is the reason.
func TestOutwardSentences(t *testing.T) {
	for _, c := range []struct {
		name, flow string
		setup      setup
		saw        world.Observation
		want       string
	}{
		{"another node's endpoint", laptopNP, setup{service: outside, endpoints: []string{"10.1.0.1", "10.2.0.2"}}, answered("10.2.0.2:5000", "203.0.113.7"),
			"answered by pod/web-2 (10.2.0.2:5000), but pod/web-1 should have answered: " +
				"default/myservice:80 has externalTrafficPolicy Local, and client/laptop comes from outside: only endpoints on node/node-1 count"},
		{"refused without a local one", laptopNP, setup{service: outside, endpoints: []string{"10.2.0.2"}}, world.Observation{Outcome: world.Refused},
			"refused by ICMP, but should have met silence: default/myservice:80 has externalTrafficPolicy Local, and client/laptop comes from outside: " +
				"only endpoints on node/node-1 count, and there is none, though there is elsewhere: the packet is dropped, not refused"},
		{"a range", podVIP, setup{service: from("203.0.113.0/24"), endpoints: []string{"10.1.0.1"}}, answered("10.1.0.1:5000", "192.0.2.1"),
			"answered by pod/web-1 (10.1.0.1:5000), but should have met silence: " +
				"pod/client calls with 10.1.0.9, which is in none of the loadBalancerSourceRanges of default/myservice:80: the packet is dropped"},
		{"a hint", podIn, setup{endpoints: []string{"10.1.0.1 zone:a", "10.2.0.2 zone:b"}}, answered("10.2.0.2:5000", "10.1.0.9"),
			"answered by pod/web-2 (10.2.0.2:5000), but pod/web-1 should have answered: by their hints the others are not for zone a, where node/node-1 is"},
		{"an answer that finds no way back", laptopIn, setup{endpoints: []string{"10.2.0.2"}, settings: cluster.Settings{DetectLocalMode: cluster.DetectNone}},
			answered("10.2.0.2:5000", "192.0.2.1"),
			"answered by pod/web-2 (10.2.0.2:5000), but should have met silence: node/node-1 cannot tell pods from others, so the source is kept, " +
				"and what pod/web-2 answers does not come back by that node: the client does not know it"},
		{"an address without NodePorts", "client/laptop 192.0.2.11:30080/TCP", setup{endpoints: []string{"10.1.0.1"}}, answered("10.1.0.1:5000", "192.0.2.1"),
			"answered by pod/web-1 (10.1.0.1:5000), but should have been reset: 192.0.2.11:30080 is a NodePort of default/myservice:80, " +
				"but 192.0.2.11 is no primary address of node/node-1, and nothing is said of nodePortAddresses: node/node-1 is asked itself, " +
				"and node/node-1 does not listen on port 30080/TCP"},
	} {
		t.Run(c.name, func(t *testing.T) {
			err := Expect(c.setup.history(), flow(c.flow), at(1), at(1)).Permits(c.saw)
			if err == nil || err.Error() != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}
