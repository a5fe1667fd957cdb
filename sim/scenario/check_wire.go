package scenario

import (
	"strconv"

	corev1 "k8s.io/api/core/v1"
)

// checkWire refuses what a protocol does not have: an SCTP probe is an INIT and what answers it, an echo is one packet.
func (p *parser) checkWire(pr *Probe, t Target, now *there) {
	proto := t.Proto
	if proto == "" && t.Ref.Kind == "service" && now.objects[t.Ref] != nil {
		if o, ok := now.objects[t.Ref].Object.Object.(*corev1.Service); ok {
			proto = protoOf(o, t.Port)
		}
	}
	var what, has string
	switch {
	case proto == "SCTP" && pr.Size > 0:
		what, has = "size", "over SCTP a probe is an INIT, which has no payload"
	case proto == "SCTP" && pr.Session != "":
		what, has = "session", "over SCTP a probe is an INIT, and every one is a new association"
	case t.Echo() && pr.Size > 0:
		what, has = "size", "an echo is asked with a few bytes"
	case pr.Fault != "" && proto != "" && proto != "TCP":
		what, has = "fault", "only TCP has a window"
	default:
		return
	}
	p.problem(t.Pos, "%s: leave out %s, or ask this in a probe of its own", has, what)
}

// protoOf is the protocol of a Service's port, given by name or number; empty when it has none such, or several.
func protoOf(o *corev1.Service, port string) (proto string) {
	n, err := strconv.Atoi(port)
	for _, have := range o.Spec.Ports {
		if have.Name == port || err == nil && int(have.Port) == n {
			if proto != "" {
				return ""
			}
			if proto = string(have.Protocol); proto == "" {
				proto = "TCP"
			}
		}
	}
	return proto
}

// checkHealthPort: only a Service of type LoadBalancer with externalTrafficPolicy Local has one; it may have become, or have
// been, such a one by another object or a patch.
func (p *parser) checkHealthPort(at Pos, r Ref) {
	for _, list := range [][]*located{p.objects, p.inline} {
		for _, l := range list {
			o, ok := l.Object.Object.(*corev1.Service)
			if l.Ref == r && (!ok || !l.sound || o.Spec.Type == corev1.ServiceTypeLoadBalancer && o.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal) {
				return
			}
		}
	}
	for c := range p.patches {
		for _, m := range c.Merge {
			if m.Ref == r {
				return
			}
		}
	}
	p.problem(at, "%s has no health-check port: it is for type LoadBalancer with \"externalTrafficPolicy: Local\"", r)
}
