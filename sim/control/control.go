// Package control is the control plane in miniature: it holds the API objects, gives them the addresses that an API
// server, a scheduler and an IPAM would give, derives EndpointSlices as the real controller does, and hands out
// immutable Snapshots. A State never changes; what changes it returns another.
package control

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"svclab/proxycore/cluster"
)

// State is one state of the cluster's API objects.
type State struct {
	ipv6     bool // the family of addresses that are given out
	nodes    map[string]*corev1.Node
	order    []string // of the nodes: the first one gets the pods that name none
	pods     map[cluster.Key]*corev1.Pod
	services map[cluster.Key]*corev1.Service
	written  map[cluster.Key]*discoveryv1.EndpointSlice   // by hand
	derived  map[cluster.Key][]*discoveryv1.EndpointSlice // by Service
	byNS     map[string]map[cluster.Key]bool              // Services of a namespace that have a selector
	podIPs   map[netip.Addr]cluster.Key                   // who has, or had last, an address: none is given out twice
	reserved map[netip.Addr]bool                          // written in the objects, now or later: never given out; shared
	snapshot *cluster.Snapshot

	reservedPorts map[int32]bool // NodePorts likewise
}

// New is the empty cluster; ipv6 says of which family are the addresses that it gives out.
func New(ipv6 bool) *State {
	return &State{
		ipv6: ipv6, nodes: map[string]*corev1.Node{}, pods: map[cluster.Key]*corev1.Pod{}, services: map[cluster.Key]*corev1.Service{},
		written: map[cluster.Key]*discoveryv1.EndpointSlice{}, derived: map[cluster.Key][]*discoveryv1.EndpointSlice{},
		byNS: map[string]map[cluster.Key]bool{}, podIPs: map[netip.Addr]cluster.Key{},
		snapshot: (&cluster.Snapshot{}).WithServiceCIDRs(ServiceCIDRs()...),
	}
}

// Reserve returns the state with addresses that are never given out, since some object is written with them, or will be.
func (s *State) Reserve(addrs ...netip.Addr) *State {
	c := *s
	c.reserved = maps.Clone(s.reserved)
	if c.reserved == nil {
		c.reserved = map[netip.Addr]bool{}
	}
	for _, a := range addrs {
		c.reserved[a] = true
	}
	return &c
}

func (s *State) clone() *State {
	c := *s
	c.nodes, c.pods, c.services = maps.Clone(s.nodes), maps.Clone(s.pods), maps.Clone(s.services)
	c.written, c.derived, c.podIPs = maps.Clone(s.written), maps.Clone(s.derived), maps.Clone(s.podIPs)
	c.order = slices.Clone(s.order)
	c.byNS = make(map[string]map[cluster.Key]bool, len(s.byNS))
	for ns, keys := range s.byNS {
		c.byNS[ns] = maps.Clone(keys)
	}
	return &c
}

// Snapshot is what a Service proxy sees of the state.
func (s *State) Snapshot() *cluster.Snapshot { return s.snapshot }

// Nodes returns the nodes in the order in which they came.
func (s *State) Nodes() (out []*corev1.Node) {
	for _, name := range s.order {
		out = append(out, s.nodes[name])
	}
	return out
}

// Pods returns the pods, sorted by namespace and name.
func (s *State) Pods() (out []*corev1.Pod) {
	for _, k := range slices.SortedFunc(maps.Keys(s.pods), cluster.Key.Compare) {
		out = append(out, s.pods[k])
	}
	return out
}

// Get returns the object, with what was defaulted and allocated; nil when there is none. kind is in lower case.
func (s *State) Get(kind, namespace, name string) runtime.Object {
	k := cluster.Key{Namespace: namespace, Name: name}
	switch kind {
	case "node":
		if o := s.nodes[name]; o != nil {
			return o
		}
	case "pod":
		if o := s.pods[k]; o != nil {
			return o
		}
	case "service":
		if o := s.services[k]; o != nil {
			return o
		}
	case "endpointslice":
		if o := s.written[k]; o != nil {
			return o
		}
	}
	return nil
}

