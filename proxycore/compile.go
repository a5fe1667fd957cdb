package proxycore

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"svclab/proxycore/cluster"
)

// Config is what an administrator tells the proxy of a node. The zero value has no local-traffic detector.
type Config struct {
	Node          string         // required: the node's name
	ClusterCIDRs  []netip.Prefix // sources in them are pods (kube-proxy's detectLocalMode ClusterCIDR); none: nobody can tell
	MasqueradeAll bool
}

// NodeView is what Compile must know of the node. A changed view recompiles every Service, so it holds no more fields
// of the Node than that needs.
type NodeView struct {
	Name         string
	DetectsLocal bool         // Config.ClusterCIDRs is not empty
	Addresses    []netip.Addr // where NodePorts are answered: the Node's InternalIPs (nodePortAddresses "primary", row NP-11), sorted
}

// Equal reports whether both are the same.
func (v NodeView) Equal(o NodeView) bool {
	return v.Name == o.Name && v.DetectsLocal == o.DetectsLocal && slices.Equal(v.Addresses, o.Addresses)
}

// CompileNode says what the node must do whatever the Services are. Pure. A node that the cluster does not have (yet) has
// no addresses.
func CompileNode(n *cluster.Node, cfg Config) (NodeRules, NodeView) {
	pods := slices.Clone(cfg.ClusterCIDRs)
	slices.SortFunc(pods, comparePrefixes)
	view := NodeView{Name: cfg.Node, DetectsLocal: len(cfg.ClusterCIDRs) > 0}
	if n != nil {
		view.Addresses = slices.Clone(n.Addresses)
		slices.SortFunc(view.Addresses, netip.Addr.Compare)
	}
	return NodeRules{Pods: pods, MasqueradeAll: cfg.MasqueradeAll}, view
}

func comparePrefixes(a, b netip.Prefix) int {
	if c := a.Addr().Compare(b.Addr()); c != 0 {
		return c
	}
	return a.Bits() - b.Bits()
}

// Compile says what becomes of packets to one Service on one node. Pure: no clock, no environment, no order taken from
// a map. The routes are sorted by front.
func Compile(svc *cluster.Service, endpoints []*cluster.Slice, view NodeView) []Route {
	if svc == nil || svc.Object.Spec.Type == corev1.ServiceTypeExternalName || ofAnother(svc) {
		return nil // row CIP-15; a headless Service has no ClusterIPs (CIP-14)
	}
	affinity := affinityOf(svc.Object)
	var routes []Route
	for i := range svc.Object.Spec.Ports {
		port := &svc.Object.Spec.Ports[i]
		proto, err := cluster.ParseProto(string(port.Protocol))
		if err != nil {
			continue // the API server admits no others
		}
		pools := [2]*Pool{} // by family, computed once for all fronts of the port
		add := func(kind Kind, addr netip.Addr, number int32, masquerade Masquerade) {
			family := btoi(addr.Is6())
			if pools[family] == nil {
				pools[family] = &Pool{Endpoints: usable(endpoints, port.Name, proto, addr.Is4(), view.Name), Empty: Refuse}
			}
			routes = append(routes, Route{
				Front:      Front{Addr: addr, Proto: proto, Port: uint16(number)},
				Owner:      Owner{Service: svc.Key, Port: port.Name},
				Kind:       kind,
				Pool:       *pools[family],
				Masquerade: masquerade,
				Affinity:   affinity,
			})
		}
		internal := MasqueradeOutside
		if !view.DetectsLocal {
			internal = MasqueradeNone
		}
		for _, ip := range svc.ClusterIPs {
			add(ClusterIP, ip, port.Port, internal)
		}
		if len(svc.ClusterIPs) == 0 {
			continue // headless: nothing of it is a proxy's business (util.ShouldSkipService)
		}
		for _, text := range svc.Object.Spec.ExternalIPs {
			if ip, ok := cluster.ParseAddr(text); ok && served(svc, ip) {
				add(ExternalIP, ip, port.Port, MasqueradeAll)
			}
		}
		if port.NodePort != 0 {
			for _, ip := range view.Addresses {
				if served(svc, ip) {
					add(NodePort, ip, port.NodePort, MasqueradeAll)
				}
			}
		}
	}
	slices.SortStableFunc(routes, func(a, b Route) int { return a.Front.Compare(b.Front) })
	return slices.CompactFunc(routes, func(a, b Route) bool { return a.Front == b.Front }) // an address that is given twice
}

