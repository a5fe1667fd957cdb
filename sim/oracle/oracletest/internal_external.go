// Package oracletest has literal tables of upstream's tests, for whoever must agree with them: the oracle, and the packets
// of every backend. Nothing in it is computed from the oracle.
package oracletest

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Case is one flow under one setting, and what must become of it.
type Case struct {
	Name    string // upstream's, or nearly
	Setting string
	Flow    world.Flow
	// Servers are the pods that must be able to answer, and nobody else. Lost are those that are chosen as well, but whose
	// answer goes past the node that translated, so that the client hears nothing: upstream's tests know one node only.
	Servers, Lost []string
	Masquerade    bool // servers see node-1's address; else the client's own
	Localhost     bool // only where NodePorts are answered at 127.0.0.1 (IPv4, Mode.Localhost)
}

// flow is a row of upstream's table: endpoints "all" or "local" of the Service.
type flow struct {
	name, from, to string
	endpoints      string
	masq           bool
}

const (
	all   = "all"   // pod/local-N on node-1 and pod/remote-N on node-2
	local = "local" // pod/local-N
)

// flows are those of TestInternalExternalMasquerade (Kubernetes v1.36.3, pkg/proxy/iptables/proxier_test.go:5065): 30, and
// the one that its "node to NodePort with eTP:Local" means but does not send (it calls the first Service's NodePort).
var flows = []flow{
	{"pod to ClusterIP", "pod", "ClusterIP 1", all, false},
	{"pod to NodePort", "pod", "NodePort 1", all, true},
	{"pod to LB", "pod", "LB 1", all, true},
	{"node to ClusterIP", "node", "ClusterIP 1", all, true},
	{"node to NodePort", "node", "NodePort 1", all, true},
	{"localhost to NodePort", "localhost", "NodePort 1", all, true},
	{"node to LB", "node", "LB 1", all, true},
	{"external to ClusterIP", "external", "ClusterIP 1", all, true},
	{"external to NodePort", "external", "NodePort 1", all, true},
	{"external to LB", "external", "LB 1", all, true},

	{"pod to ClusterIP with eTP:Local", "pod", "ClusterIP 2", all, false},
	{"pod to NodePort with eTP:Local", "pod", "NodePort 2", all, false},
	{"pod to LB with eTP:Local", "pod", "LB 2", all, false},
	{"node to ClusterIP with eTP:Local", "node", "ClusterIP 2", all, true},
	{"node to NodePort with eTP:Local, as upstream sends it", "node", "NodePort 1", all, true},
	{"node to NodePort with eTP:Local", "node", "NodePort 2", all, true},
	{"localhost to NodePort with eTP:Local", "localhost", "NodePort 2", all, true},
	{"node to LB with eTP:Local", "node", "LB 2", all, true},
	{"external to ClusterIP with eTP:Local", "external", "ClusterIP 2", all, true},
	{"external to NodePort with eTP:Local", "external", "NodePort 2", local, false},
	{"external to LB with eTP:Local", "external", "LB 2", local, false},

	{"pod to ClusterIP with iTP:Local", "pod", "ClusterIP 3", local, false},
	{"pod to NodePort with iTP:Local", "pod", "NodePort 3", all, true},
	{"pod to LB with iTP:Local", "pod", "LB 3", all, true},
	{"node to ClusterIP with iTP:Local", "node", "ClusterIP 3", local, true},
	{"node to NodePort with iTP:Local", "node", "NodePort 3", all, true},
	{"localhost to NodePort with iTP:Local", "localhost", "NodePort 3", all, true},
	{"node to LB with iTP:Local", "node", "LB 3", all, true},
	{"external to ClusterIP with iTP:Local", "external", "ClusterIP 3", local, true},
	{"external to NodePort with iTP:Local", "external", "NodePort 3", all, true},
	{"external to LB with iTP:Local", "external", "LB 3", all, true},
}

// Setting is one of upstream's four configurations.
type Setting struct {
	Name          string
	Detector      bool
	MasqueradeAll bool
	overrides     map[string]flow // what differs from flows: endpoints "" and the given masq, or endpoints alone
}

