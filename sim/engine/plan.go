package engine

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"svclab/proxycore/cluster"
	"svclab/sim/control"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// plan is a scenario played through the control plane before anything is built: every state it will have, and every
// place it will need. Pure: what cannot be planned is found before a namespace is made.
type plan struct {
	states   []*cluster.Snapshot // 0 is the start
	after    []int               // for each step the state that is in force after it
	before   []int
	topology *world.Topology
	places   map[netip.Addr]world.Place // who has an address
	families []scenario.Family
	// twins are the probes of a dual scenario's IPv6 image, by those of the scenario.
	twins map[*scenario.Probe]*scenario.Probe
}

func newPlan(sc *scenario.Scenario, mode cluster.Mode) (*plan, error) {
	if sc.Twin != nil {
		return dual(sc, mode)
	}
	p := &plan{places: map[netip.Addr]world.Place{}, families: []scenario.Family{sc.Family}}
	start, err := control.New(sc.Family == scenario.IPv6).Reserve(written(sc)...).ReservePorts(writtenPorts(sc)...).With(objects(sc.Objects)...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", sc.File, err)
	}
	states := []*control.State{start}
	now := 0
	for i := range sc.Steps {
		s := &sc.Steps[i]
		p.before = append(p.before, now)
		if s.Change != nil {
			next, err := play(states[now], s.Change)
			if err != nil {
				return nil, fmt.Errorf("%s:%d: %w", sc.File, s.Line, err)
			}
			states = append(states, next)
			now = len(states) - 1
			if s.Change.Repeat > 1 && s.Change.Repeat%2 == 0 {
				p.after = append(p.after, now)
				now = p.before[i] // made and taken back: at the end it is as before
				continue
			}
		}
		p.after = append(p.after, now)
	}
	for _, s := range states {
		p.states = append(p.states, s.Snapshot())
	}
	if err := p.survey(sc, states); err != nil {
		return nil, err
	}
	p.topology.Settings, p.topology.Mode, p.topology.MTU = sc.Settings, mode, sc.MTU
	return p, nil
}

func objects(list []scenario.Object) (out []runtime.Object) {
	for _, o := range list {
		out = append(out, o.Object)
	}
	return out
}

// everyObject is what the scenario writes for any time.
func everyObject(sc *scenario.Scenario) []runtime.Object {
	all := objects(sc.Objects)
	for i := range sc.Steps {
		if c := sc.Steps[i].Change; c != nil {
			all = append(all, objects(c.Apply)...)
		}
	}
	return all
}

// writtenPorts is every NodePort that the scenario gives to some Service at any time.
func writtenPorts(sc *scenario.Scenario) (ports []int32) {
	add := func(spec *corev1.ServiceSpec) {
		for _, p := range spec.Ports {
			ports = append(ports, p.NodePort)
		}
		ports = append(ports, spec.HealthCheckNodePort)
	}
	for _, o := range everyObject(sc) {
		if svc, ok := o.(*corev1.Service); ok {
			add(&svc.Spec)
		}
	}
	for i := range sc.Steps {
		c := sc.Steps[i].Change
		if c == nil {
			continue
		}
		for _, m := range c.Merge {
			var svc corev1.Service
			if m.Ref.Kind == "service" && json.Unmarshal(m.JSON, &svc) == nil { // a patch that does not fit is told when it is made
				add(&svc.Spec)
			}
		}
	}
	return ports
}

// written is every address that the scenario gives to some object at any time.
func written(sc *scenario.Scenario) (addrs []netip.Addr) {
	add := func(texts ...string) {
		for _, t := range texts {
			if a, ok := cluster.ParseAddr(t); ok {
				addrs = append(addrs, a)
			}
		}
	}
	for _, o := range everyObject(sc) {
		switch o := o.(type) {
		case *corev1.Node:
			for _, a := range o.Status.Addresses {
				add(a.Address)
			}
		case *corev1.Pod:
			add(o.Status.PodIP)
			for _, ip := range o.Status.PodIPs {
				add(ip.IP)
			}
		case *corev1.Service:
			add(o.Spec.ClusterIP)
			add(o.Spec.ClusterIPs...)
			add(o.Spec.ExternalIPs...)
			for _, in := range o.Status.LoadBalancer.Ingress {
				add(in.IP)
			}
		}
	}
	for _, c := range sc.Clients {
		addrs = append(addrs, c.Addresses...)
	}
	return addrs
}

