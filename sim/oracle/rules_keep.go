package oracle

import (
	"fmt"
	"slices"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// outwardMasqueraded: with policy Cluster the endpoint may be anywhere, so the source must be the node's, whoever calls. With
// policy Local that is so only for the node's own processes.
func (q *question) outwardMasqueraded(by kind) bool {
	return q.translated(by) && (q.front == nil || !q.front.externalLocal || q.seen == own)
}

func (q *question) cutShort() bool { return q.front != nil && q.front.externalLocal && q.seen == own }

// The reply must come back to the node that translated the address, wherever the endpoint is; so even a pod loses its
// own address.
func nodePortMasqueraded(q *question) (Reason, bool) {
	if !q.outwardMasqueraded(byNodePort) {
		return Reason{}, false
	}
	row := "NP-1"
	switch near := q.home == q.translates; {
	case q.flow.To.Addr().IsLoopback():
		row = "NP-5"
	case q.cutShort():
		row = "POL-10"
	case q.isNode() && near:
		row = "NP-4"
	case q.from.Kind == world.Pod && !q.isNode() && near:
		row = "NP-2"
	case q.from.Kind == world.Pod && !q.isNode():
		row = "NP-3"
	}
	node := q.ofNode(q.translates)
	return Reason{row, fmt.Sprintf("%s is a NodePort of %s, which translates it and puts its own address in place, whoever calls", q.flow.To, node)}, true
}

func externalMasqueraded(q *question) (Reason, bool) {
	if !q.outwardMasqueraded(byExternalIP) {
		return Reason{}, false
	}
	row := "EXT-1"
	if q.cutShort() {
		row = "EXT-3"
	}
	node := q.ofNode(q.translates)
	return Reason{row, fmt.Sprintf("%s is an externalIP, so the first node on the way, %s, translates it and puts its own address in place, whoever calls",
		q.flow.To.Addr(), node)}, true
}

func vipMasqueraded(q *question) (Reason, bool) {
	if !q.outwardMasqueraded(byLoadBalancer) {
		return Reason{}, false
	}
	row := "LB-1"
	switch {
	case q.cutShort():
		row = "POL-10"
	case q.isNode():
		row = "LB-3"
	case q.from.Kind == world.Pod:
		row = "LB-2"
	}
	node := q.ofNode(q.translates)
	return Reason{row, fmt.Sprintf("%s is a load balancer's VIP, so the first node on the way, %s, translates it and puts its own address in place, whoever calls",
		q.flow.To.Addr(), node)}, true
}

// Without masquerade the pod would get a packet from itself and drop it as a martian, or answer itself without the
// proxy. Whether a node knows that an endpoint is its own depends on the slice: where that does not name the node, modes
// nftables and ipvs do not (nft:1229), while mode iptables looks at the address alone (ipt:1247).
func hairpin(q *question) (Reason, bool) {
	if q.from.Kind != world.Pod || q.isNode() || q.server != q.from {
		return Reason{}, false
	}
	node, row, more := q.ofNode(q.translates), "HP-1", ""
	if !q.inward() {
		row = "HP-2"
	}
	if q.front != nil && !slices.ContainsFunc(q.front.all, func(e endpoint) bool { return e.AddrPort == q.at && e.node == q.translates }) {
		row, more = "HP-3", "; or gets no answer, since its slice does not say that it is on that node"
		q.freely = addMissing(q.freely, []world.Outcome{world.Silent})
	}
	return Reason{row, fmt.Sprintf("%s calls itself through the Service, so it sees an address of its node, %s, and not its own%s", q.from, node, more)}, true
}

// What is left for policy Local: pods, whose answers come back to their node whatever they show, and outsiders, whose
// endpoint is on the node that translates.
func localKept(q *question) (Reason, bool) {
	if q.inward() || q.front == nil {
		return Reason{}, false
	}
	q.keptOf()
	q.onLink = false
	row := q.outRow("POL-9", "EXT-3")
	switch {
	case q.seen == aPod:
	case q.from.Kind == world.Pod && !q.isNode() && !q.h.detects(q.facts, q.caller):
		row = "POL-12"
	default:
		row = q.outRow("POL-7", "EXT-2")
	}
	if row == "POL-13" {
		row = map[bool]string{true: "POL-9", false: "POL-7"}[q.seen == aPod]
	}
	return Reason{row, fmt.Sprintf("%s has externalTrafficPolicy Local, so the source is kept", q.front.name)}, true
}

// delivered: the packet goes no further than the node that translates it, so it never comes to the postrouting hook.
func (q *question) delivered() bool { return inNode(q.server) && nodeOf(q.server) == q.translates }

func allMasqueraded(q *question) (Reason, bool) {
	if !q.h.settings.MasqueradeAll || q.delivered() {
		return Reason{}, false
	}
	return Reason{"CIP-7", fmt.Sprintf("masqueradeAll is set, so %s puts its own address in place, whoever calls", q.ofNode(q.translates))}, true
}

func podKept(q *question) (Reason, bool) {
	if q.from.Kind != world.Pod || q.isNode() || q.seen != aPod && q.h.detects(q.facts, q.caller) && !q.delivered() {
		return Reason{}, false
	}
	q.kept()
	row := "CIP-1"
	switch {
	case inNode(q.server):
		row = "HP-4"
	case nodeOf(q.server) == q.home:
		row = "CIP-2"
	}
	return Reason{row, fmt.Sprintf("%s is a pod, so its own address is kept", q.from)}, true
}

// Without a detector, what calls a ClusterIP is assumed to be a pod (ipt_test:5404).
func undetectedKept(q *question) (Reason, bool) {
	if q.h.detects(q.facts, q.caller) || q.delivered() {
		return Reason{}, false
	}
	q.keptOf()
	q.onLink = false
	return Reason{"SRC-5", fmt.Sprintf("the nodes cannot tell pods from others, so %s is not masqueraded", q.from)}, true
}

func takenForPod(q *question) (Reason, bool) {
	if q.seen != aPod || q.from.Kind == world.Pod && !q.isNode() {
		return Reason{}, false
	}
	q.kept()
	return Reason{"SRC-1", fmt.Sprintf("%s is taken for a pod, so its own address is kept", q.from)}, true
}

func podMasqueraded(q *question) (Reason, bool) {
	if q.from.Kind != world.Pod || q.isNode() {
		return Reason{}, false
	}
	node := q.ofNode(q.translates)
	row, by := "SRC-2", "its address is not in that node's range"
	switch s := &q.h.settings; s.DetectLocalMode {
	case cluster.DetectClusterCIDR:
		row, by = "SRC-1", "its address is not in the range of all pods"
	case cluster.DetectBridgeInterface:
		row, by = "SRC-3", "it does not come by the bridge "+s.Interface
	case cluster.DetectInterfaceNamePrefix:
		row, by = "SRC-4", "it does not come by an interface whose name begins with "+s.Interface
	}
	return Reason{row, fmt.Sprintf("%s is no pod to %s, which puts its own address in place: %s", q.from, node, by)}, true
}
