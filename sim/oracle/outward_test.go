package oracle

import (
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
)

// A setup is what a cell of the outward table is about: the Service, its endpoints, and what the proxies are told. The
// Service is myservice with NodePorts 30080, an externalIP and a VIP; node-1 is in zone a and has a second address,
// 192.0.2.11; node-2 is in zone b.
type setup struct {
	service   func(*corev1.Service)
	endpoints []string
	settings  cluster.Settings
	mode      cluster.Mode
}

func (s setup) history() *History {
	t := places()
	t.Settings, t.Mode = s.settings, s.mode
	t.Nodes[0].More = addrs("192.0.2.11")
	h := NewHistory(t)
	svc := myservice(func(o *corev1.Service) {
		o.Spec.Type = corev1.ServiceTypeLoadBalancer
		o.Spec.ExternalIPs = []string{"198.51.100.7"}
		o.Spec.Ports[0].NodePort, o.Spec.Ports[1].NodePort = 30080, 30080
		o.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.9"}}
	})
	if s.service != nil {
		s.service(svc)
	}
	state := (&cluster.Snapshot{}).WithService(svc).WithSlice(slice("four", s.endpoints...))
	for i, n := range t.Nodes {
		o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name, Labels: map[string]string{corev1.LabelTopologyZone: []string{"a", "b"}[i]}}}
		for _, r := range n.PodCIDRs {
			o.Spec.PodCIDRs = append(o.Spec.PodCIDRs, r.String())
		}
		state = state.WithNode(o)
	}
	h.since(state, 0)
	return h
}

func inside(s *corev1.Service) {
	local := corev1.ServiceInternalTrafficPolicyLocal
	s.Spec.InternalTrafficPolicy = &local
}

func outside(s *corev1.Service) {
	s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
}

func bothLocal(s *corev1.Service) { inside(s); outside(s) }

func from(ranges ...string) func(*corev1.Service) {
	return func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges = ranges }
}

func vip(ip string, more ...func(*corev1.Service)) func(*corev1.Service) {
	return func(s *corev1.Service) {
		s.Status.LoadBalancer.Ingress[0].IP = ip
		for _, m := range more {
			m(s)
		}
	}
}

// What each kind of client calls.
const (
	podIn, nodeIn, laptopIn    = "pod/client 172.20.0.1:80/TCP", "node/node-1 172.20.0.1:80/TCP", "client/laptop 172.20.0.1:80/TCP"
	podNP, nodeNP, laptopNP    = "pod/client 192.0.2.1:30080/TCP", "node/node-1 192.0.2.1:30080/TCP", "client/laptop 192.0.2.1:30080/TCP"
	podVIP, nodeVIP, laptopVIP = "pod/client 198.51.100.9:80/TCP", "node/node-1 198.51.100.9:80/TCP", "client/laptop 198.51.100.9:80/TCP"
	podExt, nodeExt, laptopExt = "pod/client 198.51.100.7:80/TCP", "node/node-1 198.51.100.7:80/TCP", "client/laptop 198.51.100.7:80/TCP"
)

// Addresses that a server may see of node-1: by the wire, and from a pod of its own.
const (
	n1      = "192.0.2.1|192.0.2.11"
	n1pod   = n1 + "|link-local"
	masqued = "50% 10.1.0.1:5000 sees " + n1pod + "; 50% 10.2.0.2:5000 sees " + n1
	podSeen = "50% 10.1.0.1:5000 sees 10.1.0.9; 50% 10.2.0.2:5000 sees 10.1.0.9"
)

