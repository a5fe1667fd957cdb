package reflector

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"svclab/proxycore/cluster"
)

// folder makes states of changes.
type folder struct {
	snapshot *cluster.Snapshot // nil until every resource is listed
	missing  int
	early    []change // before that
	listed   int
	seen     [numResources]uint64
	ranges   map[string][]string // of ServiceCIDRs, by name
}

func (f *folder) fold(n news) {
	f.seen = n.seen
	f.listed += n.listed
	f.missing = numResources - f.listed
	if f.snapshot == nil {
		f.early = append(f.early, n.changes...)
		if f.missing == 0 {
			f.begin()
		}
		return
	}
	for i := range n.changes {
		f.one(&n.changes[i])
	}
}

// begin builds the first state at once of what was listed; only what has changed since is put in one by one.
func (f *folder) begin() {
	var services []*corev1.Service
	var endpoints []*discoveryv1.EndpointSlice
	var rest []change
	var later [numResources]bool // it has changed since: from there on the order counts
	for _, c := range f.early {
		s, isService := c.now.(*corev1.Service)
		e, isSlice := c.now.(*discoveryv1.EndpointSlice)
		switch {
		case c.was != nil || later[c.index]:
			later[c.index] = true
			rest = append(rest, c)
		case isService:
			services = append(services, s)
		case isSlice:
			endpoints = append(endpoints, e)
		default:
			rest = append(rest, c)
		}
	}
	f.early = nil
	f.snapshot, f.ranges = cluster.Of(services, endpoints), map[string][]string{}
	for i := range rest {
		f.one(&rest[i])
	}
}

func (f *folder) one(c *change) {
	is := c.now
	if is == nil {
		is = c.was
	}
	switch o := is.(type) {
	case *corev1.Service:
		if c.now == nil {
			f.snapshot = f.snapshot.WithoutService(keyOf(o))
		} else {
			f.snapshot = f.snapshot.WithService(o)
		}
	case *discoveryv1.EndpointSlice:
		if was, ok := c.was.(*discoveryv1.EndpointSlice); ok && (c.now == nil || serviceOf(was) != serviceOf(o)) {
			f.snapshot = f.snapshot.WithoutSlice(serviceOf(was), keyOf(was))
		}
		if c.now != nil {
			f.snapshot = f.snapshot.WithSlice(o)
		}
	case *corev1.Node:
		if c.now == nil {
			f.snapshot = f.snapshot.WithoutNode(o.Name)
		} else {
			f.snapshot = f.snapshot.WithNode(o)
		}
	case *networkingv1.ServiceCIDR:
		if c.now == nil {
			delete(f.ranges, o.Name)
		} else {
			f.ranges[o.Name] = o.Spec.CIDRs
		}
		f.snapshot = f.snapshot.WithServiceCIDRs(prefixes(f.ranges)...)
	}
}

func serviceOf(s *discoveryv1.EndpointSlice) cluster.Key {
	return cluster.Key{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
}

// prefixes are sorted, each once: the order in which ServiceCIDRs came is nobody's business.
func prefixes(ranges map[string][]string) (out []netip.Prefix) {
	for _, texts := range ranges {
		for _, t := range texts {
			if p, ok := cluster.ParsePrefix(t); ok {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(out)
}
