package engine

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// dual plays a scenario and its IPv6 image each for itself, and joins what comes out: their states pair up one by one,
// since both have the same objects and steps. Every object then has the addresses of both, as in a dual-stack cluster.
func dual(sc *scenario.Scenario, mode cluster.Mode) (*plan, error) {
	v4, v6 := *sc, *sc.Twin
	v4.Family, v4.Twin, v6.Family = scenario.IPv4, nil, scenario.IPv6
	p, err := newPlan(&v4, mode)
	if err != nil {
		return nil, err
	}
	q, err := newPlan(&v6, mode)
	if err != nil {
		return nil, err
	}
	if len(p.states) != len(q.states) {
		return nil, fmt.Errorf("%s: %d states in IPv4 and %d in IPv6", sc.File, len(p.states), len(q.states))
	}
	p.families = []scenario.Family{scenario.IPv4, scenario.IPv6}
	p.twins = map[*scenario.Probe]*scenario.Probe{}
	for i := range v4.Steps {
		a, b := probesOf(&v4.Steps[i]), probesOf(&v6.Steps[i])
		for j := range a {
			p.twins[a[j]] = b[j]
		}
	}
	var now *cluster.Snapshot
	var before [2]*cluster.Snapshot
	for i := range p.states {
		now = join(now, before, [2]*cluster.Snapshot{p.states[i], q.states[i]})
		before = [2]*cluster.Snapshot{p.states[i], q.states[i]}
		p.states[i] = now
	}
	t, u := p.topology, q.topology
	for _, hosts := range [][2][]world.Host{{t.Nodes, u.Nodes}, {t.Pods, u.Pods}, {t.Clients, u.Clients}} {
		for i := range hosts[0] {
			h, twin := &hosts[0][i], &hosts[1][i]
			if h.Place != twin.Place {
				return nil, fmt.Errorf("%s: %s in IPv4 is %s in IPv6", sc.File, h.Place, twin.Place)
			}
			h.Addrs = slices.Concat(h.Addrs, twin.Addrs)
			h.More = slices.Concat(h.More, twin.More)
			h.PodCIDRs = slices.Concat(h.PodCIDRs, twin.PodCIDRs)
		}
	}
	for a, place := range q.places {
		p.places[a] = place
	}
	t.Settings.ClusterCIDRs = slices.Concat(t.Settings.ClusterCIDRs, u.Settings.ClusterCIDRs)
	for _, r := range u.Settings.NodePortAddresses {
		if !slices.Contains(t.Settings.NodePortAddresses, r) {
			t.Settings.NodePortAddresses = append(slices.Clip(t.Settings.NodePortAddresses), r)
		}
	}
	return p, nil
}

// probesOf are the step's probe and the one that is sent meanwhile.
func probesOf(s *scenario.Step) (out []*scenario.Probe) {
	if s.Probe != nil {
		out = append(out, s.Probe)
	}
	if s.Change != nil && s.Change.During != nil {
		out = append(out, s.Change.During)
	}
	if s.Restart != nil && s.Restart.During != nil {
		out = append(out, s.Restart.During)
	}
	return out
}

// join brings the joined state of before up to now. Only what changed is made anew, so that proxies see no other change.
func join(joined *cluster.Snapshot, before, now [2]*cluster.Snapshot) *cluster.Snapshot {
	services, nodes, pods := map[cluster.Key]bool{}, map[string]bool{}, map[cluster.Key]bool{}
	for i := range now {
		d := cluster.Diff(before[i], now[i])
		for _, k := range d.Services {
			services[k] = true
		}
		for _, name := range d.Nodes {
			nodes[name] = true
		}
		for _, k := range d.Pods {
			pods[k] = true
		}
	}
	for name := range nodes {
		a, b := now[0].Node(name), now[1].Node(name)
		if a == nil || b == nil {
			joined = joined.WithoutNode(name)
		} else {
			joined = joined.WithNode(joinNodes(a.Object, b.Object))
		}
	}
	for k := range pods {
		a, b := now[0].Pod(k), now[1].Pod(k)
		if a == nil || b == nil {
			joined = joined.WithoutPod(k)
		} else {
			o := a.DeepCopy()
			o.Status.PodIPs = slices.Concat(a.Status.PodIPs, b.Status.PodIPs)
			joined = joined.WithPod(o)
		}
	}
	for k := range services {
		joined = joinServices(joined, k, before, now)
	}
	if joined.ServiceCIDRs() == nil {
		joined = joined.WithServiceCIDRs(now[0].ServiceCIDRs()...)
	}
	return joined
}

func joinNodes(a, b *corev1.Node) *corev1.Node {
	o := a.DeepCopy()
	for _, address := range b.Status.Addresses {
		if !slices.Contains(o.Status.Addresses, address) { // a host name is one, whatever the family
			o.Status.Addresses = append(o.Status.Addresses, address)
		}
	}
	o.Spec.PodCIDRs = slices.Concat(a.Spec.PodCIDRs, b.Spec.PodCIDRs)
	return o
}

func joinServices(joined *cluster.Snapshot, k cluster.Key, before, now [2]*cluster.Snapshot) *cluster.Snapshot {
	a, b := now[0].Service(k), now[1].Service(k)
	if changed := a != before[0].Service(k) || b != before[1].Service(k); changed && a != nil && b != nil {
		joined = joined.WithService(joinSpecs(a.Object, b.Object))
	} else if changed {
		joined = joined.WithoutService(k)
	}
	for i := range now {
		had := map[string]*discoveryv1.EndpointSlice{}
		for s := range before[i].Slices(k) {
			had[s.Name] = s.Object
		}
		for s := range now[i].Slices(k) {
			if had[s.Name] != s.Object {
				joined = joined.WithSlice(named(s.Object, i))
			}
			delete(had, s.Name)
		}
		for _, s := range had {
			joined = joined.WithoutSlice(k, cluster.Key{Namespace: s.Namespace, Name: named(s, i).Name})
		}
	}
	return joined
}

// named: a slice has one family, so a written one has a sibling of another name.
func named(s *discoveryv1.EndpointSlice, family int) *discoveryv1.EndpointSlice {
	if family == 0 || s.AddressType != discoveryv1.AddressTypeIPv6 {
		return s
	}
	o := s.DeepCopy()
	o.Name += "-twin"
	return o
}

// joinSpecs: a headless Service has "None" for its ClusterIPs, once.
func joinSpecs(a, b *corev1.Service) *corev1.Service {
	o := a.DeepCopy()
	if o.Spec.ClusterIP != corev1.ClusterIPNone {
		o.Spec.ClusterIPs = slices.Concat(a.Spec.ClusterIPs, b.Spec.ClusterIPs)
	}
	if len(a.Spec.IPFamilies)+len(b.Spec.IPFamilies) > 0 {
		policy := corev1.IPFamilyPolicyRequireDualStack
		o.Spec.IPFamilyPolicy = &policy
		o.Spec.IPFamilies = slices.Concat(a.Spec.IPFamilies, b.Spec.IPFamilies)
	}
	o.Spec.ExternalIPs = slices.Concat(a.Spec.ExternalIPs, b.Spec.ExternalIPs)
	o.Spec.LoadBalancerSourceRanges = slices.Concat(a.Spec.LoadBalancerSourceRanges, b.Spec.LoadBalancerSourceRanges)
	o.Status.LoadBalancer.Ingress = slices.Concat(a.Status.LoadBalancer.Ingress, b.Status.LoadBalancer.Ingress)
	return o
}
