package engine

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"svclab/reports/verdict"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/settle"
)

// withinDefault is how long a proxy without a barrier may take: kube-proxy's minSyncPeriod is 1 s.
const withinDefault = 5 * time.Second

// duringFlows is how many flows are sent under a change when the file does not say.
const duringFlows = 1000

// change makes the change, as often as the step says, alone or under flows.
func (r *run) change(ctx context.Context, c *scenario.Change, after int, step *verdict.Step) error {
	before := r.state
	n := max(c.Repeat, 1)
	make := func(i int) error { // the i-th change: made, taken back, made …
		if i%2 == 0 {
			return r.apply(ctx, after)
		}
		return r.apply(ctx, before)
	}
	var err error
	if c.During == nil {
		began := time.Now()
		for i := 0; i < n && err == nil; i++ {
			err = make(i)
		}
		if n > 1 && err == nil {
			step.Notes = append(step.Notes, fmt.Sprintf("%d changes in %s", n, round(time.Since(began))))
		}
	} else {
		err = r.under(ctx, c.During, n, make, step)
	}
	if err != nil {
		return err
	}
	if !r.barrier {
		within := c.Within
		if within == 0 {
			within = withinDefault
		}
		r.settling = settle.New(*r.changed.Load(), within, c.Wrongs, false)
	}
	return nil
}

// under makes n changes while flows are sent, spread evenly: the changes wait for the flows when they are ahead, and the
// flows go on until both are done.
func (r *run) under(ctx context.Context, p *scenario.Probe, n int, make func(int) error, step *verdict.Step) error {
	questions, err := r.questions(p)
	if err != nil {
		return err
	}
	flows := p.Flows
	if flows == 0 {
		flows = duringFlows
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	groups := []*group{}
	for _, q := range questions {
		g := newGroup(r, p, q)
		now := time.Now()
		g.expect(oracle.Expect(r.history, g.flow, now, now))
		groups = append(groups, g)
	}
	senders := max(r.options.Senders/2, 1) // the changes need a processor as well
	if p.Session != "" {
		senders = 1
	}
	var sent, begun atomic.Int64
	var changesDone atomic.Bool
	moved := sync.NewCond(&sync.Mutex{})
	wake := func() { // under the lock, or the change loop could miss it between its look and its sleep
		moved.L.Lock()
		moved.Broadcast()
		moved.L.Unlock()
	}
	var wait sync.WaitGroup
	started := time.Now()
	for worker := range senders {
		wait.Go(func() {
			for i := worker; ctx.Err() == nil && (sent.Load() < int64(flows) || !changesDone.Load()); i++ {
				g := groups[i%len(groups)]
				if g.hopeless() {
					break
				}
				if p.Rate > 0 { // the k-th flow is due then; a sender that is late does not wait
					due := started.Add(time.Duration(begun.Add(1)-1) * time.Second / time.Duration(p.Rate))
					select {
					case <-time.After(time.Until(due)):
					case <-ctx.Done():
					}
				}
				if err := g.one(ctx); err != nil {
					cancel(err)
				}
				sent.Add(1)
				wake()
			}
			wake()
		})
	}
	gaveUp := func() bool {
		for _, g := range groups {
			if g.hopeless() {
				return true
			}
		}
		return false
	}
	began := time.Now()
	made := 0
	for ; made < n && ctx.Err() == nil && !gaveUp(); made++ {
		due := int64(2*made+1) * int64(flows) / int64(2*n) // spread evenly, a single change in the middle
		moved.L.Lock()
		for sent.Load() < due && ctx.Err() == nil && !gaveUp() {
			moved.Wait()
		}
		moved.L.Unlock()
		if err := make(made); err != nil {
			cancel(err)
		}
	}
	changesDone.Store(true)
	took := time.Since(began)
	wait.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	for _, g := range groups {
		g.file(step)
	}
	if n > 1 {
		step.Notes = append(step.Notes, fmt.Sprintf("%d changes in %s under %d flows, %s a change on average", made, round(took), sent.Load(), round(took/time.Duration(max(made, 1)))))
	}
	return nil
}
