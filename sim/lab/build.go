package lab

import (
	"context"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/wire"
	"svclab/sim/world"
)

const underlayDev = "eth0"

func (l *Lab) buildUnderlay() (err error) {
	if l.segment, err = wire.NewSegment("underlay", l.topology.MTU); err != nil {
		return err
	}
	l.sink, err = wire.NewSink(l.segment, sink4, sink6)
	return err
}

// attach makes a host's namespace and puts it on the underlay with its addresses, each alone on its wire (/32, /128):
// nodes may have any addresses, also of different networks.
func (l *Lab) attach(h *world.Host, sysctls func(*nsnet.NS) error) (*place, error) {
	ns, err := nsnet.New(h.Place.String())
	if err != nil {
		return nil, err
	}
	p := &place{host: h, ns: ns, ports: &portAllocator{}}
	l.places[h.Place] = p
	if err := sysctls(ns); err != nil {
		return nil, err
	}
	if err := l.segment.Attach(ns, underlayDev); err != nil {
		return nil, err
	}
	for _, a := range h.Addrs {
		if err := wire.Addr(ns, underlayDev, netip.PrefixFrom(a, a.BitLen())); err != nil {
			return nil, err
		}
	}
	for _, a := range h.More {
		if err := wire.FurtherAddr(ns, underlayDev, netip.PrefixFrom(a, a.BitLen())); err != nil {
			return nil, err
		}
	}
	return p, nil
}

func (l *Lab) buildNodes() error {
	t := l.topology
	for i := range t.Nodes {
		p, err := l.attach(&t.Nodes[i], wire.NodeSysctls)
		if err != nil {
			return err
		}
		n := &node{place: p}
		p.node = n
		l.nodes = append(l.nodes, n)
	}
	for i, n := range l.nodes {
		for j := range t.Nodes {
			if i == j {
				continue
			}
			peer := &t.Nodes[j]
			if err := onLink(n.ns, peer.Addrs, peer.More); err != nil {
				return err
			}
			for _, cidr := range peer.PodCIDRs {
				if via := peer.AddrOf(cidr.Addr()); via.IsValid() {
					if err := wire.Route(n.ns, wire.RouteSpec{Dst: cidr, Via: via, Dev: underlayDev}); err != nil {
						return err
					}
				}
			}
		}
		for j := range t.Clients {
			if err := onLink(n.ns, t.Clients[j].Addrs); err != nil {
				return err
			}
		}
		// The default route leads to the sink: without one, packets to an unhandled address die before conntrack confirms
		// them, and a family of bugs is invisible (known bugs A2, A7, B3).
		for _, via := range []netip.Addr{sink4, sink6} {
			if err := wire.Route(n.ns, wire.RouteSpec{Dst: everywhere(via), Via: via, Dev: underlayDev}); err != nil {
				return err
			}
		}
	}
	return nil
}

func onLink(ns *nsnet.NS, addrs ...[]netip.Addr) error {
	for _, a := range slices.Concat(addrs...) {
		if err := wire.Route(ns, wire.RouteSpec{Dst: netip.PrefixFrom(a, a.BitLen()), Dev: underlayDev}); err != nil {
			return err
		}
	}
	return nil
}

func afOf(a netip.Addr) int {
	if a.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

func everywhere(like netip.Addr) netip.Prefix {
	if like.Is4() {
		return netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	}
	return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
}

// buildClients gives every outside client a routing table for each node: the flow's mark chooses the node to enter by, as
// a load balancer would. The main table enters by the first node.
func (l *Lab) buildClients() error {
	t := l.topology
	for i := range t.Clients {
		p, err := l.attach(&t.Clients[i], wire.HostSysctls)
		if err != nil {
			return err
		}
		for j := range t.Nodes {
			gateway := &t.Nodes[j]
			if err := onLink(p.ns, gateway.Addrs, gateway.More); err != nil {
				return err
			}
			for _, via := range gateway.Addrs {
				mark := j + 1
				if p.host.AddrOf(via) == (netip.Addr{}) {
					continue
				}
				if err := wire.Rule(p.ns, mark, mark, afOf(via)); err != nil {
					return err
				}
				tables := []int{mark}
				if j == 0 {
					tables = append(tables, 0)
				}
				for _, table := range tables {
					if err := wire.Route(p.ns, wire.RouteSpec{Dst: everywhere(via), Via: via, Dev: underlayDev, Table: table}); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// ready waits until every wire carries packets.
func (l *Lab) ready(ctx context.Context) error {
	t := l.topology
	for _, hosts := range [][]world.Host{t.Nodes, t.Clients, t.Pods} {
		for i := range hosts {
			h := &hosts[i]
			if h.HostNetwork {
				continue
			}
			if err := wire.Ready(ctx, l.places[h.Place].ns, underlayDev, slices.Concat(h.Addrs, h.More)...); err != nil {
				return err
			}
		}
	}
	for i := range t.Pods {
		if h := &t.Pods[i]; !h.HostNetwork {
			if err := wire.Ready(ctx, l.places[h.Place].node.ns, podDev(i)); err != nil {
				return err
			}
		}
	}
	return wire.Ready(ctx, l.sink.NS(), underlayDev, sink4, sink6) // or nobody knows its hardware, and leaks are not seen
}

// podDev is the node's end of the wire to the i-th pod.
func podDev(i int) string { return fmt.Sprintf("pod%d", i+1) }

func (l *Lab) buildPods() error {
	t := l.topology
	for i := range t.Pods {
		h := &t.Pods[i]
		on := l.places[world.Place{Kind: world.Node, Name: h.Node}]
		if on == nil {
			return fmt.Errorf("%s is on node %s, which the topology does not have", h.Place, h.Node)
		}
		if h.HostNetwork {
			l.places[h.Place] = &place{host: h, ns: on.ns, node: on.node, ports: on.ports}
			continue
		}
		ns, err := nsnet.New(h.Place.String())
		if err != nil {
			return err
		}
		l.places[h.Place] = &place{host: h, ns: ns, node: on.node, ports: &portAllocator{}}
		if err := wire.HostSysctls(ns); err != nil {
			return err
		}
		link := wire.PodLinkOptions{NodeDev: podDev(i), V4: h.AddrOf(sink4), V6: h.AddrOf(sink6)}
		if err := wire.PodLink(on.ns, ns, link); err != nil {
			return err
		}
	}
	return nil
}