// served: a front in a family that the Service does not have is ignored (row FAM-2).
// ofAnother: the label gives the Service to another proxy (KEP-2447; row CIP-16).
func ofAnother(svc *cluster.Service) bool {
	_, is := svc.Object.Labels["service.kubernetes.io/service-proxy-name"]
	return is
}

func served(svc *cluster.Service, ip netip.Addr) bool {
	return slices.ContainsFunc(svc.ClusterIPs, func(have netip.Addr) bool { return have.Is4() == ip.Is4() })
}

// affinityOf is the timeout of sessionAffinity ClientIP, 0 without it. The API's default is three hours.
func affinityOf(svc *corev1.Service) time.Duration {
	if svc.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	seconds := corev1.DefaultClientIPServiceAffinitySeconds
	if c := svc.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		seconds = *c.ClientIP.TimeoutSeconds
	}
	return time.Duration(seconds) * time.Second
}

// candidate is an endpoint of a slice before readiness is judged over all of them.
type candidate struct {
	Endpoint
	ready, serving, terminating bool
}

// usable merges the slices of one Service for one port and family: ready endpoints, or when there are none, those that
// still serve while they terminate (KEP-1669; kubernetes pkg/proxy/topology.go). An address that is in two slices
// counts once, and its copy that is not terminating wins (row CIP-25, kubernetes #135593), then one that is ready, for
// which upstream has no rule.
func usable(endpoints []*cluster.Slice, port string, proto cluster.Proto, is4 bool, node string) []Endpoint {
	var all []candidate
	for _, s := range endpoints {
		number, ok := slicePort(s.Object.Ports, port, proto)
		if !ok || s.Object.AddressType == discoveryv1.AddressTypeFQDN {
			continue
		}
		for i := range s.Object.Endpoints {
			addr := s.Addresses[i]
			if !addr.IsValid() || addr.Is4() != is4 {
				continue
			}
			e := &s.Object.Endpoints[i]
			c := candidate{
				Endpoint:    Endpoint{AddrPort: netip.AddrPortFrom(addr, number), Here: e.NodeName == nil || *e.NodeName == node},
				ready:       e.Conditions.Ready == nil || *e.Conditions.Ready, // nil: rows CIP-23
				terminating: e.Conditions.Terminating != nil && *e.Conditions.Terminating,
			}
			c.serving = e.Conditions.Serving == nil && c.ready || e.Conditions.Serving != nil && *e.Conditions.Serving
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, func(a, b candidate) int {
		if c := a.Compare(b.AddrPort); c != 0 {
			return c
		}
		return cmp.Or(btoi(a.terminating)-btoi(b.terminating), btoi(b.ready)-btoi(a.ready))
	})
	all = slices.CompactFunc(all, func(a, b candidate) bool { return a.AddrPort == b.AddrPort })
	pick := func(good func(candidate) bool) (out []Endpoint) {
		for _, c := range all {
			if good(c) {
				out = append(out, c.Endpoint)
			}
		}
		return out
	}
	if ready := pick(func(c candidate) bool { return c.ready }); len(ready) > 0 {
		return ready
	}
	return pick(func(c candidate) bool { return c.serving && c.terminating })
}

// slicePort finds the endpoint port of that name and protocol. A port without number is ignored (row CIP-22).
func slicePort(ports []discoveryv1.EndpointPort, name string, proto cluster.Proto) (uint16, bool) {
	for _, p := range ports {
		have := ""
		if p.Name != nil {
			have = *p.Name
		}
		text := ""
		if p.Protocol != nil {
			text = string(*p.Protocol)
		}
		if q, err := cluster.ParseProto(text); err == nil && q == proto && have == name && p.Port != nil && *p.Port != 0 {
			return uint16(*p.Port), true
		}
	}
	return 0, false
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
