package reflector

import "sync/atomic"

// counts are read by whoever asks for metrics.
type counts struct {
	came, done [numResources]atomic.Uint64
	failed     [numResources]atomic.Uint64
}

func (c *counts) received(i int, n uint64) { c.came[i].Store(n) }

func (c *counts) inForce(seen [numResources]uint64) {
	for i, n := range seen {
		c.done[i].Store(n)
	}
}

// Count is what has been read of one resource.
type Count struct {
	Resource string
	Received uint64 // objects in lists, and events; slices of names left out, which are of no use to a proxy
	InForce  uint64 // of them in force
	Failures uint64 // lists and watches that failed
}

// Counts may be called at any time.
func (r *Reflector) Counts() (out []Count) {
	for i, name := range Names {
		out = append(out, Count{name, r.counts.came[i].Load(), r.counts.done[i].Load(), r.counts.failed[i].Load()})
	}
	return out
}
