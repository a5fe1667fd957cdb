package evidence

import (
	"svclab/nsnet"
	"svclab/nsnet/nflog"
)

// WithoutLog makes the packet log unavailable for as long as f runs.
func WithoutLog(err error, f func()) {
	was := openLog
	openLog = func(*nsnet.NS) (*nflog.Log, error) { return nil, err }
	defer func() { openLog = was }()
	f()
}
