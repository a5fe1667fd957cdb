package lab

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
)

func TestConcurrently(t *testing.T) {
	var done [1000]atomic.Int32
	if err := concurrently(t.Context(), len(done), func(i int) error { done[i].Add(1); return nil }); err != nil {
		t.Fatal(err)
	}
	for i := range done {
		if n := done[i].Load(); n != 1 {
			t.Fatalf("thing %d was done %d times", i, n)
		}
	}
	if err := concurrently(t.Context(), 0, nil); err != nil {
		t.Errorf("nothing to do: %v", err)
	}
}

// TestConcurrentlyEnds: at the first error, and with the context; what was not begun by then is not.
func TestConcurrentlyEnds(t *testing.T) {
	begun := atomic.Int32{}
	err := concurrently(t.Context(), 1000, func(i int) error {
		begun.Add(1)
		if i >= 10 {
			return fmt.Errorf("thing %d", i)
		}
		return nil
	})
	if err == nil || err.Error() != "thing 10" || begun.Load() > 10+manyAtOnce {
		t.Errorf("got %v after %d things, want that of thing 10 and hardly more", err, begun.Load())
	}
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(2))
	second := make(chan struct{})
	err = concurrently(t.Context(), 2, func(i int) error {
		if i == 0 {
			<-second
		} else {
			defer close(second)
		}
		return fmt.Errorf("thing %d", i)
	})
	if err == nil || err.Error() != "thing 0" {
		t.Errorf("got %v, want that of the first in order", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	begun.Store(0)
	err = concurrently(ctx, 1000, func(i int) error {
		if begun.Add(1) == 5 {
			cancel()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || begun.Load() > 5+manyAtOnce {
		t.Errorf("got %v after %d things, want that it was cancelled and hardly more", err, begun.Load())
	}
}
