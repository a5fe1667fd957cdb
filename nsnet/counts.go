package nsnet

import "sync/atomic"

// Counts is how often the process has done what making namespaces costs: what a test can pin where a time would not hold.
type Counts struct {
	Visits    int64 // of threads to namespaces, each with its way back
	Exchanges int64 // with route netlink
	Messages  int64 // in those
	Settings  int64 // written
}

var counted struct{ visits, exchanges, messages, settings atomic.Int64 }

// Counted is what the process has done so far.
func Counted() Counts {
	return Counts{counted.visits.Load(), counted.exchanges.Load(), counted.messages.Load(), counted.settings.Load()}
}

// Sub is what came after an earlier count.
func (c Counts) Sub(earlier Counts) Counts {
	return Counts{c.Visits - earlier.Visits, c.Exchanges - earlier.Exchanges, c.Messages - earlier.Messages, c.Settings - earlier.Settings}
}
