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

func (q *question) kept() { q.sources = []netip.Addr{q.self} }

func straightSource(q *question) (Reason, bool) {
	if !q.straight() {
		return Reason{}, false
	}
	row := straightRow(q, q.server)
	if q.isNode() {
		return Reason{row, fmt.Sprintf("%s shows an address of its own", q.ofNode(q.home))}, true
	}
	q.kept()
	return Reason{row, fmt.Sprintf("%s calls %s directly, so its own address is kept", q.from, q.server)}, true
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
