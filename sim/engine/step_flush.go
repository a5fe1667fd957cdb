package engine

import (
	"context"
	"time"

	"svclab/reports/verdict"
	"svclab/sim/scenario"
	"svclab/sim/settle"
	"svclab/sim/world"
)

// flush empties the nodes' packet filters behind the proxies' backs. The next probe measures when they have healed: that
// is settling, whether or not the proxy has a barrier, since no Apply tells it.
func (r *run) flush(ctx context.Context, f *scenario.Flush, step *verdict.Step) error {
	w, ok := r.world.(world.Flusher)
	if !ok {
		step.Notes = append(step.Notes, "this world has no rules to flush")
		return nil
	}
	if err := w.Flush(ctx, f.Nodes); err != nil {
		return err
	}
	now := time.Now()
	r.changed.Store(&now)
	r.history.Forget(now)
	within := f.Within
	if within == 0 {
		within = withinDefault
	}
	r.settling = settle.New(*r.changed.Load(), within, f.Wrongs, false)
	return nil
}
