package datapath

import (
	"golang.org/x/sys/unix"

	"svclab/reports/measure"
)

// Work is one thing that is measured.
type Work struct {
	Word  string // as given to --works
	About string
	name  string // in the results
	clock string
	unit  measure.Unit
	kind  int // of socket
	// run measures once along a path: samples of latency, or one of a rate. It runs in the client's namespace.
	run func(p *path, n int) ([]float64, error)
}

// Works are all, in the order in which they are shown.
var Works = []Work{
	{"new-connection", "how long connect takes, over TCP", "new TCP connection", "until established", measure.Seconds, unix.SOCK_STREAM, newConnections},
	{"new-flow", "how long the first datagram of a UDP flow and its answer take", "new UDP flow", "until answered", measure.Seconds, unix.SOCK_DGRAM, newFlows},
	{"connections", "TCP connections made and closed in a second", "TCP connections", "", measure.PerSecond, unix.SOCK_STREAM, connections},
	{"requests", "requests a second on one kept TCP connection", "requests on a kept connection", "", measure.PerSecond, unix.SOCK_STREAM, requests},
	{"packets", "UDP datagrams of one flow a second", "UDP packets", "", measure.PerSecond, unix.SOCK_DGRAM, packets},
	{"throughput", "bytes a second over one TCP connection", "throughput", "", measure.BytesRate, unix.SOCK_STREAM, bulk},
}
