package lab

import (
	"context"
	"runtime"
	"sync"
)

// manyAtOnce bounds the threads that build: beyond a few they only wait for the kernel's one lock of all devices (rtnl).
const manyAtOnce = 8

// concurrently does n things, as many at once as there are processors, and begins no more after the first error or when the
// context ends. It returns when all that was begun is done, with the error of the first in order that failed.
func concurrently(ctx context.Context, n int, do func(i int) error) error {
	var (
		mu     sync.Mutex // guards all below
		next   int
		failed = n
		first  error
	)
	take := func() (i int, ok bool) {
		mu.Lock()
		defer mu.Unlock()
		if err := ctx.Err(); err != nil && first == nil {
			first = err
		}
		if first != nil || next == n {
			return 0, false
		}
		next++
		return next - 1, true
	}
	fail := func(i int, err error) {
		mu.Lock()
		defer mu.Unlock()
		if first == nil || i < failed {
			failed, first = i, err
		}
	}
	var wait sync.WaitGroup
	for range min(n, runtime.GOMAXPROCS(0), manyAtOnce) {
		wait.Go(func() {
			for i, ok := take(); ok; i, ok = take() {
				if err := do(i); err != nil {
					fail(i, err)
				}
			}
		})
	}
	wait.Wait()
	return first
}
