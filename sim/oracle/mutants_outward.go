package oracle

import (
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

type decision = func(*question) (Reason, bool)

// never: the rule is not known.
func never() func(*question, decision) (Reason, bool) {
	return func(*question, decision) (Reason, bool) { return Reason{}, false }
}

// wherever spoils what a rule has decided in some cases only.
func wherever(when func(q *question) bool, spoil func(q *question)) func() func(*question, decision) (Reason, bool) {
	return after(func(q *question) {
		if when(q) {
			spoil(q)
		}
	})
}

// chooseNobody takes the answer away.
func chooseNobody(q *question) { q.choice, q.mute = nil, q.drop() }

// anybody chooses among all ready endpoints, whatever policy and hints say.
func anybody(q *question) { q.choose(q.front.usable()) }

// only keeps those endpoints that are as they should not have to be; when there is none, nobody answers.
func only(keep func(q *question, e endpoint) bool) func(q *question) {
	return func(q *question) {
		var pool []netip.AddrPort
		for _, e := range q.front.all {
			if has(q.pool().endpoints, e.AddrPort) && keep(q, e) {
				pool = append(pool, e.AddrPort)
			}
		}
		if q.choose(pool); len(pool) == 0 {
			q.mute = q.refusal()
		}
	}
}

// near: it is hinted for the zone of the node that translates.
func near(q *question, e endpoint) bool {
	zone := q.facts.zone(q.translates)
	return zone != "" && slices.Contains(e.forZones, zone)
}

func byVIP(q *question) bool { return q.by == byLoadBalancer }

// serveThere answers for a front that should be left alone.
func serveThere(q *question, f *front, svc *cluster.Service) {
	q.front, q.service, q.by, q.mute, q.freely = f, svc, f.by, nil, nil
	q.choose(f.usable())
}

var outwardMutants = []Mutant{
	{Name: "keeps-vip-source", Bug: "packets to a VIP are not masqueraded", Breaks: []string{"LB-1", "LB-2"},
		Scenario: "vip", Sentence: "translates it and puts its own address in place, whoever calls",
		rule: "a VIP is masqueraded", spoil: after(func(q *question) { q.keptOf(); q.asItCame = false })},
	{Name: "vip-not-from-nodes", Bug: "a node's own packets to a VIP are not translated", Breaks: []string{"LB-3"},
		Scenario: "vip", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool { return byVIP(q) && q.isNode() }, chooseNobody)},
	{Name: "balancer-forgotten", Bug: "an address that the load balancer answers itself is translated", Breaks: []string{"LB-4"},
		Scenario: "vip", Sentence: "which answers itself (ipMode Proxy)",
		rule: "a load balancer answers itself", spoil: after(func(q *question) {
			svc := q.facts.proxied(q.h, q.flow.To.Addr())
			serveThere(q, q.facts.front(svc, &svc.Object.Spec.Ports[0], q.flow.Proto, q.flow.To.Addr().Is4(), byLoadBalancer), svc)
		})},
	{Name: "vip-needs-nodeport", Bug: "a VIP is translated only where the Service has a NodePort", Breaks: []string{"LB-13"},
		Scenario: "vip", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool { return byVIP(q) && q.service.Object.Spec.Ports[0].NodePort == 0 }, chooseNobody)},
	{Name: "first-vip-only", Bug: "of several ingress addresses the first is translated", Breaks: []string{"LB-14"},
		Scenario: "vip", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool { return byVIP(q) && q.flow.To.Addr() != q.front.vips[0] }, chooseNobody)},
	{Name: "vip-left-to-its-node", Bug: "a VIP that a node has itself is not translated", Breaks: []string{"LB-21"},
		Scenario: "vip-on-node", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool { return byVIP(q) && q.h.node(q.flow.To.Addr()) != nil }, chooseNobody)},

	{Name: "ignores-source-ranges", Bug: "loadBalancerSourceRanges restrict nobody", Breaks: []string{"LB-7", "LB-8", "LB-10", "LB-12"},
		Scenario: "source-ranges", Sentence: "which is in none of the loadBalancerSourceRanges",
		rule: "a source that is not let in", spoil: never},
	{Name: "refuses-strangers", Bug: "who is in no source range is refused", Breaks: []string{"LB-7", "LB-8", "LB-10"},
		Scenario: "source-ranges", Sentence: "the packet is dropped",
		rule: "a source that is not let in", spoil: after(func(q *question) { q.mute = q.refusal() })},
	{Name: "shuts-everybody-out", Bug: "source ranges let nobody in", Breaks: []string{"LB-6", "LB-9"},
		Scenario: "source-ranges", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool { return byVIP(q) && len(q.front.ranges) > 0 }, chooseNobody)},
	{Name: "reads-ranges-to-the-letter", Bug: "a source range with blanks, or that holds everybody, lets nobody in", Breaks: []string{"LB-11"},
		Scenario: "source-ranges", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool {
			return byVIP(q) && slices.ContainsFunc(q.service.Object.Spec.LoadBalancerSourceRanges, func(r string) bool {
				return strings.Contains(r, " ") || strings.HasSuffix(r, "/0")
			})
		}, chooseNobody)},
	{Name: "forgets-own-vip", Bug: "a node that calls its own VIP from that address is not let in", Breaks: []string{"LB-9"},
		Scenario: "vip-on-node", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool {
			return byVIP(q) && slices.Contains(q.front.vips, q.self) && !slices.ContainsFunc(q.front.ranges, func(r netip.Prefix) bool { return r.Contains(q.self) }) && len(q.front.ranges) > 0
		}, chooseNobody)},
	{Name: "guards-nodeports", Bug: "source ranges are in front of NodePorts too", Breaks: []string{"NP-17"},
		Scenario: "source-ranges", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool {
			return q.by == byNodePort && len(q.front.ranges) > 0 && !slices.ContainsFunc(q.front.ranges, func(r netip.Prefix) bool { return r.Contains(q.self) })
		}, chooseNobody)},

	{Name: "internal-goes-anywhere", Bug: "internalTrafficPolicy Local is ignored", Breaks: []string{"POL-1", "POL-2", "POL-3", "POL-5", "POL-13", "TERM-4"},
		Scenario: "internal-local", Sentence: "has internalTrafficPolicy Local",
		rule: "internal traffic stays on its node", spoil: never},
	{Name: "internal-binds-outside", Bug: "internalTrafficPolicy Local is for NodePorts and VIPs too", Breaks: []string{"POL-6"},
		Scenario: "internal-local", Sentence: "should have answered",
		rule: "a policy for other traffic", spoil: wherever(func(q *question) bool { return !q.inward() }, func(q *question) { q.local = true })},
	{Name: "no-host-network-here", Bug: "a hostNetwork endpoint is on no node", Breaks: []string{"POL-4"},
		Scenario: "internal-local", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool { return q.local }, only(func(q *question, e endpoint) bool { return !q.hostNetwork(e.AddrPort) }))},
	{Name: "refuses-without-local", Bug: "without an endpoint on the node policy Local refuses", Breaks: []string{"POL-2", "POL-8", "POL-12", "EXT-2"},
		Scenario: "external-local", Sentence: "the packet is dropped, not refused",
		rule: "dropped without endpoints on the node", spoil: after(func(q *question) { q.mute = q.refusal() })},
	{Name: "external-goes-anywhere", Bug: "externalTrafficPolicy Local is ignored in the choice of endpoints", Breaks: []string{"POL-7", "POL-8", "POL-12", "EXT-2", "TERM-3", "SRC-2"},
		Scenario: "external-local", Sentence: "has externalTrafficPolicy Local, and",
		rule: "external traffic stays on its node", spoil: never},
	{Name: "masquerades-local", Bug: "with externalTrafficPolicy Local the source is masqueraded", Breaks: []string{"POL-7", "POL-9", "EXT-2", "EXT-3"},
		Scenario: "external-local", Sentence: "has externalTrafficPolicy Local, so the source is kept",
		rule: "policy Local keeps the source", spoil: after(func(q *question) { q.ofNode(q.translates) })},
	{Name: "pods-are-outsiders", Bug: "a pod that calls outwards is bound by externalTrafficPolicy Local", Breaks: []string{"POL-9", "POL-13", "EXT-3", "SRC-4", "TERM-5"},
		Scenario: "external-local", Sentence: "should have answered",
		rule: "a pod's way out is cut short", spoil: after(func(q *question) { q.local = true })},
	{Name: "nodes-are-outsiders", Bug: "a node that calls outwards is bound by externalTrafficPolicy Local", Breaks: []string{"POL-10", "POL-13", "EXT-3"},
		Scenario: "external-local", Sentence: "should have answered",
		rule: "a node's way out is cut short", spoil: after(func(q *question) { q.local = true })},
	{Name: "external-binds-inside", Bug: "externalTrafficPolicy Local is for the ClusterIP too", Breaks: []string{"POL-11", "POL-14"},
		Scenario: "no-outside", Sentence: "should have answered",
		rule: "a policy for other traffic", spoil: wherever((*question).inward, func(q *question) { q.local = true })},
	{Name: "policy-never-changes", Bug: "externalTrafficPolicy stays what it was", Breaks: []string{"LB-20"},
		Scenario: "external-local", Sentence: "should have answered",
		rule: "external traffic stays on its node", spoil: onceLocal},
	{Name: "no-hairpin-outward", Bug: "a pod that calls itself through a VIP with policy Local gets a packet from itself", Breaks: []string{"HP-2"},
		Scenario: "external-local", Sentence: "silent for",
		rule: "a pod that calls itself", spoil: wherever(func(q *question) bool { return !q.inward() }, func(q *question) { q.lost = []world.Outcome{world.Silent} })},
	{Name: "no-local-terminating", Bug: "policy Local does not fall back to terminating endpoints", Breaks: []string{"TERM-3", "TERM-4", "TERM-5"},
		Scenario: "terminating-local", Sentence: "should have answered",
		rule: "a terminating endpoint that still serves", spoil: wherever(func(q *question) bool { return q.local }, chooseNobody)},
	{Name: "holds-the-excluded", Bug: "a client stays with an endpoint that its policy excludes", Breaks: []string{"AFF-7"},
		Scenario: "affinity-local", Sentence: "which policy or hints exclude now",
		rule: "a client stays with its endpoint", spoil: func() func(*question, decision) (Reason, bool) {
			return func(q *question, was decision) (Reason, bool) {
				why, applies := was(q)
				if applies && why.Row == "AFF-7" {
					q.choose([]netip.AddrPort{q.pin.uses[0].server})
				}
				return why, applies
			}
		}},

	{Name: "ignores-hints", Bug: "hints are ignored", Breaks: []string{"TOPO-1", "TOPO-2", "TOPO-3", "TOPO-6", "TOPO-9", "TOPO-10", "TOPO-11"},
		Scenario: "zones", Sentence: "by their hints the others are not for zone",
		rule: "an endpoint that hints name", spoil: after(anybody)},
	{Name: "ignores-node-hints", Bug: "only hints for zones are obeyed", Breaks: []string{"TOPO-2", "TOPO-10"},
		Scenario: "nodes", Sentence: "by their hints the others are not for node/",
		rule: "an endpoint that hints name", spoil: wherever(func(q *question) bool { return q.pool().hints == forNode },
			func(q *question) {
				var pool []netip.AddrPort
				for _, e := range q.front.all {
					if e.ready && near(q, e) {
						pool = append(pool, e.AddrPort)
					}
				}
				q.choose(pool)
			})},
	{Name: "no-zone-for-no-node", Bug: "where no endpoint is hinted for the node, its zone does not count either", Breaks: []string{"TOPO-3"},
		Scenario: "nodes", Sentence: "by their hints the others are not for zone",
		rule: "an endpoint that hints name", spoil: wherever(func(q *question) bool { return q.pool().hints == insteadOfNode }, anybody)},
	{Name: "obeys-incomplete-hints", Bug: "hints are obeyed though a ready endpoint has none", Breaks: []string{"TOPO-4"},
		Scenario: "hints-ignored", Sentence: "never answered, though its share is",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool { return q.pool().hints == incomplete }, only(near))},
	{Name: "nobody-in-the-zone", Bug: "a zone for which no endpoint is hinted has none", Breaks: []string{"TOPO-5"},
		Scenario: "hints-ignored", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool { return q.pool().hints == elsewhere }, only(near))},
	{Name: "unready-need-hints", Bug: "hints are ignored when an endpoint that is not ready has none", Breaks: []string{"TOPO-6"},
		Scenario: "hints-ignored", Sentence: "by their hints the others are not for zone",
		rule: "an endpoint that hints name", spoil: wherever(func(q *question) bool { return slices.ContainsFunc(q.front.all, unreadyAndUnhinted) }, anybody)},
	{Name: "hints-bind-local", Bug: "hints are obeyed among a node's own endpoints", Breaks: []string{"TOPO-7"},
		Scenario: "local-policy", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: wherever(func(q *question) bool { return q.local && q.front.hinted() }, only(near))},
	{Name: "hints-bind-terminating", Bug: "hints are obeyed among terminating endpoints", Breaks: []string{"TOPO-8"},
		Scenario: "hints-ignored", Sentence: "never answered, though its share is",
		rule: "a terminating endpoint that still serves", spoil: wherever(func(q *question) bool { return q.front.hinted() }, only(near))},

	{Name: "keeps-unknown-pods", Bug: "a pod that its node does not know for one is not masqueraded", Breaks: []string{"SRC-1", "SRC-2", "SRC-3"},
		Scenario: "node-cidr", Sentence: "its address is not in that node's range",
		rule: "a pod that its node takes for an outsider", spoil: after(func(q *question) { q.kept(); q.asItCame = false })},
	{Name: "masquerades-by-interface", Bug: "a pod that comes by a pod's interface is masqueraded", Breaks: []string{"SRC-4"},
		Scenario: "interface-prefix", Sentence: "is a pod, so its own address is kept",
		rule: "a pod's address is kept", spoil: wherever(func(q *question) bool {
			return q.h.settings.DetectLocalMode == cluster.DetectInterfaceNamePrefix
		}, func(q *question) { q.ofNode(q.translates) })},
	{Name: "masquerades-undetected", Bug: "without a detector outsiders are masqueraded", Breaks: []string{"SRC-5"},
		Scenario: "no-detector", Sentence: "the nodes cannot tell pods from others",
		rule: "without a detector nobody is masqueraded", spoil: after(func(q *question) { q.ofNode(q.translates) })},
	{Name: "no-masquerade-all", Bug: "masqueradeAll is ignored", Breaks: []string{"CIP-7"},
		Scenario: "masquerade-all", Sentence: "masqueradeAll is set",
		rule: "everybody is masqueraded", spoil: never},
	{Name: "nodeports-everywhere", Bug: "NodePorts are answered at every address of a node, whatever nodePortAddresses say", Breaks: []string{"NP-5", "NP-6", "NP-7", "NP-9", "NP-10", "NP-11"},
		Scenario: "nodeport-addresses", Sentence: "is asked itself",
		rule: "where NodePorts are not answered", spoil: wherever(func(q *question) bool { return len(q.aside.usable()) > 0 },
			func(q *question) { serveThere(q, q.aside, q.facts.state.Service(q.aside.service)) })},
	{Name: "drops-where-not-answered", Bug: "an address without NodePorts does not answer at their numbers", Breaks: []string{"NP-14"},
		Scenario: "nodeport-addresses", Sentence: "should have",
		rule: "where NodePorts are not answered", spoil: wherever(func(q *question) bool { return len(q.aside.usable()) == 0 },
			func(q *question) { q.choice, q.freely, q.mute = nil, nil, []world.Outcome{world.Unreachable} })},

	{Name: "asks-headless", Bug: "slices for headless Services are not ignored", Breaks: []string{"CIP-17"},
		Scenario: "headless-slice", Sentence: "should have",
		rule: "refused without endpoints", spoil: after(func(q *question) {
			for s := range q.facts.state.Slices(q.service.Key) {
				if _, headless := s.Object.Labels[corev1.IsHeadlessService]; headless {
					q.choose([]netip.AddrPort{netip.AddrPortFrom(s.Addresses[0], uint16(*s.Object.Ports[0].Port))})
					q.mute = nil
				}
			}
		})},
	{Name: "shows-a-pod-itself", Bug: "a pod whose slice does not say where it is sees itself", Breaks: []string{"HP-3"},
		Scenario: "hairpin-unnamed", Sentence: "calls itself through the Service, so it sees an address of its node",
		rule: "a pod that calls itself", spoil: after(func(q *question) { q.kept(); q.asItCame = false })},
}

// onceLocal remembers every front that was Local when it was asked about.
func onceLocal() func(*question, decision) (Reason, bool) {
	ever := map[frontKey]bool{}
	return func(q *question, was decision) (Reason, bool) {
		why, applies := was(q)
		key := frontKey{q.flow.To, q.flow.Proto}
		ever[key] = ever[key] || applies
		if !applies && ever[key] && q.seen == stranger {
			return q.stays("POL-7", "it was so before")
		}
		return why, applies
	}
}
