package engine_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"svclab/proxycore/cluster"
	"svclab/reports/verdict"
	"svclab/scenarios"
	"svclab/sim/engine"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// bundled reads every scenario of the repository.
func bundled(t *testing.T) (all []*scenario.Scenario) {
	t.Helper()
	err := fs.WalkDir(scenarios.Files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(p) != ".yaml" {
			return err
		}
		text, err := fs.ReadFile(scenarios.Files, p)
		if err != nil {
			return err
		}
		s, err := scenario.Parse("scenarios/"+p, text)
		if err == nil {
			all = append(all, s.Variants()...)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) == 0 {
		t.Fatal("there are no scenarios")
	}
	return all
}

// inWorld must be called in a bubble of testing/synctest: scenarios wait, for what expires and what heals, and no test
// needs to. There time stands still while somebody computes, so each flow takes a moment.
func inWorld(s *scenario.Scenario, name string, open func(*world.Topology, *rand.Rand) world.World) verdict.Case {
	return engine.Run(context.Background(), s, engine.Options{
		Proxy: name, Seed: 1, Senders: 1,
		Open: func(_ context.Context, t *world.Topology, rng *rand.Rand) (world.World, error) {
			return momentary{open(t, rng)}, nil
		},
	})
}

// momentary is a world in which everything takes a moment.
type momentary struct{ world.World }

const moment = time.Millisecond

func (w momentary) Apply(ctx context.Context, s *cluster.Snapshot) error {
	time.Sleep(moment)
	err := w.World.Apply(ctx, s)
	time.Sleep(moment) // a flow of this very moment may have met either state
	return err
}

func (w momentary) Send(ctx context.Context, f world.Flow) (world.Observation, error) {
	time.Sleep(moment)
	return w.World.Send(ctx, f)
}

// Restart and Flush do nothing in a world that has nothing to restart or to flush.
func (w momentary) Restart(ctx context.Context, nodes []string, down time.Duration) error {
	if r, ok := w.World.(world.Restarter); ok {
		return r.Restart(ctx, nodes, down)
	}
	return nil
}

func (w momentary) Flush(ctx context.Context, nodes []string) error {
	if f, ok := w.World.(world.Flusher); ok {
		return f.Flush(ctx, nodes)
	}
	return nil
}

// CheckHealth is asked of the model and its mutants only.
func (w momentary) CheckHealth(ctx context.Context, c world.HealthCheck) (world.HealthAnswer, error) {
	time.Sleep(moment)
	return w.World.(world.HealthChecker).CheckHealth(ctx, c)
}

func (w momentary) HealthInForce() bool { return w.World.(world.HealthChecker).HealthInForce() }

// Barrier is always reached: Apply is one.
func (momentary) Barrier(context.Context) error { return nil }

// Every scenario can be satisfied: the model passes it.
func TestModelPassesEveryScenario(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, s := range bundled(t) {
			c := inWorld(s, "model", func(t *world.Topology, rng *rand.Rand) world.World { return oracle.NewModel(t, rng) })
			if c.Verdict != verdict.Pass {
				t.Errorf("%s: %s: %s", c.ID(), c.Verdict, c.Why)
			}
		}
	})
}

// Every row that a scenario claims to cover is one that the oracle knows.
func TestCoversAreRows(t *testing.T) {
	for _, s := range bundled(t) {
		if len(s.Covers) == 0 {
			t.Errorf("%s covers nothing", s.Name)
		}
		for _, row := range s.Covers {
			if !oracle.Known(row) {
				t.Errorf("%s covers %s, which is no row of the oracle", s.Name, row)
			}
		}
	}
}

// sentences collects the reasons of a failed case's wrong flows, and of steps that failed by themselves.
func sentences(c verdict.Case) (all []string) {
	for _, s := range c.Steps {
		all = append(all, s.Why)
		for _, f := range s.Flows {
			for _, w := range f.Wrong {
				all = append(all, w.Why)
			}
		}
	}
	return all
}

func says(c verdict.Case, sentence string) bool {
	for _, s := range sentences(c) {
		if strings.Contains(s, sentence) {
			return true
		}
	}
	return false
}

// right counts the questions that were answered as they should be.
func right(c verdict.Case) (n int) {
	for _, s := range c.Steps {
		for _, f := range s.Flows {
			if f.Wrongs == 0 {
				n++
			}
		}
	}
	return n
}

// peaceful is a scenario that most mutants leave alone.
const peaceful = "pod-network"

// Every mutant of the model is killed, in both families, by the scenario and the sentence that it names; turns red, for each
// row that it breaks, a scenario that is about it; and leaves some question in peace: one that turns everything red proves
// nothing.
func TestModelMutantsAreKilled(t *testing.T) {
	all := bundled(t)
	for _, m := range oracle.Mutants {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { kill(t, all, m) })
		})
	}
	if len(oracle.Mutants) < 100 {
		t.Errorf("%d mutants", len(oracle.Mutants))
	}
}

func kill(t *testing.T, all []*scenario.Scenario, m oracle.Mutant) {
	killed, families, peace := 0, 0, 0
	var why string
	unbroken := slices.Clone(m.Breaks)
	breaks := func(row string) bool { return slices.Contains(m.Breaks, row) }
	for _, s := range all {
		if s.Name != m.Scenario && s.Name != peaceful && !slices.ContainsFunc(s.Covers, breaks) {
			continue
		}
		c := inWorld(s, "model~"+m.Name, m.World)
		peace += right(c)
		counts := s.Name == m.Scenario && (m.Family == "" || m.Family == string(s.Family))
		if counts {
			families++
		}
		switch {
		case c.Verdict == verdict.Broken:
			t.Errorf("%s: broken, which is no kill: %s", c.ID(), c.Why)
		case c.Verdict == verdict.Pass:
			continue
		case counts && says(c, m.Sentence):
			killed++
			why = c.Why
		case counts:
			t.Errorf("%s: killed without the words %q: %q", c.ID(), m.Sentence, sentences(c))
		}
		unbroken = slices.DeleteFunc(unbroken, func(row string) bool { return slices.Contains(s.Covers, row) })
	}
	for _, row := range unbroken {
		t.Errorf("it breaks row %s, but every scenario that covers the row passes", row)
	}
	if killed != families || killed == 0 {
		t.Errorf("mutant %s (%s): killed in %d of %d families of %s", m.Name, m.Bug, killed, families, m.Scenario)
	}
	if peace == 0 {
		t.Errorf("mutant %s turns everything red", m.Name)
	}
	fmt.Printf("mutant  model~%-28s %-7s killed by %-14s %s\n", m.Name, strings.Join(m.Breaks, " "), m.Scenario, why)
}

// In the model every way through the states ends alike.
func TestModelPassesEveryExpansion(t *testing.T) {
	for _, s := range bundled(t) {
		for _, e := range engine.Expanders {
			t.Run(s.Name+"/"+string(s.Family)+"/"+e.Name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					c := engine.Expand(context.Background(), s, e, engine.Options{
						Proxy: "model", Seed: 1, Senders: 1,
						Open: func(_ context.Context, t *world.Topology, rng *rand.Rand) (world.World, error) {
							return momentary{oracle.NewModel(t, rng)}, nil
						},
					})
					if c.Verdict != verdict.Pass {
						t.Errorf("%s: %s: %s", c.ID(), c.Verdict, c.Why)
					}
				})
			})
		}
	}
}
