package reflector

import (
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
