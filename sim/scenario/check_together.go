package scenario

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"k8s.io/apimachinery/pkg/labels"

	"svclab/proxycore/cluster"
)

// checkTogether looks whether some objects, new at this step, go together with all that are there: addresses are had by
// one only, and a pod's is of its node's range.
func (p *parser) checkTogether(now *there, fresh []*located) {
	have := map[netip.Addr]*located{}
	isFresh := map[*located]bool{}
	for _, l := range fresh {
		isFresh[l] = true
	}
	// Those that were there before come first, so that a new one is the one that is wrong.
	var all []*located
	nodes := false
	for r, l := range now.objects {
		nodes = nodes || r.Kind == "node"
		if !isFresh[l] {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *located) int { return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col)) })
	p.checkNodePorts(now, fresh)
	told := false
	for _, l := range append(all, fresh...) {
		if !l.sound || now.objects[l.Ref] != l {
			continue
		}
		own := ownAddresses(l)
		for _, o := range own {
			if other := have[o.addr]; other != nil && isFresh[l] {
				p.problem(o.at, "%s is the address of %s (line %d) already", o.addr, other.Ref, other.Line)
			} else if isFresh[l] {
				p.checkOnce(l, o, own)
			}
			have[o.addr] = l
		}
		if slice, ok := l.Object.Object.(*discoveryv1.EndpointSlice); ok && isFresh[l] && byController(slice) {
			p.checkManaged(l, slice, now)
		}
		if n, ok := l.Object.Object.(*corev1.Node); ok && isFresh[l] {
			p.checkRanges(l, n, now)
		}
		pod, ok := l.Object.Object.(*corev1.Pod)
		switch {
		case !ok || !isFresh[l] || p.unnamed:
		case !nodes && !told:
			told = true
			p.problem(l.Pos, "%s has no node to run on: the file has no Node, add a v1 Node", l.Ref)
		case nodes && pod.Spec.NodeName != "":
			p.checkPlace(l, pod, now)
		}
	}
}

// checkSelectors warns of a Service whose selector no pod of the file has, at any step: a slip that makes every probe of it
// pass, refused as it should be. One with nobody on purpose has an EndpointSlice, or a probe that says what it expects.
func (p *parser) checkSelectors() {
	expected := map[Ref]bool{}
	for _, s := range p.scenario.Steps {
		if s.Probe != nil && s.Probe.Expect != "" {
			for _, t := range s.Probe.To {
				expected[t.Ref] = true
			}
		}
	}
	for _, l := range p.objects {
		svc, ok := l.Object.Object.(*corev1.Service)
		if !ok || !l.sound || len(svc.Spec.Selector) == 0 || expected[l.Ref] {
			continue
		}
		sel := labels.SelectorFromSet(svc.Spec.Selector)
		if !slices.ContainsFunc(slices.Concat(p.objects, p.inline), func(o *located) bool {
			pod, ok := o.Object.Object.(*corev1.Pod)
			return ok && pod.Namespace == svc.Namespace && sel.Matches(labels.Set(pod.Labels))
		}) {
			p.warn(l.v.at("spec", "selector"), "no pod of the file matches the selector of %s, so it has no endpoints", l.Ref)
		}
	}
}

// checkNodePorts: a NodePort is one Service port's, as the API server sees to it.
func (p *parser) checkNodePorts(now *there, fresh []*located) {
	type nodePort struct {
		number int32
		proto  corev1.Protocol
	}
	have := map[nodePort]*located{}
	isFresh := func(l *located) bool { return slices.Contains(fresh, l) }
	var all []*located
	for _, l := range now.objects {
		if _, ok := l.Object.Object.(*corev1.Service); ok && l.sound {
			all = append(all, l)
		}
	}
	slices.SortFunc(all, func(a, b *located) int {
		old := func(l *located) int { // those that were there before have it
			if isFresh(l) {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(old(a), old(b)), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Col, b.Col))
	})
	for _, l := range all {
		take := func(number int32, proto corev1.Protocol, path ...any) {
			k := nodePort{number, cmp.Or(proto, corev1.ProtocolTCP)}
			if other := have[k]; other != nil && number != 0 && isFresh(l) {
				p.problem(l.place(path...), "%s %d/%s is that of %s (line %d) already: an API server would refuse it", path[len(path)-1], k.number, k.proto, other.Ref, other.Line)
			}
			have[k] = l
		}
		spec := &l.Object.Object.(*corev1.Service).Spec
		for i, port := range spec.Ports {
			take(port.NodePort, port.Protocol, "spec", "ports", i, "nodePort")
		}
		take(spec.HealthCheckNodePort, corev1.ProtocolTCP, "spec", "healthCheckNodePort")
	}
}

