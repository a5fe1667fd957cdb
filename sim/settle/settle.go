// Package settle says when a proxy has settled after a change, and whether it did so in time. It measures rather than
// guesses: old and new states overlap, so a few right answers in a row prove nothing; settled is the time of the last
// wrong answer, and flows are repeated until the bound has passed. The clock is the caller's.
package settle

import (
	"fmt"
	"strconv"
	"time"
)

// Settle follows the answers after one change.
type Settle struct {
	changed time.Time
	within  time.Duration
	wrongs  *int
	barrier bool

	seen int
	last time.Time // of the last wrong answer
	err  error     // of the first fault
}

// New starts at a change. Without a barrier, wrong answers are tolerated until within has passed, at most *wrongs of
// them, any number when wrongs is nil. With a barrier, changed is when it returned, and no wrong answer is tolerated.
func New(changed time.Time, within time.Duration, wrongs *int, barrier bool) *Settle {
	return &Settle{changed: changed, within: within, wrongs: wrongs, barrier: barrier}
}

// Saw notes that a flow begun at that time was answered rightly or wrongly, judged by the new state alone.
func (s *Settle) Saw(at time.Time, wrong bool) {
	if !wrong {
		return
	}
	s.seen++
	if at.After(s.last) {
		s.last = at
	}
	after := at.Sub(s.changed)
	switch {
	case s.err != nil:
	case s.barrier:
		s.err = fmt.Errorf("wrong answer %s after the change was in force", words(after))
	case after > s.within:
		s.err = fmt.Errorf("wrong answer %s after the change, which had to be in force within %s", words(after), words(s.within))
	case s.wrongs != nil && s.seen > *s.wrongs:
		s.err = fmt.Errorf("wrong answer number %d came %s after the change: at most %d are tolerated", s.seen, words(after), *s.wrongs)
	}
}

// Done reports whether enough was seen: with a barrier at once, without one when within has passed; and when it has
// failed already.
func (s *Settle) Done(now time.Time) bool {
	return s.barrier || s.err != nil || now.Sub(s.changed) > s.within
}

// Until is when the proxy must have settled.
func (s *Settle) Until() time.Time { return s.changed.Add(s.within) }

// Settled is the time of the last wrong answer; the zero Time when there was none.
func (s *Settle) Settled() time.Time { return s.last }

// Wrongs is how many wrong answers there were.
func (s *Settle) Wrongs() int { return s.seen }

// Err is nil, or a sentence that says what was wrong first.
func (s *Settle) Err() error { return s.err }

func words(d time.Duration) string {
	if d < time.Second {
		return strconv.FormatFloat(float64(d)/float64(time.Millisecond), 'g', 3, 64) + " ms"
	}
	return strconv.FormatFloat(d.Seconds(), 'g', 3, 64) + " s"
}
