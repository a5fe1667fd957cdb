package engine

import (
	"context"
	"time"

	"svclab/sim/scenario"
)

// wait lets the time pass that something needs to expire.
func (r *run) wait(ctx context.Context, w *scenario.Wait) error {
	return pause(ctx, w.For)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
