package kubeapi

//lint:file-ignore SA1019 Endpoints are deprecated, and served to those who still ask for them: kubectl describe up to v1.32.

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"svclab/proxycore/cluster"
)

var endpointsForm = formOf(core, "Endpoints", func(t metav1.TypeMeta, m metav1.ListMeta, items []corev1.Endpoints) runtime.Object {
	return &corev1.EndpointsList{TypeMeta: t, ListMeta: m, Items: items}
})

var endpointsTable = table{[]string{"Endpoints", "Age"}, func(o object) []any {
	var list []string
	for _, sub := range o.(*corev1.Endpoints).Subsets {
		for _, p := range sub.Ports {
			for _, a := range sub.Addresses {
				list = append(list, hostPort(a.IP, p.Port))
			}
		}
	}
	return []any{few(list), age(o)}
}}

// wantEndpoints derives the Endpoints of all Services, and from now on keeps them: few ask for them any more, and they
// take as much memory as the slices.
func (s *Server) wantEndpoints() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.endpoints {
		return
	}
	s.endpoints = true
	for svc := range s.last.Services() {
		s.setEndpoints(svc.Key)
	}
}

// setEndpoints brings a Service's Endpoints up to date.
func (s *Server) setEndpoints(key cluster.Key) {
	o := EndpointsOf(s.last, key)
	if o == nil {
		s.drop(endpointsOf, key.String())
		return
	}
	if have := s.collections[endpointsOf].items[key.String()]; have != nil && sameSubsets(have.(*corev1.Endpoints), o) {
		return
	}
	s.put(endpointsOf, key.String(), o)
}

// EndpointsOf derives a Service's Endpoints from its slices of its first family, as the endpoints controller does from
// the same pods: one subset for each list of ports (pkg/controller/endpoint/endpoints_controller.go). Nil: it has none.
func EndpointsOf(state *cluster.Snapshot, key cluster.Key) *corev1.Endpoints {
	svc := state.Service(key)
	if svc == nil || svc.Object.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	family := discoveryv1.AddressTypeIPv4
	if f := svc.Object.Spec.IPFamilies; len(f) > 0 && f[0] == corev1.IPv6Protocol {
		family = discoveryv1.AddressTypeIPv6
	}
	o := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Name: key.Name, Namespace: key.Namespace, Labels: svc.Object.Labels}}
	for slice := range state.Slices(key) {
		if slice.Object.AddressType == family {
			o.Subsets = addSubset(o.Subsets, slice.Object)
		}
	}
	for _, sub := range o.Subsets {
		for _, list := range [][]corev1.EndpointAddress{sub.Addresses, sub.NotReadyAddresses} {
			slices.SortFunc(list, func(a, b corev1.EndpointAddress) int { return cmp.Compare(a.IP, b.IP) })
		}
	}
	return o
}

func addSubset(all []corev1.EndpointSubset, slice *discoveryv1.EndpointSlice) []corev1.EndpointSubset {
	var ports []corev1.EndpointPort
	for _, p := range slice.Ports {
		if p.Port == nil {
			continue
		}
		out := corev1.EndpointPort{Port: *p.Port, AppProtocol: p.AppProtocol, Protocol: corev1.ProtocolTCP}
		if p.Name != nil {
			out.Name = *p.Name
		}
		if p.Protocol != nil {
			out.Protocol = *p.Protocol
		}
		ports = append(ports, out)
	}
	if len(slice.Endpoints) == 0 {
		return all
	}
	i := slices.IndexFunc(all, func(s corev1.EndpointSubset) bool {
		return slices.EqualFunc(s.Ports, ports, func(a, b corev1.EndpointPort) bool {
			return a.Name == b.Name && a.Port == b.Port && a.Protocol == b.Protocol
		})
	})
	if i < 0 {
		i = len(all)
		all = append(all, corev1.EndpointSubset{Ports: ports})
	}
	for _, e := range slice.Endpoints {
		for _, a := range e.Addresses {
			address := corev1.EndpointAddress{IP: a, NodeName: e.NodeName, TargetRef: e.TargetRef}
			if e.Hostname != nil {
				address.Hostname = *e.Hostname
			}
			if e.Conditions.Ready == nil || *e.Conditions.Ready {
				all[i].Addresses = append(all[i].Addresses, address)
			} else {
				all[i].NotReadyAddresses = append(all[i].NotReadyAddresses, address)
			}
		}
	}
	return all
}

func sameSubsets(a, b *corev1.Endpoints) bool {
	address := func(x, y corev1.EndpointAddress) bool { return x.IP == y.IP && x.Hostname == y.Hostname }
	return slices.EqualFunc(a.Subsets, b.Subsets, func(x, y corev1.EndpointSubset) bool {
		return slices.EqualFunc(x.Addresses, y.Addresses, address) && slices.EqualFunc(x.NotReadyAddresses, y.NotReadyAddresses, address) &&
			slices.EqualFunc(x.Ports, y.Ports, func(p, q corev1.EndpointPort) bool {
				return p.Name == q.Name && p.Port == q.Port && p.Protocol == q.Protocol
			})
	})
}