// checkOnce: the lab builds a pod once, and keeps a deleted one alive, so that who is still sent there is found out. So
// it has the same address all the time, and nobody else ever has it.
func (p *parser) checkOnce(l *located, o owned, own []owned) {
	if l.Ref.Kind != "pod" {
		return
	}
	if other := p.had[o.addr]; other != nil && other.Ref != l.Ref {
		p.problem(o.at, "%s was the address of %s (line %d), which the lab keeps alive after it is deleted: give %s another", o.addr, other.Ref, other.Line, l.Ref)
		return
	}
	p.had[o.addr] = l
	family := home{l.Ref, o.addr.Is4()}
	if main := own[slices.IndexFunc(own, func(a owned) bool { return a.addr.Is4() == o.addr.Is4() })]; main != o {
		return // only the first of a family counts
	}
	if was, ok := p.homes[family]; ok && was.addr != o.addr {
		p.problem(o.at, "%s had the address %s before (line %d), and a pod of the lab keeps it: give the new one another name", l.Ref, was.addr, was.at.Line)
		return
	}
	p.homes[family] = o
}

// home is a pod in one family.
type home struct {
	Ref
	ipv4 bool
}

type owned struct {
	at   Pos
	addr netip.Addr
}

// ownAddresses are those that no other object may have. Pods in their node's network have the node's; pods that have
// ended have none.
func ownAddresses(l *located) (out []owned) {
	add := func(text string, path ...any) {
		if a, ok := cluster.ParseAddr(text); ok && !slices.ContainsFunc(out, func(o owned) bool { return o.addr == a }) {
			out = append(out, owned{l.place(path...), a})
		}
	}
	switch o := l.Object.Object.(type) {
	case *corev1.Service:
		add(o.Spec.ClusterIP, "spec", "clusterIP")
		for i, ip := range o.Spec.ClusterIPs {
			add(ip, "spec", "clusterIPs", i)
		}
	case *corev1.Pod:
		if o.Spec.HostNetwork || o.Status.Phase == corev1.PodSucceeded || o.Status.Phase == corev1.PodFailed {
			return nil
		}
		add(o.Status.PodIP, "status", "podIP")
		for i, ip := range o.Status.PodIPs {
			add(ip.IP, "status", "podIPs", i, "ip")
		}
	case *corev1.Node:
		for i, a := range o.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				add(a.Address, "status", "addresses", i, "address")
			}
		}
	}
	return out
}

// checkPlace: a pod runs on a node that is there, with an address of that node's range. A pod that is not new to the
// file may outlive its node, as in a cluster.
func (p *parser) checkPlace(l *located, pod *corev1.Pod, now *there) {
	r := Ref{Kind: "node", Name: pod.Spec.NodeName}
	at := l.place("spec", "nodeName")
	if p.missing(at, r, now) {
		return
	}
	node, ok := now.objects[r].Object.Object.(*corev1.Node)
	if !ok || pod.Spec.HostNetwork {
		return
	}
	ranges := podRanges(node)
	for _, o := range ownAddresses(l) {
		ofFamily, inside := false, false
		for _, r := range ranges {
			ofFamily = ofFamily || r.Addr().Is4() == o.addr.Is4()
			inside = inside || r.Contains(o.addr)
		}
		if ofFamily && !inside {
			p.problem(o.at, "%s is outside of the podCIDRs of %s, %v", o.addr, r, ranges)
		}
	}
}

func podRanges(n *corev1.Node) (out []netip.Prefix) {
	texts := n.Spec.PodCIDRs
	if len(texts) == 0 && n.Spec.PodCIDR != "" {
		texts = []string{n.Spec.PodCIDR}
	}
	for _, text := range texts {
		if r, err := netip.ParsePrefix(text); err == nil {
			out = append(out, r.Masked())
		}
	}
	return out
}

// checkRanges: two nodes share no pod addresses.
func (p *parser) checkRanges(l *located, n *corev1.Node, now *there) {
	for _, other := range now.objects {
		o, ok := other.Object.Object.(*corev1.Node)
		if !ok || other == l || other.Line > l.Line {
			continue
		}
		for i, mine := range podRanges(n) {
			for _, theirs := range podRanges(o) {
				if mine.Overlaps(theirs) {
					p.problem(l.place("spec", "podCIDRs", i), "podCIDR %s overlaps %s of %s (line %d)", mine, theirs, other.Ref, other.Line)
				}
			}
		}
	}
}

// checkClients: a client is outside of the cluster, and so is its address.
func (p *parser) checkClients() {
	had := map[netip.Addr]Client{}
	for _, c := range p.scenario.Clients {
		for _, a := range c.Addresses {
			if other, ok := had[a]; ok {
				p.problem(c.Pos, "client %s has the address %s of client %s (line %d)", c.Name, a, other.Name, other.Line)
			}
			had[a] = c
			for _, l := range slices.Concat(p.objects, p.inline) {
				if !l.sound {
					continue
				}
				if n, ok := l.Object.Object.(*corev1.Node); ok {
					for _, r := range podRanges(n) {
						if r.Contains(a) {
							p.problem(c.Pos, "client %s is outside of the cluster, but its address %s is in the podCIDR %s of %s", c.Name, a, r, l.Ref)
						}
					}
				}
				if slices.ContainsFunc(ownAddresses(l), func(o owned) bool { return o.addr == a }) {
					p.problem(c.Pos, "client %s has the address %s of %s (line %d)", c.Name, a, l.Ref, l.Line)
				}
			}
		}
	}
}
