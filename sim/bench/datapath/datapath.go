// Package datapath measures what packets pay for a service proxy: connections, requests, datagrams and bytes, directly from
// pod to pod and through the first, the middle and the last of N Services, to a pod on the client's node and to one elsewhere.
//
// Every proxy has a rig of its own, and all rigs stand at the same time. A round measures a batch of each work along each path
// of each proxy, in an order drawn anew for every round: what disturbs the machine for a while disturbs all alike. Read ratios
// of one run, not times of two.
//
// One thread plays the client and the server, with no sleep and no wake-up in between: on veth devices the kernel carries a
// packet all the way to the other socket within the system call that sends it. So what is measured is the work of the
// kernel on the way, and not how soon a scheduler wakes a server; real programs see more time and a smaller ratio. The thread
// is not pinned: pinned, it would have to wait for whoever else is on that processor.
//
// What is compared with what: the proxy "direct" is a rig without any, where a packet meets no rule and nobody remembers
// its connection (conntrack). The ratio to it is all that a Service costs, and what reports call "over direct". That a node's
// own direct row (a proxy's name, through "direct": from pod to pod past its rules) is not the measure has a reason: a list
// of 10,000 rules makes direct connections as slow as the last Service, and the ratio to them would hide it.
//
// Each batch is proved: the server says at which address every connection and flow arrived, and where that is no endpoint of
// the Service the batch is an error and no sample. A packet lost is an error too. Before all that every Service is asked once.
//
// First and last are as the proxy goes through them: for kube-proxy in mode iptables as the rules stand in its list, which is
// by chance, and otherwise by address. All proxies are stopped while is measured, with their rules in force: on a node at work
// they take their share of the processors besides.
package datapath

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strconv"
	"time"

	"svclab/reports/measure"
	"svclab/sim/bench/load"
	"svclab/sim/proxies"
)

// Options say what to measure.
type Options struct {
	Proxies   []proxies.Proxy // required
	Services  int             // required: from MinServices to load.MaxServices
	Endpoints int             // required: of each Service
	Works     []string        // optional: words of Works; none is all
	Rounds    int             // required
	Samples   int             // required: connections, requests, datagrams or chunks in a batch
	// Budget is optional: no round begins of which it is known that it ends later. One is made always.
	Budget time.Duration
	// Patience is how long a proxy that is a program of its own may take until every Service answers. Required with such.
	Patience time.Duration
	Progress func(done, total float64, text string) // optional: told how far it is, in rounds, and what is going on
}

// ErrFailed is what errors of Run are when a proxy did not do its work; the rows' notes say how.
var ErrFailed = errors.New("not all could be measured")

// cell is one row's measurement.
type cell struct {
	stand *stand
	work  *Work
	path  *path
	row   measure.Row
}

// Run measures, and puts rows into the results: all that were asked for, also those without samples.
func Run(ctx context.Context, o Options, r *measure.Run) (err error) {
	began := time.Now()
	if o.Progress == nil {
		o.Progress = func(_, _ float64, _ string) {}
	}
	b := &bench{Options: o, results: r, rng: rand.New(rand.NewPCG(r.Seed, 0))}
	defer func() { err = errors.Join(err, b.close()) }()
	if err := b.raise(ctx); err != nil {
		return err
	}
	runtime.GC()
	if err := b.rounds(ctx, began); err != nil {
		return err
	}
	if b.failed > 0 {
		return fmt.Errorf("%w: %d of %d rows", ErrFailed, b.failed, len(r.Rows))
	}
	return nil
}

// bench is a Run under way.
type bench struct {
	Options
	results *measure.Run
	rng     *rand.Rand
	stands  []*stand
	cells   []*cell
	failed  int // rows
}

func (b *bench) prepare(text string) { b.Progress(0, float64(b.Rounds), text) }

