package proxycore

import (
	"cmp"
	"net/netip"
	"slices"

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
	DetectsLocal bool // Config.ClusterCIDRs is not empty
}

// CompileNode says what the node must do whatever the Services are. Pure.
func CompileNode(n *cluster.Node, cfg Config) (NodeRules, NodeView) {
	pods := slices.Clone(cfg.ClusterCIDRs)
	slices.SortFunc(pods, comparePrefixes)
	return NodeRules{Pods: pods, MasqueradeAll: cfg.MasqueradeAll},
		NodeView{Name: cfg.Node, DetectsLocal: len(cfg.ClusterCIDRs) > 0}
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
	if svc == nil || svc.Object.Spec.Type == corev1.ServiceTypeExternalName {
		return nil // row CIP-15; a headless Service has no ClusterIPs (CIP-14)
	}
	var routes []Route
	for i := range svc.Object.Spec.Ports {
		port := &svc.Object.Spec.Ports[i]
		proto, err := cluster.ParseProto(string(port.Protocol))
		if err != nil {
			continue // the API server admits no others
		}
		for _, ip := range svc.ClusterIPs {
			masquerade := MasqueradeOutside
			if !view.DetectsLocal {
				masquerade = MasqueradeNone
			}
			routes = append(routes, Route{
				Front:      Front{Addr: ip, Proto: proto, Port: uint16(port.Port)},
				Owner:      Owner{Service: svc.Key, Port: port.Name},
				Kind:       ClusterIP,
				Pool:       Pool{Endpoints: usable(endpoints, port.Name, proto, ip.Is4(), view.Name), Empty: Refuse},
				Masquerade: masquerade,
			})
		}
	}
	slices.SortFunc(routes, func(a, b Route) int { return a.Front.Compare(b.Front) })
	return routes
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
