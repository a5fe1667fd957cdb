// Package cluster is a lossless, immutable view of the API objects that a Service proxy acts on: the objects as the API
// has them (Services, EndpointSlices as slices, Nodes) and beside them their addresses, parsed. It passes no judgement:
// which endpoints are usable is for proxycore to decide, and for the oracle to decide a second time.
package cluster

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"
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
	services tree[*group]
	count    int               // of groups with a Service
	nodes    tree[*Node]       // by a Key without namespace
	pods     tree[*corev1.Pod] // no proxy acts on them; an API server shows them

	serviceCIDRs []netip.Prefix
}

// group is a Service, nil when there is none, and the EndpointSlices that name it, by name: whoever asks for the one needs
// the other. It never changes, and is never empty.
type group struct {
	service *Service
	slices  []*Slice
}

func (g *group) equal(o *group) bool {
	return g == o || g != nil && o != nil && g.service == o.service && slices.Equal(g.slices, o.slices)
}

func (s *Snapshot) group(k Key) (g group) {
	if s != nil {
		if p := s.services.get(k); p != nil {
			g = *p
		}
	}
	return g
}

// put replaces the group of a Service.
func (s *Snapshot) put(k Key, was, now group) *Snapshot {
	c := s.clone()
	c.count += btoi(now.service != nil) - btoi(was.service != nil)
	if now.service == nil && len(now.slices) == 0 {
		c.services = c.services.drop(k)
	} else {
		c.services = c.services.put(k, &now)
	}
	return c
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// named finds the place of an EndpointSlice among those of its Service.
func named(list []*Slice, name string) (at int, found bool) {
	return slices.BinarySearchFunc(list, name, func(s *Slice, name string) int { return strings.Compare(s.Name, name) })
}

func (s *Snapshot) clone() *Snapshot {
	if s == nil {
		return &Snapshot{}
	}
	c := *s
	return &c
}

// WithService returns the state with the Service added or replaced.
func (s *Snapshot) WithService(o *corev1.Service) *Snapshot {
	v := serviceOf(o)
	was := s.group(v.Key)
	return s.put(v.Key, was, group{v, was.slices})
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
	was := s.group(k)
	return s.put(k, was, group{nil, was.slices})
}

// WithSlice returns the state with the EndpointSlice added or replaced. A slice whose label names another Service than
// before must be removed under its old Service first.
func (s *Snapshot) WithSlice(o *discoveryv1.EndpointSlice) *Snapshot {
	v := sliceOf(o)
	was := s.group(v.Service)
	at, found := named(was.slices, v.Name)
	list := make([]*Slice, 0, len(was.slices)+btoi(!found))
	list = append(append(list, was.slices[:at]...), v)
	return s.put(v.Service, was, group{was.service, append(list, was.slices[at+btoi(found):]...)})
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
	was := s.group(service)
	at, found := named(was.slices, slice.Name)
	if !found {
		return s.clone()
	}
	return s.put(service, was, group{was.service, slices.Delete(slices.Clone(was.slices), at, at+1)})
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
	c.nodes = c.nodes.put(Key{Name: o.Name}, v)
	return c
}

// WithoutNode returns the state without the Node.
func (s *Snapshot) WithoutNode(name string) *Snapshot {
	c := s.clone()
	c.nodes = c.nodes.drop(Key{Name: name})
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
	c.pods = c.pods.put(Key{o.Namespace, o.Name}, o)
	return c
}

// WithoutPod returns the state without the Pod; what was derived from it stays.
func (s *Snapshot) WithoutPod(k Key) *Snapshot {
	c := s.clone()
	c.pods = c.pods.drop(k)
	return c
}

// Pod returns the Pod of that key, nil when there is none. It must not be changed any more.
func (s *Snapshot) Pod(k Key) *corev1.Pod {
	if s == nil {
		return nil
	}
	return s.pods.get(k)
}

// Pods yields every Pod, ordered by namespace and name.
func (s *Snapshot) Pods() iter.Seq[*corev1.Pod] {
	return func(yield func(*corev1.Pod) bool) {
		if s == nil {
			return
		}
		for _, v := range s.pods.all() {
			if !yield(v) {
				return
			}
		}
	}
}

// Service returns the Service of that key, nil when there is none.
func (s *Snapshot) Service(k Key) *Service {
	return s.group(k).service
}

// Services yields every Service, ordered by namespace and name.
func (s *Snapshot) Services() iter.Seq[*Service] {
	return func(yield func(*Service) bool) {
		if s == nil {
			return
		}
		for _, g := range s.services.all() {
			if g.service != nil && !yield(g.service) {
				return
			}
		}
	}
}

// Slices yields the EndpointSlices of a Service, ordered by name.
func (s *Snapshot) Slices(service Key) iter.Seq[*Slice] {
	return slices.Values(s.group(service).slices)
}

// Node returns the Node of that name, nil when there is none.
func (s *Snapshot) Node(name string) *Node {
	if s == nil {
		return nil
	}
	return s.nodes.get(Key{Name: name})
}

// Nodes yields every Node, ordered by name.
func (s *Snapshot) Nodes() iter.Seq[*Node] {
	return func(yield func(*Node) bool) {
		if s == nil {
			return
		}
		for _, v := range s.nodes.all() {
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
	return s.count
}

// Change is a Service that differs between two states, or one of its EndpointSlices does. A Service that is not there is
// nil. The lists are sorted by name and must not be changed.
type Change struct {
	Key                  Key
	Old, Now             *Service
	OldSlices, NowSlices []*Slice
}

// Changes compares the Services of two states and returns those that differ, or if all those of either, sorted. It costs
// O(changes · log N).
func Changes(old, now *Snapshot, all bool) (list []Change) {
	old, now = old.clone(), now.clone()
	if old.services.root == nil {
		list = make([]Change, 0, now.services.len())
	}
	var none group
	diff(old.services.root, now.services.root, all, func(k Key, was, is *group) {
		if !all && was.equal(is) {
			return
		}
		was, is = cmp.Or(was, &none), cmp.Or(is, &none)
		list = append(list, Change{k, was.service, is.service, was.slices, is.slices})
	})
	return list
}

// Delta says what differs between two states, sorted.
type Delta struct {
	Services []Key    // the Service itself, or one of its EndpointSlices
	Nodes    []string // names
	Pods     []Key
}

// Diff compares two states at a cost of O(changes · log N).
func Diff(old, now *Snapshot) (d Delta) {
	for _, c := range Changes(old, now, false) {
		d.Services = append(d.Services, c.Key)
	}
	old, now = old.clone(), now.clone()
	diff(old.nodes.root, now.nodes.root, false, func(k Key, _, _ *Node) { d.Nodes = append(d.Nodes, k.Name) })
	diff(old.pods.root, now.pods.root, false, func(k Key, _, _ *corev1.Pod) { d.Pods = append(d.Pods, k) })
	return d
}