func outwardCells() (cells []cell) {
	two := []string{"10.1.0.1", "10.2.0.2"}
	far := []string{"10.2.0.2"}
	add := func(s setup, name, flow, via, want, rows string) {
		cells = append(cells, cell{name, s.history, flow, via, want, rows})
	}

	s := setup{service: inside, endpoints: two}
	add(s, "iTP Local: pod", podIn, "", "100% 10.1.0.1:5000 sees 10.1.0.9", "POL-1 CIP-3 CIP-2")
	add(s, "iTP Local: node", nodeIn, "", "100% 10.1.0.1:5000 sees "+n1pod, "POL-3 CIP-3 CIP-5")
	add(s, "iTP Local: outside client by node-2", laptopIn, "node-2", "100% 10.2.0.2:5000 sees 192.0.2.2|link-local", "POL-5 CIP-3 CIP-6")
	add(s, "iTP Local: NodePort", podNP, "", masqued, "POL-6 CIP-3 NP-2")
	add(s, "iTP Local: VIP", laptopVIP, "", masqued, "POL-6 CIP-3 LB-1")
	s.endpoints = far
	add(s, "iTP Local, none here: pod", podIn, "", "or silent", "POL-1 POL-2")
	add(s, "iTP Local, none here: node, UDP", "node/node-1 172.20.0.1:53/UDP", "", "or denied; or silent", "POL-3 POL-2")
	add(s, "iTP Local, none here: NodePort", podNP, "", "100% 10.2.0.2:5000 sees "+n1, "POL-6 CIP-3 NP-2")
	s.endpoints = nil
	add(s, "iTP Local, none anywhere", podIn, "", "or refused", "POL-1 NE-1")
	s.endpoints = []string{"192.0.2.1"}
	add(s, "iTP Local, hostNetwork", podIn, "", "100% 192.0.2.1:5000 sees 10.1.0.9", "POL-1 POL-4 HP-4")
	s.endpoints = []string{"10.1.0.1 serving terminating"}
	add(s, "iTP Local, terminating", podIn, "", "100% 10.1.0.1:5000 sees 10.1.0.9", "POL-1 TERM-4 CIP-2")
	s.endpoints = []string{"10.1.0.1 serving terminating", "10.2.0.2"}
	add(s, "iTP Local, terminating, ready elsewhere", podIn, "", "100% 10.1.0.1:5000 sees 10.1.0.9", "POL-1 TERM-5 CIP-2")
	s.endpoints = []string{"10.1.0.1 terminating", "10.2.0.2"}
	add(s, "iTP Local, no more serving, ready elsewhere", podIn, "", "or silent", "POL-1 POL-2")
	s.endpoints = []string{"10.1.0.1 serving terminating", "10.1.0.4", "10.2.0.2"}
	add(s, "iTP Local, terminating and ready", podIn, "", "or reset", "POL-1 TERM-1 M-12")

	s = setup{service: outside, endpoints: two}
	add(s, "eTP Local: outside client, NodePort", laptopNP, "", "100% 10.1.0.1:5000 sees 203.0.113.7", "POL-7 CIP-3 POL-7")
	add(s, "eTP Local: outside client, NodePort of node-2 by node-1", "client/laptop 192.0.2.2:30080/TCP", "", "100% 10.2.0.2:5000 sees 203.0.113.7", "POL-7 CIP-3 POL-7")
	add(s, "eTP Local: outside client, VIP by node-2", laptopVIP, "node-2", "100% 10.2.0.2:5000 sees 203.0.113.7", "POL-7 CIP-3 POL-7")
	add(s, "eTP Local: outside client, externalIP", laptopExt, "", "100% 10.1.0.1:5000 sees 203.0.113.7", "EXT-2 CIP-3 EXT-2")
	add(s, "eTP Local: outside client, ClusterIP", laptopIn, "", masqued, "POL-11 CIP-3 CIP-6")
	add(s, "eTP Local: pod, NodePort", podNP, "", podSeen, "POL-9 CIP-3 POL-9")
	add(s, "eTP Local: pod, VIP", podVIP, "", podSeen, "POL-9 CIP-3 POL-9")
	add(s, "eTP Local: pod, externalIP", podExt, "", podSeen, "EXT-3 CIP-3 EXT-3")
	add(s, "eTP Local: pod, another node's NodePort", "pod/client 192.0.2.2:30080/TCP", "", "100% 10.2.0.2:5000 sees 10.1.0.9", "POL-7 CIP-3 POL-7")
	add(s, "eTP Local: node, NodePort", nodeNP, "", masqued, "POL-10 CIP-3 POL-10")
	add(s, "eTP Local: node, VIP", nodeVIP, "", masqued, "POL-10 CIP-3 POL-10")
	add(s, "eTP Local: node, externalIP", nodeExt, "", masqued, "EXT-3 CIP-3 EXT-3")
	add(s, "eTP Local: node, another's NodePort", "node/node-1 192.0.2.2:30080/TCP", "", "100% 10.2.0.2:5000 sees "+n1, "POL-7 CIP-3 POL-7")
	add(s, "eTP Local: hostNetwork pod, another node's NodePort", "pod/host-client 192.0.2.1:30080/TCP", "", "100% 10.1.0.1:5000 sees 192.0.2.2", "POL-7 CIP-3 POL-7")
	s.endpoints = far
	add(s, "eTP Local, none here: outside client", laptopNP, "", "or silent", "POL-7 POL-8")
	add(s, "eTP Local, none here: outside client, UDP", "client/laptop 192.0.2.1:30080/UDP", "", "or silent", "POL-7 POL-8")
	add(s, "eTP Local, none here: externalIP", laptopExt, "", "or silent", "EXT-2 EXT-2")
	add(s, "eTP Local, none here: pod", podVIP, "", "100% 10.2.0.2:5000 sees 10.1.0.9", "POL-9 CIP-3 POL-9")
	add(s, "eTP Local, none there: node, UDP", "node/node-2 192.0.2.1:30080/UDP", "", "or silent", "POL-7 POL-8")
	s.endpoints = nil
	add(s, "eTP Local, none anywhere", laptopNP, "", "or refused", "POL-7 NE-3")
	s.endpoints = []string{"10.1.0.1 serving terminating"}
	add(s, "eTP Local, terminating", laptopVIP, "", "100% 10.1.0.1:5000 sees 203.0.113.7", "POL-7 TERM-3 POL-7")
	s.endpoints = []string{"10.1.0.1 serving terminating", "10.2.0.2"}
	add(s, "eTP Local, terminating, ready elsewhere", laptopVIP, "", "100% 10.1.0.1:5000 sees 203.0.113.7", "POL-7 TERM-5 POL-7")
	add(s, "eTP Local, terminating, ready elsewhere: pod", podVIP, "", "100% 10.2.0.2:5000 sees 10.1.0.9", "POL-9 TERM-1 POL-9")
	s.endpoints = []string{"10.1.0.1"}
	add(s, "eTP Local: a pod to itself", "pod/web-1 198.51.100.9:80/TCP", "", "100% 10.1.0.1:5000 sees "+n1pod, "POL-9 CIP-3 HP-2")
	s.endpoints = []string{"192.0.2.1"}
	add(s, "eTP Local, hostNetwork", laptopNP, "", "100% 192.0.2.1:5000 sees 203.0.113.7", "POL-7 POL-4 HP-4")
	s.endpoints = []string{"10.2.0.2 at:node-1"}
	add(s, "eTP Local, the slice is wrong about the node", laptopNP, "", "or silent", "POL-7 CIP-3 CIP-21")

	s = setup{service: outside, endpoints: two, settings: cluster.Settings{DetectLocalMode: cluster.DetectNone}}
	add(s, "eTP Local, no detector: pod", podNP, "", "100% 10.1.0.1:5000 sees 10.1.0.9", "POL-12 CIP-3 POL-12")
	add(s, "eTP Local, no detector: node", nodeNP, "", masqued, "POL-10 CIP-3 POL-10")
	s.endpoints = far
	add(s, "eTP Local, no detector, none here: pod", podVIP, "", "or silent", "POL-12 POL-12")
	s.settings = cluster.Settings{DetectLocalMode: cluster.DetectClusterCIDR, ClusterCIDRs: ranges("10.0.0.0/8")}
	s.endpoints = two
	add(s, "eTP Local, ClusterCIDR: pod, another node's NodePort", "pod/client 192.0.2.2:30080/TCP", "",
		"50% 10.2.0.2:5000 sees 10.1.0.9; or silent", "POL-9 CIP-3 SRC-1 POL-9")

	s = setup{service: bothLocal, endpoints: two}
	add(s, "both Local: pod, ClusterIP", podIn, "", "100% 10.1.0.1:5000 sees 10.1.0.9", "POL-13 CIP-3 CIP-2")
	add(s, "both Local: pod, VIP", podVIP, "", podSeen, "POL-13 CIP-3 POL-9")
	add(s, "both Local: node, VIP", nodeVIP, "", masqued, "POL-13 CIP-3 POL-10")
	add(s, "both Local: outside client, VIP", laptopVIP, "", "100% 10.1.0.1:5000 sees 203.0.113.7", "POL-13 CIP-3 POL-7")
	s.endpoints = far
	add(s, "both Local, none here: pod, ClusterIP", podIn, "", "or silent", "POL-13 POL-2")
	add(s, "both Local, none here: outside client, VIP", laptopVIP, "", "or silent", "POL-13 POL-8")
	add(setup{endpoints: two, service: func(s *corev1.Service) {
		outside(s)
		s.Spec.Type, s.Spec.ExternalIPs, s.Status = corev1.ServiceTypeClusterIP, nil, corev1.ServiceStatus{}
	}}, "eTP Local without an outside", podIn, "", podSeen, "POL-14 CIP-3 CIP-2 CIP-1")

	return append(append(cells, balancerCells()...), settingCells()...)
}

