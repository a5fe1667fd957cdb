package proxycore

import (
	"cmp"
	"net/netip"
	"slices"

	discoveryv1 "k8s.io/api/discovery/v1"

	"svclab/proxycore/cluster"
)

// candidate is an endpoint of a slice before it is judged beside the others.
type candidate struct {
	netip.AddrPort
	node                        string
	placed                      bool // the slice says on which node it runs
	ready, serving, terminating bool
	hints                       *discoveryv1.EndpointHints
}

func (c *candidate) draining() bool { return c.serving && c.terminating }

// candidates merges the slices of one Service for one port and family. An address that is in two slices counts once, and
// its copy that is not terminating wins (row CIP-25, kubernetes #135593), then one that is ready, for which upstream has
// no rule.
//
// The list is made in the room that is given, which is empty.
func candidates(room []candidate, endpoints []*cluster.Slice, port string, proto cluster.Proto, is4 bool) []candidate {
	n := 0
	for _, s := range endpoints {
		n += len(s.Addresses)
	}
	all := slices.Grow(room, n)
	for _, s := range endpoints {
		number, ok := slicePort(s.Object.Ports, port, proto)
		if !ok || s.Object.AddressType == discoveryv1.AddressTypeFQDN || headless(s) {
			continue
		}
		for i := range s.Object.Endpoints {
			addr := s.Addresses[i]
			if !addr.IsValid() || addr.Is4() != is4 {
				continue
			}
			e := &s.Object.Endpoints[i]
			c := candidate{
				AddrPort:    netip.AddrPortFrom(addr, number),
				ready:       e.Conditions.Ready == nil || *e.Conditions.Ready, // nil: rows CIP-23
				terminating: e.Conditions.Terminating != nil && *e.Conditions.Terminating,
				hints:       e.Hints,
			}
			if e.NodeName != nil {
				c.node, c.placed = *e.NodeName, true
			}
			c.serving = e.Conditions.Serving == nil || *e.Conditions.Serving
			all = append(all, c)
		}
	}
	strictly := true
	for i := 1; i < len(all) && strictly; i++ {
		strictly = all[i-1].Compare(all[i].AddrPort) < 0
	}
	if strictly {
		return all
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		if c := a.Compare(b.AddrPort); c != 0 {
			return c
		}
		return cmp.Or(btoi(a.terminating)-btoi(b.terminating), btoi(b.ready)-btoi(a.ready))
	})
	return slices.CompactFunc(all, func(a, b candidate) bool { return a.AddrPort == b.AddrPort })
}

// headless slices are not a proxy's business, whatever is in them (row CIP-17; cmd/kube-proxy/app/server.go:578).
func headless(s *cluster.Slice) bool {
	_, is := s.Object.Labels["service.kubernetes.io/headless"]
	return is
}

// everywhere is the pool of traffic policy Cluster: the ready endpoints that the hints prefer, or when none is ready those
// that still serve while they terminate, wherever they are (KEP-1669; kubernetes pkg/proxy/topology.go).
func everywhere(all []candidate, view NodeView) Pool {
	preferred := preference(all, view)
	if p := pick(all, view, func(c *candidate) bool { return c.ready && preferred(c) }); len(p) > 0 {
		return Pool{Endpoints: p}
	}
	return Pool{Endpoints: pick(all, view, (*candidate).draining)}
}

// here is the pool of traffic policy Local: as everywhere, but of this node, and without regard to hints (row TOPO-7).
// Without one, packets are dropped when there are endpoints elsewhere, so that whoever balances the load learns of it from
// the health checks and not from a refusal (POL-2, POL-8).
func here(all []candidate, view NodeView) Pool {
	local := func(c *candidate) bool { return c.placed && c.node == view.Name }
	if p := pick(all, view, func(c *candidate) bool { return c.ready && local(c) }); len(p) > 0 {
		return Pool{Endpoints: p}
	}
	p := Pool{Endpoints: pick(all, view, func(c *candidate) bool { return c.draining() && local(c) })}
	if len(p.Endpoints) == 0 && slices.ContainsFunc(all, func(c candidate) bool { return c.ready || c.draining() }) {
		p.Empty = Drop
	}
	return p
}

// serving is whom a UDP flow may go on to have, whoever is chosen for new ones (row CT-8; kubernetes
// pkg/proxy/conntrack/cleanup.go:75).
func serving(all []candidate) (out []netip.AddrPort) {
	for _, c := range all {
		if c.serving {
			out = append(out, c.AddrPort)
		}
	}
	return out
}

func pick(all []candidate, view NodeView, good func(*candidate) bool) []Endpoint {
	n := 0
	for i := range all {
		n += btoi(good(&all[i]))
	}
	if n == 0 {
		return nil
	}
	out := make([]Endpoint, 0, n)
	for i := range all {
		if c := &all[i]; good(c) {
			out = append(out, Endpoint{AddrPort: c.AddrPort, Here: !c.placed || c.node == view.Name})
		}
	}
	return out
}

// preference is what the hints of the ready endpoints prefer on this node: those for the node, if every endpoint has hints
// for nodes and one is for this; else likewise those for its zone; else all (KEP-3015, KEP-4444; rows TOPO-1 to TOPO-6;
// kubernetes pkg/proxy/topology.go: topologyModeFromHints).
func preference(all []candidate, view NodeView) func(*candidate) bool {
	for _, hint := range [...]func(*candidate, *NodeView) (some, mine bool){forNode, forZone} {
		every, any := true, false
		for i := range all {
			if c := &all[i]; c.ready {
				some, mine := hint(c, &view)
				every, any = every && some, any || mine
			}
			if !every {
				break
			}
		}
		if every && any {
			return func(c *candidate) bool { _, mine := hint(c, &view); return mine }
		}
	}
	return func(*candidate) bool { return true }
}

func forNode(c *candidate, view *NodeView) (some, mine bool) {
	if c.hints == nil {
		return false, false
	}
	return len(c.hints.ForNodes) > 0, slices.ContainsFunc(c.hints.ForNodes, func(f discoveryv1.ForNode) bool { return f.Name == view.Name })
}

func forZone(c *candidate, view *NodeView) (some, mine bool) {
	if c.hints == nil {
		return false, false
	}
	return len(c.hints.ForZones) > 0, view.Zone != "" && slices.ContainsFunc(c.hints.ForZones, func(f discoveryv1.ForZone) bool { return f.Name == view.Zone })
}

// slicePort finds the endpoint port of that name and protocol. A port without name or number is ignored (row CIP-22).
func slicePort(ports []discoveryv1.EndpointPort, name string, proto cluster.Proto) (uint16, bool) {
	for _, p := range ports {
		text := ""
		if p.Protocol != nil {
			text = string(*p.Protocol)
		}
		if q, err := cluster.ParseProto(text); err == nil && q == proto && p.Name != nil && *p.Name == name && p.Port != nil && *p.Port != 0 {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
