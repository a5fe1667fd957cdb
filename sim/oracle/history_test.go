package oracle

import (
	"testing"
	"time"

	"svclab/sim/world"
)

// From Begin on the new state may be in force, until Done the old one may.
func TestWindow(t *testing.T) {
	old, now := both("web-1"), both("web-2")
	h := in(old)
	h.Begin(now, at(10))
	h.Done(at(12))
	f := flow("pod/client 172.20.0.1:80/TCP")
	const first, second = "100% 10.1.0.1:5000 sees 10.1.0.9", "100% 10.2.0.2:5000 sees 10.1.0.9"
	const either = "50% 10.1.0.1:5000 sees 10.1.0.9; 50% 10.2.0.2:5000 sees 10.1.0.9"
	for _, c := range []struct {
		name        string
		from, until float64
		want        string
	}{
		{"before", 8, 9, first},
		{"begun before, answered during", 9, 10.5, either},
		{"all during", 10.5, 11, either},
		{"begun during, answered after", 11, 13, either},
		{"over all of it", 9, 13, either},
		{"from the barrier on", 12, 12, second},
		{"after", 13, 14, second},
	} {
		if got := text(Expect(h, f, at(c.from), at(c.until))); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
	if got := text(Latest(h, f)); got != second {
		t.Errorf("latest: got %s, want %s", got, second)
	}
}

// Without a barrier both states stay possible until Settle, also when they alternate.
func TestWithoutBarrier(t *testing.T) {
	a, b := both("web-1"), both("web-2")
	h := in(a)
	f := flow("pod/client 172.20.0.1:80/TCP")
	for i := range 100 {
		h.Begin([]*snapshot{b, a}[i%2], at(10+float64(i)/100))
	}
	if n := len(h.spans); n > 3 {
		t.Errorf("%d spans for two states that alternate", n)
	}
	if got, want := text(Expect(h, f, at(12), at(12))), "50% 10.1.0.1:5000 sees 10.1.0.9; 50% 10.2.0.2:5000 sees 10.1.0.9"; got != want {
		t.Errorf("unsettled: got %s, want %s", got, want)
	}
	if got, want := text(Latest(h, f)), "100% 10.1.0.1:5000 sees 10.1.0.9"; got != want {
		t.Errorf("latest: got %s, want %s", got, want)
	}
	h.Settle(at(15))
	if got, want := text(Expect(h, f, at(15), at(16))), "100% 10.1.0.1:5000 sees 10.1.0.9"; got != want {
		t.Errorf("settled: got %s, want %s", got, want)
	}
	if got, want := text(Expect(h, f, at(14), at(16))), "50% 10.1.0.1:5000 sees 10.1.0.9; 50% 10.2.0.2:5000 sees 10.1.0.9"; got != want {
		t.Errorf("over the time of settling: got %s, want %s", got, want)
	}
}

// Many changes need bounded memory, and answers about the last seconds stay right.
func TestHistoryIsPruned(t *testing.T) {
	h := in(both("web-1"))
	f := flow("pod/client 172.20.0.1:80/TCP")
	const n = 100_000
	base := both("web-2")
	for i := range n {
		s := base.WithoutSlice(key("default/myservice"), key("default/none")) // another pointer each time
		h.since(s, 1+float64(i)/100)
		Expect(h, f, at(1+float64(i)/100), at(1+float64(i)/100))
	}
	if len(h.spans) > 2*keepSpans+int(keepTime/(10*time.Millisecond)) || len(h.facts) > len(h.spans)+keepFacts || len(h.answers) > manyAnswers {
		t.Errorf("%d spans, %d facts, %d answers after %d changes", len(h.spans), len(h.facts), len(h.answers), n)
	}
	if got, want := text(Expect(h, f, at(n/100), at(n/100+1))), "100% 10.2.0.2:5000 sees 10.1.0.9"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// A flow from a place that the topology does not have is permitted nothing, and the sentence says so.
func TestUnknownPlace(t *testing.T) {
	err := Latest(in(both("web-1")), flow("pod/nobody 172.20.0.1:80/TCP")).Permits(world.Observation{Outcome: world.Silent, Took: 5 * time.Second})
	if want := "silent for 5 s, but nothing can be expected: pod/nobody is no place of this topology"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
