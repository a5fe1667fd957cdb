// Package graph makes the drawing of a scenario: its places and Services in one state, and the way that a flow is to take
// by the oracle's word. What it makes is a drawing.Diagram; how that looks is for reports/drawing.
package graph

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/reports/drawing"
	"svclab/sim/oracle"
	"svclab/sim/world"
)

// Scene is what is drawn.
type Scene struct {
	Name, About string
	Moment      string // "IPv4, at the start"; optional
	Topology    *world.Topology
	State       *cluster.Snapshot
	// Before are earlier states: a pod of theirs that is gone from State still serves in a lab, and is drawn faintly. Who is in
	// none of them is not drawn.
	Before []*cluster.Snapshot
	IPv6   bool // which addresses are drawn
}

const underlayID = "underlay"

// Diagram draws the scene, without a path.
func (s *Scene) Diagram() *drawing.Diagram {
	d := &drawing.Diagram{Title: s.Name, State: s.Moment, About: strings.TrimSpace(s.About + " " + s.told())}
	for svc := range s.State.Services() {
		d.Boxes = append(d.Boxes, s.service(svc))
	}
	for i := range s.Topology.Nodes {
		if n := &s.Topology.Nodes[i]; s.shows(n) {
			d.Boxes = append(d.Boxes, s.node(n))
			for j := range s.Topology.Pods {
				if p := &s.Topology.Pods[j]; p.Node == n.Name && s.shows(p) {
					d.Boxes = append(d.Boxes, s.pod(p))
				}
			}
			d.Boxes = append(d.Boxes, s.ended(n.Name)...)
		}
	}
	for i := range s.Topology.Clients {
		c := &s.Topology.Clients[i]
		d.Boxes = append(d.Boxes, drawing.Box{ID: c.String(), Kind: drawing.Client, Title: c.String(), Note: s.address(c)})
	}
	if len(s.Topology.Nodes)+len(s.Topology.Clients) > 1 {
		u := drawing.Box{ID: underlayID, Kind: drawing.Underlay, Title: "underlay"}
		if s.Topology.MTU != 0 {
			u.Title = fmt.Sprintf("underlay, MTU %d", s.Topology.MTU)
		}
		d.Boxes = append(d.Boxes, u)
	}
	s.link(d)
	return d
}

// told is what the proxies are told, where it is not the default.
func (s *Scene) told() string {
	var words []string
	t := &s.Topology.Settings
	if t.DetectLocalMode != "" {
		words = append(words, strings.TrimSpace("detectLocalMode "+string(t.DetectLocalMode)+" "+t.Interface+" "+list(t.ClusterCIDRs)))
	}
	if t.MasqueradeAll {
		words = append(words, "masqueradeAll")
	}
	switch {
	case t.Primary:
		words = append(words, "nodePortAddresses primary")
	case len(t.NodePortAddresses) > 0:
		words = append(words, "nodePortAddresses "+list(t.NodePortAddresses))
	}
	if t.NoLocalhostNodePorts {
		words = append(words, "no localhostNodePorts")
	}
	if len(words) == 0 {
		return ""
	}
	return "The proxies are told: " + strings.Join(words, ", ") + "."
}

func list[T fmt.Stringer](values []T) string {
	words := make([]string, len(values))
	for i, v := range values {
		words[i] = v.String()
	}
	return strings.Join(words, ", ")
}

// there: the place is in the cluster by that state.
func there(state *cluster.Snapshot, h *world.Host) bool {
	switch h.Kind {
	case world.Node:
		return state.Node(h.Name) != nil
	case world.Pod:
		return state.Pod(cluster.Key{Namespace: h.Namespace, Name: h.Name}) != nil
	}
	return true
}

// shows: it is there, or was.
func (s *Scene) shows(h *world.Host) bool {
	return there(s.State, h) || slices.ContainsFunc(s.Before, func(b *cluster.Snapshot) bool { return there(b, h) })
}

// Places are the names of all who can send.
func (s *Scene) Places() (names []string) {
	for _, hosts := range [][]world.Host{s.Topology.Pods, s.Topology.Nodes, s.Topology.Clients} {
		for i := range hosts {
			if s.shows(&hosts[i]) {
				names = append(names, hosts[i].String())
			}
		}
	}
	return names
}

// Goals are the names of all that can be called.
func (s *Scene) Goals() []string {
	names := slices.DeleteFunc(s.Places(), func(n string) bool { return strings.HasPrefix(n, "client/") })
	for svc := range s.State.Services() {
		names = append(names, serviceID(svc.Key))
	}
	return names
}

func (s *Scene) ours(a netip.Addr) bool { return a.Is6() == s.IPv6 }

func (s *Scene) address(h *world.Host) string {
	for _, a := range h.Addrs {
		if s.ours(a) {
			return a.String()
		}
	}
	return ""
}

func (s *Scene) node(h *world.Host) drawing.Box {
	b := drawing.Box{ID: h.String(), Kind: drawing.Node, Title: h.String(), Note: s.address(h)}
	for _, a := range h.More {
		if s.ours(a) {
			b.Facts = append(b.Facts, drawing.Fact{Name: "also", Value: a.String()})
		}
	}
	if len(s.Topology.Clients) > 0 && s.Topology.Entry("") == h.Name {
		b.Tags = append(b.Tags, "entry from outside")
	}
	for _, r := range h.PodCIDRs {
		if s.ours(r.Addr()) {
			b.Facts = append(b.Facts, drawing.Fact{Name: "pods", Value: r.String()})
		}
	}
	n := s.State.Node(h.Name)
	if n == nil {
		b.Faint, b.Tags = true, append(b.Tags, "deleted")
		return b
	}
	if zone := n.Object.Labels[corev1.LabelTopologyZone]; zone != "" {
		b.Facts = append(b.Facts, drawing.Fact{Name: "zone", Value: zone})
	}
	return b
}