// With returns the state with the objects created or replaced, in that order. They are copied, and get what is missing.
func (s *State) With(objects ...runtime.Object) (*State, error) {
	c := s.clone()
	for _, o := range objects {
		if err := c.put(o.DeepCopyObject()); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func (s *State) put(o runtime.Object) error {
	switch o := o.(type) {
	case *corev1.Node:
		return s.putNode(o)
	case *corev1.Pod:
		return s.putPod(o)
	case *corev1.Service:
		return s.putService(o)
	case *discoveryv1.EndpointSlice:
		s.putSlice(o)
		return nil
	}
	return fmt.Errorf("the lab does not hold a %T", o)
}

func namespaced(ns *string) {
	if *ns == "" {
		*ns = corev1.NamespaceDefault
	}
}

func (s *State) putNode(o *corev1.Node) error {
	old, zone := s.nodes[o.Name], s.zone(o.Name)
	if old == nil {
		s.order = append(s.order, o.Name)
	}
	if err := s.defaultNode(o); err != nil {
		return err
	}
	s.nodes[o.Name] = o
	s.snapshot = s.snapshot.WithNode(o)
	if s.zone(o.Name) != zone {
		s.deriveAll() // the real controller does it with the next change of a Service or its pods
	}
	return nil
}

func (s *State) putPod(o *corev1.Pod) error {
	namespaced(&o.Namespace)
	k := cluster.Key{Namespace: o.Namespace, Name: o.Name}
	old := s.pods[k]
	if err := s.defaultPod(o); err != nil {
		return err
	}
	s.pods[k] = o
	s.snapshot = s.snapshot.WithPod(o)
	for _, ip := range o.Status.PodIPs {
		if a, ok := cluster.ParseAddr(ip.IP); ok && !o.Spec.HostNetwork {
			s.podIPs[a] = k
		}
	}
	s.derive(o.Namespace, old, o)
	return nil
}

func (s *State) putService(o *corev1.Service) error {
	namespaced(&o.Namespace)
	k := cluster.Key{Namespace: o.Namespace, Name: o.Name}
	if err := s.defaultService(o, s.services[k]); err != nil {
		return err
	}
	s.services[k] = o
	if s.byNS[o.Namespace] == nil {
		s.byNS[o.Namespace] = map[cluster.Key]bool{}
	}
	if hasSelector(o) {
		s.byNS[o.Namespace][k] = true
	} else {
		delete(s.byNS[o.Namespace], k)
	}
	s.snapshot = s.snapshot.WithService(o)
	s.deriveService(k)
	return nil
}

func (s *State) putSlice(o *discoveryv1.EndpointSlice) {
	namespaced(&o.Namespace)
	for i := range o.Ports { // kubernetes pkg/apis/discovery/v1/defaults.go
		p := &o.Ports[i]
		if tcp := corev1.ProtocolTCP; p.Protocol == nil {
			p.Protocol = &tcp
		}
		if unnamed := ""; p.Name == nil {
			p.Name = &unnamed
		}
	}
	k := cluster.Key{Namespace: o.Namespace, Name: o.Name}
	s.dropSlice(k)
	s.written[k] = o
	s.snapshot = s.snapshot.WithSlice(o)
}

func (s *State) dropSlice(k cluster.Key) {
	if old := s.written[k]; old != nil {
		s.snapshot = s.snapshot.WithoutSlice(serviceOf(old), k)
		delete(s.written, k)
	}
}

func serviceOf(o *discoveryv1.EndpointSlice) cluster.Key {
	return cluster.Key{Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
}

// Without returns the state without the object; one that is not there is an error.
func (s *State) Without(kind, namespace, name string) (*State, error) {
	if s.Get(kind, namespace, name) == nil {
		return nil, missing(kind, namespace, name)
	}
	c := s.clone()
	k := cluster.Key{Namespace: namespace, Name: name}
	switch kind {
	case "node":
		delete(c.nodes, name)
		c.order = slices.DeleteFunc(c.order, func(n string) bool { return n == name })
		c.snapshot = c.snapshot.WithoutNode(name)
	case "pod":
		old := c.pods[k]
		delete(c.pods, k)
		c.snapshot = c.snapshot.WithoutPod(k)
		c.derive(namespace, old, nil)
	case "service":
		delete(c.services, k)
		delete(c.byNS[namespace], k)
		c.snapshot = c.snapshot.WithoutService(k)
		c.deriveService(k)
	case "endpointslice":
		c.dropSlice(k)
	}
	return c, nil
}

func missing(kind, namespace, name string) error {
	if namespace == "" || namespace == corev1.NamespaceDefault {
		return fmt.Errorf("there is no %s/%s", kind, name)
	}
	return fmt.Errorf("there is no %s/%s/%s", kind, namespace, name)
}

// Merge returns the state with a JSON merge patch (RFC 7386) made to one object. Conditions, ports and other lists are
// replaced whole, as that patch does.
func (s *State) Merge(kind, namespace, name string, patch []byte) (*State, error) {
	o := s.Get(kind, namespace, name)
	if o == nil {
		return nil, missing(kind, namespace, name)
	}
	text, err := json.Marshal(o)
	if err != nil {
		return nil, fmt.Errorf("patch %s/%s: %w", kind, name, err)
	}
	var have, want any
	if err := json.Unmarshal(text, &have); err != nil {
		return nil, fmt.Errorf("patch %s/%s: %w", kind, name, err)
	}
	if err := json.Unmarshal(patch, &want); err != nil {
		return nil, fmt.Errorf("patch %s/%s: the patch is no JSON: %w", kind, name, err)
	}
	if text, err = json.Marshal(mergePatch(have, want)); err != nil {
		return nil, fmt.Errorf("patch %s/%s: %w", kind, name, err)
	}
	fresh := map[string]runtime.Object{"node": &corev1.Node{}, "pod": &corev1.Pod{}, "service": &corev1.Service{}, "endpointslice": &discoveryv1.EndpointSlice{}}[kind]
	if err := json.Unmarshal(text, fresh); err != nil {
		return nil, fmt.Errorf("patch %s/%s: the result is no %s: %w", kind, name, kind, err)
	}
	return s.With(fresh)
}

// mergePatch is the algorithm of RFC 7386 section 2.
func mergePatch(target, patch any) any {
	p, ok := patch.(map[string]any)
	if !ok {
		return patch
	}
	t, ok := target.(map[string]any)
	if !ok {
		t = map[string]any{}
	}
	for k, v := range p {
		if v == nil {
			delete(t, k)
		} else {
			t[k] = mergePatch(t[k], v)
		}
	}
	return t
}
