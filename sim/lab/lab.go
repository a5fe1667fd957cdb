// Package lab is the World of kernel namespaces: a network namespace for every node, pod and outside client, wires
// between them, a service proxy on each node, and servers in the pods that say who they are and whom they saw. All of
// it lives in this process and in anonymous namespaces: when the process ends, however it ends, the kernel reaps it.
//
//	pod ── veth ── node ──┐            ┌── node ── veth ── pod
//	pod ── veth ──┘       ├─ underlay ─┤
//	        client ───────┘   (bridge) └── sink: the nodes' default route; it counts what leaks
package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"sync"

	"svclab/nsnet"
	"svclab/nsnet/wire"
	"svclab/proxycore/cluster"
	"svclab/proxycore/conntrack"
	"svclab/sim/world"
)

// NodeProxy makes one node forward as a state says. Optional to it: Barrier (as in world.Barrier), Dump and Check (as in
// proxycore.Backend), RuleFor (as in proxycore.Namer).
type NodeProxy interface {
	Apply(ctx context.Context, s *cluster.Snapshot) error
	Close() error
}

// Options say what to build.
type Options struct {
	Topology *world.Topology                                         // required
	Proxy    func(node *world.Host, ns *nsnet.NS) (NodeProxy, error) // required: the proxy of one node
	Phase    func(name string)                                       // optional: told "build", "program", "probe", "close"
	Leaving  func() error                                            // optional: called once when Close begins; its error is Close's
}

// The addresses of the sink: documentation ranges (RFC 5737, RFC 3849), which no scenario has on a node.
var (
	sink4 = netip.MustParseAddr("192.0.2.254")
	sink6 = netip.MustParseAddr("2001:db8:ffff::fe")
)

// Lab is an open lab. It implements world.World, world.Late and world.Explainer, and world.Barrier where every proxy does.
type Lab struct {
	topology *world.Topology
	segment  *wire.Segment
	sink     *wire.Sink
	nodes    []*node // in the order of the topology
	places   map[world.Place]*place
	sctp     sync.Once
	sctpErr  error
	newProxy func(node *world.Host, ns *nsnet.NS) (NodeProxy, error)
	leaving  func() error
	state    *cluster.Snapshot // the last that was applied
	phase    func(string)

	looking  sync.Mutex // guards the nodes' proxies and memories: flows may be explained while a proxy is restarted
	mu       sync.Mutex // guards what Send leaves behind
	sessions map[sessionKey]*session
	parked   []*parked
	speaking []closer // SCTP
	closed   bool
	probing  bool
}

type closer interface{ Close() error }

// node is a place with a proxy.
type node struct {
	*place
	proxy  NodeProxy
	former []NodeProxy        // abandoned by Restart
	memory *conntrack.Cleaner // for reading connection tracking; nil until needed
}

// place is a namespace from which flows are sent.
type place struct {
	host    *world.Host
	ns      *nsnet.NS
	node    *node          // pods: theirs; nodes: themselves; clients: nil
	ports   *portAllocator // of the namespace: raw sockets reserve no port
	servers []server

	pings   sync.Once
	pingErr error
}

// Open builds the lab: namespaces, wires, servers, proxies; no state is applied yet. When it fails it leaves nothing.
func Open(ctx context.Context, o Options) (_ *Lab, err error) {
	l := &Lab{topology: o.Topology, places: map[world.Place]*place{}, sessions: map[sessionKey]*session{}, phase: o.Phase, newProxy: o.Proxy, leaving: o.Leaving}
	if l.phase == nil {
		l.phase = func(string) {}
	}
	l.phase("build")
	defer func() {
		if err != nil {
			err = errors.Join(err, l.Close())
		}
	}()
	steps := []func(context.Context) error{l.enoughFiles, l.buildUnderlay, l.buildNodes, l.buildClients, l.buildPods, l.serveHosts, l.serve, l.ready}
	for _, step := range steps {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("build lab: %w", err)
		}
		if err := step(ctx); err != nil {
			return nil, fmt.Errorf("build lab: %w", err)
		}
	}
	for _, n := range l.nodes {
		if n.proxy, err = o.Proxy(n.host, n.ns); err != nil {
			return nil, fmt.Errorf("start proxy of node %s: %w", n.host.Name, err)
		}
	}
	return l, nil
}

