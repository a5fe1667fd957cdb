package reflector

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The labels of Services that say who serves them.
const (
	labelProxyName = "service.kubernetes.io/service-proxy-name"
	labelHeadless  = corev1.IsHeadlessService
)

// keepsLabel and keepsAnnotation: what a proxy reads of an object's metadata, beside its name and times.
func keepsLabel(name string) bool {
	switch name {
	case labelProxyName, labelHeadless, discoveryv1.LabelServiceName, corev1.LabelTopologyZone:
		return true
	}
	return false
}

func keepsAnnotation(name string) bool { return name == corev1.EndpointsLastChangeTriggerTime }

// trimMeta leaves of an object's metadata what a proxy reads.
func trimMeta(m *metav1.ObjectMeta) {
	only := func(all map[string]string, keeps func(string) bool) (out map[string]string) {
		for k, v := range all {
			if keeps(k) {
				if out == nil {
					out = map[string]string{}
				}
				out[k] = v
			}
		}
		return out
	}
	*m = metav1.ObjectMeta{
		Name: m.Name, Namespace: m.Namespace, ResourceVersion: m.ResourceVersion, CreationTimestamp: m.CreationTimestamp, DeletionTimestamp: m.DeletionTimestamp,
		Labels: only(m.Labels, keepsLabel), Annotations: only(m.Annotations, keepsAnnotation),
	}
}

// trimService leaves of a Service what a proxy reads: no selector, and of its status the load balancer only.
func trimService(o *corev1.Service) {
	trimMeta(&o.ObjectMeta)
	o.TypeMeta = metav1.TypeMeta{}
	s := &o.Spec
	o.Spec = corev1.ServiceSpec{
		Ports: s.Ports, ClusterIP: s.ClusterIP, ClusterIPs: s.ClusterIPs, Type: s.Type, ExternalIPs: s.ExternalIPs,
		SessionAffinity: s.SessionAffinity, SessionAffinityConfig: s.SessionAffinityConfig, LoadBalancerSourceRanges: s.LoadBalancerSourceRanges,
		ExternalTrafficPolicy: s.ExternalTrafficPolicy, HealthCheckNodePort: s.HealthCheckNodePort, IPFamilies: s.IPFamilies, InternalTrafficPolicy: s.InternalTrafficPolicy,
	}
	for i := range s.Ports {
		p := &s.Ports[i]
		*p = corev1.ServicePort{Name: p.Name, Protocol: p.Protocol, Port: p.Port, NodePort: p.NodePort}
	}
	o.Status = corev1.ServiceStatus{LoadBalancer: o.Status.LoadBalancer}
}

// trimSlice leaves of an EndpointSlice what a proxy reads: addresses, conditions, nodes and hints.
func trimSlice(o *discoveryv1.EndpointSlice) {
	trimMeta(&o.ObjectMeta)
	o.TypeMeta = metav1.TypeMeta{}
	for i := range o.Endpoints {
		e := &o.Endpoints[i]
		*e = discoveryv1.Endpoint{Addresses: e.Addresses, Conditions: e.Conditions, NodeName: e.NodeName, Hints: e.Hints}
	}
	for i := range o.Ports {
		o.Ports[i].AppProtocol = nil
	}
}

// trimNode leaves of a Node what a proxy reads.
func trimNode(o *corev1.Node) {
	trimMeta(&o.ObjectMeta)
	*o = corev1.Node{
		ObjectMeta: o.ObjectMeta, Spec: corev1.NodeSpec{PodCIDR: o.Spec.PodCIDR, PodCIDRs: o.Spec.PodCIDRs, Taints: o.Spec.Taints},
		Status: corev1.NodeStatus{Addresses: o.Status.Addresses},
	}
}

func trimServiceCIDR(o *networkingv1.ServiceCIDR) {
	trimMeta(&o.ObjectMeta)
	*o = networkingv1.ServiceCIDR{ObjectMeta: o.ObjectMeta, Spec: o.Spec}
}