func balancerCells() (cells []cell) {
	two := []string{"10.1.0.1", "10.2.0.2"}
	add := func(s setup, name, flow, via, want, rows string) {
		cells = append(cells, cell{name, s.history, flow, via, want, rows})
	}
	s := setup{endpoints: two}
	add(s, "VIP: outside client", laptopVIP, "node-2", "50% 10.1.0.1:5000 sees 192.0.2.2; 50% 10.2.0.2:5000 sees 192.0.2.2|link-local", "CIP-3 LB-1")
	add(s, "VIP: pod", podVIP, "", masqued, "CIP-3 LB-2")
	add(s, "VIP: node", nodeVIP, "", masqued, "CIP-3 LB-3")
	add(s, "VIP: unused port", "pod/client 198.51.100.9:81/TCP", "", "or silent; or unreachable", "LB-14")
	add(s, "VIP of the other family", "pod/client [2001:db8:e::9]:80/TCP", "", "or silent; or unreachable", "CIP-12")
	add(setup{}, "VIP without endpoints", laptopVIP, "", "or refused", "NE-4")
	add(setup{}, "VIP without endpoints, node", nodeVIP, "", "or refused; or silent; or unreachable", "NE-5")
	proxied := corev1.LoadBalancerIPModeProxy
	add(setup{endpoints: two, service: func(s *corev1.Service) { s.Status.LoadBalancer.Ingress[0].IPMode = &proxied }},
		"ipMode Proxy", podVIP, "", "or silent; or unreachable", "LB-4")
	add(setup{endpoints: two, service: vip("203.0.113.7", func(s *corev1.Service) { s.Status.LoadBalancer.Ingress[0].IPMode = &proxied })},
		"ipMode Proxy, and somebody has the address", "pod/client 203.0.113.7:80/TCP", "", "or reset", "LB-4 M-12")

	s.service = from("203.0.113.0/24", "10.2.0.0/16")
	add(s, "ranges: from within", laptopVIP, "", masqued, "CIP-3 LB-1")
	add(s, "ranges: pod from without", podVIP, "", "or silent", "LB-8")
	add(s, "ranges: node from without", nodeVIP, "", "or silent", "LB-10")
	add(s, "ranges: node from without, UDP", "node/node-1 198.51.100.9:53/UDP", "", "or denied; or silent", "LB-10")
	add(s, "ranges are not for NodePorts", podNP, "", masqued, "CIP-3 NP-2")
	add(s, "ranges are not for externalIPs", podExt, "", masqued, "CIP-3 EXT-1")
	add(s, "ranges are not for the ClusterIP", podIn, "", podSeen, "CIP-3 CIP-2 CIP-1")
	s.service = from("10.0.0.0/8")
	add(s, "ranges: outside client from without", laptopVIP, "", "or silent", "LB-7")
	add(setup{service: from("10.0.0.0/8")}, "ranges, no endpoints: outside client from without", laptopVIP, "", "or silent; or refused", "LB-12")
	add(setup{service: from("10.0.0.0/8")}, "ranges, no endpoints: pod from within", podVIP, "", "or refused", "NE-4")
	add(setup{service: from("10.0.0.0/8")}, "ranges, no endpoints: node from without", nodeVIP, "", "or silent; or refused; or unreachable", "LB-12")
	for name, r := range map[string]string{"blanks": " 203.0.113.0/24 ", "everybody": "0.0.0.0/0", "the other family's": "2001:db8::/32"} {
		s.service = from(r)
		add(s, "ranges: "+name, laptopVIP, "", masqued, "CIP-3 LB-1")
	}
	s.service = vip("192.0.2.11", from("192.0.2.1/32"))
	add(s, "a VIP that the node has, its own address let in", "node/node-1 192.0.2.11:80/TCP", "", masqued, "CIP-3 LB-3")
	s.service = vip("192.0.2.11", from("192.0.2.2/32"))
	add(s, "a VIP that the node has, its own address not let in", "node/node-1 192.0.2.11:80/TCP", "", "or silent", "LB-10")

	hinted := []string{"10.1.0.1 zone:a", "10.2.0.2 zone:b"}
	s = setup{endpoints: hinted}
	add(s, "zones: pod", podIn, "", "100% 10.1.0.1:5000 sees 10.1.0.9", "TOPO-1 CIP-2")
	add(s, "zones: NodePort of node-2", "client/laptop 192.0.2.2:30080/TCP", "", "100% 10.2.0.2:5000 sees 192.0.2.2|link-local", "TOPO-9 NP-1")
	s.service = outside
	add(s, "zones, eTP Local: outside client", laptopNP, "", "100% 10.1.0.1:5000 sees 203.0.113.7", "POL-7 TOPO-7 POL-7")
	add(s, "zones, eTP Local: pod", podVIP, "", "100% 10.1.0.1:5000 sees 10.1.0.9", "POL-9 TOPO-7 POL-9")
	s = setup{endpoints: []string{"10.1.0.1 node:node-2 zone:a", "10.2.0.2 node:node-1 zone:b"}}
	add(s, "nodes before zones", podIn, "", "100% 10.2.0.2:5000 sees 10.1.0.9", "TOPO-2 CIP-1")
	s.endpoints = []string{"10.1.0.1 node:node-2 zone:a", "10.2.0.2 node:node-2 zone:b"}
	add(s, "none for the node: its zone", podIn, "", "100% 10.1.0.1:5000 sees 10.1.0.9", "TOPO-3 CIP-2")
	s.endpoints = []string{"10.1.0.1 node:node-2", "10.2.0.2 node:node-2"}
	add(s, "none for the node, and no zones", podIn, "", podSeen, "TOPO-5 CIP-2 CIP-1")
	s.endpoints = []string{"10.1.0.1 zone:c", "10.2.0.2 zone:b"}
	add(s, "none for the zone", podIn, "", podSeen, "TOPO-5 CIP-2 CIP-1")
	s.endpoints = []string{"10.1.0.1 zone:a", "10.2.0.2"}
	add(s, "one without hint", podIn, "", podSeen, "TOPO-4 CIP-2 CIP-1")
	s.endpoints = []string{"10.1.0.1 zone:a", "10.2.0.2 node:node-2"}
	add(s, "one for a zone, one for a node", podIn, "", podSeen, "TOPO-4 CIP-2 CIP-1")
	s.endpoints = []string{"10.1.0.1", "10.2.0.2 node:node-1"}
	add(s, "one without hint, one for the node", podIn, "", podSeen, "TOPO-4 CIP-2 CIP-1")
	s.endpoints = []string{"10.1.0.1 zone:a", "10.2.0.2 zone:b", "10.2.0.3 serving"}
	add(s, "an unready one without hint", podIn, "", "100% 10.1.0.1:5000 sees 10.1.0.9", "TOPO-6 CIP-2")
	s.endpoints = []string{"10.1.0.1 zone:b serving", "10.2.0.2 zone:b"}
	add(s, "only an unready one would be near", podIn, "", "100% 10.2.0.2:5000 sees 10.1.0.9", "TOPO-5 CIP-1")
	s.endpoints = []string{"10.1.0.1 zone:b serving terminating", "10.2.0.2 zone:b serving terminating"}
	add(s, "only terminating ones", podIn, "", podSeen, "TOPO-8 CIP-2 CIP-1")
	return cells
}

