package oracle

import (
	"fmt"
	"net/netip"
	"slices"

	"svclab/sim/world"
)

// ofNode permits the addresses of a node. Its end of a link to a pod of its own may have a link-local address only,
// which is then what the kernel masquerades with, and what it shows when it calls the pod itself (SRC-8).
func (q *question) ofNode(name string) string {
	node := q.node(name)
	if node == nil {
		return "its node"
	}
	q.sources, q.asItCame = nil, false
	for _, a := range slices.Concat(node.Addrs, node.More) {
		if a.Is4() == q.at.Addr().Is4() {
			q.sources = append(q.sources, a)
		}
	}
	q.onLink = nodeOf(q.server) == name
	return node.String()
}

// translated reports whether the flow is, or when it was opened was, translated by a front of that kind.
func (q *question) translated(by kind) bool {
	return q.by == by && (q.front != nil || q.held() && q.session.server != q.flow.To)
}

// keptOf is the client's own source: of a node any of its addresses.
func (q *question) keptOf() {
	if q.isNode() {
		q.ofNode(q.home)
		q.asItCame = true
		return
	}
	q.kept()
}

func (q *question) kept() { q.sources, q.onLink, q.asItCame = []netip.Addr{q.self}, false, true }

func straightSource(q *question) (Reason, bool) {
	if !q.straight() || q.at != q.flow.To {
		return Reason{}, false
	}
	row := straightRow(q, q.server)
	if q.isNode() {
		return Reason{row, fmt.Sprintf("%s shows an address of its own", q.ofNode(q.home))}, true
	}
	q.kept()
	return Reason{row, fmt.Sprintf("%s calls %s directly, so its own address is kept", q.from, q.server)}, true
}

// Delivered locally, the packet never comes to the postrouting hook, where sources are rewritten; and need not, since
// the reply starts at the node that translated it. A node's own process does pass it, on the way out.
func frontToItself(q *question) (Reason, bool) {
	if q.by == byClusterIP || !q.translated(q.by) || !inNode(q.server) || nodeOf(q.server) != q.translates {
		return Reason{}, false
	}
	q.keptOf()
	if q.isNode() && q.home == q.translates {
		return Reason{"HP-5", fmt.Sprintf("node/%s calls itself through the Service and shows an address of its own", q.home)}, true
	}
	return Reason{"HP-4", fmt.Sprintf("%s is called through node/%s, where %s is in the host network: the packet goes no further, and its source is kept",
		q.flow.To, q.translates, q.server)}, true
}

func nodeSource(q *question) (Reason, bool) {
	if !q.isNode() {
		return Reason{}, false
	}
	node := q.ofNode(q.home)
	switch {
	case q.from.Kind == world.Pod:
		return Reason{"HP-6", fmt.Sprintf("%s is in the host network, so its packets are those of %s and show an address of it", q.from, node)}, true
	case inNode(q.server) && nodeOf(q.server) == q.home:
		return Reason{"HP-5", fmt.Sprintf("%s calls itself through the Service and shows an address of its own", node)}, true
	}
	return Reason{"CIP-5", fmt.Sprintf("%s shows an address of its own", node)}, true
}

// Delivered locally, the packet never comes to the postrouting hook, where sources are rewritten; and need not, since
// the reply starts at the node that translated it.
func outsideToEntry(q *question) (Reason, bool) {
	if !inNode(q.server) || nodeOf(q.server) != q.home {
		return Reason{}, false
	}
	q.kept()
	return Reason{"HP-4", fmt.Sprintf("%s enters by node/%s, where %s is in the host network: the packet goes no further, and its source is kept",
		q.from, q.home, q.server)}, true
}

// The reply must come back to the node that translated the address.
func outsideMasqueraded(q *question) (Reason, bool) {
	node := q.ofNode(q.home)
	return Reason{"CIP-6", fmt.Sprintf("%s is outside the cluster, so the node by which it enters, %s, puts its own address in place", q.from, node)}, true
}

// An answer that does not pass the node that translated comes from an address that the client never called: its kernel
// resets TCP, and its socket does not hear UDP. The client notices nothing but silence.
func answerAstray(q *question) (Reason, bool) {
	if !q.asItCame || q.straight() || nodeOf(q.server) == q.translates || nodeOf(q.from) == q.translates {
		return Reason{}, false
	}
	q.lost = []world.Outcome{world.Silent}
	row, why := "SRC-1", fmt.Sprintf("to node/%s %s is a pod", q.translates, q.from)
	switch {
	case q.seen == stranger && !q.h.detects(q.facts, q.caller):
		row, why = "SRC-5", fmt.Sprintf("node/%s cannot tell pods from others", q.translates)
	case q.seen == stranger:
		row, why = "CIP-21", fmt.Sprintf("to node/%s %s is an endpoint of its own", q.translates, q.at)
	}
	return Reason{row, fmt.Sprintf("%s, so the source is kept, and what %s answers does not come back by that node: the client does not know it", why, q.server)}, true
}
