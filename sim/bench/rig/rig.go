// Package rig is the small lab of benchmarks: one node with a proxy, a client on it, and pods that answer at every address of
// a range, so that each of a million endpoints is there.
//
//	client ── node-1 ── underlay ── node-2 ── far pod, which has all of load.FarPods
//	near pod ──┘ (the proxy is here)
//	 which has all of load.NearRange
//
// As in lab, all of it lives in this process and in anonymous namespaces.
package rig

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"svclab/nsnet"
	"svclab/nsnet/wire"
	"svclab/proxycore/cluster"
	"svclab/sim/bench/load"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

// The addresses of the pods themselves.
var (
	clientAddr = netip.MustParseAddr("10.128.0.2")
	nearAddr   = netip.MustParseAddr("10.128.0.3")
	farAddr    = netip.MustParseAddr("10.192.0.2")
	sink       = netip.MustParseAddr("192.0.2.254") // of documentation (RFC 5737): nobody has it
)

const underlay = "eth0"

// Rig is open until Close.
type Rig struct {
	segment *wire.Segment
	sink    *wire.Sink
	node    *nsnet.NS // with the proxy
	client  *nsnet.NS
	near    *nsnet.NS
	far     *nsnet.NS
	pods    manner
	spaces  []*nsnet.NS
	servers []interface{ Close() error }
	host    world.Host
	open    func(*world.Host, *nsnet.NS) (lab.NodeProxy, error) // nil: no proxy
	proxy   lab.NodeProxy
}

// Open builds a rig; proxy is nil for one without. Where it fails it leaves nothing.
func Open(ctx context.Context, proxy *proxies.Proxy) (*Rig, error) {
	return open(ctx, proxy, serving)
}

// OpenBare builds a rig in whose pods nobody serves: whoever measures does so himself, in Near and Far.
func OpenBare(ctx context.Context, proxy *proxies.Proxy) (*Rig, error) {
	return open(ctx, proxy, bare)
}

// OpenSilent builds one whose pods do not have their ranges: the packets for all endpoints come there (Near, Far), and their
// kernels say nothing to them. Whoever looks at the wires may answer.
func OpenSilent(ctx context.Context, proxy *proxies.Proxy) (*Rig, error) {
	return open(ctx, proxy, silent)
}

// manner of the pods.
type manner uint8

const (
	serving manner = iota
	bare           // nobody serves
	silent         // nor has a kernel the addresses
)

func open(ctx context.Context, proxy *proxies.Proxy, pods manner) (_ *Rig, err error) {
	r := &Rig{pods: pods, host: world.Host{
		Place: world.Place{Kind: world.Node, Name: load.NearName}, Addrs: []netip.Addr{load.NearNode}, PodCIDRs: []netip.Prefix{load.NearPods},
	}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("build the rig: %w", err), r.Close())
		}
	}()
	if err := r.wires(ctx); err != nil {
		return nil, err
	}
	if proxy == nil {
		return r, nil
	}
	far := world.Host{Place: world.Place{Kind: world.Node, Name: load.FarName}, Addrs: []netip.Addr{load.FarNode}, PodCIDRs: []netip.Prefix{load.FarPods}}
	r.open = proxy.Opener(&world.Topology{Nodes: []world.Host{r.host, far}, Mode: proxy.Mode})
	r.proxy, err = r.open(&r.host, r.node)
	return r, err
}

// wires makes everything but the proxy.
func (r *Rig) wires(ctx context.Context) (err error) {
	if r.segment, err = wire.NewSegment("underlay", 0); err != nil {
		return err
	}
	if r.sink, err = wire.NewSink(r.segment, sink, netip.Addr{}); err != nil {
		return err
	}
	if r.node, err = r.makeNode(load.NearName, load.NearNode, load.FarPods, load.FarNode); err != nil {
		return err
	}
	elsewhere, err := r.makeNode(load.FarName, load.FarNode, load.NearPods, load.NearNode)
	if err != nil {
		return err
	}
	if r.client, err = r.makePod(ctx, "client", r.node, clientAddr, netip.Prefix{}); err != nil {
		return err
	}
	if r.near, err = r.makePod(ctx, "near", r.node, nearAddr, load.NearRange); err != nil {
		return err
	}
	if r.far, err = r.makePod(ctx, "far", elsewhere, farAddr, load.FarPods); err != nil {
		return err
	}
	return wire.Ready(ctx, r.sink.NS(), underlay, sink)
}

