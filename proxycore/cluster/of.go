package cluster

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Of is the state of these Services and EndpointSlices: the same as one With… after the other, at a cost of O(N) where they
// are ordered by namespace and name, as an API server's lists are. Of two with the same name the later counts.
func Of(services []*corev1.Service, endpoints []*discoveryv1.EndpointSlice) *Snapshot {
	s := &Snapshot{}
	all := make([]*branch[*group], 0, len(services)) // each by itself: what a later state replaces must not stay
	at := make(map[Key]*group, len(services))
	find := func(k Key) *group {
		g := at[k]
		if g == nil {
			g = &group{}
			at[k] = g
			all = append(all, &branch[*group]{key: k, rank: rank(k), val: g})
		}
		return g
	}
	for _, o := range services {
		v := serviceOf(o)
		g := find(v.Key)
		s.count += btoi(g.service == nil)
		g.service = v
	}
	for _, o := range endpoints {
		v := sliceOf(o)
		g := find(v.Service)
		i, found := named(g.slices, v.Name)
		if found {
			g.slices[i] = v
		} else {
			g.slices = slices.Insert(g.slices, i, v)
		}
	}
	s.services = build(all)
	return s
}
