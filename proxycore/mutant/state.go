package mutant

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
)

// Mutants in this file are told another state of the cluster than there is.

// firstSliceOnly takes the first slice of a Service for all of them.
var firstSliceOnly = Mutant{
	Name:     "first-slice-only",
	Breaks:   "CIP-21",
	Scenario: "hand-written",
	Peaceful: "myservice",
	Sentence: "never answered",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		seen := map[cluster.Key]bool{}
		return eachSlice(s, func(o *discoveryv1.EndpointSlice, service cluster.Key) {
			if seen[service] {
				o.Endpoints = nil
			}
			seen[service] = true
		})
	},
}

// ignoresReadiness asks every pod that is there.
var ignoresReadiness = Mutant{
	Name:     "ignores-readiness",
	Breaks:   "TERM-7",
	Scenario: "not-ready-addresses",
	Peaceful: "myservice",
	Sentence: "has no ready endpoint",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachEndpoint(s, func(e *discoveryv1.Endpoint) bool {
			yes := true
			e.Conditions.Ready = &yes
			return true
		})
	},
}

// noTerminatingFallback refuses rather than ask a pod on its way out (before KEP-1669 that was right).
var noTerminatingFallback = Mutant{
	Name:     "no-terminating-fallback",
	Breaks:   "TERM-2",
	Scenario: "readiness",
	Peaceful: "myservice",
	Sentence: "should have answered",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachEndpoint(s, func(e *discoveryv1.Endpoint) bool {
			return e.Conditions.Terminating == nil || !*e.Conditions.Terminating
		})
	},
}

// ignoresHostNetwork takes no node's address for an endpoint.
var ignoresHostNetwork = Mutant{
	Name:     "ignores-host-network",
	Breaks:   "HP-4",
	Scenario: "host-network",
	Also:     []string{"api-server"},
	Peaceful: "myservice",
	Sentence: "should have answered",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		nodes := map[netip.Addr]bool{}
		for n := range s.Nodes() {
			for _, a := range n.Addresses {
				nodes[a] = true
			}
		}
		return eachEndpoint(s, func(e *discoveryv1.Endpoint) bool {
			a, _ := cluster.ParseAddr(e.Addresses[0])
			return !nodes[a]
		})
	},
}

// servesOthers takes Services that a label gives to another proxy.
var servesOthers = Mutant{
	Name:     "serves-others",
	Breaks:   "CIP-16",
	Scenario: "other-proxy",
	Peaceful: "myservice",
	Sentence: "belongs to no Service",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachService(s, func(o *corev1.Service) { delete(o.Labels, "service.kubernetes.io/service-proxy-name") })
	},
}

// youngerWins gives a claimed address to the Service that came last.
var youngerWins = Mutant{
	Name:     "younger-wins",
	Breaks:   "EXT-1",
	Scenario: "conflict",
	Peaceful: "external-ip",
	Sentence: "should have answered",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachService(s, func(o *corev1.Service) {
			o.CreationTimestamp = metav1.NewTime(time.Unix(-o.CreationTimestamp.Unix(), 0))
		})
	},
}

// eachSlice is the state with every slice edited; the caller's objects are not touched.
func eachSlice(s *cluster.Snapshot, edit func(o *discoveryv1.EndpointSlice, service cluster.Key)) *cluster.Snapshot {
	now := s
	for svc := range s.Services() {
		for slice := range s.Slices(svc.Key) {
			o := slice.Object.DeepCopy()
			edit(o, svc.Key)
			now = now.WithSlice(o)
		}
	}
	return now
}

// eachEndpoint is the state with every endpoint edited, and without those for which keep is false.
func eachEndpoint(s *cluster.Snapshot, keep func(e *discoveryv1.Endpoint) bool) *cluster.Snapshot {
	return eachSlice(s, func(o *discoveryv1.EndpointSlice, _ cluster.Key) {
		var kept []discoveryv1.Endpoint
		for _, e := range slices.Clone(o.Endpoints) {
			if keep(&e) {
				kept = append(kept, e)
			}
		}
		o.Endpoints = kept
	})
}
