package oracle

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// A visit is a moment in the life of some clients: a state comes into force, or a client calls; what is expected is literal,
// then who answers is observed.
type visit struct {
	at     float64 // seconds
	state  *cluster.Snapshot
	begins bool // … but has not returned yet
	forget bool // the rules were taken away
	sends  bool // the flow is on its way: what becomes of it is known by the next visit of the same flow only
	flow   string
	via    string
	want   string
	rows   string
	saw    string
}

func sticky(s *corev1.Service) {
	ten := int32(10)
	s.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	s.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &ten}}
	s.Spec.Type = corev1.ServiceTypeNodePort
	s.Spec.Ports[0].NodePort = 30080
}

func stickyWith(pods ...string) *cluster.Snapshot {
	return both(pods...).WithService(myservice(sticky))
}

type clientLife struct {
	name   string
	visits []visit
}

func clientLives() []clientLife {
	two, three, one := stickyWith("web-1", "web-2"), stickyWith("web-1", "web-2", "web-3"), stickyWith("web-1")
	loose := both("web-1", "web-2").WithService(myservice(func(s *corev1.Service) { sticky(s); s.Spec.SessionAffinity = "" }))
	const tcp, udp, node, outside = "pod/client 172.20.0.1:80/TCP", "pod/client 172.20.0.1:53/UDP", "pod/client 192.0.2.2:30080/TCP", "client/laptop 172.20.0.1:80/TCP"
	const web1, web2, web3 = "10.1.0.1:5000", "10.2.0.2:5000", "10.2.0.3:5000"
	const at1, at2, at3 = "100% 10.1.0.1:5000 sees 10.1.0.9", "100% 10.2.0.2:5000 sees 10.1.0.9", "100% 10.2.0.3:5000 sees 10.1.0.9"
	const half = "50% 10.1.0.1:5000 sees 10.1.0.9; 50% 10.2.0.2:5000 sees 10.1.0.9"
	const free = "CIP-3 CIP-2 CIP-1"
	hinted := three.WithSlice(slice("four", "10.1.0.1 node:node-2", "10.2.0.2 node:node-1", "10.2.0.3 node:node-1"))
	return []clientLife{
		{"AFF-7: a client is not held where hints forbid it", []visit{
			{at: 1, state: three},
			{at: 2, flow: tcp, want: "33% 10.1.0.1:5000 sees 10.1.0.9; 33% 10.2.0.2:5000 sees 10.1.0.9; 33% 10.2.0.3:5000 sees 10.1.0.9", rows: free, saw: web1},
			{at: 3, state: hinted},
			{at: 4, flow: tcp, want: "50% 10.2.0.2:5000 sees 10.1.0.9; 50% 10.2.0.3:5000 sees 10.1.0.9", rows: "TOPO-2 AFF-7 CIP-1", saw: web3},
			{at: 5, flow: tcp, want: at3, rows: "TOPO-2 AFF-1 CIP-1", saw: web3},
		}},
		{"AFF-1: a client stays", []visit{
			{at: 1, state: two},
			{at: 2, flow: tcp, want: half, rows: free, saw: web2},
			{at: 3, flow: tcp, want: at2, rows: "CIP-3 AFF-1 CIP-1", saw: web2},
			{at: 4, state: three},
			{at: 5, flow: tcp, want: at2, rows: "CIP-3 AFF-1 CIP-1", saw: web2},
		}},
		{"AFF-1: another client is free, and so is another family", []visit{
			{at: 1, state: two},
			{at: 2, flow: tcp, want: half, rows: free, saw: web2},
			{at: 3, flow: "pod/web-3 172.20.0.1:80/TCP", want: "50% 10.1.0.1:5000 sees 10.2.0.3; 50% 10.2.0.2:5000 sees 10.2.0.3", rows: "CIP-3 CIP-1 CIP-2"},
			{at: 3, flow: "pod/client [fd20::1]:80/TCP", want: "50% [fd01::1]:5000 sees fd01::9; 50% [fd02::2]:5000 sees fd01::9", rows: free},
		}},
		{"AFF-2: each new flow begins the time anew", []visit{
			{at: 1, state: two},
			{at: 2, flow: tcp, want: half, rows: free, saw: web2},
			{at: 11, flow: tcp, want: at2, rows: "CIP-3 AFF-1 CIP-1", saw: web2},
			{at: 20, flow: tcp, want: at2, rows: "CIP-3 AFF-1 CIP-1", saw: web2},
			{at: 29.8, flow: tcp, want: half, rows: "CIP-3 AFF-2 CIP-2 CIP-1"}, // may be early
			{at: 31, flow: tcp, want: half, rows: "CIP-3 AFF-2 CIP-2 CIP-1", saw: web1},
			{at: 32, flow: tcp, want: at1, rows: "CIP-3 AFF-1 CIP-2"},
		}},
		{"AFF-3: affinity is switched off and on", []visit{
			{at: 1, state: two},
			{at: 2, flow: tcp, want: half, rows: free, saw: web2},
			{at: 3, state: loose},
			{at: 4, flow: tcp, want: half, rows: free, saw: web1},
			{at: 5, state: two},
			{at: 6, flow: tcp, want: half, rows: "CIP-3 AFF-3 CIP-2 CIP-1", saw: web1},
			{at: 7, flow: tcp, want: at1, rows: "CIP-3 AFF-1 CIP-2"},
		}},
		{"AFF-3: an endpoint was away for a while", []visit{
			{at: 1, state: two},
			{at: 2, flow: tcp, want: half, rows: free, saw: web2},
			{at: 3, state: one}, {at: 3, state: two},
			{at: 4, flow: tcp, want: half, rows: "CIP-3 AFF-3 CIP-2 CIP-1", saw: web1},
			{at: 5, flow: tcp, want: at1, rows: "CIP-3 AFF-1 CIP-2"},
		}},
		{"AFF-3: the rules were taken away", []visit{
			{at: 1, state: two},
			{at: 2, flow: tcp, want: half, rows: free, saw: web2},
			{at: 3, forget: true},
			{at: 4, flow: tcp, want: half, rows: "CIP-3 AFF-3 CIP-2 CIP-1"},
		}},
		{"AFF-5: ports remember for themselves", []visit{
			{at: 1, state: two},
			{at: 2, flow: tcp, want: half, rows: free, saw: web2},
			{at: 3, flow: udp, want: half, rows: free, saw: web1},
			{at: 4, flow: udp, want: at1, rows: "CIP-3 AFF-1 CIP-2"},
			{at: 4, flow: tcp, want: at2, rows: "CIP-3 AFF-1 CIP-1"},
		}},
		{"AFF-6: the client moves when its endpoint goes, and stays again", []visit{
			{at: 1, state: three},
			{at: 2, flow: tcp, want: "33% 10.1.0.1:5000 sees 10.1.0.9; 33% 10.2.0.2:5000 sees 10.1.0.9; 33% 10.2.0.3:5000 sees 10.1.0.9", rows: "CIP-3 CIP-2 CIP-1", saw: web3},
			{at: 3, flow: tcp, want: at3, rows: "CIP-3 AFF-1 CIP-1", saw: web3},
			{at: 4, state: two},
			{at: 5, flow: tcp, want: half, rows: "CIP-3 AFF-6 CIP-2 CIP-1", saw: web2},
			{at: 6, flow: tcp, want: at2, rows: "CIP-3 AFF-1 CIP-1", saw: web2},
			{at: 7, state: one},
			{at: 8, flow: tcp, want: at1, rows: "CIP-3 CIP-2"},
		}},
		{"AFF-6: while the endpoint goes both are possible", []visit{
			{at: 1, state: three},
			{at: 2, flow: tcp, want: "33% 10.1.0.1:5000 sees 10.1.0.9; 33% 10.2.0.2:5000 sees 10.1.0.9; 33% 10.2.0.3:5000 sees 10.1.0.9", rows: "CIP-3 CIP-2 CIP-1", saw: web3},
			{at: 3, state: two, begins: true},
			{at: 4, flow: tcp, want: "42% 10.1.0.1:5000 sees 10.1.0.9; 42% 10.2.0.2:5000 sees 10.1.0.9; 17% 10.2.0.3:5000 sees 10.1.0.9",
				rows: "CIP-3 AFF-3 CIP-2 CIP-1 CIP-3 AFF-6"},
		}},
		{"AFF-8: another node remembers for itself", []visit{
			{at: 1, state: two},
			{at: 2, flow: outside, via: "node-1", want: "50% 10.1.0.1:5000 sees 192.0.2.1|link-local; 50% 10.2.0.2:5000 sees 192.0.2.1", rows: "CIP-3 CIP-6", saw: web2},
			{at: 3, flow: outside, via: "node-2", want: "50% 10.1.0.1:5000 sees 192.0.2.2; 50% 10.2.0.2:5000 sees 192.0.2.2|link-local", rows: "CIP-3 CIP-6", saw: web1},
			{at: 4, flow: outside, via: "node-1", want: "100% 10.2.0.2:5000 sees 192.0.2.1", rows: "CIP-3 AFF-1 CIP-6"},
			{at: 4, flow: outside, via: "node-2", want: "100% 10.1.0.1:5000 sees 192.0.2.2", rows: "CIP-3 AFF-1 CIP-6"},
		}},
		{"AFF-8: a NodePort is remembered by the node that was called", []visit{
			{at: 1, state: two},
			{at: 2, flow: node, want: "50% 10.1.0.1:5000 sees 192.0.2.2; 50% 10.2.0.2:5000 sees 192.0.2.2|link-local", rows: "CIP-3 NP-3", saw: web2},
			{at: 3, flow: node, want: "100% 10.2.0.2:5000 sees 192.0.2.2|link-local", rows: "CIP-3 AFF-1 NP-3"},
			{at: 4, flow: tcp, want: half, rows: free}, // AFF-4: it may be remembered for the ClusterIP too
		}},
		{"two first flows at once: the later one decides, and nobody knows which that was", []visit{
			{at: 1, state: three},
			{at: 2, flow: tcp, sends: true, saw: web1},
			{at: 2.0001, flow: tcp, want: "33% 10.1.0.1:5000 sees 10.1.0.9; 33% 10.2.0.2:5000 sees 10.1.0.9; 33% 10.2.0.3:5000 sees 10.1.0.9", rows: "CIP-3 CIP-2 CIP-1", saw: web2},
			{at: 2.1, flow: tcp, want: "33% 10.1.0.1:5000 sees 10.1.0.9; 33% 10.2.0.2:5000 sees 10.1.0.9; 33% 10.2.0.3:5000 sees 10.1.0.9", rows: "CIP-3 CIP-2 CIP-1"},
			{at: 2.2, flow: tcp, saw: "landed"},
			{at: 3, flow: tcp, want: "50% 10.2.0.2:5000 sees 10.1.0.9; 50% 10.1.0.1:5000 sees 10.1.0.9", rows: "CIP-3 AFF-1 CIP-1 CIP-2", saw: web1},
			{at: 4, flow: tcp, want: at1, rows: "CIP-3 AFF-1 CIP-2"},
		}},
	}
}

