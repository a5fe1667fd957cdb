package oracle

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
)

func internalLocal(s *corev1.Service) bool {
	p := s.Spec.InternalTrafficPolicy
	return p != nil && *p == corev1.ServiceInternalTrafficPolicyLocal
}

// externalLocal: a policy for external traffic is for Services that have any (POL-14,
// pkg/api/v1/service/util.go ExternallyAccessible).
func externalLocal(s *corev1.Service) bool {
	return s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal && externallyAccessible(s)
}

func externallyAccessible(s *corev1.Service) bool {
	return s.Spec.Type == corev1.ServiceTypeLoadBalancer || s.Spec.Type == corev1.ServiceTypeNodePort || len(s.Spec.ExternalIPs) > 0
}

// vips are the addresses of a Service's load balancer: those whose packets arrive as they were sent, or those that it
// answers itself (ipMode Proxy, KEP-1860), which are none of a proxy's business (LB-4).
func vips(s *corev1.Service, asSent bool) (as []netip.Addr) {
	for _, in := range s.Status.LoadBalancer.Ingress {
		proxied := in.IPMode != nil && *in.IPMode == corev1.LoadBalancerIPModeProxy
		if a, ok := cluster.ParseAddr(in.IP); ok && proxied != asSent {
			as = append(as, a)
		}
	}
	return as
}

// sourceRanges are those of one family; a range that holds everybody, or none of the family, is no restriction (LB-11).
func sourceRanges(s *corev1.Service, ipv4 bool) (ranges []netip.Prefix) {
	for _, t := range s.Spec.LoadBalancerSourceRanges {
		r, ok := cluster.ParsePrefix(t)
		switch {
		case !ok || r.Addr().Is4() != ipv4:
		case r.Bits() == 0:
			return nil
		default:
			ranges = append(ranges, r)
		}
	}
	return ranges
}

// admits: the load balancer's ranges let that client in. Where the node's own address is let in, so is a VIP that is
// the source: a process of a node that has the VIP shows it (LB-9).
func (q *question) admits() bool {
	in := func(a netip.Addr) bool {
		return slices.ContainsFunc(q.front.ranges, func(r netip.Prefix) bool { return r.Contains(a) })
	}
	if q.by != byLoadBalancer || len(q.front.ranges) == 0 || in(q.self) {
		return true
	}
	node := q.node(q.translates)
	return slices.Contains(q.front.vips, q.self) && node != nil && in(node.AddrOf(q.self))
}
