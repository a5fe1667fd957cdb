// Package load makes clusters of any size for benchmarks: Services and EndpointSlices as a real cluster's API server would hand
// them out, with everything in them that costs a proxy something to read. The same shape gives the same cluster.
package load

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"svclab/proxycore/cluster"
)

// The ports of all Services and of all endpoints.
const (
	Port       = 80
	TargetPort = 8080
)

// sliceSize is how many endpoints the real controller puts into a slice (--max-endpoints-per-slice).
const sliceSize = 100

// Shape is how large a cluster is.
type Shape struct {
	Services  int
	Endpoints func(service int) int // how many a Service has: Each, Zipf
	// Near of a thousand endpoints are on the node under test, the others elsewhere: a node of a large cluster has few.
	Near int
	// NearService is optional: whether all endpoints of a Service are on the node under test, or all elsewhere, whatever Near says.
	NearService func(service int) bool
	// Protocol of the Services; empty is TCP.
	Protocol corev1.Protocol
	// UDP is optional: the Services that are UDP, whatever Protocol says.
	UDP func(service int) bool
	// Ports says how many ports a Service has, from Port on; all lead to TargetPort. Nil: one.
	Ports func(service int) int
	// Clock stamps each slice with when its pods changed, as the real controller does; nil: none is stamped.
	Clock func() time.Time
}

// Each gives all Services as many.
func Each(n int) func(int) int { return func(int) int { return n } }

// Zipf gives the i-th Service most/(i+1) endpoints, at least 1: few Services have many, most have one or two, as in clusters
// that people use.
func Zipf(most int) func(int) int { return func(i int) int { return max(1, most/(i+1)) } }

// Where things are. The nodes' pods have these ranges; in the second half of the first, and in the second, every address answers.
var (
	ServiceRange = netip.MustParsePrefix("10.96.0.0/16") // control.ServiceCIDRs has the same
	NearPods     = netip.MustParsePrefix("10.128.0.0/10")
	NearRange    = netip.MustParsePrefix("10.160.0.0/11")
	FarPods      = netip.MustParsePrefix("10.192.0.0/10")
	NearNode     = netip.MustParseAddr("192.168.50.1")
	FarNode      = netip.MustParseAddr("192.168.50.2")
)

// The names of the nodes: the one under test, and the one where most endpoints are.
const (
	NearName = "node-1"
	FarName  = "node-2"
)

// Cluster is a state of the cluster; the methods that change something return another.
type Cluster struct {
	shape Shape
	state *cluster.Snapshot
	sizes []int // of each Service, as it began
	first []int // the number of its first endpoint
	wide  int   // of the largest of them
	next  int   // the first endpoint that nobody has had
	turn  int   // counts changes: each object that is written anew has another generation
}

// New makes a cluster.
func New(s Shape) *Cluster {
	c := &Cluster{shape: s, state: (*cluster.Snapshot)(nil).WithServiceCIDRs(ServiceRange).WithNode(node(NearName, NearNode, NearPods)).WithNode(node(FarName, FarNode, FarPods))}
	for i := range s.Services {
		n := s.Endpoints(i)
		c.sizes, c.first = append(c.sizes, n), append(c.first, c.next)
		c.next, c.wide = c.next+n, max(c.wide, n)
		c.state = c.with(c.state, i, numbers(c.first[i], n))
	}
	return c
}

// Snapshot is the state as it began.
func (c *Cluster) Snapshot() *cluster.Snapshot { return c.state }

// Services is how many there are; the next ones, up to MaxServices, can be added.
func (c *Cluster) Services() int { return c.shape.Services }

// MaxServices is how many have an address.
const MaxServices = 65000

// EndpointsOf are those that the i-th Service began with; those of one beyond Services, with which With would add it.
func (c *Cluster) EndpointsOf(i int) []int {
	if i < len(c.first) {
		return numbers(c.first[i], c.sizes[i])
	}
	return numbers(c.next+(i-len(c.first))*max(c.wide, c.shape.Endpoints(i)), c.shape.Endpoints(i))
}

// Fresh is the k-th endpoint that no Service began with, and none of the next ones has. It is used by turns: an address that
// comes back after so many changes is as good as new.
func (c *Cluster) Fresh(k int) int { return c.next + 1<<20 + k%(1<<20) }

// With returns a state in which the i-th Service has these endpoints. It may be one that was not there.
func (c *Cluster) With(s *cluster.Snapshot, i int, endpoints []int) *cluster.Snapshot {
	return c.with(s, i, endpoints)
}

// Without returns a state without the i-th Service.
func (c *Cluster) Without(s *cluster.Snapshot, i int) *cluster.Snapshot {
	key := cluster.Key{Namespace: metav1.NamespaceDefault, Name: name(i)}
	for slice := range s.Slices(key) {
		s = s.WithoutSlice(key, slice.Key)
	}
	return s.WithoutService(key)
}

// Front is the address of the i-th Service.
func Front(i int) netip.AddrPort { return netip.AddrPortFrom(plus(ServiceRange, i+10), Port) }

// Endpoint is the address of an endpoint, by its number.
func (c *Cluster) Endpoint(e int) netip.AddrPort {
	if c.shape.NearService != nil {
		if i, _ := slices.BinarySearch(c.first, e+1); e < c.next && c.shape.NearService(i-1) {
			return netip.AddrPortFrom(plus(NearRange, 16+e), TargetPort)
		}
	} else if e%1000 < c.shape.Near {
		return netip.AddrPortFrom(plus(NearRange, 16+e/1000*c.shape.Near+e%1000), TargetPort)
	}
	return netip.AddrPortFrom(plus(FarPods, 16+e), TargetPort)
}