func masq(to bool) flow           { return flow{masq: to} }
func endpoints(which string) flow { return flow{endpoints: which} }

// InternalExternalSettings are the four.
var InternalExternalSettings = []Setting{
	{Name: "base", Detector: true},
	{Name: "no LocalTrafficDetector", overrides: map[string]flow{
		"node to ClusterIP":                    masq(false),
		"node to ClusterIP with eTP:Local":     masq(false),
		"node to ClusterIP with iTP:Local":     masq(false),
		"external to ClusterIP":                masq(false),
		"external to ClusterIP with eTP:Local": masq(false),
		"external to ClusterIP with iTP:Local": masq(false),
		"pod to NodePort with eTP:Local":       endpoints(local),
		"pod to LB with eTP:Local":             endpoints(local),
	}},
	{Name: "masqueradeAll", Detector: true, MasqueradeAll: true, overrides: map[string]flow{
		"pod to ClusterIP":                masq(true),
		"pod to ClusterIP with eTP:Local": masq(true),
		"pod to ClusterIP with iTP:Local": masq(true),
	}},
	{Name: "masqueradeAll, no LocalTrafficDetector", MasqueradeAll: true, overrides: map[string]flow{
		"pod to ClusterIP":                masq(true),
		"pod to ClusterIP with eTP:Local": masq(true),
		"pod to ClusterIP with iTP:Local": masq(true),
		"pod to NodePort with eTP:Local":  endpoints(local),
		"pod to LB with eTP:Local":        endpoints(local),
	}},
}

// Settings are the words for it.
func (s Setting) Settings() cluster.Settings {
	set := cluster.Settings{MasqueradeAll: s.MasqueradeAll}
	if !s.Detector {
		set.DetectLocalMode = cluster.DetectNone
	}
	return set
}

// Cases are the flows of one setting in one family.
func (s Setting) Cases(ipv6 bool) (cases []Case) {
	for _, f := range flows {
		if o, ok := s.overrides[f.name]; ok && o.endpoints != "" {
			f.endpoints = o.endpoints
		} else if ok {
			f.masq = o.masq
		}
		var n int
		var kind string
		if _, err := fmt.Sscanf(f.to, "%s %d", &kind, &n); err != nil {
			panic(err)
		}
		c := Case{Name: f.name, Setting: s.Name, Masquerade: f.masq, Localhost: f.from == "localhost",
			Servers: []string{fmt.Sprintf("local-%d", n)}}
		if remote := fmt.Sprintf("remote-%d", n); f.endpoints == all && f.from == "external" && !f.masq {
			c.Lost = []string{remote}
		} else if f.endpoints == all {
			c.Servers = append(c.Servers, remote)
		}
		if c.Localhost && ipv6 {
			continue
		}
		c.Flow = world.Flow{From: map[string]world.Place{
			"pod":      {Kind: world.Pod, Namespace: "default", Name: "client"},
			"node":     {Kind: world.Node, Name: "node-1"},
			"external": {Kind: world.Client, Name: "laptop"},
		}[f.from], Proto: cluster.TCP}
		to := map[string]string{"ClusterIP": fmt.Sprintf("10.96.0.4%d", n), "NodePort": "192.168.50.1", "LB": fmt.Sprintf("198.51.100.%d", n)}[kind]
		port := map[string]uint16{"ClusterIP": 80, "NodePort": 30000 + uint16(n), "LB": 80}[kind]
		if c.Localhost {
			c.Flow.From, to = world.Place{Kind: world.Node, Name: "node-1"}, "127.0.0.1"
		}
		c.Flow.To = netip.AddrPortFrom(address(to, ipv6), port)
		cases = append(cases, c)
	}
	return cases
}

// address is the IPv4 address, or the same digits behind fd00:.
func address(v4 string, ipv6 bool) netip.Addr {
	a := netip.MustParseAddr(v4)
	if !ipv6 {
		return a
	}
	b := a.As4()
	return netip.MustParseAddr(fmt.Sprintf("fd00:%d:%d:%d::%d", b[0], b[1], b[2], b[3]))
}