func TestAffinity(t *testing.T) {
	for _, c := range clientLives() {
		t.Run(c.name, func(t *testing.T) { c.live(t, NewHistory(places())) })
	}
}

func (c clientLife) live(t *testing.T, h *History) {
	landed := func() {}
	for i, v := range c.visits {
		f := world.Flow{}
		if v.flow != "" {
			f = flow(v.flow)
			f.Via = v.via
		}
		switch {
		case v.forget:
			h.Forget(at(v.at))
		case v.sends:
			end, o := h.Sending(f, at(v.at)), answered(v.saw, "10.1.0.9")
			o.At, o.Took = at(v.at), 200*time.Millisecond
			landed = func() { h.Observe(f, o); end() }
		case v.saw == "landed":
			landed()
		case v.flow == "":
			h.Begin(v.state, at(v.at))
			if !v.begins {
				h.Done(at(v.at))
			}
		default:
			until := v.at + 0.001
			a := Expect(h, f, at(v.at), at(until))
			if got := text(a); got != v.want {
				t.Errorf("visit %d: got %s\nwant %s", i, got, v.want)
			}
			if got := rows(a); got != v.rows {
				t.Errorf("visit %d: rows %s, want %s", i, got, v.rows)
			}
			if v.saw == "" {
				continue
			}
			o := answered(v.saw, "10.1.0.9")
			o.At = at(v.at)
			h.Observe(f, o)
			// Nothing is learnt from the flow in question.
			if got := text(Expect(h, f, at(v.at), at(until))); got != v.want {
				t.Errorf("visit %d, once it is observed: got %s\nwant %s", i, got, v.want)
			}
		}
	}
}

