// Package engine runs scenarios in worlds: it plays the changes through the control plane, sends the flows that the
// probes ask for, lets the oracle judge each, and reports. What a kind of step does lives in step_<kind>.go. The engine
// knows no kernel: the lab, the model and every mutant of the model are the same to it.
package engine

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"svclab/proxycore/cluster"
	"svclab/reports/verdict"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/settle"
	"svclab/sim/world"
)

// Options say in which world a scenario runs.
type Options struct {
	// Open makes the world. Required.
	Open func(ctx context.Context, t *world.Topology, rng *rand.Rand) (world.World, error)
	// Proxy names the column of the report: "nftables", "model".
	Proxy string
	// Mode is what that proxy does where the settings do not say.
	Mode cluster.Mode
	// Seed of the run. Mixed with the case's name, so that running one case alone does not change its luck.
	Seed uint64
	// Explain asks the world how each flow was translated (world.Explainer).
	Explain bool
	// Senders is the number of flows under way at once; 0 is 8.
	Senders int
	// Story sends a flow that went wrong once more, after its case has failed, and tells what happens to it; it becomes one of the
	// case's artifacts. Optional.
	Story func(ctx context.Context, w world.World, f Wronged) (string, error)
	// Progress is told what happens, in a few words. Optional.
	Progress func(text string)
}

// Run runs one variant of a scenario in a world of its own and judges it. The Case says everything; there is no error.
func Run(ctx context.Context, sc *scenario.Scenario, o Options) verdict.Case {
	began := time.Now()
	c := verdict.Case{
		Scenario: sc.Name, About: sc.About, File: sc.File, Variant: string(sc.Family), Proxy: o.Proxy,
		Covers: sc.Covers, Seed: o.Seed,
	}
	o.defaults()
	plan, err := newPlan(sc, o.Mode)
	if err != nil {
		c.Verdict, c.Why = verdict.Broken, err.Error()
		return c
	}
	w, err := o.open(ctx, &c, plan)
	if err != nil {
		c.Verdict, c.Why = verdict.Broken, err.Error()
		return c
	}
	r := newRun(o, sc, plan, w, &c)
	r.steps(ctx)
	if a, ok := w.(interface {
		Artifacts(context.Context) map[string]string
	}); ok && (c.Verdict == verdict.Fail || c.Verdict == verdict.Broken) {
		c.Artifacts = a.Artifacts(context.WithoutCancel(ctx))
	}
	if c.Verdict == verdict.Fail {
		r.stories(ctx)
	}
	if err := w.Close(); err != nil {
		c.Verdict = verdict.Worse(c.Verdict, verdict.Broken)
		c.Why = fmt.Sprintf("close the lab: %v", err)
	}
	c.Took = time.Since(began)
	return c
}

func hasBarrier(w world.World) bool {
	if h, ok := w.(interface{ HasBarrier() bool }); ok {
		return h.HasBarrier()
	}
	_, ok := w.(world.Barrier)
	return ok
}

// run is one scenario under way.
type run struct {
	options  Options
	scenario *scenario.Scenario
	plan     *plan
	world    world.World
	barrier  bool
	history  *oracle.History
	result   *verdict.Case

	step     int                       // index into scenario.Steps: the one under way
	state    int                       // index into plan.states: the one in force
	changed  atomic.Pointer[time.Time] // when it was applied; flows that are under way read it
	settling *settle.Settle
	flows    atomic.Int64 // judged in the whole case
	inForce  atomic.Int64 // as state; flows that are under way read it
	wrongsMu sync.Mutex
	wrongs   []wrongedAt
	most     map[string]int // most endpoints that a target ever had: a stale one has at least that share
}

// errProxy marks an error that the proxy made, not the lab.
type errProxy struct{ error }

func (e errProxy) Unwrap() error { return e.error }