// Topology is two nodes, a pod that calls, and one that serves on each node for each of three Services.
func Topology(ipv6 bool) *world.Topology {
	t := &world.Topology{Clients: []world.Host{{Place: world.Place{Kind: world.Client, Name: "laptop"}, Addrs: []netip.Addr{address("203.0.113.1", ipv6)}}}}
	for n := 1; n <= 2; n++ {
		bits := 24
		if ipv6 {
			bits = 64
		}
		t.Nodes = append(t.Nodes, world.Host{Place: world.Place{Kind: world.Node, Name: fmt.Sprintf("node-%d", n)},
			Addrs:    []netip.Addr{address(fmt.Sprintf("192.168.50.%d", n), ipv6)},
			PodCIDRs: []netip.Prefix{netip.PrefixFrom(address(fmt.Sprintf("10.244.%d.0", n), ipv6), bits)}})
	}
	pod := func(name string, node, last int, listen ...world.Port) {
		t.Pods = append(t.Pods, world.Host{Place: world.Place{Kind: world.Pod, Namespace: "default", Name: name},
			Node: fmt.Sprintf("node-%d", node), Addrs: []netip.Addr{address(fmt.Sprintf("10.244.%d.%d", node, last), ipv6)}, Listen: listen})
	}
	pod("client", 1, 100)
	for n := 1; n <= 3; n++ {
		pod(fmt.Sprintf("local-%d", n), 1, n, world.Port{Proto: cluster.TCP, Port: 8080})
		pod(fmt.Sprintf("remote-%d", n), 2, n, world.Port{Proto: cluster.TCP, Port: 8080})
	}
	return t
}

// State is upstream's three Services: one of policies Cluster, one with externalTrafficPolicy Local, one with
// internalTrafficPolicy Local.
func State(ipv6 bool) *cluster.Snapshot {
	var s *cluster.Snapshot
	t := Topology(ipv6)
	for _, n := range t.Nodes {
		s = s.WithNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name},
			Spec:   corev1.NodeSpec{PodCIDR: n.PodCIDRs[0].String(), PodCIDRs: []string{n.PodCIDRs[0].String()}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: n.Addrs[0].String()}}}})
	}
	family, kind := corev1.IPv4Protocol, discoveryv1.AddressTypeIPv4
	if ipv6 {
		family, kind = corev1.IPv6Protocol, discoveryv1.AddressTypeIPv6
	}
	name, number, proto := "p80", int32(8080), corev1.ProtocolTCP
	inside, vip := corev1.ServiceInternalTrafficPolicyLocal, corev1.LoadBalancerIPModeVIP
	for n := 1; n <= 3; n++ {
		ip := address(fmt.Sprintf("10.96.0.4%d", n), ipv6).String()
		svc := &corev1.Service{
			ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("svc%d", n)},
			Spec: corev1.ServiceSpec{Type: corev1.ServiceTypeLoadBalancer, ClusterIP: ip, ClusterIPs: []string{ip}, IPFamilies: []corev1.IPFamily{family},
				Ports: []corev1.ServicePort{{Name: name, Port: 80, NodePort: int32(30000 + n), Protocol: proto}}},
			Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{
				{IP: address(fmt.Sprintf("198.51.100.%d", n), ipv6).String(), IPMode: &vip}}}},
		}
		switch n {
		case 2:
			svc.Spec.ExternalTrafficPolicy, svc.Spec.HealthCheckNodePort = corev1.ServiceExternalTrafficPolicyLocal, 32002
		case 3:
			svc.Spec.InternalTrafficPolicy = &inside
		}
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: svc.Name + "-1", Labels: map[string]string{discoveryv1.LabelServiceName: svc.Name}},
			AddressType: kind,
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &number, Protocol: &proto}},
		}
		for _, where := range []string{"local", "remote"} {
			i := slices.IndexFunc(t.Pods, func(p world.Host) bool { return p.Name == fmt.Sprintf("%s-%d", where, n) })
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{t.Pods[i].Addrs[0].String()}, NodeName: &t.Pods[i].Node})
		}
		s = s.WithService(svc).WithSlice(slice)
	}
	return s
}
