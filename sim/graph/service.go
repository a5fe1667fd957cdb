package graph

import (
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/reports/drawing"
	"svclab/sim/oracle"
)

// name of a Service without the namespace "default".
func name(k cluster.Key) string {
	if k.Namespace == corev1.NamespaceDefault {
		return k.Name
	}
	return k.String()
}

func serviceID(k cluster.Key) string { return "service/" + name(k) }

// service is the box of a Service: its fronts, its ports, and what policies it has.
func (s *Scene) service(svc *cluster.Service) drawing.Box {
	o := svc.Object
	b := drawing.Box{ID: serviceID(svc.Key), Kind: drawing.Service, Title: serviceID(svc.Key)}
	add := func(name, value string) { b.Facts = append(b.Facts, drawing.Fact{Name: name, Value: value}) }
	warn := func(text string) { b.Facts = append(b.Facts, drawing.Fact{Name: text, Warn: true}) }
	switch {
	case o.Spec.Type == corev1.ServiceTypeExternalName:
		b.Tags = append(b.Tags, "ExternalName")
		add("name", o.Spec.ExternalName)
		warn("a name in the DNS: no proxy has to do with it")
		return b
	case o.Spec.ClusterIP == corev1.ClusterIPNone:
		b.Tags = append(b.Tags, "headless")
	case o.Spec.Type != corev1.ServiceTypeClusterIP:
		b.Tags = append(b.Tags, string(o.Spec.Type))
	}
	for _, a := range svc.ClusterIPs {
		if s.ours(a) {
			add("ClusterIP", a.String())
		}
	}
	for _, t := range o.Spec.ExternalIPs {
		if a, ok := cluster.ParseAddr(t); ok && s.ours(a) {
			add("externalIP", a.String())
		}
	}
	for _, in := range o.Status.LoadBalancer.Ingress {
		if a, ok := cluster.ParseAddr(in.IP); ok && s.ours(a) {
			text := a.String()
			if in.IPMode != nil && *in.IPMode == corev1.LoadBalancerIPModeProxy {
				text += ", answers itself"
			}
			add("load balancer", text)
		}
	}
	for _, p := range o.Spec.Ports {
		text := fmt.Sprintf("%d/%s → %s", p.Port, p.Protocol, p.TargetPort.String())
		if p.Name != "" {
			text += " (" + p.Name + ")"
		}
		add("port", text)
		if p.NodePort != 0 {
			add("NodePort", fmt.Sprintf("%d/%s", p.NodePort, p.Protocol))
		}
	}
	s.policies(o, add)
	s.lacks(svc, warn)
	return b
}

func (s *Scene) policies(o *corev1.Service, add func(name, value string)) {
	spec := &o.Spec
	if p := spec.InternalTrafficPolicy; p != nil && *p == corev1.ServiceInternalTrafficPolicyLocal {
		add("internal traffic", "Local")
	}
	if spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
		add("external traffic", "Local")
	}
	if spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		text := "ClientIP"
		if c := spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
			text += ", " + duration(*c.ClientIP.TimeoutSeconds)
		}
		add("affinity", text)
	}
	if len(spec.LoadBalancerSourceRanges) > 0 {
		add("lets in", strings.Join(spec.LoadBalancerSourceRanges, ", "))
	}
	if d := spec.TrafficDistribution; d != nil {
		add("distribution", *d)
	}
	if spec.HealthCheckNodePort != 0 {
		add("health check", fmt.Sprintf("NodePort %d", spec.HealthCheckNodePort))
	}
}

// duration of some seconds, in few letters: "3h", "90s" is "1m30s".
func duration(seconds int32) string {
	text := (time.Duration(seconds) * time.Second).String()
	for _, zero := range []string{"m0s", "h0m"} {
		if strings.HasSuffix(text, zero) {
			text = text[:len(text)-2]
		}
	}
	return text
}

// lacks is why nobody is led anywhere.
func (s *Scene) lacks(svc *cluster.Service, warn func(string)) {
	switch o := svc.Object; {
	case !oracle.Served(svc):
		warn("left to the proxy " + o.Labels["service.kubernetes.io/service-proxy-name"])
		return
	case o.Spec.ClusterIP == corev1.ClusterIPNone:
		warn("no address: the DNS names its pods, and no proxy has to do with it")
		return
	}
	for _, p := range svc.Object.Spec.Ports {
		all, proto := s.endpoints(svc, p)
		used := 0
		for _, e := range all {
			if e.Used(all) {
				used++
			}
		}
		which := ""
		if len(svc.Object.Spec.Ports) > 1 {
			which = fmt.Sprintf(" for port %d/%s", p.Port, proto)
		}
		switch {
		case len(all) == 0:
			warn("no endpoint" + which)
		case used == 0:
			warn("no endpoint is ready" + which)
		}
	}
}
