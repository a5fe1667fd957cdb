package scenario

import (
	"cmp"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// What belongs to some types of Service only: refused where an API server would refuse it (k8s.io/kubernetes
// pkg/apis/core/validation: ValidateService, validateServiceExternalTrafficPolicy, ValidateLoadBalancerStatus), and dropped
// where it would drop it.

func numbered(s *corev1.ServiceSpec) bool {
	return s.Type == corev1.ServiceTypeNodePort || s.Type == corev1.ServiceTypeLoadBalancer
}

func accessible(s *corev1.ServiceSpec) bool {
	return numbered(s) || typeOfService(s) == corev1.ServiceTypeClusterIP && len(s.ExternalIPs) > 0
}

func healthChecked(s *corev1.ServiceSpec) bool {
	return s.Type == corev1.ServiceTypeLoadBalancer && s.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

func typeOfService(s *corev1.ServiceSpec) corev1.ServiceType {
	return cmp.Or(s.Type, corev1.ServiceTypeClusterIP)
}

// checkType looks at what the Service's type does not have.
func (p *parser) checkType(l *located, o *corev1.Service) {
	s := &o.Spec
	balanced := s.Type == corev1.ServiceTypeLoadBalancer
	of := func(field string) Pos { return l.v.at("spec", field) }
	if s.ExternalTrafficPolicy != "" && !accessible(s) {
		p.problem(of("externalTrafficPolicy"), "externalTrafficPolicy is for a Service that is reached from outside: of type NodePort or LoadBalancer, or with externalIPs; %s is of type %s", l.Ref, typeOfService(s))
	}
	if s.HealthCheckNodePort != 0 && !healthChecked(s) {
		p.problem(of("healthCheckNodePort"), "healthCheckNodePort is for \"type: LoadBalancer\" with \"externalTrafficPolicy: Local\"")
	}
	if s.HealthCheckNodePort < 0 || s.HealthCheckNodePort > 65535 {
		p.problem(of("healthCheckNodePort"), "healthCheckNodePort %d of %s is none: ports are 1 to 65535", s.HealthCheckNodePort, l.Ref)
	}
	if len(s.LoadBalancerSourceRanges) > 0 && !balanced {
		p.problem(of("loadBalancerSourceRanges"), "loadBalancerSourceRanges are for \"type: LoadBalancer\", and %s is of type %s", l.Ref, typeOfService(s))
	}
	if s.AllocateLoadBalancerNodePorts != nil && !balanced {
		p.problem(of("allocateLoadBalancerNodePorts"), "allocateLoadBalancerNodePorts is for \"type: LoadBalancer\", and %s is of type %s", l.Ref, typeOfService(s))
	}
	if s.TrafficDistribution != nil {
		p.isWord(l, *s.TrafficDistribution, []string{corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferSameNode,
			corev1.ServiceTrafficDistributionPreferClose}, "spec", "trafficDistribution")
	}
	ingress := o.Status.LoadBalancer.Ingress
	if len(ingress) > 0 && !balanced {
		p.problem(l.v.at("status", "loadBalancer", "ingress"), "a load balancer's ingress is for \"type: LoadBalancer\", and %s is of type %s", l.Ref, typeOfService(s))
	}
	for i, in := range ingress {
		if in.IPMode != nil {
			p.isWord(l, string(*in.IPMode), []string{"VIP", "Proxy"}, "status", "loadBalancer", "ingress", i, "ipMode")
		}
		if in.IP != "" {
			p.isAddress(l.v.at("status", "loadBalancer", "ingress", i, "ip"), "a load balancer's ip", in.IP)
		} else if in.IPMode != nil {
			p.problem(l.v.at("status", "loadBalancer", "ingress", i, "ipMode"), "ipMode says nothing without an ip")
		}
	}
}

// retyped is a patched Service without what the API server drops for its new type (pkg/registry/core/service/strategy.go:
// dropTypeDependentFields): what it was, and the patch does not say.
func (v *value) retyped(was, is *corev1.ServiceSpec, patch *value) *value {
	spec := v.get("spec")
	drop := func(fields ...string) {
		fields = slices.DeleteFunc(fields, func(f string) bool { return patch.get("spec").get(f) != nil })
		spec = spec.without(fields...)
	}
	if accessible(was) && !accessible(is) {
		drop("externalTrafficPolicy")
	}
	if healthChecked(was) && !healthChecked(is) {
		drop("healthCheckNodePort")
	}
	if typeOfService(is) == corev1.ServiceTypeExternalName {
		drop("clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy")
	}
	if written := spec.get("ports"); written != nil && numbered(was) && !numbered(is) && patch.get("spec").get("ports") == nil {
		ports := *written
		ports.items = slices.Clone(ports.items)
		for i, port := range ports.items {
			ports.items[i] = port.without("nodePort")
		}
		spec = spec.with("ports", &ports)
	}
	out := v
	if was.Type == corev1.ServiceTypeLoadBalancer && is.Type != corev1.ServiceTypeLoadBalancer {
		drop("allocateLoadBalancerNodePorts", "loadBalancerClass")
		out = out.with("status", out.get("status").without("loadBalancer"))
	}
	return out.with("spec", spec)
}

// without is a map without some of its fields.
func (v *value) without(keys ...string) *value {
	if v == nil {
		return nil
	}
	out := *v
	out.fields = slices.DeleteFunc(slices.Clone(v.fields), func(f field) bool { return slices.Contains(keys, f.key) })
	return &out
}

// with is a map with another value of a field that it has.
func (v *value) with(key string, val *value) *value {
	out := *v
	out.fields = slices.Clone(v.fields)
	for i := range out.fields {
		if out.fields[i].key == key {
			out.fields[i].val = val
		}
	}
	return &out
}