func TestAffinitySentence(t *testing.T) {
	h := in(stickyWith("web-1", "web-2"))
	f := flow("pod/client 172.20.0.1:80/TCP")
	o := answered("10.1.0.1:5000", "10.1.0.9")
	o.At = at(1)
	h.Observe(f, o)
	const want = "answered by pod/web-2 (10.2.0.2:5000), but pod/web-1 should have answered: sessionAffinity: pod/client has pod/web-1, " +
		"which answered it 2 s before, and stays with it until it has not called for 10 s"
	if err := Expect(h, f, at(3), at(3)).Permits(answered("10.2.0.2:5000", "10.1.0.9")); err == nil || err.Error() != want {
		t.Errorf("got %v\nwant %s", err, want)
	}
}

// A socket that goes on is no new flow, so it does not begin the time anew; and it keeps its endpoint whatever its client has.
func TestAffinityOfSockets(t *testing.T) {
	h := in(stickyWith("web-1", "web-2"))
	f := flow("pod/client 172.20.0.1:80/TCP")
	f.Session = "s"
	for _, s := range []float64{1, 6, 11} {
		o := answered("10.1.0.1:5000", "10.1.0.9")
		o.At = at(s)
		h.Observe(f, o)
	}
	f.Session = ""
	if a := Expect(h, f, at(12), at(12)); len(a.Cases) != 2 || !strings.Contains(rows(a), "AFF-2") {
		t.Errorf("%s (%s): want both, since the connection began 11 s before", text(a), rows(a))
	}
	o := answered("10.2.0.2:5000", "10.1.0.9")
	o.At = at(13)
	h.Observe(f, o)
	f.Session = "s"
	if a := Expect(h, f, at(14), at(14)); text(a) != "100% 10.1.0.1:5000 sees 10.1.0.9" {
		t.Errorf("%s: want the connection's own", text(a))
	}
}
