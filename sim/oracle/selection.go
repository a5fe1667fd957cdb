package oracle

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"svclab/proxycore/cluster"
)

// facts is what was found out about one state, each thing when it was first asked for. It is the same for every place
// and every rule book.
type facts struct {
	state *cluster.Snapshot
	found map[frontKey]target
	spans int // how many spans of the history refer to it
}

type frontKey struct {
	to    netip.AddrPort
	proto cluster.Proto
}

// target is what an address is in a state: no Service has it (both nil), a Service has it but not that port (front
// is nil), or a front.
type target struct {
	service *cluster.Service
	front   *front
	by      kind   // how the Service is called there
	aside   *front // a NodePort of that number, at an address of a node where none is answered
}

// front is a port of a Service and the endpoints behind it, of its address's family.
type front struct {
	name            string // "default/myservice:80"
	service         cluster.Key
	port            uint16 // of the Service, whatever number was called
	by              kind
	sticky          time.Duration // how long a client keeps its endpoint (sessionAffinity ClientIP); 0: not at all
	all             []endpoint
	ready, draining []netip.AddrPort // of the whole cluster

	internalLocal, externalLocal bool           // the traffic policies
	outside                      bool           // it can be called by another address than the ClusterIP
	ranges                       []netip.Prefix // loadBalancerSourceRanges; none: everybody
	vips                         []netip.Addr   // of its load balancer

	facts *facts
	pools map[poolKey]pool
}

// endpoint is one address and port of a Service, each once, sorted.
type endpoint struct {
	netip.AddrPort
	ready, serving, terminating bool
	node                        string   // "" when the slice does not say
	forZones, forNodes          []string // hints
}

func newFacts(s *cluster.Snapshot) *facts { return &facts{state: s, found: map[frontKey]target{}} }

// usable are the ready endpoints of the whole cluster; when there is none, those that terminate but still serve (KEP-1669,
// rows TERM-1, TERM-2). An endpoint that is neither ready nor terminating is never used (TERM-7).
func (f *front) usable() []netip.AddrPort {
	if len(f.ready) > 0 {
		return f.ready
	}
	return f.draining
}

func has(pool []netip.AddrPort, a netip.AddrPort) bool { return slices.Contains(pool, a) }

// served: ExternalName Services are names in the DNS and nothing else (CIP-15; headless ones have no ClusterIP,
// CIP-14), and one that is labelled for another proxy is left to it (CIP-16).
func served(s *corev1.Service) bool {
	_, other := s.Labels["service.kubernetes.io/service-proxy-name"]
	return s.Spec.Type != corev1.ServiceTypeExternalName && !other
}

func (st *facts) front(svc *cluster.Service, p *corev1.ServicePort, proto cluster.Proto, ipv4 bool, by kind) *front {
	f := &front{
		name: frontName(svc.Key, uint16(p.Port)), service: svc.Key, port: uint16(p.Port), by: by,
		sticky: stickiness(svc.Object), all: st.endpoints(svc.Key, p.Name, proto, ipv4),
		internalLocal: internalLocal(svc.Object), externalLocal: externalLocal(svc.Object),
		ranges: sourceRanges(svc.Object, ipv4), vips: vips(svc.Object, true),
		facts: st, pools: map[poolKey]pool{},
	}
	f.outside = p.NodePort != 0 || len(f.vips)+len(svc.Object.Spec.ExternalIPs) > 0
	for _, e := range f.all {
		switch {
		case e.ready:
			f.ready = append(f.ready, e.AddrPort)
		case e.serving && e.terminating:
			f.draining = append(f.draining, e.AddrPort)
		}
	}
	return f
}

// endpoints is the union over all slices that name the Service (CIP-21), each address and port once (CIP-25).
func (st *facts) endpoints(svc cluster.Key, port string, proto cluster.Proto, ipv4 bool) []endpoint {
	found := map[netip.AddrPort]endpoint{}
	family := discoveryv1.AddressTypeIPv6
	if ipv4 {
		family = discoveryv1.AddressTypeIPv4
	}
	for slice := range st.state.Slices(svc) {
		if slice.Object.AddressType != family {
			continue // CIP-26
		}
		if _, headless := slice.Object.Labels[corev1.IsHeadlessService]; headless {
			continue // CIP-17
		}
		for _, number := range numbers(slice.Object.Ports, port, proto) {
			for i, o := range slice.Object.Endpoints {
				a := slice.Addresses[i] // addresses[0] (CIP-24)
				if !a.IsValid() || a.Is4() != ipv4 {
					continue
				}
				// What is not said: ready, serving and not terminating (CIP-23).
				e := endpoint{
					AddrPort:    netip.AddrPortFrom(a, number),
					ready:       o.Conditions.Ready == nil || *o.Conditions.Ready,
					serving:     o.Conditions.Serving == nil || *o.Conditions.Serving,
					terminating: o.Conditions.Terminating != nil && *o.Conditions.Terminating,
				}
				e.node = *cmp.Or(o.NodeName, new(string))
				e.forZones, e.forNodes = hintsOf(&o)
				if had, ok := found[e.AddrPort]; !ok || better(e, had) {
					found[e.AddrPort] = e
				}
			}
		}
	}
	all := make([]endpoint, 0, len(found))
	for _, e := range found {
		all = append(all, e)
	}
	slices.SortFunc(all, func(a, b endpoint) int { return a.AddrPort.Compare(b.AddrPort) })
	return all
}

// better: of two copies the one that does not terminate counts (endpointslicecache.go, kubernetes/kubernetes#135593).
// Between copies that differ only in readiness upstream takes either; here the ready one counts.
func better(a, b endpoint) bool {
	if a.terminating != b.terminating {
		return !a.terminating
	}
	return a.ready && !b.ready || a.ready == b.ready && a.serving && !b.serving
}

// numbers are the port numbers that a slice has under that name and protocol. A nil name or number is not "all ports",
// it is nothing (CIP-22, endpointslicecache.go).
func numbers(ports []discoveryv1.EndpointPort, name string, proto cluster.Proto) (found []uint16) {
	for _, p := range ports {
		if p.Name == nil || *p.Name != name || p.Port == nil || *p.Port <= 0 || *p.Port > 65535 {
			continue
		}
		spelt := ""
		if p.Protocol != nil {
			spelt = string(*p.Protocol)
		}
		if got, err := cluster.ParseProto(spelt); err == nil && got == proto {
			found = append(found, uint16(*p.Port))
		}
	}
	return found
}
