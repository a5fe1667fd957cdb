package engine

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"svclab/proxycore/cluster"
	"svclab/reports/verdict"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// Expanders are ways to go through the states of a scenario other than the one it tells. Whatever the way, what a proxy
// does in the end must be a function of the last state alone: the same answers, and the same Dump as after applying
// that state to a fresh kernel (Calico Felix tests its calculation graph so: calc_graph_fv_test.go).
var Expanders = []Expander{
	{"reversed", func(s []*cluster.Snapshot, _ *cluster.Snapshot) []*cluster.Snapshot {
		s = slices.Clone(s)
		slices.Reverse(s)
		return s
	}, false},
	{"twice", func(s []*cluster.Snapshot, _ *cluster.Snapshot) (out []*cluster.Snapshot) {
		for _, x := range s {
			out = append(out, x, x)
		}
		return out
	}, false},
	{"empties", func(s []*cluster.Snapshot, empty *cluster.Snapshot) (out []*cluster.Snapshot) {
		for _, x := range s {
			out = append(out, empty, x)
		}
		return out
	}, false},
	{"squashed", func(s []*cluster.Snapshot, _ *cluster.Snapshot) []*cluster.Snapshot {
		return []*cluster.Snapshot{s[0], s[len(s)-1]}
	}, false},
	{"restarted", func(s []*cluster.Snapshot, _ *cluster.Snapshot) []*cluster.Snapshot { return s }, true},
}

// Expander is one such way.
type Expander struct {
	Name    string
	way     func(states []*cluster.Snapshot, empty *cluster.Snapshot) []*cluster.Snapshot
	restart bool // restart the proxies after every state
}

// Expand goes through the scenario's states in that way, and judges what is in force at the end: every question of the
// scenario that can be asked of the last state.
func Expand(ctx context.Context, sc *scenario.Scenario, e Expander, o Options) (c verdict.Case) {
	began := time.Now()
	c = verdict.Case{Scenario: sc.Name, About: sc.About, File: sc.File, Variant: string(sc.Family) + "+" + e.Name, Proxy: o.Proxy, Seed: o.Seed}
	defer func() { c.Took = time.Since(began) }()
	broken := func(err error) verdict.Case {
		c.Verdict, c.Why = verdict.Worse(c.Verdict, verdict.Broken), err.Error()
		return c
	}
	o.defaults()
	plan, err := newPlan(sc, o.Mode)
	if err != nil {
		return broken(err)
	}
	states := e.way(plan.states, (&cluster.Snapshot{}).WithServiceCIDRs(plan.states[0].ServiceCIDRs()...))
	w, err := o.open(ctx, &c, plan)
	if err != nil {
		return broken(err)
	}
	defer w.Close()
	r := newRun(o, sc, plan, w, &c)
	last := states[len(states)-1]
	for i, s := range states {
		plan.states = append(plan.states, s)
		if err := r.apply(ctx, len(plan.states)-1); err != nil {
			r.end(verdict.Step{Line: sc.Line, Kind: "apply", Text: fmt.Sprintf("state %d of %d", i+1, len(states))}, err)
			return c
		}
		if again, ok := w.(world.Restarter); ok && e.restart {
			if err := again.Restart(ctx, nil, 0); err != nil {
				r.end(verdict.Step{Line: sc.Line, Kind: "restart", Text: "restart all proxies"}, errProxy{err})
				return c
			}
		}
	}
	step := verdict.Step{Line: sc.Line, Kind: "probe", Text: "everything that the scenario asks, in the last state"}
	err = r.askAll(ctx, sc, &step)
	if r.end(step, err) || c.Verdict != verdict.Pass {
		return c
	}
	r.compare(ctx, last)
	return c
}

// askAll asks what the scenario's probes ask, where the last state has the Service that they ask for.
func (r *run) askAll(ctx context.Context, sc *scenario.Scenario, step *verdict.Step) error {
	asked := map[question]bool{}
	for i := range sc.Steps {
		p := sc.Steps[i].Probe
		if p == nil {
			continue
		}
		plain := bare(p)
		if twin := r.plan.twins[p]; twin != nil {
			r.plan.twins[plain] = bare(twin)
		}
		questions, err := r.questions(plain)
		if err != nil {
			continue // the last state does not have what it asks for
		}
		for _, q := range questions {
			if asked[q] {
				continue
			}
			asked[q] = true
			g, err := r.ask(ctx, plain, q)
			if err != nil {
				return err
			}
			g.file(step)
		}
	}
	return nil
}

// bare is the probe's questions alone, not what is special in how they are asked.
func bare(p *scenario.Probe) *scenario.Probe {
	c := *p
	c.Session, c.Fair, c.Expect, c.Flows = "", nil, "", 0
	return &c
}

// compare holds the Dump against that of a fresh world which was told the last state only.
func (r *run) compare(ctx context.Context, last *cluster.Snapshot) {
	type dumper interface {
		Dump(context.Context) (string, error)
	}
	have, ok := r.world.(dumper)
	if !ok {
		return
	}
	step := verdict.Step{Line: r.scenario.Line, Kind: "dump", Text: "what is programmed, beside a fresh kernel that was told the last state only"}
	err := func() error {
		got, err := have.Dump(ctx)
		if err != nil {
			return err
		}
		fresh, err := r.options.open(ctx, r.result, r.plan)
		if err != nil {
			return err
		}
		defer fresh.Close()
		if err := fresh.Apply(ctx, last); err != nil {
			return errProxy{err}
		}
		want, err := fresh.(dumper).Dump(ctx)
		if err != nil {
			return err
		}
		if want != got {
			return errProxy{fmt.Errorf("the way to the state shows: %s", firstDifference(want, got))}
		}
		return nil
	}()
	r.end(step, err)
}

// firstDifference says where two dumps part.
func firstDifference(fresh, now string) string {
	f, n := strings.Split(fresh, "\n"), strings.Split(now, "\n")
	for i := range max(len(f), len(n)) {
		a, b := "(nothing)", "(nothing)"
		if i < len(f) {
			a = f[i]
		}
		if i < len(n) {
			b = n[i]
		}
		if a != b {
			return fmt.Sprintf("a fresh kernel has %q where this one has %q", a, b)
		}
	}
	return "nowhere"
}

func (o *Options) defaults() {
	if o.Senders == 0 {
		o.Senders = 8
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
}

// open makes the world of a case, with luck of its own.
func (o *Options) open(ctx context.Context, c *verdict.Case, p *plan) (world.World, error) {
	name := fnv.New64a()
	name.Write([]byte(c.ID()))
	return o.Open(ctx, p.topology, rand.New(rand.NewPCG(o.Seed, name.Sum64())))
}

func newRun(o Options, sc *scenario.Scenario, p *plan, w world.World, c *verdict.Case) *run {
	return &run{
		options: o, scenario: sc, plan: p, world: w, barrier: hasBarrier(w), result: c,
		history: oracle.NewHistory(p.topology), most: map[string]int{},
	}
}