func (r *run) steps(ctx context.Context) {
	if err := r.apply(ctx, 0); err != nil {
		r.end(verdict.Step{Line: r.scenario.Line, Kind: "start", Text: "the state at the start"}, err)
		return
	}
	for i := range r.scenario.Steps {
		s := &r.scenario.Steps[i]
		r.step = i
		began := time.Now()
		step := verdict.Step{Line: s.Line}
		var err error
		switch {
		case s.Probe != nil:
			step.Kind, step.Text = "probe", probeText(s.Probe)
			r.options.Progress(step.Text)
			err = r.probe(ctx, s.Probe, &step)
		case s.Change != nil:
			step.Kind, step.Text = "change", changeText(s.Change)
			r.options.Progress(step.Text)
			err = r.change(ctx, s.Change, r.plan.after[i], &step)
		case s.Restart != nil:
			step.Kind, step.Text = "restart", restartText(s.Restart)
			r.options.Progress(step.Text)
			err = r.restart(ctx, s.Restart, &step)
		case s.Flush != nil:
			step.Kind, step.Text = "flush", "flush the rules of "+nodesText(s.Flush.Nodes)
			r.options.Progress(step.Text)
			err = r.flush(ctx, s.Flush, &step)
		case s.Health != nil:
			step.Kind, step.Text = "health", healthText(s.Health)
			r.options.Progress(step.Text)
			err = r.health(ctx, s.Health, &step)
		case s.Wait != nil:
			step.Kind, step.Text = "wait", "wait "+s.Wait.For.String()
			r.options.Progress(step.Text)
			err = r.wait(ctx, s.Wait)
		}
		r.late(&step)
		if err == nil {
			err = r.alive()
		}
		step.Took = time.Since(began)
		if r.end(step, err) {
			return
		}
	}
	if r.flows.Load() == 0 {
		r.end(verdict.Step{Line: r.scenario.Line, Kind: "end", Text: "the whole scenario"}, errors.New("no flow was judged: a scenario must probe something"))
		return
	}
	if c, ok := r.world.(interface{ Check(context.Context) error }); ok {
		if err := c.Check(ctx); err != nil {
			r.end(verdict.Step{Line: r.scenario.Line, Kind: "check", Text: "what the proxy has programmed"}, errProxy{err})
		}
	}
}

// alive: a proxy that has ended by itself fails the step in which it did, whatever its rules still did for the flows.
func (r *run) alive() error {
	if a, ok := r.world.(interface{ Alive() error }); ok {
		if err := a.Alive(); err != nil {
			return errProxy{err}
		}
	}
	return nil
}

// end files a step and reports whether the scenario cannot go on.
func (r *run) end(step verdict.Step, err error) (stop bool) {
	if err != nil {
		step.Why = err.Error()
		step.Verdict = verdict.Broken
		if errors.As(err, new(errProxy)) {
			step.Verdict = verdict.Fail
		}
	}
	c := r.result
	c.Steps = append(c.Steps, step)
	if step.Verdict != verdict.Pass && c.Why == "" {
		c.Why = fmt.Sprintf("line %d: %s", step.Line, step.Why)
	}
	c.Verdict = verdict.Worse(c.Verdict, step.Verdict)
	return err != nil
}

// apply puts one of the plan's states in force and tells the oracle when.
func (r *run) apply(ctx context.Context, state int) error {
	s := r.plan.states[state]
	now := time.Now()
	r.changed.Store(&now)
	r.history.Begin(s, now)
	if err := r.world.Apply(ctx, s); err != nil {
		return errProxy{err}
	}
	if r.barrier {
		if err := r.world.(world.Barrier).Barrier(ctx); err != nil {
			return errProxy{err}
		}
	}
	r.history.Done(time.Now())
	r.state = state
	r.inForce.Store(int64(state))
	return nil
}

// late files answers that came after their flow was called silent.
func (r *run) late(step *verdict.Step) {
	l, ok := r.world.(world.Late)
	if !ok {
		return
	}
	for _, a := range l.Late() {
		why := fmt.Sprintf("%s answered %s after the flow was called silent", r.plan.nameOf(a.Seen.Server), round(a.Seen.Took))
		step.Verdict = verdict.Worse(step.Verdict, verdict.Fail)
		if step.Why == "" {
			step.Why = a.Flow.String() + ": " + why
		}
		step.Notes = append(step.Notes, fmt.Sprintf("late: %s → %s: %s", a.Seen.Client, a.Flow.To, why))
	}
}

func round(d time.Duration) time.Duration {
	switch {
	case d > time.Second:
		return d.Round(10 * time.Millisecond)
	case d > time.Millisecond:
		return d.Round(10 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
