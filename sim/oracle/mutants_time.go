package oracle

import (
	"context"
	"sync/atomic"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Mutants in this file do the right thing at the wrong time: when something changes, restarts or is flushed.
var mutantsOfTime = []Mutant{
	{Name: "gap-in-rollout", Bug: "while one pod takes another's place there is a moment with neither", Breaks: []string{"TERM-9"},
		Scenario: "rolling", Sentence: "refused by ICMP from", twist: refuseOnceAfterChange},
	{Name: "gap-in-return", Bug: "when endpoints come back the refusal ends before the translation begins", Breaks: []string{"NE-8"},
		Scenario: "comes-back", Sentence: "silent for", twist: silentOnceAfterChange},
	{Name: "starts-empty", Bug: "a proxy that starts removes what it finds, and then programs its own", Breaks: []string{"LIFE-2"},
		Scenario: "restart", Sentence: "should have answered", wrap: func(m *Model) world.World { return &startsEmpty{Model: m} }},
	{Name: "never-heals", Bug: "rules that somebody else flushes stay away until the next change", Breaks: []string{"LIFE-3"},
		Scenario: "flush", Sentence: "should have answered", wrap: func(m *Model) world.World { return &neverHeals{startsEmpty{Model: m}} }},
	{Name: "loses-the-last-change", Bug: "a change right after another is left for later, and later never comes", Breaks: []string{"LIFE-4"},
		Scenario: "burst", Sentence: "never answered, though its share is", wrap: func(m *Model) world.World { return &losesChanges{Model: m} }},
}

func silentOnceAfterChange() func(m *Model, from *world.Host, f world.Flow, o *world.Observation) {
	seen := 1
	return func(m *Model, _ *world.Host, _ world.Flow, o *world.Observation) {
		if m.changes > seen {
			seen = m.changes
			*o = world.Observation{Outcome: world.Silent, Client: o.Client, At: o.At, Took: patience}
		}
	}
}

// startsEmpty is a Restarter that serves nothing for a while.
type startsEmpty struct {
	*Model
	last *cluster.Snapshot
}

func (w *startsEmpty) Apply(ctx context.Context, s *cluster.Snapshot) error {
	w.last = s
	return w.Model.Apply(ctx, s)
}

func (w *startsEmpty) Restart(ctx context.Context, _ []string, down time.Duration) error {
	if err := w.Model.Apply(ctx, &cluster.Snapshot{}); err != nil {
		return err
	}
	select {
	case <-time.After(down):
	case <-ctx.Done():
	}
	return w.Model.Apply(ctx, w.last)
}

type neverHeals struct{ startsEmpty }

// Flush does to the model what it does to a packet filter.
func (w *neverHeals) Flush(ctx context.Context, _ []string) error {
	return w.Model.Apply(ctx, &cluster.Snapshot{})
}

// losesChanges carries out a change only when somebody has called since the last one.
type losesChanges struct {
	*Model
	called atomic.Bool
}

func (w *losesChanges) Apply(ctx context.Context, s *cluster.Snapshot) error {
	if w.changes > 0 && !w.called.Swap(false) {
		return nil
	}
	return w.Model.Apply(ctx, s)
}

func (w *losesChanges) Send(ctx context.Context, f world.Flow) (world.Observation, error) {
	w.called.Store(true)
	return w.Model.Send(ctx, f)
}
