package settle

import (
	"testing"
	"time"
)

func TestSettle(t *testing.T) {
	const ms = time.Millisecond
	none, two := 0, 2
	for _, c := range []struct {
		name    string
		wrongs  *int
		barrier bool
		wrong   []time.Duration // after the change, in the order in which they are reported
		settled time.Duration   // -1: never wrong
		done    time.Duration   // the first millisecond at which Done holds
		err     string
	}{
		{name: "never wrong", settled: -1, done: 5001 * ms},
		{name: "wrong for a while", wrong: []time.Duration{0, 10 * ms, 1200 * ms}, settled: 1200 * ms, done: 5001 * ms},
		{name: "reported out of order", wrong: []time.Duration{1200 * ms, 10 * ms}, settled: 1200 * ms, done: 5001 * ms},
		{name: "wrong at the very bound", wrong: []time.Duration{5000 * ms}, settled: 5000 * ms, done: 5001 * ms},
		{name: "wrong after the bound", wrong: []time.Duration{10 * ms, 5001 * ms, 6000 * ms}, settled: 6000 * ms, done: 0,
			err: "wrong answer 5 s after the change, which had to be in force within 5 s"},
		{name: "wrong long after the bound", wrong: []time.Duration{6250 * ms}, settled: 6250 * ms, done: 0,
			err: "wrong answer 6.25 s after the change, which had to be in force within 5 s"},
		{name: "as many as tolerated", wrongs: &two, wrong: []time.Duration{1 * ms, 2 * ms}, settled: 2 * ms, done: 5001 * ms},
		{name: "one more", wrongs: &two, wrong: []time.Duration{1 * ms, 2 * ms, 3 * ms, 4 * ms}, settled: 4 * ms, done: 0,
			err: "wrong answer number 3 came 3 ms after the change: at most 2 are tolerated"},
		{name: "none tolerated", wrongs: &none, wrong: []time.Duration{250 * time.Microsecond}, settled: 250 * time.Microsecond, done: 0,
			err: "wrong answer number 1 came 0.25 ms after the change: at most 0 are tolerated"},
		{name: "barrier", barrier: true, settled: -1, done: 0},
		{name: "barrier, and wrong after it", barrier: true, wrongs: &two, wrong: []time.Duration{2 * ms, 3 * ms}, settled: 3 * ms, done: 0,
			err: "wrong answer 2 ms after the change was in force"},
	} {
		t.Run(c.name, func(t *testing.T) {
			changed := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
			s := New(changed, 5*time.Second, c.wrongs, c.barrier)
			for _, w := range c.wrong {
				s.Saw(changed.Add(w-1), false)
				s.Saw(changed.Add(w), true)
				s.Saw(changed.Add(w+1), false)
			}
			var want time.Time
			if c.settled >= 0 {
				want = changed.Add(c.settled)
			}
			if got := s.Settled(); !got.Equal(want) {
				t.Errorf("settled %v, want %v", got, want)
			}
			if got := s.Wrongs(); got != len(c.wrong) {
				t.Errorf("%d wrong answers, want %d", got, len(c.wrong))
			}
			got := ""
			if err := s.Err(); err != nil {
				got = err.Error()
			}
			if got != c.err {
				t.Errorf("got error %q\nwant      %q", got, c.err)
			}
			if !s.Done(changed.Add(c.done)) || c.done > 0 && s.Done(changed.Add(c.done-ms)) {
				t.Errorf("Done is not first true %v after the change", c.done)
			}
		})
	}
}
