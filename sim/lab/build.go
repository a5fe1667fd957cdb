package lab

import (
	"context"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/wire"
	"svclab/sim/world"
)

const underlayDev = "eth0"

func (l *Lab) buildUnderlay(context.Context) (err error) {
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

func (l *Lab) buildNodes(ctx context.Context) error {
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
	return concurrently(ctx, len(l.nodes), func(i int) error {
		return wire.Routes(l.nodes[i].ns, l.waysOfNode(i)...)
	})
}

// waysOfNode leads to the other nodes, to the pods behind them, and to the clients.
func (l *Lab) waysOfNode(i int) (ways []wire.RouteSpec) {
	t := l.topology
	for j := range t.Nodes {
		if i == j {
			continue
		}
		peer := &t.Nodes[j]
		ways = append(ways, onLink(peer.Addrs, peer.More)...)
		for _, cidr := range peer.PodCIDRs {
			if via := peer.AddrOf(cidr.Addr()); via.IsValid() {
				ways = append(ways, wire.RouteSpec{Dst: cidr, Via: via, Dev: underlayDev})
			}
		}
	}
	for j := range t.Clients {
		ways = append(ways, onLink(t.Clients[j].Addrs)...)
	}
	// The default route leads to the sink: without one, packets to an unhandled address die before conntrack confirms
	// them, and a family of bugs is invisible (known bugs A2, A7, B3).
	for _, via := range []netip.Addr{sink4, sink6} {
		ways = append(ways, wire.RouteSpec{Dst: everywhere(via), Via: via, Dev: underlayDev})
	}
	return ways
}

func onLink(addrs ...[]netip.Addr) (ways []wire.RouteSpec) {
	for _, a := range slices.Concat(addrs...) {
		ways = append(ways, wire.RouteSpec{Dst: netip.PrefixFrom(a, a.BitLen()), Dev: underlayDev})
	}
	return ways
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
func (l *Lab) buildClients(context.Context) error {
	t := l.topology
	for i := range t.Clients {
		p, err := l.attach(&t.Clients[i], wire.HostSysctls)
		if err != nil {
			return err
		}
		var ways []wire.RouteSpec
		for j := range t.Nodes {
			gateway := &t.Nodes[j]
			ways = append(ways, onLink(gateway.Addrs, gateway.More)...)
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
					ways = append(ways, wire.RouteSpec{Dst: everywhere(via), Via: via, Dev: underlayDev, Table: table})
				}
			}
		}
		if err := wire.Routes(p.ns, ways...); err != nil {
			return err
		}
	}
	return nil
}
