package oracle

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// pool is what may be chosen from at one node: the endpoints of the whole cluster, or those of the node alone.
type pool struct {
	endpoints []netip.AddrPort
	draining  bool // there is no ready one: they terminate, but still serve
	hints     hints
}

type poolKey struct {
	node  string
	local bool
}

// hints is what became of the hints of a front's endpoints at one node (pkg/proxy/topology.go).
type hints uint8

const (
	unhinted      hints = iota
	forNode             // only the endpoints for this node are used
	forZone             // only those for this node's zone
	insteadOfNode       // only those for this node's zone, since none is for the node
	incomplete          // not obeyed: a ready endpoint has none
	elsewhere           // not obeyed: none is for this node, or its zone
)

// at is the pool of a node. Both pools fall back to terminating endpoints each for itself (TERM-5); hints steer the whole
// cluster's only (TOPO-7), and only among ready endpoints (TOPO-8).
func (f *front) at(node string, local bool) pool {
	key := poolKey{node, local}
	p, ok := f.pools[key]
	if !ok {
		p = f.choose(node, local)
		f.pools[key] = p
	}
	return p
}

func (f *front) choose(node string, local bool) (p pool) {
	here := func(e endpoint) bool { return node != "" && e.node == node }
	wanted := here
	if !local {
		p.hints, wanted = f.hints(node)
	}
	for _, e := range f.all {
		if e.ready && wanted(e) {
			p.endpoints = append(p.endpoints, e.AddrPort)
		}
	}
	if len(p.endpoints) > 0 {
		return p
	}
	p.draining = true
	for _, e := range f.all {
		if !e.ready && e.serving && e.terminating && (!local || here(e)) {
			p.endpoints = append(p.endpoints, e.AddrPort)
		}
	}
	return p
}

// hints decides which hints a node obeys: those for nodes, when every ready endpoint has one and one is for this node;
// else those for zones, alike; else none.
func (f *front) hints(node string) (hints, func(endpoint) bool) {
	zone := f.facts.zone(node)
	mine := func(e endpoint) bool { return slices.Contains(e.forNodes, node) }
	near := func(e endpoint) bool { return zone != "" && slices.Contains(e.forZones, zone) }
	any, nodes, zones, isMine, isNear := false, true, true, false, false
	for _, e := range f.all {
		if !e.ready {
			continue // TOPO-6
		}
		any = any || len(e.forNodes) > 0 || len(e.forZones) > 0
		nodes, zones = nodes && len(e.forNodes) > 0, zones && len(e.forZones) > 0
		isMine, isNear = isMine || mine(e), isNear || near(e)
	}
	switch everybody := func(endpoint) bool { return true }; {
	case !any:
		return unhinted, everybody
	case nodes && isMine:
		return forNode, mine
	case zones && isNear && nodes:
		return insteadOfNode, near
	case zones && isNear:
		return forZone, near
	case nodes || zones:
		return elsewhere, everybody
	default:
		return incomplete, everybody
	}
}

// zone is where a node is, "" when nobody says (TOPO-5).
func (st *facts) zone(node string) string {
	if n := st.state.Node(node); n != nil {
		return n.Object.Labels[corev1.LabelTopologyZone]
	}
	return ""
}

// hinted: some endpoint has a hint.
func (f *front) hinted() bool {
	return slices.ContainsFunc(f.all, func(e endpoint) bool { return len(e.forNodes) > 0 || len(e.forZones) > 0 })
}

func hintsOf(o *discoveryv1.Endpoint) (zones, nodes []string) {
	if o.Hints == nil {
		return nil, nil
	}
	for _, z := range o.Hints.ForZones {
		zones = append(zones, z.Name)
	}
	for _, n := range o.Hints.ForNodes {
		nodes = append(nodes, n.Name)
	}
	return zones, nodes
}
