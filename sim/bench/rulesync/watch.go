package rulesync

import (
	"context"
	"fmt"
	"math"
	"net/netip"
	"time"
)

// watch waits for a change to be in force at one front.
type watch struct {
	front   netip.AddrPort
	began   time.Time // just before it was written
	service int
	slot    int // of an endpoint that was replaced: a further change of it takes over

	says  func(seen) saying
	need  int  // so many proofs without a counter-proof are believed; 1: a proof is one
	apart bool // a proof from before the last commit is none

	got    int
	first  seen // of the proofs since the last counter-proof
	done   bool
	commit time.Time // the last one before first; zero: none was seen
	heirs  []netip.Addr
}

// saying is what an answer says about a change.
type saying uint8

const (
	nothing saying = iota
	proof          // the change is in force
	counter        // it is not
)

// appears waits for an answer from one of the servers, none of which could answer before.
func appears(front netip.AddrPort, servers ...netip.Addr) *watch {
	w := &watch{front: front, need: 1, slot: -1, heirs: servers}
	w.says = func(s seen) saying {
		if s.what == answered {
			for _, a := range w.heirs {
				if a == s.server {
					return proof
				}
			}
		}
		return nothing
	}
	return w
}

// sure is the probability with which a change that is not in force is seen not to be.
const sure = 1 - 1e-6

// leaves waits until one of n servers answers no more: so many answers of others that it would have been among them, had it
// still been one of n, with probability sure (design, section 7). Before the commit there is no proof.
func leaves(front netip.AddrPort, server netip.Addr, n int) *watch {
	return &watch{front: front, need: enough(n), slot: -1, apart: true, says: func(s seen) saying {
		switch {
		case s.what != answered:
			return nothing
		case s.server == server:
			return counter
		}
		return proof
	}}
}

// enough is how many answers show that one of n servers is not among them.
func enough(n int) int {
	if n < 2 {
		return 1
	}
	return int(math.Ceil(math.Log(1-sure) / math.Log(1-1/float64(n))))
}

// ends waits until nobody answers at a front. There is no chance in that: some more are asked than one for late answers.
func ends(front netip.AddrPort) *watch {
	return &watch{front: front, need: 20, slot: -1, says: func(s seen) saying {
		if s.what == answered {
			return counter
		}
		return proof
	}}
}

func (w *watch) take(s seen) {
	if w.done || s.sent.Before(w.began) {
		return
	}
	switch w.says(s) {
	case counter:
		w.got = 0
	case proof:
		if w.got++; w.got == 1 {
			w.first = s
		}
		w.done = w.got >= w.need
	}
}

// took is how long it was until the first correct packet.
func (w *watch) took() time.Duration { return w.first.at.Sub(w.began) }

// guard looks after a front at which nothing changes: every answer must be of one of its servers.
type guard struct {
	front   netip.AddrPort
	servers map[netip.Addr]bool
}

// tally is what guards have seen.
type tally struct {
	packets, refused, silent, others int
}

func (t tally) wrong() int { return t.refused + t.silent + t.others }

func (t tally) String() string {
	return fmt.Sprintf("%d of %d wrong: %d refused, %d without an answer, %d answered by another Service's pod", t.wrong(), t.packets, t.refused, t.silent, t.others)
}

// observation is one stretch of probing.
type observation struct {
	watches []*watch      // done when all are
	more    <-chan *watch // optional: further ones, until it is closed
	applied <-chan error  // optional: how the last write went; an error ends it
	guards  []guard
	linger  time.Duration // the guards stay so much longer than the watches
	until   time.Time     // patience
	tally   tally
}

// errPatience: a proxy is not right within the time that it has.
type errPatience struct{ missing int }

func (e errPatience) Error() string {
	return fmt.Sprintf("%d changes are not in force", e.missing)
}

// The pace of probes: as fast as they come at first and after a commit, then slower, so that a proxy that works for seconds has
// the machine.
const (
	sprint     = 20 * time.Millisecond
	walkPause  = 200 * time.Microsecond
	walkFor    = time.Second
	strollRest = time.Millisecond
)

// pace says how long to rest before the next probe, by the time since something was written or committed.
func pace(quiet time.Duration) time.Duration {
	switch {
	case quiet < sprint:
		return 0
	case quiet < walkFor:
		return walkPause
	}
	return strollRest
}

// paceNote tells it to readers.
const paceNote = "asked without pause for 20 ms after each write and commit, then every 0.2 ms, after 1 s every 1 ms"

