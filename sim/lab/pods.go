package lab

import (
	"context"
	"fmt"
	"slices"

	"svclab/nsnet"
	"svclab/nsnet/wire"
	"svclab/sim/world"
)

// buildPods makes all pods, several at once: half of what the kernel does for one is under no common lock.
func (l *Lab) buildPods(ctx context.Context) error {
	t := l.topology
	for i := range t.Pods {
		h := &t.Pods[i]
		on := l.places[world.Place{Kind: world.Node, Name: h.Node}]
		if on == nil {
			return fmt.Errorf("%s is on node %s, which the topology does not have", h.Place, h.Node)
		}
		p := &place{host: h, node: on.node, ports: &portAllocator{}}
		if h.HostNetwork {
			p.ns, p.ports = on.ns, on.ports
		}
		l.places[h.Place] = p
	}
	return concurrently(ctx, len(t.Pods), func(i int) error {
		if h := &t.Pods[i]; !h.HostNetwork {
			return l.places[h.Place].buildPod(podDev(i))
		}
		return nil
	})
}

// buildPod makes a pod's namespace, its wire to the node and its servers, all in one visit.
func (p *place) buildPod(nodeDev string) error {
	h := p.host
	ns, err := nsnet.NewWith(h.Place.String(), func(ns *nsnet.NS) error {
		if err := wire.HostSysctls(ns); err != nil {
			return err
		}
		link := wire.PodLinkOptions{NodeDev: nodeDev, V4: h.AddrOf(sink4), V6: h.AddrOf(sink6)}
		if err := wire.PodLink(p.node.ns, ns, link); err != nil {
			return err
		}
		return p.open(ns, h)
	})
	if err != nil {
		return err
	}
	ns.Rest(p.anchor())
	p.ns = ns
	return nil
}

// podDev is the node's end of the wire to the i-th pod.
func podDev(i int) string { return fmt.Sprintf("pod%d", i+1) }

// ready waits until every wire carries packets and every address is in force, and lets go of what was needed to build only.
// The nodes' ends of the pods' wires were up when they were made.
func (l *Lab) ready(ctx context.Context) error {
	t := l.topology
	var hosts []*world.Host
	for _, some := range [][]world.Host{t.Nodes, t.Clients, t.Pods} {
		for i := range some {
			if h := &some[i]; !h.HostNetwork {
				hosts = append(hosts, h)
			}
		}
	}
	err := concurrently(ctx, len(hosts), func(i int) error {
		h := hosts[i]
		p := l.places[h.Place]
		if err := wire.Ready(ctx, p.ns, underlayDev, slices.Concat(h.Addrs, h.More)...); err != nil {
			return err
		}
		p.ns.Rest(p.anchor())
		return nil
	})
	if err != nil {
		return err
	}
	return wire.Ready(ctx, l.sink.NS(), underlayDev, sink4, sink6) // or nobody knows its hardware, and leaks are not seen
}
