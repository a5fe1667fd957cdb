package oracle

import (
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Every rule decides at least one of the literal cases, gives a row that it stands for, and gives each of them.
func TestEveryRuleAndRowIsReached(t *testing.T) {
	given := map[string]map[string]bool{} // rule → rows
	record := func(h *History) *History {
		h.rules = slices.Clone(rules)
		for i, r := range rules {
			h.rules[i].decide = func(q *question) (Reason, bool) {
				why, applies := r.decide(q)
				if applies {
					if given[r.name] == nil {
						given[r.name] = map[string]bool{}
					}
					given[r.name][why.Row] = true
				}
				return why, applies
			}
		}
		return h
	}
	for _, c := range matrix() {
		f := flow(c.flow)
		f.Via = c.via
		Expect(record(c.state()), f, at(2), at(2))
	}
	Latest(record(in(state(slice("a", "10.1.0.1 serving terminating")))), flow("pod/client 172.20.0.1:80/TCP"))
	for _, c := range lives() {
		c.live(t, record(NewHistory(places())))
	}
	for _, c := range clientLives() {
		c.live(t, record(NewHistory(places())))
	}
	known := map[string]bool{}
	for _, r := range Rows {
		if known[r.ID] || r.Text == "" || r.Source == "" {
			t.Errorf("row %s is there twice, or lacks its text or source", r.ID)
		}
		known[r.ID] = true
	}
	for _, r := range rules {
		if given[r.name] == nil {
			t.Errorf("the rule %q is never reached", r.name)
		}
		for row := range given[r.name] {
			if !slices.Contains(r.rows, row) {
				t.Errorf("the rule %q gives row %s, which is not one of its own, %v", r.name, row, r.rows)
			}
		}
		for _, row := range r.rows {
			if !known[row] {
				t.Errorf("the rule %q names row %s, which Rows does not have", r.name, row)
			}
			if !given[r.name][row] {
				t.Errorf("the rule %q never gives its row %s", r.name, row)
			}
		}
	}
	for _, r := range rules[1:] {
		if n := len(slices.DeleteFunc(slices.Clone(rules), func(o rule) bool { return o.name != r.name })); n != 1 {
			t.Errorf("%d rules are called %q", n, r.name)
		}
	}
}

// Every row that the specification gives this issue is either in Rows or not restated; none is made up.
func TestRowsHaveKnownAreas(t *testing.T) {
	for _, r := range Rows {
		area, _, _ := strings.Cut(r.ID, "-")
		if !slices.Contains([]string{"CIP", "HP", "NP", "EXT", "LB", "POL", "TOPO", "AFF", "TERM", "NE", "CT", "FAM", "M", "SRC", "LIFE"}, area) {
			t.Errorf("row %s: no such area", r.ID)
		}
		if !strings.HasSuffix(r.Text, ".") {
			t.Errorf("row %s is no sentence: %q", r.ID, r.Text)
		}
	}
}

// Questions from several goroutines while states change: for the race detector, and no answer may be of neither state.
func TestConcurrentUse(t *testing.T) {
	a, b := both("web-1"), both("web-2")
	h := NewHistory(places())
	h.since(a, 0)
	start := time.Now()
	h.Begin(b, start)
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for i := range 4 {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(9, uint64(i)))
			f := flow("pod/client 172.20.0.1:53/UDP")
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				f.Session = []string{"", "s", "t"}[rng.IntN(3)]
				from := time.Now()
				answer := Expect(h, f, from, time.Now())
				if len(answer.Cases) == 0 {
					t.Errorf("nobody may answer: %s", text(answer))
					return
				}
				o := world.Observation{Outcome: world.Answered, Server: answer.Cases[0].Server, At: from}
				if err := answer.Permits(world.Observation{Outcome: world.Answered, Server: o.Server}); err == nil {
					t.Error("no source was permitted")
					return
				}
				h.Observe(f, o)
			}
		})
	}
	for i := range 2000 {
		h.Begin([]*cluster.Snapshot{a, b}[i%2], time.Now())
		h.Done(time.Now())
	}
	close(stop)
	wg.Wait()
}

// One flow judged under each change, two states that alternate; and with a state of its own for each change.
func BenchmarkExpect(b *testing.B) {
	one, two := both("web-1", "web-2"), both("web-1", "web-3")
	f := flow("pod/client 172.20.0.1:80/TCP")
	saw := answered("10.1.0.1:5000", "10.1.0.9")
	b.Run("steady", func(b *testing.B) {
		h := in(one)
		b.ReportAllocs()
		for b.Loop() {
			if Expect(h, f, at(1), at(1)).Permits(saw) != nil {
				b.Fatal("not permitted")
			}
		}
	})
	churn := func(b *testing.B, next func(i int) *cluster.Snapshot) {
		h := in(one)
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			now := 1 + float64(i)*1e-4
			h.Begin(next(i), at(now))
			h.Done(at(now + 5e-5))
			if Expect(h, f, at(now-1e-5), at(now+9e-5)).Permits(saw) != nil {
				b.Fatal("not permitted")
			}
		}
	}
	b.Run("alternating", func(b *testing.B) {
		churn(b, func(i int) *cluster.Snapshot { return []*cluster.Snapshot{two, one}[i%2] })
	})
	b.Run("always-new", func(b *testing.B) {
		churn(b, func(int) *cluster.Snapshot { return one.WithoutService(key("default/none")) })
	})
	b.Run("session", func(b *testing.B) {
		h := in(one)
		f := f
		f.Session = "s"
		h.Observe(f, saw)
		b.ReportAllocs()
		for b.Loop() {
			if Expect(h, f, at(1), at(1)).Permits(saw) != nil {
				b.Fatal("not permitted")
			}
		}
	})
}