// Apply gives the state to the proxy of every node, one after the other, as a slow watch would.
func (l *Lab) Apply(ctx context.Context, s *cluster.Snapshot) error {
	l.phase("program")
	l.state = s
	for _, n := range l.nodes {
		if err := n.proxy.Apply(ctx, s); err != nil {
			return err
		}
	}
	return nil
}

// HasBarrier reports whether every proxy can tell when a state is in force; only then is Barrier worth anything.
func (l *Lab) HasBarrier() bool {
	for _, n := range l.nodes {
		if _, ok := n.proxy.(world.Barrier); !ok {
			return false
		}
		if h, ok := n.proxy.(interface{ HasBarrier() bool }); ok && !h.HasBarrier() {
			return false
		}
	}
	return true
}

// Alive is nil unless a proxy that is a program of its own has ended by itself.
func (l *Lab) Alive() error {
	l.looking.Lock()
	defer l.looking.Unlock()
	for _, n := range l.nodes {
		if a, ok := n.proxy.(interface{ Alive() error }); ok {
			if err := a.Alive(); err != nil {
				return err
			}
		}
	}
	return nil
}

// Barrier returns when the last Apply is in force on every node.
func (l *Lab) Barrier(ctx context.Context) error {
	for _, n := range l.nodes {
		b, ok := n.proxy.(world.Barrier)
		if !ok {
			return fmt.Errorf("node %s: its proxy cannot tell when it has settled", n.host.Name)
		}
		if err := b.Barrier(ctx); err != nil {
			return fmt.Errorf("barrier on node %s: %w", n.host.Name, err)
		}
	}
	return nil
}

// Check asks every proxy that can to verify what it has programmed.
func (l *Lab) Check(ctx context.Context) error {
	for _, n := range l.nodes {
		if c, ok := n.proxy.(interface{ Check(context.Context) error }); ok {
			if err := c.Check(ctx); err != nil {
				return fmt.Errorf("check node %s: %w", n.host.Name, err)
			}
		}
	}
	return nil
}

// Dump is what every proxy that can tell has programmed, node by node.
func (l *Lab) Dump(ctx context.Context) (string, error) {
	var b strings.Builder
	for _, n := range l.nodes {
		d, ok := n.proxy.(interface {
			Dump(context.Context) (string, error)
		})
		if !ok {
			continue
		}
		text, err := d.Dump(ctx)
		if err != nil {
			return "", fmt.Errorf("dump node %s: %w", n.host.Name, err)
		}
		fmt.Fprintf(&b, "node %s\n%s", n.host.Name, text)
	}
	return b.String(), nil
}

// Close takes everything down. It may be called twice.
func (l *Lab) Close() error {
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return nil
	}
	l.closed = true
	l.mu.Unlock()
	l.phase("close")
	var left error
	if l.leaving != nil {
		left = l.leaving()
	}
	errs := make([]error, len(l.nodes), len(l.nodes)+1)
	var wait sync.WaitGroup
	for i, n := range l.nodes {
		wait.Go(func() { errs[i] = n.close() })
	}
	wait.Wait()
	errs = append(errs, left)
	l.closeSockets()
	for _, p := range l.places {
		for _, s := range p.servers {
			errs = append(errs, s.Close())
		}
	}
	for _, s := range l.speaking {
		errs = append(errs, s.Close())
	}
	if l.sink != nil {
		errs = append(errs, l.sink.Close())
	}
	closed := map[*nsnet.NS]bool{}
	for _, p := range l.places {
		if p.ns != nil && !closed[p.ns] { // host-network pods share their node's
			closed[p.ns] = true
			errs = append(errs, p.ns.Close())
		}
	}
	if l.segment != nil {
		errs = append(errs, l.segment.Close())
	}
	return errors.Join(errs...)
}

// close ends the node's proxies, the former ones too.
func (n *node) close() error {
	var errs []error
	if n.proxy != nil {
		errs = append(errs, n.proxy.Close())
	}
	for _, p := range n.former {
		errs = append(errs, p.Close())
	}
	if n.memory != nil {
		errs = append(errs, n.memory.Close())
	}
	return errors.Join(errs...)
}