// observe asks all fronts in turn until every watch is done.
func (s *site) observe(ctx context.Context, o *observation) error {
	event := time.Now() // the last write or commit
	fronts := map[netip.AddrPort]int{}
	for i, g := range o.guards {
		fronts[g.front] = i
	}
	var ended time.Time
	tell := func(x seen) {
		if i, ok := fronts[x.to]; ok {
			o.tally.add(o.guards[i], x)
			return
		}
		for _, w := range o.watches {
			if w.front == x.to {
				w.take(x)
			}
		}
	}
	checked := time.Now()
	for turn := 0; ; turn++ {
		o.receive(&event)
		now := time.Now()
		if now.Sub(checked) > 50*time.Millisecond {
			checked = now
			if err := s.stillThere(ctx, o); err != nil {
				return err
			}
		}
		changed, err := s.commits.look()
		if err != nil {
			return err
		}
		if changed {
			event = time.Now()
			for _, w := range o.watches {
				if w.apart && !w.done {
					w.got = 0
				}
			}
		}
		to, left := o.next(turn)
		switch {
		case left == 0 && o.more == nil && ended.IsZero():
			ended = now
		case left > 0 && now.After(o.until):
			return errPatience{left}
		}
		if !ended.IsZero() && now.Sub(ended) >= o.linger {
			return s.finish(ctx, o)
		}
		if to.IsValid() {
			if err := s.prober.ask(to); err != nil {
				return fmt.Errorf("ask %s: %w", to, err)
			}
		}
		if err := s.prober.hear(tell); err != nil {
			return err
		}
		rest := pace(time.Since(event))
		if left == 0 {
			rest = walkPause
		}
		if rest > 0 {
			s.prober.wait(rest)
		}
	}
}

// stillThere: the proxy runs, nobody has stopped the benchmark, and the state was taken.
func (s *site) stillThere(ctx context.Context, o *observation) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if a, ok := s.rig.Proxy().(interface{ Alive() error }); ok {
		if err := a.Alive(); err != nil {
			return err
		}
	}
	select {
	case err, open := <-o.applied:
		o.applied = nil
		if open {
			return err
		}
	default:
	}
	return nil
}

// finish waits for the writer, whose state is the next one's.
func (s *site) finish(ctx context.Context, o *observation) error {
	s.prober.wait(s.commits.every)
	if _, err := s.commits.look(); err != nil {
		return err
	}
	o.date(s.commits)
	if o.applied == nil {
		return nil
	}
	select {
	case err := <-o.applied:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-time.After(time.Until(o.until)):
		return errPatience{0}
	}
}

// receive takes watches that were begun meanwhile.
func (o *observation) receive(event *time.Time) {
	for o.more != nil {
		select {
		case w, open := <-o.more:
			if !open {
				o.more = nil
				return
			}
			for _, older := range o.watches {
				if !older.done && older.slot >= 0 && older.service == w.service && older.slot == w.slot {
					older.heirs = append(older.heirs, w.heirs...)
				}
			}
			o.watches = append(o.watches, w)
			*event = time.Now()
		default:
			return
		}
	}
}

// next is whom to ask now, guards and watches in turn, and how many watches are left.
func (o *observation) next(turn int) (to netip.AddrPort, left int) {
	var open []netip.AddrPort
	for _, w := range o.watches {
		if !w.done {
			open = append(open, w.front)
		}
	}
	left = len(open)
	switch {
	case len(o.guards) > 0 && (turn%2 == 0 || left == 0):
		return o.guards[turn/2%len(o.guards)].front, left
	case left == 0:
		return to, 0
	case len(o.guards) > 0:
		turn /= 2
	}
	return open[turn%left], left
}

// date says of each watch which commit has let its first packet through: the last one before it. One that came between the last
// look and that packet is found just after it.
func (o *observation) date(c *commits) {
	for _, w := range o.watches {
		w.commit, _ = c.between(w.began, w.first.at)
		if w.commit.IsZero() {
			w.commit, _ = c.between(w.first.at, w.first.at.Add(5*time.Millisecond))
			if w.commit.After(w.first.at) {
				w.commit = w.first.at
			}
		}
	}
}

func (t *tally) add(g guard, s seen) {
	if s.late { // it was already called silent
		t.packets--
		t.silent--
	}
	t.packets++
	switch {
	case s.what == refused:
		t.refused++
	case s.what == silent:
		t.silent++
	case !g.servers[s.server]:
		t.others++
	}
}
