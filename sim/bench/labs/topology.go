package labs

import (
	"fmt"
	"net/netip"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Families that a lab can have.
var Families = []string{"dual", "ipv4", "ipv6"}

// How large a lab may be.
const (
	MaxNodes       = 1000
	MaxPodsPerNode = 4000
)

const (
	port         = 80
	targetPort   = 8080
	podsOfOne    = 10 // Service
	slash20      = 12 // bits that are a node's own
	firstService = 10
)

// place is where a pod is: the i-th is on the nodes in turn.
func place(i, nodes int) (node, number int) { return i % nodes, i/nodes + 2 }

// families are those of a word of Families, IPv4 first.
func families(word string) []corev1.IPFamily {
	switch word {
	case "ipv4":
		return []corev1.IPFamily{corev1.IPv4Protocol}
	case "ipv6":
		return []corev1.IPFamily{corev1.IPv6Protocol}
	}
	return []corev1.IPFamily{corev1.IPv4Protocol, corev1.IPv6Protocol}
}

// addr4 is the n-th address behind a base.
func addr4(base [4]byte, n int) netip.Addr {
	v := (uint32(base[0])<<24 | uint32(base[1])<<16 | uint32(base[2])<<8 | uint32(base[3])) + uint32(n)
	return netip.AddrFrom4([4]byte{byte(v >> 24), byte(v >> 16), byte(v >> 8), byte(v)})
}

// addr6 is a number in a network in fd00::/16.
func addr6(kind uint16, network, n int) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfd, 3: byte(kind), 2: byte(kind >> 8), 6: byte(network >> 8), 7: byte(network), 14: byte(n >> 8), 15: byte(n)})
}

func nodeAddr(f corev1.IPFamily, i int) netip.Addr {
	if f == corev1.IPv4Protocol {
		return addr4([4]byte{192, 168, 0, 1}, i)
	}
	return addr6(0x192, 0, i+1)
}

func podAddr(f corev1.IPFamily, node, number int) netip.Addr {
	if f == corev1.IPv4Protocol {
		return addr4([4]byte{10, 128, 0, 0}, node<<slash20+number)
	}
	return addr6(0x10, node, number)
}

func podCIDR(f corev1.IPFamily, node int) netip.Prefix {
	bits := 64
	if f == corev1.IPv4Protocol {
		bits = 32 - slash20
	}
	return netip.PrefixFrom(podAddr(f, node, 0), bits).Masked()
}

func vip(f corev1.IPFamily, service int) netip.Addr {
	if f == corev1.IPv4Protocol {
		return addr4([4]byte{10, 96, 0, firstService}, service)
	}
	return addr6(0x96, 0, firstService+service)
}

func nodeName(i int) string { return fmt.Sprintf("node-%d", i+1) }

func podPlace(i int) world.Place {
	return world.Place{Kind: world.Pod, Namespace: metav1.NamespaceDefault, Name: fmt.Sprintf("pod-%d", i+1)}
}

// topologyOf makes nodes and pods that serve TCP and UDP.
func topologyOf(nodes, pods int, family string) *world.Topology {
	t := &world.Topology{}
	for i := range nodes {
		h := world.Host{Place: world.Place{Kind: world.Node, Name: nodeName(i)}}
		for _, f := range families(family) {
			h.Addrs, h.PodCIDRs = append(h.Addrs, nodeAddr(f, i)), append(h.PodCIDRs, podCIDR(f, i))
		}
		t.Nodes = append(t.Nodes, h)
	}
	for i := range pods {
		node, number := place(i, nodes)
		h := world.Host{Place: podPlace(i), Node: nodeName(node), Listen: []world.Port{{Proto: cluster.TCP, Port: targetPort}, {Proto: cluster.UDP, Port: targetPort}}}
		for _, f := range families(family) {
			h.Addrs = append(h.Addrs, podAddr(f, node, number))
		}
		t.Pods = append(t.Pods, h)
	}
	return t
}

// services is how many Services there are: each has ten pods, the last the rest.
func services(pods int) int { return (pods + podsOfOne - 1) / podsOfOne }

// stateOf is the cluster of that topology.
func stateOf(t *world.Topology, family string) *cluster.Snapshot {
	s := (*cluster.Snapshot)(nil)
	for _, n := range t.Nodes {
		o := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n.Name}}
		for i, a := range n.Addrs {
			o.Spec.PodCIDRs = append(o.Spec.PodCIDRs, n.PodCIDRs[i].String())
			o.Status.Addresses = append(o.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
		}
		o.Spec.PodCIDR = o.Spec.PodCIDRs[0]
		s = s.WithNode(o)
	}
	for i := range services(len(t.Pods)) {
		s = withService(s, i, t.Pods[i*podsOfOne:min((i+1)*podsOfOne, len(t.Pods))], families(family))
	}
	return s
}

func withService(s *cluster.Snapshot, i int, pods []world.Host, fs []corev1.IPFamily) *cluster.Snapshot {
	policy := corev1.IPFamilyPolicySingleStack
	if len(fs) > 1 {
		policy = corev1.IPFamilyPolicyRequireDualStack
	}
	name := fmt.Sprintf("web-%d", i+1)
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: name},
		Spec:       corev1.ServiceSpec{Type: corev1.ServiceTypeClusterIP, IPFamilies: fs, IPFamilyPolicy: &policy, SessionAffinity: corev1.ServiceAffinityNone},
	}
	var ports []discoveryv1.EndpointPort
	for _, proto := range []corev1.Protocol{corev1.ProtocolTCP, corev1.ProtocolUDP} {
		portName, target := string(proto), int32(targetPort)
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: portName, Protocol: proto, Port: port})
		ports = append(ports, discoveryv1.EndpointPort{Name: &portName, Protocol: &proto, Port: &target})
	}
	for j, f := range fs {
		svc.Spec.ClusterIPs = append(svc.Spec.ClusterIPs, vip(f, i).String())
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Namespace: metav1.NamespaceDefault, Name: fmt.Sprintf("%s-%d", name, j), Labels: map[string]string{discoveryv1.LabelServiceName: name}},
			AddressType: discoveryv1.AddressType(f), Ports: ports,
		}
		for k := range pods {
			ready := true
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{
				Addresses: []string{pods[k].Addrs[j].String()}, NodeName: &pods[k].Node, Conditions: discoveryv1.EndpointConditions{Ready: &ready},
			})
		}
		s = s.WithSlice(slice)
	}
	svc.Spec.ClusterIP = svc.Spec.ClusterIPs[0]
	return s.WithService(svc)
}
