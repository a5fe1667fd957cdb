package proxies

import (
	"math"
	"runtime/debug"
)

// frugal sets the garbage collector for a process that is a proxy and nothing else, and returns what to call when the first
// sync is over. Until then nearly all that is allocated stays, so that to collect is to waste time: it begins at a limit. After
// it the process is at rest with most of its heap in use, and little is allocated: a collection is cheap, and memory is not.
func frugal() (settled func()) {
	const first = 96 << 20 // bytes; with more than that in use it is as frugal as ever after
	debug.SetMemoryLimit(first)
	debug.SetGCPercent(-1)
	return func() {
		debug.SetMemoryLimit(math.MaxInt64)
		debug.SetGCPercent(restPercent) // the next allocation begins one, in the background
	}
}

const restPercent = 40