func (s *Scene) pod(h *world.Host) drawing.Box {
	b := drawing.Box{ID: h.String(), Kind: drawing.Pod, In: nodeID(h.Node), Title: h.String(), Note: s.address(h), Own: h.HostNetwork}
	if h.HostNetwork {
		b.Tags = append(b.Tags, "hostNetwork")
	}
	pod := s.State.Pod(cluster.Key{Namespace: h.Namespace, Name: h.Name})
	switch {
	case pod == nil:
		b.Faint, b.Tags = true, append(b.Tags, "deleted, still serves")
	case pod.DeletionTimestamp != nil:
		b.Tags = append(b.Tags, "terminating")
	}
	if pod == nil {
		return b
	}
	if phase := pod.Status.Phase; phase == corev1.PodSucceeded || phase == corev1.PodFailed {
		b.Faint, b.Tags = true, append(b.Tags, string(phase))
		return b
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status != corev1.ConditionTrue {
			b.Tags = append(b.Tags, "not ready")
		}
	}
	return b
}

// ended are a node's pods whose containers have ended for good: they have no network any more.
func (s *Scene) ended(node string) (out []drawing.Box) {
	for pod := range s.State.Pods() {
		if phase := pod.Status.Phase; pod.Spec.NodeName == node && (phase == corev1.PodSucceeded || phase == corev1.PodFailed) {
			place := world.Place{Kind: world.Pod, Namespace: pod.Namespace, Name: pod.Name}
			if h := s.Topology.Find(place); h == nil || !s.shows(h) {
				out = append(out, drawing.Box{ID: place.String(), Kind: drawing.Pod, In: nodeID(node), Title: place.String(), Tags: []string{string(phase)}, Faint: true, Loose: true})
			}
		}
	}
	return out
}

func nodeID(name string) string { return world.Place{Kind: world.Node, Name: name}.String() }

// server is who answers at an address: of several that share it the one that listens there, else the node.
func (s *Scene) server(a netip.AddrPort, proto cluster.Proto) (host *world.Host, listens bool) {
	for _, hosts := range [][]world.Host{s.Topology.Pods, s.Topology.Nodes, s.Topology.Clients} {
		for i := range hosts {
			h := &hosts[i]
			if !h.Has(a.Addr()) || !s.shows(h) {
				continue
			}
			if slices.Contains(h.Listen, world.Port{Proto: proto, Port: a.Port()}) {
				return h, true
			}
			if host == nil || h.Kind == world.Node {
				host = h
			}
		}
	}
	return host, false
}

// link leads each Service to its endpoints, and says what else pods listen at.
func (s *Scene) link(d *drawing.Diagram) {
	led := map[string][]world.Port{}
	for svc := range s.State.Services() {
		for _, p := range svc.Object.Spec.Ports {
			all, proto := s.endpoints(svc, p)
			for _, e := range all {
				k := drawing.Link{From: serviceID(svc.Key), Text: fmt.Sprintf("%s:%d → %d/%s", name(svc.Key), p.Port, e.Port(), proto)}
				switch {
				case e.Ready:
				case e.Used(nil):
					k.State = drawing.Draining
				default:
					k.State = drawing.Unused
				}
				host, listens := s.server(e.AddrPort, proto)
				if host == nil {
					k.To = "address/" + e.Addr().String()
					if d.Box(k.To) == nil {
						d.Boxes = append(d.Boxes, drawing.Box{ID: k.To, Kind: drawing.Address, Title: e.Addr().String(), Facts: []drawing.Fact{{Name: "nobody has this address", Warn: true}}})
					}
				} else {
					k.To = host.String()
					led[k.To] = append(led[k.To], world.Port{Proto: proto, Port: e.Port()})
					if !listens {
						k.Note = "nobody listens there"
					}
				}
				d.Links = append(d.Links, k)
			}
		}
	}
	for i := range s.Topology.Pods {
		p := &s.Topology.Pods[i]
		b := d.Box(p.String())
		if b == nil {
			continue
		}
		var ports []string
		for _, l := range p.Listen {
			if text := fmt.Sprintf("%d/%s", l.Port, l.Proto); !slices.Contains(led[p.String()], l) && !slices.Contains(ports, text) {
				ports = append(ports, text)
			}
		}
		if len(ports) > 0 {
			b.Facts = append(b.Facts, drawing.Fact{Name: "serves", Value: strings.Join(ports, ", ")})
		}
	}
}

// endpoints of a port, as proxies have them: none of what is not theirs.
func (s *Scene) endpoints(svc *cluster.Service, p corev1.ServicePort) ([]oracle.Endpoint, cluster.Proto) {
	proto, err := cluster.ParseProto(string(p.Protocol))
	if err != nil || !oracle.Served(svc) || svc.Object.Spec.ClusterIP == corev1.ClusterIPNone {
		return nil, proto
	}
	return oracle.Endpoints(s.State, svc.Key, p.Name, proto, !s.IPv6), proto
}
