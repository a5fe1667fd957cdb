package scenario

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"svclab/proxycore/cluster"
)

// checkObjects looks at every object by itself, as the API server's validation would, as far as the lab needs it; and
// at the file's objects together, as they stand at the start.
func (p *parser) checkObjects() {
	first := map[Ref]*located{}
	for _, l := range p.objects {
		if have := first[l.Ref]; have != nil {
			p.problem(l.Pos, "a second %s; the first is in line %d", l.Ref, have.Line)
			continue
		}
		first[l.Ref] = l
	}
	all := slices.Concat(p.objects, p.inline)
	// Without a Node a pod has its own problem, which says the same at a better place.
	if !p.unnamed && !slices.ContainsFunc(all, func(l *located) bool { return l.Ref.Kind == "node" || l.Ref.Kind == "pod" }) {
		p.problem(p.scenario.Pos, "there is no Node: a lab needs at least one, so add a v1 Node, and what a Service needs")
	}
	for _, l := range all {
		p.checkObject(l)
	}
}

func (p *parser) checkObject(l *located) {
	if !l.sound {
		return
	}
	switch o := l.Object.Object.(type) {
	case *corev1.Service:
		p.checkService(l, o)
	case *corev1.Pod:
		p.checkPod(l, o)
	case *corev1.Node:
		p.checkNode(l, o)
	case *discoveryv1.EndpointSlice:
		p.checkSlice(l, o)
		if byController(o) {
			return // whether it counts at all depends on its Service
		}
	}
	p.checkJudged(l)
}

// isWord checks a field that has one of a few words, or none.
func (p *parser) isWord(l *located, have string, words []string, path ...any) {
	if have != "" && !slices.Contains(words, have) {
		name := path[len(path)-1].(string)
		p.problem(l.v.at(path...), "%s", unknown(name, have, "", words))
	}
}

var protocols = []string{"TCP", "UDP", "SCTP"}

func (p *parser) checkService(l *located, o *corev1.Service) {
	s := &o.Spec
	types := []string{"", "ClusterIP", "NodePort", "LoadBalancer", "ExternalName"}
	p.isWord(l, string(s.Type), types[1:], "spec", "type")
	p.isWord(l, string(s.ExternalTrafficPolicy), []string{"Cluster", "Local"}, "spec", "externalTrafficPolicy")
	p.isWord(l, string(s.SessionAffinity), []string{"None", "ClientIP"}, "spec", "sessionAffinity")
	if s.InternalTrafficPolicy != nil {
		p.isWord(l, string(*s.InternalTrafficPolicy), []string{"Cluster", "Local"}, "spec", "internalTrafficPolicy")
	}
	for i, f := range s.IPFamilies {
		if f != corev1.IPv4Protocol && f != corev1.IPv6Protocol {
			p.problem(l.v.at("spec", "ipFamilies", i), "%s", unknown("IP family", string(f), "", []string{"IPv4", "IPv6"}))
		}
	}
	p.isClusterIP(l.v.at("spec", "clusterIP"), s.ClusterIP)
	for i, ip := range s.ClusterIPs {
		p.isClusterIP(l.v.at("spec", "clusterIPs", i), ip)
	}
	if s.ClusterIP != "" && len(s.ClusterIPs) > 0 && s.ClusterIP != s.ClusterIPs[0] {
		p.problem(l.v.at("spec", "clusterIP"), "clusterIP %s is not the first of clusterIPs, %s", s.ClusterIP, s.ClusterIPs[0])
	}
	for i, ip := range s.ExternalIPs {
		p.isAddress(l.v.at("spec", "externalIPs", i), "an externalIP", ip)
	}
	for i, r := range s.LoadBalancerSourceRanges {
		p.isPrefix(l.v.at("spec", "loadBalancerSourceRanges", i), "a source range", strings.TrimSpace(r))
	}
	if slices.Contains(types, string(s.Type)) {
		p.checkType(l, o)
	}
	p.checkServicePorts(l, s)
}

func (p *parser) checkServicePorts(l *located, s *corev1.ServiceSpec) {
	if len(s.Ports) == 0 && s.Type != corev1.ServiceTypeExternalName && s.ClusterIP != corev1.ClusterIPNone {
		p.problem(l.v.at("spec"), "%s has no ports: write for example \"ports: [{port: 80}]\"", l.Ref)
	}
	type front struct {
		proto corev1.Protocol
		port  int32
	}
	names, fronts := map[string]bool{}, map[front]bool{}
	for i, port := range s.Ports {
		at := func(field string) Pos { return l.v.at("spec", "ports", i, field) }
		if written := l.v.get("spec").get("ports"); written.items[i].get("port").absent() {
			p.problem(l.v.at("spec", "ports", i), "a port of %s has no number: write for example \"port: 80\"", l.Ref)
		} else if port.Port < 1 || port.Port > 65535 {
			p.problem(at("port"), "port %d of %s is none: ports are 1 to 65535", port.Port, l.Ref)
		}
		if port.NodePort < 0 || port.NodePort > 65535 {
			p.problem(at("nodePort"), "nodePort %d of %s is none: ports are 1 to 65535", port.NodePort, l.Ref)
		}
		if port.NodePort > 0 && !numbered(s) {
			p.problem(at("nodePort"), "a nodePort is for a Service of type NodePort or LoadBalancer, and %s is of type %s", l.Ref, typeOfService(s))
		}
		if t := port.TargetPort; t.StrVal == "" && (t.IntVal < 0 || t.IntVal > 65535) {
			p.problem(at("targetPort"), "targetPort %d of %s is none: ports are 1 to 65535", t.IntVal, l.Ref)
		}
		p.isWord(l, string(port.Protocol), protocols, "spec", "ports", i, "protocol")
		f := front{port.Protocol, port.Port}
		if f.proto == "" {
			f.proto = corev1.ProtocolTCP
		}
		switch {
		case port.Name == "" && len(s.Ports) > 1:
			p.problem(at("name"), "%s has several ports, so each needs a name", l.Ref)
		case names[port.Name]:
			p.problem(at("name"), "%s has a second port with the name %q", l.Ref, port.Name)
		case fronts[f]:
			p.problem(at("port"), "%s has port %d/%s a second time", l.Ref, f.port, f.proto)
		}
		names[port.Name], fronts[f] = true, true
	}
}

