package engine

import (
	"context"
	"time"

	"svclab/sim/scenario"
)

// wait lets the time pass that something needs to expire.
func (r *run) wait(ctx context.Context, w *scenario.Wait) error {
	select {
	case <-time.After(w.For):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