// plus is the n-th address of a range. More than the range has is a slip of whoever asks for so many.
func plus(in netip.Prefix, n int) netip.Addr {
	a := in.Addr().As4()
	v := binary.BigEndian.Uint32(a[:]) + uint32(n)
	binary.BigEndian.PutUint32(a[:], v)
	if !in.Contains(netip.AddrFrom4(a)) {
		panic(fmt.Sprintf("the range %s has no %d addresses", in, n))
	}
	return netip.AddrFrom4(a)
}

func numbers(first, n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = first + i
	}
	return list
}

func name(i int) string { return fmt.Sprintf("svc-%05d", i) }

func node(name string, at netip.Addr, pods netip.Prefix) *corev1.Node {
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelHostname: name}},
		Spec:       corev1.NodeSpec{PodCIDR: pods.String(), PodCIDRs: []string{pods.String()}},
		Status:     corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: at.String()}}},
	}
}

// with writes the Service if it is not there, and its slices.
func (c *Cluster) with(s *cluster.Snapshot, i int, endpoints []int) *cluster.Snapshot {
	c.turn++
	key := cluster.Key{Namespace: metav1.NamespaceDefault, Name: name(i)}
	if s.Service(key) == nil {
		s = s.WithService(c.service(i))
	}
	k := 0
	for part := range slices.Chunk(endpoints, sliceSize) {
		if !c.has(s, key, k, part) {
			s = s.WithSlice(c.slice(i, k, part))
		}
		k++
	}
	for slice := range s.Slices(key) { // what is left of a longer list
		if slice.Object.Labels["svclab/part"] >= part(k) {
			s = s.WithoutSlice(key, slice.Key)
		}
	}
	return s
}

// has reports whether the k-th slice of a Service has just these endpoints: then nobody writes it anew.
func (c *Cluster) has(s *cluster.Snapshot, service cluster.Key, k int, endpoints []int) bool {
	for slice := range s.Slices(service) {
		if slice.Object.Labels["svclab/part"] == part(k) {
			return slices.EqualFunc(slice.Addresses, endpoints, func(a netip.Addr, e int) bool { return a == c.Endpoint(e).Addr() })
		}
	}
	return false
}

func part(k int) string { return fmt.Sprintf("%04d", k) }

func (c *Cluster) protocol(i int) corev1.Protocol {
	switch {
	case c.shape.UDP != nil && c.shape.UDP(i):
		return corev1.ProtocolUDP
	case c.shape.Protocol == "":
		return corev1.ProtocolTCP
	}
	return c.shape.Protocol
}

func (c *Cluster) service(i int) *corev1.Service {
	single, everywhere := corev1.IPFamilyPolicySingleStack, corev1.ServiceInternalTrafficPolicyCluster
	ip := Front(i).Addr().String()
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: name(i), UID: types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i)),
			Labels: map[string]string{"app": name(i)},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip}, Selector: map[string]string{"app": name(i)},
			IPFamilies: []corev1.IPFamily{corev1.IPv4Protocol}, IPFamilyPolicy: &single, InternalTrafficPolicy: &everywhere, SessionAffinity: corev1.ServiceAffinityNone,
			Ports: c.ports(i),
		},
	}
}

func (c *Cluster) portsOf(i int) int {
	if c.shape.Ports == nil {
		return 1
	}
	return max(1, c.shape.Ports(i))
}

func portName(k int) string {
	if k == 0 {
		return "http"
	}
	return fmt.Sprintf("http-%d", k)
}

func (c *Cluster) ports(i int) (list []corev1.ServicePort) {
	for k := range c.portsOf(i) {
		list = append(list, corev1.ServicePort{Name: portName(k), Protocol: c.protocol(i), Port: int32(Port + k)})
	}
	return list
}

func (c *Cluster) targets(i int) (list []discoveryv1.EndpointPort) {
	port, protocol := int32(TargetPort), c.protocol(i)
	for k := range c.portsOf(i) {
		name := portName(k)
		list = append(list, discoveryv1.EndpointPort{Name: &name, Port: &port, Protocol: &protocol})
	}
	return list
}

func (c *Cluster) slice(i, k int, endpoints []int) *discoveryv1.EndpointSlice {
	yes, no := true, false
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: metav1.NamespaceDefault, Name: fmt.Sprintf("%s-%s", name(i), part(k)), Generation: int64(c.turn),
			Labels: map[string]string{
				discoveryv1.LabelServiceName: name(i), discoveryv1.LabelManagedBy: "endpointslice-controller.k8s.io", "app": name(i), "svclab/part": part(k),
			},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "v1", Kind: "Service", Name: name(i), UID: types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i)), Controller: &yes, BlockOwnerDeletion: &yes}},
		},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       c.targets(i),
		Endpoints:   make([]discoveryv1.Endpoint, len(endpoints)),
	}
	if c.shape.Clock != nil {
		s.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: c.shape.Clock().UTC().Format(time.RFC3339Nano)}
	}
	near, far := NearName, FarName
	for j, e := range endpoints {
		at := c.Endpoint(e).Addr()
		on := &far
		if NearPods.Contains(at) {
			on = &near
		}
		s.Endpoints[j] = discoveryv1.Endpoint{
			Addresses: []string{at.String()}, NodeName: on,
			Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &no},
			TargetRef: &corev1.ObjectReference{
				Kind: "Pod", Namespace: metav1.NamespaceDefault, Name: fmt.Sprintf("%s-%08d", name(i), e), UID: types.UID(fmt.Sprintf("00000000-0000-4000-9000-%012d", e)),
			},
		}
	}
	return s
}
