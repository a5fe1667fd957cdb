package oracle

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"svclab/proxycore/cluster"
)

// Mutants in this file take the cluster's objects for others than they are: they read a field wrongly, leave an object
// out, or do not notice that it has changed.
var mutantsOfReading = []Mutant{
	{Name: "one-target-port", Bug: "all ports of a Service lead to the target port of its first", Breaks: []string{"CIP-8"},
		Scenario: "ports", Sentence: "should have answered", misread: inSlices(func(_ *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
			for i := range o.Ports {
				if *o.Ports[i].Protocol == *o.Ports[0].Protocol {
					o.Ports[i].Port = o.Ports[0].Port
				}
			}
		})},
	{Name: "ports-without-protocol", Bug: "of two ports with one number only the first counts, whatever its protocol", Breaks: []string{"CIP-9"},
		Scenario: "ports", Sentence: "should have answered", misread: inServices(func(o *corev1.Service) bool {
			o.Spec.Ports = firstOf(o.Spec.Ports, func(p corev1.ServicePort) int32 { return p.Port })
			return true
		})},
	{Name: "node-ports-without-protocol", Bug: "a NodePort is taken by TCP, so UDP cannot have the number", Breaks: []string{"NP-15"},
		Scenario: "nodeport-protocols", Sentence: "should have answered", misread: inServices(func(o *corev1.Service) bool {
			return o.Spec.Type != corev1.ServiceTypeNodePort || o.Spec.Ports[0].Protocol != corev1.ProtocolUDP
		})},
	{Name: "one-number-for-a-name", Bug: "a named port is taken to be the same number in every pod", Breaks: []string{"CIP-10"},
		Scenario: "named-port", Sentence: "should have answered", misread: inSlices(func(_ *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
			for i := range o.Ports {
				o.Ports[i].Port = new(int32(8080))
			}
		})},
	{Name: "still-a-service", Bug: "a Service that becomes an ExternalName keeps its rules", Breaks: []string{"CIP-15"},
		Scenario: "external-name", Sentence: "belongs to no Service", misread: remember(func(was, is *corev1.Service) *corev1.Service {
			if is != nil && is.Spec.Type == corev1.ServiceTypeExternalName && was != nil {
				return was
			}
			return is
		})},
	{Name: "takes-anothers-service", Bug: "the label that leaves a Service to another proxy is not read", Breaks: []string{"CIP-16"},
		Scenario: "other-proxy", Sentence: "should have", misread: inServices(func(o *corev1.Service) bool {
			delete(o.Labels, "service.kubernetes.io/service-proxy-name")
			return true
		})},
	{Name: "removes-the-siblings", Bug: "when a Service is deleted its endpoints are taken from the others that have them", Breaks: []string{"CIP-18"},
		Scenario: "shared-pods", Sentence: "should have answered", misread: removeSiblings},
	{Name: "keeps-deleted", Bug: "the rules of a deleted Service stay", Breaks: []string{"CIP-19"},
		Scenario: "shared-pods", Sentence: "belongs to no Service", misread: keepDeleted},
	{Name: "keeps-deleted-nodeports", Bug: "the NodePort of a deleted Service stays, and that of one whose NodePort changes", Breaks: []string{"NP-16"},
		Scenario: "nodeport-protocols", Sentence: "should have been", misread: keepDeleted},
	{Name: "first-slice-only", Bug: "of several slices of a Service the first counts", Breaks: []string{"CIP-21"},
		Scenario: "hand-written", Sentence: "never answered, though its share is", misread: inSlices(func(s *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
			for first := range s.Slices(serviceOf(o)) {
				if first.Name > o.Name || first.Name < o.Name {
					o.Endpoints = nil
				}
				return
			}
		})},
	{Name: "no-number-is-every-port", Bug: "a port of a slice without a number is taken to be the Service's", Breaks: []string{"CIP-22"},
		Scenario: "numberless", Sentence: "no endpoint of default/", misread: inSlices(func(_ *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
			for i := range o.Ports {
				if o.Ports[i].Port == nil {
					o.Ports[i].Port = new(int32(8080))
				}
			}
		})},
	{Name: "no-conditions-is-not-ready", Bug: "an endpoint without conditions is taken to be not ready", Breaks: []string{"CIP-23"},
		Scenario: "terse", Sentence: "never answered, though its share is", misread: inEndpoints(func(e *discoveryv1.Endpoint) {
			e.Conditions.Ready = new(e.Conditions.Ready != nil && *e.Conditions.Ready)
			e.Conditions.Serving = new(*e.Conditions.Ready)
		})},
	{Name: "last-address", Bug: "of an endpoint's addresses the last counts", Breaks: []string{"CIP-24"},
		Scenario: "terse", Sentence: "no endpoint of default/", misread: inEndpoints(func(e *discoveryv1.Endpoint) { slices.Reverse(e.Addresses) })},
	{Name: "terminating-copy-wins", Bug: "of two copies of an endpoint the one that terminates counts", Breaks: []string{"CIP-25"},
		Scenario: "copies", Sentence: "never answered, though its share is", misread: inSlices(terminatingWins)},
	{Name: "names-spoil-the-service", Bug: "a slice of names makes the whole Service invalid", Breaks: []string{"CIP-26"},
		Scenario: "copies", Sentence: "should have answered", misread: inSlices(func(s *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
			for other := range s.Slices(serviceOf(o)) {
				if other.Object.AddressType == discoveryv1.AddressTypeFQDN {
					o.Endpoints = nil
				}
			}
		})},
	{Name: "copies-spelling", Bug: "an address that is oddly spelt is left out, as the kernel would not take it", Breaks: []string{"CIP-27"},
		Scenario: "spelling", Sentence: "should have answered", misread: inServices(func(o *corev1.Service) bool {
			return !slices.ContainsFunc(o.Spec.ClusterIPs, func(t string) bool {
				a, err := netip.ParseAddr(t)
				return t != corev1.ClusterIPNone && (err != nil || a.String() != t)
			})
		})},
	{Name: "one-service-range", Bug: "a ClusterIP outside the range that the cluster began with is not served", Breaks: []string{"CIP-28"},
		Scenario: "second-range", Sentence: "should have answered", misread: inServices(func(o *corev1.Service) bool {
			return strings.HasPrefix(o.Spec.ClusterIP, "10.96.") || strings.HasPrefix(o.Spec.ClusterIP, "fd00:10:96:")
		})},
	{Name: "node-addresses-are-no-endpoints", Bug: "an endpoint with a node's address is left out", Breaks: []string{"M-17"},
		Scenario: "api-server", Sentence: "should have answered", misread: inSlices(func(s *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
			o.Endpoints = slices.DeleteFunc(o.Endpoints, func(e discoveryv1.Endpoint) bool {
				a, _ := cluster.ParseAddr(e.Addresses[0])
				for n := range s.Nodes() {
					if slices.Contains(n.Addresses, a) {
						return true
					}
				}
				return false
			})
		})},
	{Name: "asks-who-serves-no-more", Bug: "an endpoint that terminates is asked although it serves no more", Breaks: []string{"TERM-6"},
		Scenario: "readiness", Sentence: "should have been refused", misread: inEndpoints(func(e *discoveryv1.Endpoint) {
			if t := e.Conditions.Terminating; t != nil && *t {
				e.Conditions.Serving = new(true)
			}
		})},
	{Name: "asks-the-unready", Bug: "an endpoint that is not ready is asked", Breaks: []string{"TERM-7"},
		Scenario: "readiness", Sentence: "should have answered", misread: inEndpoints(func(e *discoveryv1.Endpoint) {
			if t := e.Conditions.Terminating; t == nil || !*t {
				e.Conditions.Ready = new(true)
			}
		})},
	{Name: "looks-at-pods", Bug: "whether an endpoint is ready is read from its pod, not from the slice", Breaks: []string{"TERM-10"},
		Scenario: "not-ready-addresses", Sentence: "should have answered", misread: inSlices(lookAtPods)},
	{Name: "better-unready-than-none", Bug: "without any ready endpoint those that are not ready are asked", Breaks: []string{"TERM-11"},
		Scenario: "not-ready-addresses", Sentence: "should have been refused", misread: inEndpoints(func(e *discoveryv1.Endpoint) { e.Conditions.Ready = new(true) })},
	{Name: "failed-pods-stay", Bug: "an endpoint whose pod failed stays", Breaks: []string{"TERM-12"},
		Scenario: "failed-pod", Sentence: "no endpoint of default/web:80 any more", misread: keepEndpoints},
	{Name: "one-family-only", Bug: "a Service of two families is taken for a mistake", Breaks: []string{"FAM-1"},
		Scenario: "families", Sentence: "should have answered", misread: inServices(func(o *corev1.Service) bool { return len(o.Spec.ClusterIPs) < 2 })},
	{Name: "takes-the-other-family", Bug: "a NodePort is taken in the family too that its Service does not have", Breaks: []string{"FAM-2"},
		Scenario: "one-family", Sentence: "should have been reset", Family: "ipv6", misread: inServices(func(o *corev1.Service) bool {
			if len(o.Spec.ClusterIPs) == 1 && o.Spec.Type == corev1.ServiceTypeNodePort {
				o.Spec.ClusterIPs = append(o.Spec.ClusterIPs, "fd00:10:96::ffff")
			}
			return true
		})},
	{Name: "leaves-out-the-empty-family", Bug: "a Service without endpoints of a family is not there in that family", Breaks: []string{"FAM-3"},
		Scenario: "families", Sentence: "has no ready endpoint", Family: "ipv6", misread: inServices(func(o *corev1.Service) bool {
			if o.Name == "four" {
				o.Spec.ClusterIPs = o.Spec.ClusterIPs[:1]
			}
			return true
		})},
	{Name: "second-address-is-nobodys", Bug: "a pod's address of the second family is not routed", Breaks: []string{"FAM-5"},
		Scenario: "families", Sentence: "silent for", Family: "ipv6",
		rule: "no Service, no translation", spoil: after(func(q *question) {
			if !q.at.Addr().Is4() {
				losePacket(q)
			}
		})},
}

