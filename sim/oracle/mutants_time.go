package oracle

import (
	"context"
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
		Scenario: "flush", Sentence: "which had to be in force within 2 s", wrap: func(m *Model) world.World { return &neverHeals{startsEmpty{Model: m}} }},
	{Name: "loses-the-last-change", Bug: "a change that comes soon after another is left for later, and later never comes", Breaks: []string{"LIFE-4"},
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

type losesChanges struct {
	*Model
	last time.Time
}

func (w *losesChanges) Apply(ctx context.Context, s *cluster.Snapshot) error {
	const soon = 10 * time.Millisecond
	last := w.last
	w.last = w.Now()
	if w.last.Sub(last) < soon {
		return nil
	}
	return w.Model.Apply(ctx, s)
}
