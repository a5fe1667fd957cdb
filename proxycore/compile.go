package proxycore

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
)

// Config is what the proxy of a node is told. Settings are the administrator's, Mode is what the backend can do.
type Config struct {
	Node     string // required: the node's name
	Settings cluster.Settings
	Mode     cluster.Mode
}

// NodeView is what Compile must know of the node. A changed view recompiles every Service, so it holds no more of the Node
// than that needs.
type NodeView struct {
	Name      string
	Zone      string       // its label topology.kubernetes.io/zone
	Primary   []netip.Addr // the node's first address of each family
	NodePorts []netip.Addr // where NodePorts are answered (nodePortAddresses), sorted
}

// Equal reports whether both are the same.
func (v NodeView) Equal(o NodeView) bool {
	return v.Name == o.Name && v.Zone == o.Zone && slices.Equal(v.Primary, o.Primary) && slices.Equal(v.NodePorts, o.NodePorts)
}

// CompileNode says what the node must do whatever the Services are, whose ClusterIPs are given out from these ranges. Pure. A
// node that the cluster does not have (yet) has no addresses and no pods.
func CompileNode(n *cluster.Node, ranges []netip.Prefix, cfg Config) (NodeRules, NodeView) {
	if n == nil {
		n = &cluster.Node{Object: &corev1.Node{}}
	}
	s := cfg.Settings
	rules := NodeRules{MasqueradeAll: s.MasqueradeAll, ServiceCIDRs: sortedPrefixes(ranges), Localhost: s.LocalhostNodePorts(cfg.Mode)}
	switch s.DetectLocalMode {
	case cluster.DetectNodeCIDR, "":
		rules.Pods = sortedPrefixes(n.PodCIDRs)
	case cluster.DetectClusterCIDR:
		rules.Pods = sortedPrefixes(s.ClusterCIDRs)
	case cluster.DetectBridgeInterface:
		rules.PodInterface = s.Interface
	case cluster.DetectInterfaceNamePrefix:
		rules.PodInterface = s.Interface + "*"
	}
	view := NodeView{Name: cfg.Node, Zone: n.Object.Labels[corev1.LabelTopologyZone]}
	for _, a := range n.Addresses {
		if !slices.ContainsFunc(view.Primary, func(b netip.Addr) bool { return a.Is4() == b.Is4() }) {
			view.Primary = append(view.Primary, a)
		}
	}
	for _, a := range n.Addresses {
		if answersNodePorts(s, cfg.Mode, a, slices.Contains(view.Primary, a)) {
			view.NodePorts = append(view.NodePorts, a)
		}
	}
	if rules.Localhost {
		view.NodePorts = append(view.NodePorts, netip.AddrFrom4([4]byte{127, 0, 0, 1}))
	}
	slices.SortFunc(view.NodePorts, netip.Addr.Compare)
	return rules, view
}

// answersNodePorts: ranges of the other family say nothing of this one, of which then every address answers (kubernetes
// pkg/proxy/util/nodeport_addresses.go: NewNodePortAddresses).
func answersNodePorts(s cluster.Settings, m cluster.Mode, a netip.Addr, primary bool) bool {
	switch {
	case s.Primary:
		return primary
	case len(s.NodePortAddresses) == 0:
		return primary || m.EveryAddress
	case !slices.ContainsFunc(s.NodePortAddresses, func(p netip.Prefix) bool { return p.Addr().Is4() == a.Is4() }):
		return true
	}
	return within(s.NodePortAddresses, a)
}

func within(ranges []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(ranges, func(p netip.Prefix) bool { return p.Contains(a) })
}

