package engine

import (
	"context"
	"fmt"
	"time"

	"svclab/reports/verdict"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// restart ends proxies and starts new ones, alone or under flows. Nothing in the cluster changes, so no flow may notice.
func (r *run) restart(ctx context.Context, s *scenario.Restart, step *verdict.Step) error {
	do := func(int) error {
		w, ok := r.world.(world.Restarter)
		if !ok {
			step.Notes = append(step.Notes, "this world has no proxies to restart")
			return nil
		}
		began := time.Now()
		if err := w.Restart(ctx, s.Nodes, s.Down); err != nil {
			return errProxy{err}
		}
		step.Notes = append(step.Notes, fmt.Sprintf("restarted in %s, of which %s without a proxy", round(time.Since(began)), s.Down))
		return nil
	}
	if s.During == nil {
		return do(0)
	}
	return r.under(ctx, s.During, 1, do, step)
}