func (p *parser) isClusterIP(at Pos, text string) {
	if text != "" && text != corev1.ClusterIPNone {
		if _, ok := cluster.ParseAddr(text); !ok {
			p.problem(at, "clusterIP %q is no address: write one such as 10.96.0.10, or None, or leave it out", shorten(text))
		}
	}
}

func (p *parser) isAddress(at Pos, what, text string) bool {
	_, ok := cluster.ParseAddr(text)
	if !ok {
		p.problem(at, "%s must be an address such as 10.0.0.1, not %q", what, shorten(text))
	}
	return ok
}

func (p *parser) isPrefix(at Pos, what, text string) bool {
	_, err := netip.ParsePrefix(text)
	if err != nil {
		p.problem(at, "%s must be a range such as 10.244.1.0/24, not %q", what, shorten(text))
	}
	return err == nil
}

func (p *parser) checkPod(l *located, o *corev1.Pod) {
	if o.Status.PodIP != "" {
		p.isAddress(l.v.at("status", "podIP"), "podIP", o.Status.PodIP)
	}
	for i, ip := range o.Status.PodIPs {
		p.isAddress(l.v.at("status", "podIPs", i, "ip"), "a pod's ip", ip.IP)
	}
	p.isWord(l, string(o.Status.Phase), []string{"Pending", "Running", "Succeeded", "Failed", "Unknown"}, "status", "phase")
	for i, c := range o.Status.Conditions {
		p.isWord(l, string(c.Status), []string{"True", "False", "Unknown"}, "status", "conditions", i, "status")
	}
	for i, c := range o.Spec.Containers {
		for j, port := range c.Ports {
			if written := l.v.get("spec").get("containers").items[i].get("ports"); written.items[j].get("containerPort").absent() {
				p.problem(written.items[j].Pos, "a port of container %q has no number: write for example \"containerPort: 80\"", c.Name)
			} else if port.ContainerPort < 1 || port.ContainerPort > 65535 {
				p.problem(l.v.at("spec", "containers", i, "ports", j, "containerPort"), "containerPort %d is none: ports are 1 to 65535", port.ContainerPort)
			}
			p.isWord(l, string(port.Protocol), protocols, "spec", "containers", i, "ports", j, "protocol")
		}
	}
}

func (p *parser) checkNode(l *located, o *corev1.Node) {
	for i, c := range o.Spec.PodCIDRs {
		p.isPrefix(l.v.at("spec", "podCIDRs", i), "a podCIDR", c)
	}
	if len(o.Spec.PodCIDRs) == 0 && o.Spec.PodCIDR != "" {
		p.isPrefix(l.v.at("spec", "podCIDR"), "podCIDR", o.Spec.PodCIDR)
	}
	for i, a := range o.Status.Addresses {
		if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
			p.isAddress(l.v.at("status", "addresses", i, "address"), "the "+string(a.Type), a.Address)
		}
	}
}

func (p *parser) checkSlice(l *located, o *discoveryv1.EndpointSlice) {
	if o.Labels[discoveryv1.LabelServiceName] == "" {
		p.problem(l.v.at("metadata"), "%s belongs to no Service: add the label %s", l.Ref, discoveryv1.LabelServiceName)
	}
	if o.AddressType == "" {
		p.problem(l.Pos, "%s has no addressType: write IPv4 or IPv6", l.Ref)
	}
	p.isWord(l, string(o.AddressType), []string{"IPv4", "IPv6", "FQDN"}, "addressType")
	for i, e := range o.Endpoints {
		if len(e.Addresses) == 0 {
			p.problem(l.v.at("endpoints", i), "the endpoint has no addresses")
		}
		for j, text := range e.Addresses {
			at := l.v.at("endpoints", i, "addresses", j)
			if o.AddressType == discoveryv1.AddressTypeFQDN || !p.isAddress(at, "an endpoint's address", text) {
				continue
			}
			if a, _ := cluster.ParseAddr(text); familyName(a) != string(o.AddressType) && o.AddressType != "" {
				p.problem(at, "%s is no %s address, which %s says it has", text, o.AddressType, l.Ref)
			}
		}
	}
}
