package lab

import (
	"context"
	"fmt"

	"golang.org/x/sys/unix"

	"svclab/proxycore/cluster"
)

// enoughFiles says before anything is made that this process may not have as many open files as the lab needs.
func (l *Lab) enoughFiles(context.Context) error {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return fmt.Errorf("find out how many files may be open: %w", err)
	}
	if need := l.files(); uint64(need) > limit.Cur {
		return fmt.Errorf("%d nodes and %d pods need some %d open files, and this process may have %d: raise the limit (ulimit -n %d), or ask for fewer pods",
			len(l.topology.Nodes), len(l.topology.Pods), need, limit.Cur, need)
	}
	return nil
}

// files is about how many open files the lab will have, with room for those that come and go. A pod that serves has no more
// than its servers: its namespace is at rest until a flow starts there.
func (l *Lab) files() (n int) {
	const (
		own    = 256 // the process's, flows, building
		ofNode = 16  // namespace, netlink, proxy
	)
	t := l.topology
	n = own + ofNode*len(t.Nodes) + len(t.Clients)
	if l.servesSCTP() {
		n += 2 * (len(t.Nodes) + len(t.Clients) + len(t.Pods))
	}
	for i := range t.Pods {
		h := &t.Pods[i]
		sockets := 0
		for _, p := range h.Listen {
			switch {
			case p.Proto == cluster.TCP && !h.HostNetwork:
				sockets++
			case p.Proto != cluster.SCTP:
				sockets += len(h.Addrs)
			}
		}
		n += max(sockets, 1)
	}
	return n
}
