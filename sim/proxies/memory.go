package proxies

import (
	"math"
	"runtime"
	"runtime/debug"
	"sync"
)

// The garbage collector of a process that is a proxy and nothing else.
const (
	firstLimit   = 96 << 20 // bytes: below it nothing is collected before the first sync is over
	firstPercent = 100      // above it, until then
	restPercent  = 40       // afterwards
)

// frugal sets it, and returns what to call when the first sync is over. Until then nearly all that is allocated stays, so that to
// collect is to waste time: it begins at a limit, and goes on as in any process, for a limit that the live heap is above makes
// the runtime collect without end. After the first sync the process is at rest with most of its heap in use, and little is
// allocated: a collection is cheap, and memory is not. Who has set GOGC or GOMEMLIMIT is left alone.
func frugal() (settled func()) {
	if debug.SetMemoryLimit(-1) != math.MaxInt64 {
		return func() {}
	}
	if was := debug.SetGCPercent(-1); was != 100 {
		debug.SetGCPercent(was)
		return func() {}
	}
	debug.SetMemoryLimit(firstLimit)
	var once sync.Once
	to := func(percent int) {
		debug.SetMemoryLimit(math.MaxInt64)
		debug.SetGCPercent(percent)
	}
	first := new([64]byte) // nobody holds it: its finalizer runs after the first collection
	runtime.SetFinalizer(first, func(*[64]byte) { once.Do(func() { to(firstPercent) }) })
	return func() {
		once.Do(func() {})
		to(restPercent) // the next allocation begins one, in the background
	}
}
