package oracle

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"svclab/proxycore/cluster"
)

// What a mutant remembers of the states before, instead of reading the one that it is given.

// remember hands every Service over with what it was taken for the last time; is nil when it was deleted.
func remember(choose func(was, is *corev1.Service) *corev1.Service) func() func(*cluster.Snapshot) *cluster.Snapshot {
	return func() func(*cluster.Snapshot) *cluster.Snapshot {
		known := map[cluster.Key]*corev1.Service{}
		return func(s *cluster.Snapshot) *cluster.Snapshot {
			for svc := range s.Services() {
				if known[svc.Key] == nil {
					known[svc.Key] = svc.Object
				}
			}
			out := s
			for k, was := range known {
				var is *corev1.Service
				if svc := s.Service(k); svc != nil {
					is = svc.Object
				}
				if known[k] = choose(was, is); known[k] == nil {
					delete(known, k)
				} else {
					out = out.WithService(known[k])
				}
			}
			return out
		}
	}
}

// keepDeleted serves deleted Services with the endpoints that they had, until one of that name comes again.
func keepDeleted() func(*cluster.Snapshot) *cluster.Snapshot {
	last := &cluster.Snapshot{}
	return func(s *cluster.Snapshot) *cluster.Snapshot {
		out := s
		for svc := range last.Services() {
			if s.Service(svc.Key) == nil {
				out = out.WithService(svc.Object)
				for slice := range last.Slices(svc.Key) {
					out = out.WithSlice(slice.Object)
				}
			}
		}
		last = out
		return out
	}
}

// keepEndpoints never lets an endpoint go.
func keepEndpoints() func(*cluster.Snapshot) *cluster.Snapshot {
	ever := map[string][]discoveryv1.Endpoint{}
	return inSlices(func(_ *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
		for _, e := range o.Endpoints {
			if !slices.ContainsFunc(ever[o.Name], func(had discoveryv1.Endpoint) bool { return had.Addresses[0] == e.Addresses[0] }) {
				ever[o.Name] = append(ever[o.Name], e)
			}
		}
		o.Endpoints = ever[o.Name]
	})()
}

// removeSiblings takes the endpoints of a Service that is gone from the others, until it comes again.
func removeSiblings() func(*cluster.Snapshot) *cluster.Snapshot {
	had := map[cluster.Key][]string{}
	return func(s *cluster.Snapshot) *cluster.Snapshot {
		for svc := range s.Services() {
			had[svc.Key] = nil
			for slice := range s.Slices(svc.Key) {
				for _, e := range slice.Object.Endpoints {
					had[svc.Key] = append(had[svc.Key], e.Addresses[0])
				}
			}
		}
		return inSlices(func(_ *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
			o.Endpoints = slices.DeleteFunc(o.Endpoints, func(e discoveryv1.Endpoint) bool {
				for k, addrs := range had {
					if s.Service(k) == nil && slices.Contains(addrs, e.Addresses[0]) {
						return true
					}
				}
				return false
			})
		})()(s)
	}
}

// stickyForEver: whoever had session affinity once has it from then on.
func stickyForEver() func(*cluster.Snapshot) *cluster.Snapshot {
	had := map[cluster.Key]bool{}
	return inServices(func(o *corev1.Service) bool {
		k := cluster.Key{Namespace: o.Namespace, Name: o.Name}
		had[k] = had[k] || o.Spec.SessionAffinity == corev1.ServiceAffinityClientIP
		if had[k] {
			o.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
		}
		return true
	})()
}