// play makes one change: deletions, then applications, then patches.
func play(s *control.State, c *scenario.Change) (*control.State, error) {
	var err error
	for _, r := range c.Delete {
		if s, err = s.Without(r.Kind, r.Namespace, r.Name); err != nil {
			return nil, err
		}
	}
	for _, o := range c.Apply {
		if s, err = s.With(o.Object); err != nil {
			return nil, err
		}
	}
	for _, m := range c.Merge {
		if s, err = s.Merge(m.Ref.Kind, m.Ref.Namespace, m.Ref.Name, m.JSON); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// survey collects the places of all states.
func (p *plan) survey(sc *scenario.Scenario, states []*control.State) error {
	t := &world.Topology{}
	p.topology = t
	for _, s := range states {
		for _, n := range s.Nodes() {
			if err := add(&t.Nodes, nodeHost(n)); err != nil {
				return err
			}
		}
	}
	for i, s := range states {
		for _, pod := range s.Pods() {
			if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
				continue // it has no network any more, and its address may be another's
			}
			h := podHost(pod)
			if len(h.Listen) == 0 {
				h.Listen = p.targets(i, pod)
			}
			if err := add(&t.Pods, h); err != nil {
				return err
			}
		}
	}
	for i, c := range sc.Clients {
		t.Clients = append(t.Clients, clientHost(c, i, sc.Family))
	}
	if len(t.Nodes) == 0 {
		return fmt.Errorf("%s: there is no Node: a lab needs at least one", sc.File)
	}
	for _, hosts := range [][]world.Host{t.Nodes, t.Pods, t.Clients} {
		for _, h := range hosts {
			for _, a := range slices.Concat(h.Addrs, h.More) {
				if other, taken := p.places[a]; taken && !h.HostNetwork {
					return fmt.Errorf("%s: %s and %s have the same address %s; a deleted pod stays alive in the lab, so give the later one another", sc.File, other, h.Place, a)
				} else if !taken {
					p.places[a] = h.Place
				}
			}
		}
	}
	return nil
}

// add merges a host into the list: a place keeps its addresses for the whole scenario, and serves wherever any state
// has it serve.
func add(list *[]world.Host, h world.Host) error {
	for i := range *list {
		have := &(*list)[i]
		if have.Place != h.Place {
			continue
		}
		if was, is := slices.Concat(have.Addrs, have.More), slices.Concat(h.Addrs, h.More); !slices.Equal(was, is) || have.Node != h.Node {
			return fmt.Errorf("%s has %v on node %q in one state and %v on node %q in another; give the second another name", h.Place, was, have.Node, is, h.Node)
		}
		for _, l := range h.Listen {
			if !slices.Contains(have.Listen, l) {
				have.Listen = append(have.Listen, l)
			}
		}
		return nil
	}
	*list = append(*list, h)
	return nil
}

func nodeHost(n *corev1.Node) world.Host {
	c := (&cluster.Snapshot{}).WithNode(n).Node(n.Name)
	h := world.Host{Place: world.Place{Kind: world.Node, Name: n.Name}, PodCIDRs: c.PodCIDRs}
	for _, a := range c.Addresses {
		if h.AddrOf(a) == (netip.Addr{}) {
			h.Addrs = append(h.Addrs, a)
		} else {
			h.More = append(h.More, a)
		}
	}
	return h
}

func podHost(pod *corev1.Pod) world.Host {
	h := world.Host{
		Place:       world.Place{Kind: world.Pod, Namespace: pod.Namespace, Name: pod.Name},
		Node:        pod.Spec.NodeName,
		HostNetwork: pod.Spec.HostNetwork,
	}
	texts := []string{pod.Status.PodIP}
	for _, ip := range pod.Status.PodIPs {
		texts = append(texts, ip.IP)
	}
	for _, text := range texts {
		if a, ok := cluster.ParseAddr(text); ok && h.AddrOf(a) == (netip.Addr{}) {
			h.Addrs = append(h.Addrs, a)
		}
	}
	for _, c := range pod.Spec.Containers {
		for _, port := range c.Ports {
			if proto, err := cluster.ParseProto(string(port.Protocol)); err == nil {
				h.Listen = append(h.Listen, world.Port{Proto: proto, Port: uint16(port.ContainerPort)})
			}
		}
	}
	return h
}

// targets is where a pod that declares no ports must serve: wherever a Service leads to it. A pod that declares ports
// serves there and nowhere else, so that a wrong targetPort shows.
func (p *plan) targets(state int, pod *corev1.Pod) (ports []world.Port) {
	s := p.states[state]
	for svc := range s.Services() {
		for sl := range s.Slices(svc.Key) {
			for _, e := range sl.Object.Endpoints {
				if e.TargetRef == nil || e.TargetRef.Name != pod.Name || sl.Namespace != pod.Namespace {
					continue
				}
				for _, port := range sl.Object.Ports {
					if port.Port == nil || port.Protocol == nil {
						continue
					}
					proto, err := cluster.ParseProto(string(*port.Protocol))
					l := world.Port{Proto: proto, Port: uint16(*port.Port)}
					if err == nil && !slices.Contains(ports, l) {
						ports = append(ports, l)
					}
				}
			}
		}
	}
	return ports
}

// clientHost gives an outside client the addresses it was written with, or documentation ones (RFC 5737, RFC 3849).
func clientHost(c scenario.Client, i int, family scenario.Family) world.Host {
	h := world.Host{Place: world.Place{Kind: world.Client, Name: c.Name}, Addrs: c.Addresses}
	if len(h.Addrs) == 0 {
		h.Addrs = []netip.Addr{netip.AddrFrom4([4]byte{203, 0, 113, byte(i + 1)})}
		if family == scenario.IPv6 {
			h.Addrs = []netip.Addr{netip.AddrFrom16([16]byte{0: 0x20, 1: 0x01, 2: 0x0d, 3: 0xb8, 15: byte(i + 1)})}
		}
	}
	return h
}

// nameOf is how a report calls an address: by its place where one has it.
func (p *plan) nameOf(a netip.AddrPort) string {
	if place, ok := p.places[a.Addr()]; ok {
		return place.String()
	}
	return a.String()
}
