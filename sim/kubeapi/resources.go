package kubeapi

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// resource is one kind of object, as the API serves it.
type resource struct {
	schema.GroupVersion
	name       string // in paths: "services"
	kind       string
	short      []string
	namespaced bool
	form
	fields func(object) fields.Set // selectable beside metadata.name and metadata.namespace; nil: none
	table  table
}

// form is what a Go type can be made to do.
type form struct {
	fresh   func() object
	shallow func(object) object // a copy that shares what it points to, with its type written in it
	list    func(metav1.ListMeta, []object) runtime.Object
}

var (
	core       = corev1.SchemeGroupVersion
	discovery  = discoveryv1.SchemeGroupVersion
	networking = networkingv1.SchemeGroupVersion
	events     = eventsv1.SchemeGroupVersion
)

// resources are all that is served, in the order in which discovery names them. Events are taken and told, not kept.
var resources = []resource{
	{core, "services", "Service", []string{"svc"}, true,
		formOf(core, "Service", func(t metav1.TypeMeta, m metav1.ListMeta, items []corev1.Service) runtime.Object {
			return &corev1.ServiceList{TypeMeta: t, ListMeta: m, Items: items}
		}), func(o object) fields.Set {
			s := o.(*corev1.Service)
			return fields.Set{"spec.clusterIP": s.Spec.ClusterIP, "spec.type": string(s.Spec.Type)}
		}, serviceTable},
	{core, "nodes", "Node", []string{"no"}, false,
		formOf(core, "Node", func(t metav1.TypeMeta, m metav1.ListMeta, items []corev1.Node) runtime.Object {
			return &corev1.NodeList{TypeMeta: t, ListMeta: m, Items: items}
		}), nil, nodeTable},
	{core, "pods", "Pod", []string{"po"}, true,
		formOf(core, "Pod", func(t metav1.TypeMeta, m metav1.ListMeta, items []corev1.Pod) runtime.Object {
			return &corev1.PodList{TypeMeta: t, ListMeta: m, Items: items}
		}), func(o object) fields.Set {
			p := o.(*corev1.Pod)
			return fields.Set{"spec.nodeName": p.Spec.NodeName, "status.phase": string(p.Status.Phase), "status.podIP": p.Status.PodIP}
		}, podTable},
	{core, "namespaces", "Namespace", []string{"ns"}, false,
		formOf(core, "Namespace", func(t metav1.TypeMeta, m metav1.ListMeta, items []corev1.Namespace) runtime.Object {
			return &corev1.NamespaceList{TypeMeta: t, ListMeta: m, Items: items}
		}), func(o object) fields.Set {
			return fields.Set{"status.phase": string(o.(*corev1.Namespace).Status.Phase)}
		}, namespaceTable},
	{core, "endpoints", "Endpoints", []string{"ep"}, true, endpointsForm, nil, endpointsTable},
	{core, "events", "Event", []string{"ev"}, true,
		formOf(core, "Event", func(t metav1.TypeMeta, m metav1.ListMeta, items []corev1.Event) runtime.Object {
			return &corev1.EventList{TypeMeta: t, ListMeta: m, Items: items}
		}), nil, table{}},
	{discovery, "endpointslices", "EndpointSlice", nil, true,
		formOf(discovery, "EndpointSlice", func(t metav1.TypeMeta, m metav1.ListMeta, items []discoveryv1.EndpointSlice) runtime.Object {
			return &discoveryv1.EndpointSliceList{TypeMeta: t, ListMeta: m, Items: items}
		}), nil, endpointSliceTable},
	{networking, "servicecidrs", "ServiceCIDR", nil, false,
		formOf(networking, "ServiceCIDR", func(t metav1.TypeMeta, m metav1.ListMeta, items []networkingv1.ServiceCIDR) runtime.Object {
			return &networkingv1.ServiceCIDRList{TypeMeta: t, ListMeta: m, Items: items}
		}), nil, serviceCIDRTable},
	{events, "events", "Event", nil, true,
		formOf(events, "Event", func(t metav1.TypeMeta, m metav1.ListMeta, items []eventsv1.Event) runtime.Object {
			return &eventsv1.EventList{TypeMeta: t, ListMeta: m, Items: items}
		}), nil, table{}},
}

// formOf is the form of a type T, with its list.
func formOf[T any, P interface {
	*T
	object
}](gv schema.GroupVersion, kind string, list func(metav1.TypeMeta, metav1.ListMeta, []T) runtime.Object) form {
	gvk := gv.WithKind(kind)
	return form{
		fresh: func() object { return P(new(T)) },
		shallow: func(o object) object {
			c := *(o.(P))
			P(&c).GetObjectKind().SetGroupVersionKind(gvk)
			return P(&c)
		},
		list: func(m metav1.ListMeta, all []object) runtime.Object {
			items := make([]T, len(all))
			for i, o := range all {
				items[i] = *(o.(P))
				P(&items[i]).GetObjectKind().SetGroupVersionKind(schema.GroupVersionKind{}) // a list says it once
			}
			return list(metav1.TypeMeta{APIVersion: gv.String(), Kind: kind + "List"}, m, items)
		},
	}
}

// The resources that Set fills.
var (
	services       = find(core, "services")
	nodes          = find(core, "nodes")
	pods           = find(core, "pods")
	namespaces     = find(core, "namespaces")
	endpointsOf    = find(core, "endpoints")
	endpointSlices = find(discovery, "endpointslices")
	serviceCIDRs   = find(networking, "servicecidrs")
)

// find returns the resource of that name, nil when there is none.
func find(gv schema.GroupVersion, name string) *resource {
	for i := range resources {
		if r := &resources[i]; r.GroupVersion == gv && r.name == name {
			return r
		}
	}
	return nil
}