func sortedPrefixes(in []netip.Prefix) []netip.Prefix {
	return slices.SortedFunc(slices.Values(in), func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
}

// Compile says what becomes of packets to one Service on one node. Pure: no clock, no environment, no order taken from
// a map. The routes are sorted by front.
func Compile(svc *cluster.Service, endpoints []*cluster.Slice, view NodeView) []Route {
	return new(compiler).compile(svc, endpoints, view)
}

// compiler keeps the room that one Compile needs for a while, for the next.
type compiler struct{ scratch [2][]candidate }

func (m *compiler) compile(svc *cluster.Service, endpoints []*cluster.Slice, view NodeView) []Route {
	if svc == nil || svc.Object.Spec.Type == corev1.ServiceTypeExternalName || ofAnother(svc) || len(svc.ClusterIPs) == 0 {
		return nil // rows CIP-15, CIP-16; headless: nothing of it is a proxy's business (CIP-14; util.ShouldSkipService)
	}
	spec := &svc.Object.Spec
	affinity := affinityOf(svc.Object)
	onlyHere := spec.InternalTrafficPolicy != nil && *spec.InternalTrafficPolicy == corev1.ServiceInternalTrafficPolicyLocal
	fromOutsideOnlyHere := spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
	fronts := len(svc.ClusterIPs) + len(spec.ExternalIPs) + len(svc.Object.Status.LoadBalancer.Ingress)
	if len(spec.Ports) > 0 && spec.Ports[0].NodePort != 0 {
		fronts += len(view.NodePorts)
	}
	routes := make([]Route, 0, fronts*len(spec.Ports))
	for i := range spec.Ports {
		port := &spec.Ports[i]
		proto, err := cluster.ParseProto(string(port.Protocol))
		if err != nil {
			continue // the API server admits no others
		}
		known := [2]bool{} // by family, computed once for all fronts of the port
		add := func(kind Kind, addr netip.Addr, number int32) *Route {
			family := btoi(addr.Is6())
			if !known[family] {
				known[family] = true
				m.scratch[family] = candidates(m.scratch[family][:0], endpoints, port.Name, proto, addr.Is4())
			}
			all := m.scratch[family]
			r := Route{
				Front:    Front{Addr: addr, Proto: proto, Port: uint16(number)},
				Owner:    Owner{Service: svc.Key, Port: port.Name},
				Kind:     kind,
				Affinity: affinity,
			}
			switch {
			case kind == ClusterIP && onlyHere:
				r.Pool = here(all, view)
			case kind != ClusterIP && fromOutsideOnlyHere:
				local := here(all, view)
				r.Pool, r.Local, r.Masquerade = everywhere(all, view), &local, MasqueradeNode
			case kind != ClusterIP:
				r.Pool, r.Masquerade = everywhere(all, view), MasqueradeAll
			default:
				r.Pool = everywhere(all, view)
			}
			if proto == cluster.UDP {
				r.Serving = serving(all)
			}
			routes = append(routes, r)
			return &routes[len(routes)-1]
		}
		for _, ip := range svc.ClusterIPs {
			add(ClusterIP, ip, port.Port)
		}
		for _, text := range spec.ExternalIPs {
			if ip, ok := cluster.ParseAddr(text); ok && served(svc, ip) {
				add(ExternalIP, ip, port.Port)
			}
		}
		for _, ingress := range svc.Object.Status.LoadBalancer.Ingress {
			ip, ok := cluster.ParseAddr(ingress.IP) // one with a hostname only is none (row LB-5)
			if !ok || !served(svc, ip) || ingress.IPMode != nil && *ingress.IPMode != corev1.LoadBalancerIPModeVIP {
				continue // mode Proxy: packets really go to the load balancer (row LB-4)
			}
			add(LoadBalancer, ip, port.Port).Ranges = sourceRanges(spec.LoadBalancerSourceRanges, ip, view)
		}
		if port.NodePort != 0 {
			for _, ip := range view.NodePorts {
				if served(svc, ip) {
					add(NodePort, ip, port.NodePort)
				}
			}
		}
	}
	for family := range m.scratch {
		clear(m.scratch[family]) // it would keep API objects alive
	}
	slices.SortStableFunc(routes, compareRoutes)
	return slices.CompactFunc(routes, func(a, b Route) bool { return a.Front == b.Front }) // an address that is given twice
}

// ofAnother: the label gives the Service to another proxy (KEP-2447; row CIP-16).
func ofAnother(svc *cluster.Service) bool {
	_, is := svc.Object.Labels["service.kubernetes.io/service-proxy-name"]
	return is
}

// served: a front in a family that the Service does not have is ignored (row FAM-2).
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

// sourceRanges are the loadBalancerSourceRanges of the VIP's family; nil where they admit everybody, also because none is
// of that family (row LB-11; kubernetes pkg/proxy/serviceport.go). Where the node itself is admitted, a packet may also
// come from the VIP: it is bound on the node, and the kernel took it for the source (row LB-9).
func sourceRanges(texts []string, vip netip.Addr, view NodeView) (ranges []netip.Prefix) {
	for _, text := range texts {
		p, ok := cluster.ParsePrefix(text)
		switch {
		case !ok || p.Addr().Is4() != vip.Is4():
		case p.Bits() == 0:
			return nil
		default:
			ranges = append(ranges, p)
		}
	}
	if slices.ContainsFunc(view.Primary, func(a netip.Addr) bool { return within(ranges, a) }) && !within(ranges, vip) {
		ranges = append(ranges, netip.PrefixFrom(vip, vip.BitLen()))
	}
	return slices.CompactFunc(sortedPrefixes(ranges), func(a, b netip.Prefix) bool { return a == b })
}
