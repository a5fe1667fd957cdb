package reflector

import (
	"net/netip"
	"slices"
	"sync/atomic"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
)

// object is any API object.
type object = metav1.Object

// resource is one kind of object that is read.
type resource struct {
	name, path, kind string
	labels, fields   string // selectors
	optional         bool   // a server may not have it
	decode           func(d *decoder, protobuf []byte) (object, error)
	fresh            func() object // for JSON
	trim             func(object)
}

// The resources, in the order of Names.
const (
	theServices = iota
	theSlices
	theNode
	theServiceCIDRs
	numResources
)

// Names are the resources that are read, as the API calls them.
var Names = [numResources]string{"services", "endpointslices", "nodes", "servicecidrs"}

// The selectors are kube-proxy's (kubernetes cmd/kube-proxy/app/server.go: Run).
func resources(node string) [numResources]resource {
	const notAnothers = "!" + labelProxyName + ",!" + labelHeadless
	return [numResources]resource{
		{
			name: Names[theServices], path: "/api/v1/services", kind: "Service", labels: notAnothers,
			decode: func(d *decoder, b []byte) (object, error) { return some(d.service(b)) },
			fresh:  func() object { return &corev1.Service{} },
			trim:   func(o object) { trimService(o.(*corev1.Service)) },
		},
		{
			name: Names[theSlices], path: "/apis/discovery.k8s.io/v1/endpointslices", kind: "EndpointSlice", labels: notAnothers,
			decode: func(d *decoder, b []byte) (object, error) { return some(d.slice(b)) },
			fresh:  func() object { return &discoveryv1.EndpointSlice{} },
			trim:   func(o object) { trimSlice(o.(*discoveryv1.EndpointSlice)) },
		},
		{
			name: Names[theNode], path: "/api/v1/nodes", kind: "Node", fields: "metadata.name=" + node,
			decode: func(_ *decoder, b []byte) (object, error) { return some(nodeOf(b)) },
			fresh:  func() object { return &corev1.Node{} },
			trim:   func(o object) { trimNode(o.(*corev1.Node)) },
		},
		{
			name: Names[theServiceCIDRs], path: "/apis/networking.k8s.io/v1/servicecidrs", kind: "ServiceCIDR", optional: true,
			decode: func(_ *decoder, b []byte) (object, error) { return some(serviceCIDROf(b)) },
			fresh:  func() object { return &networkingv1.ServiceCIDR{} },
			trim:   func(o object) { trimServiceCIDR(o.(*networkingv1.ServiceCIDR)) },
		},
	}
}

// some keeps a nil of a type from being an object.
func some[T object](o T, err error) (object, error) {
	if err != nil {
		return nil, err
	}
	return o, nil
}

func keyOf(o object) cluster.Key { return cluster.Key{Namespace: o.GetNamespace(), Name: o.GetName()} }

// counts are read by whoever asks for metrics.
type counts struct {
	came, done [numResources]atomic.Uint64
	failed     [numResources]atomic.Uint64
}

func (c *counts) received(i int, n uint64) { c.came[i].Store(n) }

func (c *counts) inForce(seen [numResources]uint64) {
	for i, n := range seen {
		c.done[i].Store(n)
	}
}

// Count is what has been read of one resource.
type Count struct {
	Resource string
	Received uint64 // objects in lists, and events; slices of names left out, which are of no use to a proxy
	InForce  uint64 // of them in force
	Failures uint64 // lists and watches that failed
}

// Counts may be called at any time.
func (r *Reflector) Counts() (out []Count) {
	for i, name := range Names {
		out = append(out, Count{name, r.counts.came[i].Load(), r.counts.done[i].Load(), r.counts.failed[i].Load()})
	}
	return out
}

// folder makes states of changes.
type folder struct {
	snapshot *cluster.Snapshot // nil until every resource is listed
	missing  int
	early    []change // before that
	listed   int
	seen     [numResources]uint64
	ranges   map[string][]string // of ServiceCIDRs, by name
}

func (f *folder) fold(n news) {
	f.seen = n.seen
	f.listed += n.listed
	f.missing = numResources - f.listed
	if f.snapshot == nil {
		f.early = append(f.early, n.changes...)
		if f.missing == 0 {
			f.begin()
		}
		return
	}
	for i := range n.changes {
		f.one(&n.changes[i])
	}
}

// begin builds the first state at once of what was listed; only what has changed since is put in one by one.
func (f *folder) begin() {
	var services []*corev1.Service
	var endpoints []*discoveryv1.EndpointSlice
	var rest []change
	for _, c := range f.early {
		s, isService := c.now.(*corev1.Service)
		e, isSlice := c.now.(*discoveryv1.EndpointSlice)
		switch {
		case isService && c.was == nil:
			services = append(services, s)
		case isSlice && c.was == nil:
			endpoints = append(endpoints, e)
		default:
			rest = append(rest, c)
		}
	}
	f.early = nil
	f.snapshot, f.ranges = cluster.Of(services, endpoints), map[string][]string{}
	for i := range rest {
		f.one(&rest[i])
	}
}

func (f *folder) one(c *change) {
	is := c.now
	if is == nil {
		is = c.was
	}
	switch o := is.(type) {
	case *corev1.Service:
		if c.now == nil {
			f.snapshot = f.snapshot.WithoutService(keyOf(o))
		} else {
			f.snapshot = f.snapshot.WithService(o)
		}
	case *discoveryv1.EndpointSlice:
		if was, ok := c.was.(*discoveryv1.EndpointSlice); ok && (c.now == nil || serviceOf(was) != serviceOf(o)) {
			f.snapshot = f.snapshot.WithoutSlice(serviceOf(was), keyOf(was))
		}
		if c.now != nil {
			f.snapshot = f.snapshot.WithSlice(o)
		}
	case *corev1.Node:
		if c.now == nil {
			f.snapshot = f.snapshot.WithoutNode(o.Name)
		} else {
			f.snapshot = f.snapshot.WithNode(o)
		}
	case *networkingv1.ServiceCIDR:
		if c.now == nil {
			delete(f.ranges, o.Name)
		} else {
			f.ranges[o.Name] = o.Spec.CIDRs
		}
		f.snapshot = f.snapshot.WithServiceCIDRs(prefixes(f.ranges)...)
	}
}

func serviceOf(s *discoveryv1.EndpointSlice) cluster.Key {
	return cluster.Key{Namespace: s.Namespace, Name: s.Labels[discoveryv1.LabelServiceName]}
}

// prefixes are sorted, each once: the order in which ServiceCIDRs came is nobody's business.
func prefixes(ranges map[string][]string) (out []netip.Prefix) {
	for _, texts := range ranges {
		for _, t := range texts {
			if p, ok := cluster.ParsePrefix(t); ok {
				out = append(out, p)
			}
		}
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
	return slices.Compact(out)
}