// raise opens a stand for each proxy, and makes the rows in the order in which they are shown.
func (b *bench) raise(ctx context.Context) error {
	b.prepare(fmt.Sprintf("make a cluster of %d Services", b.Services))
	c := clusterOf(b.Services, b.Endpoints)
	none, err := raise(ctx, nil, c)
	if err != nil {
		return err
	}
	b.stands = append(b.stands, none)
	broken := map[string]error{}
	for i := range b.Proxies {
		p := &b.Proxies[i]
		b.prepare(p.Name + ": first sync")
		s, err := raise(ctx, p, c)
		if err != nil {
			broken[p.Name] = err
			continue
		}
		b.stands = append(b.stands, s)
	}
	for _, s := range slices.Clone(b.stands) {
		b.prepare(s.name + ": ask every Service once")
		if err := s.settle(ctx, b.Patience); err != nil {
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			broken[s.name] = errors.Join(err, s.Close())
			b.stands = slices.DeleteFunc(b.stands, func(x *stand) bool { return x == s })
		}
	}
	b.lay(broken)
	return nil
}

// lay makes the rows, and a cell for each that can be measured.
func (b *bench) lay(broken map[string]error) {
	for i := range Works {
		w := &Works[i]
		if len(b.Works) > 0 && !slices.Contains(b.Works, w.Word) {
			continue
		}
		for _, where := range []string{sameNode, crossNode} {
			row := measure.Row{Work: w.name, Clock: w.clock, Unit: w.unit, Where: where, Proxy: direct, Through: direct}
			b.place(w, row, nil)
			row.Services, row.Endpoints = b.Services, strconv.Itoa(b.Endpoints)
			for _, p := range b.Proxies {
				for _, through := range []string{direct, first, middle, last} {
					row.Proxy, row.Through = p.Name, through
					b.place(w, row, broken[p.Name])
				}
			}
		}
	}
}

func (b *bench) place(w *Work, row measure.Row, broken error) {
	if broken != nil {
		row.Note = broken.Error()
		b.failed++
	}
	b.results.Add(row)
	if broken != nil {
		return
	}
	i := slices.IndexFunc(b.stands, func(s *stand) bool { return s.name == row.Proxy })
	b.cells = append(b.cells, &cell{b.stands[i], w, b.stands[i].path(w.kind, row.Where, row.Through), row})
}

// rounds measures everything again and again.
func (b *bench) rounds(ctx context.Context, began time.Time) error {
	cells := slices.Clone(b.cells)
	start := time.Now()
	for round := range b.Rounds {
		each := time.Since(start) / time.Duration(max(1, round)) // of the rounds until now
		if b.Budget > 0 && round > 0 && time.Since(began)+each > b.Budget {
			b.results.Notes = append(b.results.Notes, fmt.Sprintf("%d of %d rounds were made within --budget %s", round, b.Rounds, b.Budget))
			return nil
		}
		b.Progress(float64(round), float64(b.Rounds), fmt.Sprintf("round %d of %d", round+1, b.Rounds))
		for _, s := range b.stands {
			if err := s.renew(); err != nil {
				return err
			}
		}
		b.rng.Shuffle(len(cells), func(i, j int) { cells[i], cells[j] = cells[j], cells[i] })
		for i, c := range cells {
			if ctx.Err() != nil {
				b.results.Notes = append(b.results.Notes, fmt.Sprintf("stopped in round %d of %d", round+1, b.Rounds))
				return context.Cause(ctx)
			}
			if !b.measure(c) {
				cells[i] = nil
			}
		}
		cells = slices.DeleteFunc(cells, func(c *cell) bool { return c == nil })
	}
	return nil
}

// measure measures one batch; false means that it failed, and will not be tried again.
func (b *bench) measure(c *cell) bool {
	var samples []float64
	err := c.path.client.Do(func() (err error) {
		samples, err = c.work.run(c.path, b.Samples)
		return err
	})
	if err != nil {
		c.stand.forget()
		b.results.Find(c.row.Key()).Note = err.Error()
		b.failed++
		return false
	}
	if len(samples) > 1 {
		c.row.Batch = len(samples)
	}
	b.results.Add(c.row, samples...).Batch = c.row.Batch
	return true
}

func (b *bench) close() error {
	var errs []error
	for _, s := range b.stands {
		errs = append(errs, s.Close())
	}
	return errors.Join(errs...)
}

// MaxServices is how many there may be.
const MaxServices = load.MaxServices
