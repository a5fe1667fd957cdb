package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"runtime/pprof"
	"slices"
	"sync"
)

// phases is where the cases under way are.
type phases struct {
	announce bool // on standard error, for whoever waits for a phase

	mu sync.Mutex
	at map[string]string // case → phase
}

func (p *phases) enter(name, phase string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.at == nil {
		p.at = map[string]string{}
	}
	if name != "" {
		p.at[name] = phase
	}
	if p.announce {
		fmt.Fprintf(os.Stderr, "phase %s\n", phase)
	}
}

func (p *phases) leave(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.at, name)
}

// dumpAtTimeLimit writes, when the time limit comes, what was under way and every goroutine's stack, as go test does.
// The function returned waits for a dump that has begun.
func (p *phases) dumpAtTimeLimit(ctx context.Context, w io.Writer) (wait func()) {
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(done)
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		fmt.Fprintf(w, "\n%v reached\n", context.Cause(ctx))
		for _, name := range slices.Sorted(maps.Keys(p.at)) {
			fmt.Fprintf(w, "under way: %s, in phase %s\n", name, p.at[name])
		}
		_ = pprof.Lookup("goroutine").WriteTo(w, 2)
	})
	return func() {
		if !stop() {
			<-done
		}
	}
}
