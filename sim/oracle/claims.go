package oracle

import (
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// kind is how a Service is called.
type kind uint8

const (
	byClusterIP kind = iota
	byExternalIP
	byLoadBalancer // by a VIP that a load balancer sends on as it is
	byNodePort
)

// learn notes which Services of a state claim which addresses. Nothing is forgotten and every claim is verified when it
// is used, so what is noted need only be enough: a change costs as much as it changes.
func (h *History) learn(s *cluster.Snapshot) {
	for _, k := range cluster.Diff(h.learnt, s).Services {
		svc := s.Service(k)
		if svc == nil {
			continue
		}
		claim := func(a netip.Addr, port int32) {
			to := netip.AddrPortFrom(a, uint16(port))
			if !slices.Contains(h.claims[to], k) {
				h.claims[to] = append(h.claims[to], k)
			}
		}
		o := svc.Object
		for _, a := range slices.Concat(svc.ClusterIPs, externalIPs(o), vips(o, true), vips(o, false)) {
			claim(a, 0)
			for _, p := range svc.Object.Spec.Ports {
				claim(a, p.Port)
			}
		}
		for _, p := range svc.Object.Spec.Ports {
			if p.NodePort != 0 {
				claim(netip.Addr{}, p.NodePort)
			}
		}
	}
	h.learnt = s
}

func externalIPs(s *corev1.Service) (as []netip.Addr) {
	for _, t := range s.Spec.ExternalIPs {
		if a, ok := cluster.ParseAddr(t); ok {
			as = append(as, a)
		}
	}
	return as
}

// proxied is the Service whose load balancer answers that address itself.
func (st *facts) proxied(h *History, a netip.Addr) *cluster.Service {
	for _, k := range h.claims[netip.AddrPortFrom(a, 0)] {
		if svc := st.state.Service(k); svc != nil && served(svc.Object) && slices.Contains(vips(svc.Object, false), a) {
			return svc
		}
	}
	return nil
}

// node is the node that has this address itself.
func (h *History) node(a netip.Addr) *world.Host {
	for _, p := range h.at[a] {
		if p.Kind == world.Node {
			return p
		}
	}
	return nil
}

// claimant returns who has the front, of several the oldest, and in which of its ports. Port 0 stands for the address
// alone; an address without a port that matches is nobody's front.
func (st *facts) claimant(h *History, to netip.AddrPort, proto cluster.Proto, by kind) (best *cluster.Service, port *corev1.ServicePort) {
	at := to
	if by == byNodePort {
		at = netip.AddrPortFrom(netip.Addr{}, to.Port())
	}
	for _, k := range h.claims[at] {
		svc := st.state.Service(k)
		if svc == nil || !served(svc.Object) || best != nil && !older(svc, best) || !hasFamily(svc, to.Addr()) {
			continue
		}
		switch by {
		case byClusterIP:
			if !slices.Contains(svc.ClusterIPs, to.Addr()) {
				continue
			}
		case byExternalIP:
			if !slices.Contains(externalIPs(svc.Object), to.Addr()) {
				continue
			}
		case byLoadBalancer:
			if !slices.Contains(vips(svc.Object, true), to.Addr()) {
				continue
			}
		case byNodePort:
			if t := svc.Object.Spec.Type; t != corev1.ServiceTypeNodePort && t != corev1.ServiceTypeLoadBalancer {
				continue
			}
		}
		if to.Port() == 0 {
			best = svc
			continue
		}
		for i, p := range svc.Object.Spec.Ports {
			number := p.Port
			if by == byNodePort {
				number = p.NodePort
			}
			if got, err := cluster.ParseProto(string(p.Protocol)); err == nil && got == proto && uint16(number) == to.Port() {
				best, port = svc, &svc.Object.Spec.Ports[i]
				break
			}
		}
	}
	return best, port
}

// hasFamily: a Service is served in the families of its ClusterIPs; one without any is headless.
func hasFamily(s *cluster.Service, a netip.Addr) bool {
	return slices.ContainsFunc(s.ClusterIPs, func(c netip.Addr) bool { return c.Is4() == a.Is4() })
}

// older: of two Services that claim the same, the one created first has it, and of two created in the same second the
// one whose namespace and name come first: so every node decides alike.
func older(a, b *cluster.Service) bool {
	if c := a.Object.CreationTimestamp.Compare(b.Object.CreationTimestamp.Time); c != 0 {
		return c < 0
	}
	return a.Key.Compare(b.Key) < 0
}

// look finds out what an address is to who may call it. A NodePort is one at the addresses of nodes only, and at the
// loopback address of a node only for those who live there.
func (st *facts) look(h *History, from *world.Host, to netip.AddrPort, proto cluster.Proto) target {
	if to.Addr().IsLoopback() && !inNode(from) {
		return target{}
	}
	key := frontKey{to, proto}
	t, ok := st.found[key]
	if !ok {
		t = st.find(h, to, proto)
		st.found[key] = t
	}
	return t
}

func (st *facts) find(h *History, to netip.AddrPort, proto cluster.Proto) target {
	svc, port := st.claimant(h, to, proto, byClusterIP)
	by := byClusterIP
	for _, from := range []kind{byExternalIP, byLoadBalancer} {
		if other, p := st.claimant(h, to, proto, from); other != nil && (svc == nil || older(other, svc)) {
			svc, port, by = other, p, from
		}
	}
	if svc != nil && port != nil {
		return target{service: svc, front: st.front(svc, port, proto, to.Addr().Is4(), by), by: by}
	}
	if h.node(to.Addr()) != nil || to.Addr().IsLoopback() {
		if svc, port = st.claimant(h, to, proto, byNodePort); svc != nil && port != nil {
			front := st.front(svc, port, proto, to.Addr().Is4(), byNodePort)
			if _, _, yes := h.answersNodePorts(to.Addr()); !yes {
				return target{aside: front}
			}
			return target{service: svc, front: front, by: byNodePort}
		}
	}
	for _, by := range []kind{byClusterIP, byExternalIP, byLoadBalancer} {
		if svc, _ := st.claimant(h, netip.AddrPortFrom(to.Addr(), 0), proto, by); svc != nil {
			return target{service: svc, by: by}
		}
	}
	return target{}
}