func settingCells() (cells []cell) {
	two, host := []string{"10.1.0.1", "10.2.0.2"}, []string{"192.0.2.1"}
	add := func(s setup, name, flow, via, want, rows string) {
		cells = append(cells, cell{name, s.history, flow, via, want, rows})
	}
	told := func(s cluster.Settings, endpoints ...string) setup { return setup{endpoints: endpoints, settings: s} }

	s := told(cluster.Settings{MasqueradeAll: true}, two...)
	add(s, "masqueradeAll: pod", podIn, "", masqued, "CIP-3 CIP-7")
	add(s, "masqueradeAll: NodePort", podNP, "", masqued, "CIP-3 NP-2")
	add(told(cluster.Settings{MasqueradeAll: true}, host...), "masqueradeAll: pod to its own node's network", podIn, "",
		"100% 192.0.2.1:5000 sees 10.1.0.9", "CIP-3 HP-4")

	s = told(cluster.Settings{DetectLocalMode: cluster.DetectNone}, two...)
	add(s, "no detector: pod", podIn, "", podSeen, "CIP-3 CIP-2 CIP-1")
	add(s, "no detector: node", nodeIn, "", "50% 10.1.0.1:5000 sees "+n1+"; 50% 10.2.0.2:5000 sees "+n1, "CIP-3 SRC-5")
	add(s, "no detector: outside client", laptopIn, "", "50% 10.1.0.1:5000 sees 203.0.113.7; or silent", "CIP-3 SRC-5 SRC-5")
	add(s, "no detector: NodePort", podNP, "", masqued, "CIP-3 NP-2")
	s.settings.MasqueradeAll = true
	add(s, "no detector, masqueradeAll: outside client", laptopIn, "", masqued, "CIP-3 CIP-7")

	mode := func(m cluster.DetectLocalMode, name string, ranges_ ...string) setup {
		return told(cluster.Settings{DetectLocalMode: m, Interface: name, ClusterCIDRs: ranges(ranges_...)}, two...)
	}
	add(mode(cluster.DetectClusterCIDR, "", "10.0.0.0/8", "10.2.0.0/16"), "ClusterCIDR: pod", podIn, "", podSeen, "CIP-3 CIP-2 CIP-1")
	add(mode(cluster.DetectClusterCIDR, "", "10.2.0.0/16", "10.1.0.0/16"), "ClusterCIDR: only the first counts", podIn, "", masqued, "CIP-3 SRC-1")
	add(mode(cluster.DetectClusterCIDR, "", "fd00::/8"), "ClusterCIDR: none of the family is no detector", laptopIn, "",
		"50% 10.1.0.1:5000 sees 203.0.113.7; or silent", "CIP-3 SRC-5 SRC-5")
	add(mode(cluster.DetectClusterCIDR, "", "203.0.113.0/24"), "ClusterCIDR: an outside client in it", laptopIn, "",
		"50% 10.1.0.1:5000 sees 203.0.113.7; or silent", "CIP-3 SRC-1 SRC-1")
	add(mode(cluster.DetectBridgeInterface, "cni0"), "BridgeInterface: pod that does not come by it", podIn, "", masqued, "CIP-3 SRC-3")
	add(mode(cluster.DetectBridgeInterface, "pod4"), "BridgeInterface: pod that comes by it", podIn, "", podSeen, "CIP-3 CIP-2 CIP-1")
	add(mode(cluster.DetectBridgeInterface, "cni0"), "BridgeInterface: node", nodeIn, "", masqued, "CIP-3 CIP-5")
	add(mode(cluster.DetectInterfaceNamePrefix, "veth"), "InterfaceNamePrefix: pod behind another name", podIn, "", masqued, "CIP-3 SRC-4")
	add(mode(cluster.DetectInterfaceNamePrefix, "pod"), "InterfaceNamePrefix: pod", podIn, "", podSeen, "CIP-3 CIP-2 CIP-1")
	add(mode(cluster.DetectInterfaceNamePrefix, "pod"), "InterfaceNamePrefix: outside client", laptopIn, "", masqued, "CIP-3 CIP-6")
	add(told(cluster.Settings{}, two...), "NodeCIDR: a pod with an address of another range", "pod/stray 172.20.0.1:80/TCP", "", masqued, "CIP-3 SRC-2")

	every := cluster.Mode{EveryAddress: true, Localhost: true}
	const second = "client/laptop 192.0.2.11:30080/TCP"
	add(setup{endpoints: two, mode: every}, "nodePortAddresses unset, every address", second, "", masqued, "CIP-3 NP-1")
	add(setup{endpoints: two}, "nodePortAddresses unset, primary addresses", second, "", "or reset", "NP-10 M-12")
	add(setup{endpoints: two, mode: every, settings: cluster.Settings{Primary: true}}, "nodePortAddresses primary: another", second, "", "or reset", "NP-11 M-12")
	add(setup{endpoints: two, mode: every, settings: cluster.Settings{Primary: true}}, "nodePortAddresses primary", laptopNP, "", masqued, "CIP-3 NP-1")
	list := cluster.Settings{NodePortAddresses: ranges("192.0.2.8/29")}
	add(setup{endpoints: two, settings: list}, "nodePortAddresses: one in the list", second, "", masqued, "CIP-3 NP-1")
	add(setup{endpoints: two, settings: list}, "nodePortAddresses: one that is not", laptopNP, "", "or reset", "NP-9 M-12")
	add(setup{settings: list}, "nodePortAddresses: one that is not, no endpoints", laptopNP, "", "or reset", "NP-9 M-12")
	add(setup{settings: list, mode: every}, "nodePortAddresses: one that is not, no endpoints, mode iptables", laptopNP, "", "or reset; or refused; or silent", "NP-14 M-12")
	add(setup{settings: list, mode: every, service: outside, endpoints: []string{"10.2.0.2"}}, "nodePortAddresses: one that is not, no endpoints on the node", laptopNP, "",
		"or reset; or silent", "NP-14 M-12")
	add(setup{endpoints: two, settings: cluster.Settings{NodePortAddresses: ranges("fd00::/8")}}, "nodePortAddresses: of the other family", second, "", masqued, "CIP-3 NP-1")

	const localhost = "node/node-1 127.0.0.1:30080/TCP"
	add(setup{endpoints: two, mode: every}, "127.0.0.1", localhost, "", masqued, "CIP-3 NP-5")
	add(setup{endpoints: two, mode: every, service: outside}, "127.0.0.1, eTP Local", localhost, "", masqued, "POL-10 CIP-3 NP-5")
	add(setup{endpoints: two}, "127.0.0.1, where the kind of proxy cannot", localhost, "", "or reset", "NP-5 M-12")
	add(setup{endpoints: two, mode: every, settings: cluster.Settings{NoLocalhostNodePorts: true}}, "127.0.0.1, told not to", localhost, "", "or reset", "NP-7 M-12")
	add(setup{endpoints: two, mode: every, settings: list}, "127.0.0.1, not in nodePortAddresses", "node/node-1 127.0.0.1:30080/UDP", "", "or refused", "NP-7 M-12")
	add(setup{endpoints: two, mode: every}, "127.0.0.1 of a pod", "pod/client 127.0.0.1:30080/TCP", "", "or reset", "CIP-14 M-12")
	add(setup{endpoints: []string{"fd01::1"}, mode: every}, "::1", "node/node-1 [::1]:30080/TCP", "", "or reset", "NP-6 M-12")

	add(told(cluster.Settings{}, "10.1.0.1 nowhere"), "a pod to itself, the slice does not say where it is", "pod/web-1 172.20.0.1:80/TCP", "",
		"100% 10.1.0.1:5000 sees "+n1pod+"; or silent", "CIP-3 HP-3")
	add(setup{}, "a headless slice", podIn, "", "or refused", "NE-1")
	cells[len(cells)-1].state = func() *History {
		h := setup{endpoints: two}.history()
		o := slice("four", two...)
		o.Labels[corev1.IsHeadlessService] = ""
		h.since(h.last.state.WithSlice(o), 1)
		return h
	}
	return cells
}