func (r *Rig) space(name string) (*nsnet.NS, error) {
	ns, err := nsnet.New(name)
	if err == nil {
		r.spaces = append(r.spaces, ns)
	}
	return ns, err
}

func (r *Rig) makeNode(name string, at netip.Addr, others netip.Prefix, via netip.Addr) (*nsnet.NS, error) {
	ns, err := r.space(name)
	if err != nil {
		return nil, err
	}
	if err := wire.NodeSysctls(ns); err != nil {
		return nil, err
	}
	if err := r.segment.Attach(ns, underlay); err != nil {
		return nil, err
	}
	if err := wire.Addr(ns, underlay, netip.PrefixFrom(at, 24)); err != nil {
		return nil, err
	}
	for _, route := range []wire.RouteSpec{
		{Dst: others, Via: via, Dev: underlay},
		{Dst: netip.PrefixFrom(netip.IPv4Unspecified(), 0), Via: sink, Dev: underlay}, // as on every node of a lab
	} {
		if err := wire.Route(ns, route); err != nil {
			return nil, err
		}
	}
	return ns, nil
}

// makePod makes a pod, which has all of a range too where there is one, and serves there.
func (r *Rig) makePod(ctx context.Context, name string, on *nsnet.NS, at netip.Addr, all netip.Prefix) (*nsnet.NS, error) {
	ns, err := r.space(name)
	if err != nil {
		return nil, err
	}
	if err := wire.HostSysctls(ns); err != nil {
		return nil, err
	}
	if err := wire.PodLink(on, ns, wire.PodLinkOptions{NodeDev: name, V4: at}); err != nil {
		return nil, err
	}
	if all.IsValid() {
		if err := r.answer(ns, all); err != nil {
			return nil, err
		}
		if err := wire.Route(on, wire.RouteSpec{Dst: all, Via: at, Dev: name}); err != nil {
			return nil, err
		}
	}
	if err := wire.Ready(ctx, ns, "eth0", at); err != nil {
		return nil, err
	}
	return ns, wire.Ready(ctx, on, name)
}

// answer gives a pod all addresses of its range, and servers there, as far as the rig's pods have them.
func (r *Rig) answer(ns *nsnet.NS, all netip.Prefix) error {
	if r.pods == silent {
		return nil
	}
	if err := wire.AnyAddr(ns, all); err != nil || r.pods == bare {
		return err
	}
	return r.serve(ns)
}

// Client is where packets are sent from: a pod on the node with the proxy.
func (r *Rig) Client() *nsnet.NS { return r.client }

// ClientAddr is its address.
func (r *Rig) ClientAddr() netip.Addr { return clientAddr }

// Near is the pod on that node that has all of load.NearRange, Far the one elsewhere that has all of load.FarPods.
func (r *Rig) Near() *nsnet.NS { return r.near }

// Far is the other one.
func (r *Rig) Far() *nsnet.NS { return r.far }

// Node is where the proxy is.
func (r *Rig) Node() *nsnet.NS { return r.node }

// Proxy is what runs on the node; nil when there is none.
func (r *Rig) Proxy() lab.NodeProxy { return r.proxy }

// Apply gives the proxy a state. A proxy that is a program of its own has it in its API server when this returns, and no more.
func (r *Rig) Apply(ctx context.Context, s *cluster.Snapshot) error { return r.proxy.Apply(ctx, s) }

// Abandon ends the proxy as kill -9 would and leaves its rules; Renew makes another, which waits for its first state.
func (r *Rig) Abandon() error {
	a, ok := r.proxy.(interface{ Abandon() })
	if !ok {
		return fmt.Errorf("the proxy of node %s cannot be abandoned", r.host.Name)
	}
	a.Abandon()
	return nil
}

// Renew starts a new proxy over what an abandoned one has left.
func (r *Rig) Renew() (err error) {
	r.servers = append(r.servers, r.proxy) // closed at the end, before the wires
	r.proxy, err = r.open(&r.host, r.node)
	return err
}

// Close takes everything down. It may be called twice.
func (r *Rig) Close() error {
	var errs []error
	if r.proxy != nil {
		errs = append(errs, r.proxy.Close())
	}
	for _, s := range r.servers {
		errs = append(errs, s.Close())
	}
	if r.sink != nil {
		errs = append(errs, r.sink.Close())
	}
	for _, ns := range r.spaces {
		errs = append(errs, ns.Close())
	}
	if r.segment != nil {
		errs = append(errs, r.segment.Close())
	}
	*r = Rig{}
	return errors.Join(errs...)
}
