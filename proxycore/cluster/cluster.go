// Package cluster is a lossless, immutable view of the API objects that a Service proxy acts on: the objects as the API
// has them (Services, EndpointSlices as slices, Nodes) and beside them their addresses, parsed. It passes no judgement:
// which endpoints are usable is for proxycore to decide, and for the oracle to decide a second time.
package cluster

import (
	"iter"
	"net/netip"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
)

// Key names a namespaced object.
type Key struct{ Namespace, Name string }

// String is "namespace/name", the form kubectl prints.
func (k Key) String() string { return k.Namespace + "/" + k.Name }

// Compare orders keys by namespace, then name.
func (k Key) Compare(o Key) int {
	if c := strings.Compare(k.Namespace, o.Namespace); c != 0 {
		return c
	}
	return strings.Compare(k.Name, o.Name)
}

func parseKey(s string) Key {
	ns, name, _ := strings.Cut(s, "/")
	return Key{ns, name}
}

// Service is a v1 Service. Object must not be changed any more.
type Service struct {
	Key
	Object     *corev1.Service
	ClusterIPs []netip.Addr // one a family at most; empty when headless or not yet allocated
}

// Slice is a discovery.k8s.io/v1 EndpointSlice. Object must not be changed any more.
type Slice struct {
	Key
	Service Key // from the label kubernetes.io/service-name
	Object  *discoveryv1.EndpointSlice
	// Addresses has for each of Object.Endpoints its first address, the only one that a proxy uses
	// (kubernetes pkg/proxy/endpointslicecache.go); the zero Addr where it is none.
	Addresses []netip.Addr
}

// Node is a v1 Node. Object must not be changed any more.
type Node struct {
	Name      string
	Object    *corev1.Node
	Addresses []netip.Addr   // InternalIPs, in the order of status.addresses
	PodCIDRs  []netip.Prefix // spec.podCIDRs
}

// Snapshot is one state of the cluster. It never changes; With… and Without… return another one that shares what is
// the same. The zero Snapshot, and nil, are empty.
type Snapshot struct {
	services tree[*Service]
	slices   tree[*Slice] // keyed by the Service first, so that the slices of a Service are neighbours
	nodes    tree[*Node]
	pods     tree[*corev1.Pod] // no proxy acts on them; an API server shows them

	serviceCIDRs []netip.Prefix
}

func (s *Snapshot) clone() *Snapshot {
	if s == nil {
		return &Snapshot{}
	}
	c := *s
	return &c
}

// Of is the state of these Services and EndpointSlices: the same as one With… after the other, at a cost of O(N) where both
// lists are ordered by namespace and name, as an API server's are. Of two with the same name the later counts.
func Of(services []*corev1.Service, endpoints []*discoveryv1.EndpointSlice) *Snapshot {
	s := &Snapshot{}
	s.services = build(len(services), func(i int) (string, *Service) {
		v := serviceOf(services[i])
		return v.String(), v
	})
	s.slices = build(len(endpoints), func(i int) (string, *Slice) {
		v := sliceOf(endpoints[i])
		return sliceKey(v.Service, v.Key), v
	})
	return s
}

// WithService returns the state with the Service added or replaced.
func (s *Snapshot) WithService(o *corev1.Service) *Snapshot {
	v := serviceOf(o)
	c := s.clone()
	c.services = c.services.put(v.String(), v)
	return c
}

func serviceOf(o *corev1.Service) *Service {
	v := &Service{Key: Key{o.Namespace, o.Name}, Object: o}
	texts := o.Spec.ClusterIPs
	if len(texts) == 0 && o.Spec.ClusterIP != "" {
		texts = []string{o.Spec.ClusterIP}
	}
	for _, t := range texts {
		if a, ok := ParseAddr(t); ok {
			v.ClusterIPs = append(v.ClusterIPs, a)
		}
	}
	return v
}

// WithoutService returns the state without the Service; its slices stay, as in the API.
func (s *Snapshot) WithoutService(k Key) *Snapshot {
	c := s.clone()
	c.services = c.services.drop(k.String())
	return c
}

func sliceKey(service, slice Key) string { return service.String() + "/" + slice.Name }

// WithSlice returns the state with the EndpointSlice added or replaced. A slice whose label names another Service than
// before must be removed under its old Service first.
func (s *Snapshot) WithSlice(o *discoveryv1.EndpointSlice) *Snapshot {
	v := sliceOf(o)
	c := s.clone()
	c.slices = c.slices.put(sliceKey(v.Service, v.Key), v)
	return c
}

func sliceOf(o *discoveryv1.EndpointSlice) *Slice {
	v := &Slice{
		Key:       Key{o.Namespace, o.Name},
		Service:   Key{o.Namespace, o.Labels[discoveryv1.LabelServiceName]},
		Object:    o,
		Addresses: make([]netip.Addr, len(o.Endpoints)),
	}
	for i := range o.Endpoints {
		if e := &o.Endpoints[i]; len(e.Addresses) > 0 {
			v.Addresses[i], _ = ParseAddr(e.Addresses[0])
		}
	}
	return v
}

