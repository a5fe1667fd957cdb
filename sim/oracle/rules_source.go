package oracle

import (
	"fmt"
	"net/netip"

	"svclab/sim/world"
)

// ofNode permits the addresses of a node. Its end of a link to a pod of its own may have a link-local address only,
// which is then what the kernel masquerades with, and what it shows when it calls the pod itself (SRC-8).
func (q *question) ofNode(name string) string {
	node := q.h.places[world.Place{Kind: world.Node, Name: name}]
	if node == nil {
		return "its node"
	}
	q.sources = nil
	for _, a := range node.Addrs {
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
		return
	}
	q.kept()
}

func (q *question) kept() { q.sources = []netip.Addr{q.self} }

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
	if !q.translated(byNodePort) && !q.translated(byExternalIP) || !inNode(q.server) || nodeOf(q.server) != q.translates {
		return Reason{}, false
	}
	q.keptOf()
	if q.isNode() && q.home == q.translates {
		return Reason{"HP-5", fmt.Sprintf("node/%s calls itself through the Service and shows an address of its own", q.home)}, true
	}
	return Reason{"HP-4", fmt.Sprintf("%s is called through node/%s, where %s is in the host network: the packet goes no further, and its source is kept",
		q.flow.To, q.translates, q.server)}, true
}

// The reply must come back to the node that translated the address, wherever the endpoint is; so even a pod loses its
// own address.
func nodePortMasqueraded(q *question) (Reason, bool) {
	if !q.translated(byNodePort) {
		return Reason{}, false
	}
	row := "NP-1"
	switch near := q.home == q.translates; {
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
	if !q.translated(byExternalIP) {
		return Reason{}, false
	}
	node := q.ofNode(q.translates)
	return Reason{"EXT-1", fmt.Sprintf("%s is an externalIP, so the first node on the way, %s, translates it and puts its own address in place, whoever calls",
		q.flow.To.Addr(), node)}, true
}

// Without masquerade the pod would get a packet from itself and drop it as a martian, or answer itself without the
// proxy.
func hairpin(q *question) (Reason, bool) {
	if q.from.Kind != world.Pod || q.isNode() || q.server != q.from {
		return Reason{}, false
	}
	node := q.ofNode(q.home)
	return Reason{"HP-1", fmt.Sprintf("%s calls itself through the Service, so it sees an address of its node, %s, and not its own", q.from, node)}, true
}

func podKept(q *question) (Reason, bool) {
	if q.from.Kind != world.Pod || q.isNode() {
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
