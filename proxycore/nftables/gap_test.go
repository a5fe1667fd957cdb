package nftables

import (
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/proxycore"
)

// sender sends datagrams without pause, each from a port of its own, and counts them. Datagrams are not sent again, as lost
// SYNs are.
type sender struct {
	ns       *nsnet.NS
	from, to string
	patience time.Duration
	judge    func(who string, err error)
	sent     int
}

// during runs the senders while change is called as fast as it can be, for the span and for 100 changes at least.
func during(t *testing.T, span time.Duration, senders []*sender, change func(rng *rand.Rand)) {
	t.Helper()
	var stop atomic.Bool
	var wg sync.WaitGroup
	for _, s := range senders {
		wg.Go(func() {
			for ; !stop.Load(); s.sent++ {
				who, _, err := ask(s.ns, "udp", s.from, s.to, s.patience)
				s.judge(who, err)
			}
		})
	}
	changes, rng := 0, rand.New(rand.NewPCG(1, 2))
	for until := time.Now().Add(span); changes < 100 || time.Now().Before(until); changes++ {
		change(rng)
	}
	stop.Store(true)
	wg.Wait()
	for _, s := range senders {
		t.Logf("%d datagrams from %s to %s, %d changes", s.sent, s.from, s.to, changes)
		if s.sent < 100 {
			t.Errorf("only %d datagrams", s.sent)
		}
	}
}

func answered(t *testing.T) func(who string, err error) {
	return func(who string, err error) {
		if err != nil {
			t.Errorf("lost: %v", err)
		}
	}
}

func oneOf(rng *rand.Rand, lines []string) string { return lines[rng.IntN(len(lines))] }

// While ranges, policy and affinity change as fast as they can, no datagram of a client who is admitted all the time is
// lost, and none of one who never is gets through.
func TestRangesChangeWithoutGap(t *testing.T) {
	x := atCrossroads(t)
	here := " here=" + hereIP + ":8080"
	const some, none = "203.0.113.10:53/UDP external", "203.0.113.11:53/UDP external"
	closed := []string{
		" from=192.168.0.0/24" + here,
		" from=192.168.0.8/29 from=10.0.0.0/8" + here,
		" from=192.168.0.0/25 from=198.51.100.8/32" + here + " local" + here,
		" sticky=600s from=192.168.0.9/32" + here,
		" sticky=600s from=192.168.0.0/16 from=198.51.100.0/30" + here + " local" + here,
	}
	states := append(slices.Clone(closed), here, here+" local"+here, " sticky=600s"+here+" local"+here)
	b := open(t, x.node, Options{})
	program(t, b, full(podCIDRs("10.244.1.0/24"), some+states[0], none+closed[0]))
	during(t, 2*time.Second, []*sender{
		{ns: x.outside, from: outsideIP, to: "203.0.113.10:53", patience: 3 * time.Second, judge: answered(t)},
		{ns: x.outside, from: deniedIP, to: "203.0.113.11:53", patience: time.Millisecond, judge: func(who string, err error) {
			if err == nil {
				t.Errorf("a client in no range was answered by %s", who)
			}
		}},
	}, func(rng *rand.Rand) {
		program(t, b, proxycore.Change{Replace: routesOf(some+oneOf(rng, states), none+oneOf(rng, closed))})
	})
	dump(t, b)
}

// While a policy becomes Local and back, and slots come and go, nothing of a pod or from outside is lost. While it stays
// Local and the endpoint here comes and goes, nothing from outside gets to the one elsewhere.
func TestPolicyChangesWithoutGap(t *testing.T) {
	x := atCrossroads(t)
	b := open(t, x.node, Options{})
	const front = "192.168.7.1:30053/UDP nodeport"
	here, two := " here="+hereIP+":8080", " here="+hereIP+":8080 here="+hereIP+":8080"
	states := []string{here, two, here + " local" + here, two + " local" + two, two + " local" + here,
		" sticky=600s" + here, " sticky=600s" + two + " local" + here}
	const localFront, pool = "192.168.7.1:30054/UDP nodeport", " " + thereIP + ":8080 here=" + hereIP + ":8080 local"
	locals := []string{pool + here, pool + " drop", " sticky=600s" + pool + two, pool + two}
	program(t, b, full(podCIDRs("10.244.1.0/24"), front+here, localFront+locals[0]))
	during(t, 2*time.Second, []*sender{
		{ns: x.outside, from: outsideIP, to: "192.168.7.1:30053", patience: 3 * time.Second, judge: answered(t)},
		{ns: x.pod, from: podIP, to: "192.168.7.1:30053", patience: 3 * time.Second, judge: answered(t)},
		{ns: x.outside, from: deniedIP, to: "192.168.7.1:30054", patience: 5 * time.Millisecond, judge: func(who string, err error) {
			if who == "there" {
				t.Error("a client from outside was sent to another node")
			}
		}},
	}, func(rng *rand.Rand) {
		program(t, b, proxycore.Change{Replace: routesOf(front+oneOf(rng, states), localFront+oneOf(rng, locals))})
	})
	dump(t, b)
}

// A new process that does not read the slots, because there are too many, fills the map anew: no datagram is lost, whatever
// the process before has left, and whoever is remembered stays.
func TestRefillWithoutGap(t *testing.T) {
	x := atCrossroads(t)
	const front, sticky = "203.0.113.10:53/UDP external", "203.0.113.11:53/UDP external sticky=600s"
	here, there := " here="+hereIP+":8080", " "+thereIP+":8080"
	states := []string{here, there, here + there, there + here + here, here + " local" + here, there + here + " from=0.0.0.0/1 from=128.0.0.0/1"}
	b := open(t, x.node, Options{})
	program(t, b, full(podCIDRs("10.244.1.0/24"), front+states[0], sticky+here+there))
	who, _, err := ask(x.outside, "udp", deniedIP, "203.0.113.11:53", 3*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	during(t, 2*time.Second, []*sender{
		{ns: x.outside, from: outsideIP, to: "203.0.113.10:53", patience: 3 * time.Second, judge: answered(t)},
		{ns: x.outside, from: deniedIP, to: "203.0.113.11:53", patience: 3 * time.Second, judge: func(now string, err error) {
			if err != nil || now != who {
				t.Errorf("a client that was with %s got %q, %v", who, now, err)
			}
		}},
	}, func(rng *rand.Rand) {
		heir, err := New(Options{NetNS: x.node.FD()})
		if err != nil {
			t.Fatal(err)
		}
		heir.readable = 0
		pool := []string{here + there, there + here}[rng.IntN(2)]
		program(t, heir, full(podCIDRs("10.244.1.0/24"), front+oneOf(rng, states), sticky+pool))
		if !heir.refills {
			t.Fatal("the slots were read")
		}
		if err := heir.sock.close(); err != nil { // as kill -9 would
			t.Fatal(err)
		}
	})
	program(t, b, full(podCIDRs("10.244.1.0/24"), front+here, sticky+here+there))
	dump(t, b)
}