// WithoutSlice returns the state without the EndpointSlice of that Service.
func (s *Snapshot) WithoutSlice(service, slice Key) *Snapshot {
	c := s.clone()
	c.slices = c.slices.drop(sliceKey(service, slice))
	return c
}

// WithNode returns the state with the Node added or replaced.
func (s *Snapshot) WithNode(o *corev1.Node) *Snapshot {
	v := &Node{Name: o.Name, Object: o}
	for _, a := range o.Status.Addresses {
		if p, ok := ParseAddr(a.Address); ok && a.Type == corev1.NodeInternalIP {
			v.Addresses = append(v.Addresses, p)
		}
	}
	texts := o.Spec.PodCIDRs
	if len(texts) == 0 && o.Spec.PodCIDR != "" {
		texts = []string{o.Spec.PodCIDR}
	}
	for _, t := range texts {
		if p, err := netip.ParsePrefix(t); err == nil {
			v.PodCIDRs = append(v.PodCIDRs, p.Masked())
		}
	}
	c := s.clone()
	c.nodes = c.nodes.put(o.Name, v)
	return c
}

// WithoutNode returns the state without the Node.
func (s *Snapshot) WithoutNode(name string) *Snapshot {
	c := s.clone()
	c.nodes = c.nodes.drop(name)
	return c
}

// WithServiceCIDRs returns the state in which cluster IPs are given out from these ranges (networking.k8s.io/v1 ServiceCIDRs),
// instead of those before.
func (s *Snapshot) WithServiceCIDRs(ranges ...netip.Prefix) *Snapshot {
	c := s.clone()
	c.serviceCIDRs = ranges
	return c
}

// ServiceCIDRs are where cluster IPs are given out from; nil: the cluster does not say. They must not be changed.
func (s *Snapshot) ServiceCIDRs() []netip.Prefix {
	if s == nil {
		return nil
	}
	return s.serviceCIDRs
}

// WithPod returns the state with the Pod added or replaced.
func (s *Snapshot) WithPod(o *corev1.Pod) *Snapshot {
	c := s.clone()
	c.pods = c.pods.put(Key{o.Namespace, o.Name}.String(), o)
	return c
}

// WithoutPod returns the state without the Pod; what was derived from it stays.
func (s *Snapshot) WithoutPod(k Key) *Snapshot {
	c := s.clone()
	c.pods = c.pods.drop(k.String())
	return c
}

// Pod returns the Pod of that key, nil when there is none. It must not be changed any more.
func (s *Snapshot) Pod(k Key) *corev1.Pod {
	if s == nil {
		return nil
	}
	v, _ := s.pods.get(k.String())
	return v
}

// Service returns the Service of that key, nil when there is none.
func (s *Snapshot) Service(k Key) *Service {
	if s == nil {
		return nil
	}
	v, _ := s.services.get(k.String())
	return v
}

// Services yields every Service, ordered by namespace and name.
func (s *Snapshot) Services() iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		if s == nil {
			return
		}
		for _, v := range s.services.from("") {
			if !yield(v) {
				return
			}
		}
	}
}

// Slices yields the EndpointSlices of a Service, ordered by name.
func (s *Snapshot) Slices(service Key) iter.Seq[*Slice] {
	return func(yield func(*Slice) bool) {
		if s == nil {
			return
		}
		prefix := service.String() + "/"
		for k, v := range s.slices.from(prefix) {
			if !strings.HasPrefix(k, prefix) || !yield(v) {
				return
			}
		}
	}
}

// Node returns the Node of that name, nil when there is none.
func (s *Snapshot) Node(name string) *Node {
	if s == nil {
		return nil
	}
	v, _ := s.nodes.get(name)
	return v
}

// Nodes yields every Node, ordered by name.
func (s *Snapshot) Nodes() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if s == nil {
			return
		}
		for _, v := range s.nodes.from("") {
			if !yield(v) {
				return
			}
		}
	}
}

// Len is the number of Services.
func (s *Snapshot) Len() int {
	if s == nil {
		return 0
	}
	return s.services.len()
}

// Delta says what differs between two states, sorted.
type Delta struct {
	Services []Key    // the Service itself, or one of its EndpointSlices
	Nodes    []string // names
	Pods     []Key
}

// Diff compares two states at a cost of O(changes · log N).
func Diff(old, now *Snapshot) Delta {
	old, now = old.clone(), now.clone()
	var d Delta
	touched := map[Key]bool{}
	touch := func(k Key) {
		if !touched[k] {
			touched[k] = true
			d.Services = append(d.Services, k)
		}
	}
	diff(old.services.root, now.services.root, func(k string) { touch(parseKey(k)) })
	own := len(d.Services)
	diff(old.slices.root, now.slices.root, func(k string) { touch(parseKey(k[:strings.LastIndexByte(k, '/')])) })
	if len(d.Services) > own {
		sortKeys(d.Services)
	}
	diff(old.nodes.root, now.nodes.root, func(k string) { d.Nodes = append(d.Nodes, k) })
	diff(old.pods.root, now.pods.root, func(k string) { d.Pods = append(d.Pods, parseKey(k)) })
	return d
}