func serviceOf(o *discoveryv1.EndpointSlice) cluster.Key {
	return cluster.Key{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
}

// inServices changes a copy of every Service; one for which it returns false is left out.
func inServices(change func(o *corev1.Service) bool) func() func(*cluster.Snapshot) *cluster.Snapshot {
	return func() func(*cluster.Snapshot) *cluster.Snapshot {
		return func(s *cluster.Snapshot) *cluster.Snapshot {
			out := s
			for svc := range s.Services() {
				if o := svc.Object.DeepCopy(); change(o) {
					out = out.WithService(o)
				} else {
					out = out.WithoutService(svc.Key)
				}
			}
			return out
		}
	}
}

// inSlices changes a copy of every slice.
func inSlices(change func(s *cluster.Snapshot, o *discoveryv1.EndpointSlice)) func() func(*cluster.Snapshot) *cluster.Snapshot {
	return func() func(*cluster.Snapshot) *cluster.Snapshot {
		return func(s *cluster.Snapshot) *cluster.Snapshot {
			out := s
			for svc := range s.Services() {
				for slice := range s.Slices(svc.Key) {
					o := slice.Object.DeepCopy()
					change(s, o)
					out = out.WithSlice(o)
				}
			}
			return out
		}
	}
}

func inEndpoints(change func(e *discoveryv1.Endpoint)) func() func(*cluster.Snapshot) *cluster.Snapshot {
	return inSlices(func(_ *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
		for i := range o.Endpoints {
			change(&o.Endpoints[i])
		}
	})
}

// firstOf keeps the first of those that have the same.
func firstOf[T any, K comparable](all []T, of func(T) K) (out []T) {
	seen := map[K]bool{}
	for _, v := range all {
		if !seen[of(v)] {
			out = append(out, v)
		}
		seen[of(v)] = true
	}
	return out
}

func terminatingWins(s *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
	o.Endpoints = slices.DeleteFunc(o.Endpoints, func(e discoveryv1.Endpoint) bool {
		for other := range s.Slices(serviceOf(o)) {
			for _, copied := range other.Object.Endpoints {
				t := copied.Conditions.Terminating
				if copied.Addresses[0] == e.Addresses[0] && t != nil && *t && e.Conditions.Terminating == nil {
					return true
				}
			}
		}
		return false
	})
}

func lookAtPods(s *cluster.Snapshot, o *discoveryv1.EndpointSlice) {
	for i, e := range o.Endpoints {
		if e.TargetRef == nil {
			continue
		} else if pod := s.Pod(cluster.Key{Namespace: o.Namespace, Name: e.TargetRef.Name}); pod != nil {
			ready := slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
				return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
			})
			o.Endpoints[i].Conditions.Ready = &ready
		}
	}
}
