package oracle

import (
	"fmt"
	"net/netip"
	"slices"

	"svclab/sim/world"
)

// answersNodePorts reports whether NodePorts are answered at an address of a node, and the row that says so.
func (h *History) answersNodePorts(a netip.Addr) (row, why string, yes bool) {
	s := &h.settings
	switch {
	case a.IsLoopback() && !a.Is4():
		return "NP-6", "NodePorts are never answered at ::1", false
	case a.IsLoopback() && h.localhostNodePorts():
		return "NP-5", "NodePorts are answered at 127.0.0.1 here", true
	case a.IsLoopback() && h.mode.Localhost:
		return "NP-7", "NodePorts are not answered at 127.0.0.1, by nodePortAddresses or localhostNodePorts", false
	case a.IsLoopback():
		return "NP-5", "NodePorts are not answered at 127.0.0.1 by this kind of proxy", false
	}
	node := h.node(a)
	primary := node.AddrOf(a) == a
	// Ranges of one family say nothing of the other (pkg/proxy/util/nodeport_addresses.go).
	ofFamily := func(p netip.Prefix) bool { return p.Addr().Is4() == a.Is4() }
	switch said := slices.ContainsFunc(s.NodePortAddresses, ofFamily); {
	case s.Primary && primary:
		return "NP-11", fmt.Sprintf("%s is a primary address of %s", a, node), true
	case said:
		yes := slices.ContainsFunc(s.NodePortAddresses, func(p netip.Prefix) bool { return p.Contains(a) })
		return "NP-9", fmt.Sprintf("%s is %s the nodePortAddresses", a, map[bool]string{true: "in", false: "in none of"}[yes]), yes
	case s.Primary:
		return "NP-11", fmt.Sprintf("%s is no primary address of %s", a, node), false
	case len(s.NodePortAddresses) > 0 || h.mode.EveryAddress:
		return "NP-10", "NodePorts are answered at every address of a node", true
	case primary:
		return "NP-10", fmt.Sprintf("%s is a primary address of %s", a, node), true
	}
	return "NP-10", fmt.Sprintf("%s is no primary address of %s, and nothing is said of nodePortAddresses", a, node), false
}

// localhostNodePorts: where the proxy can and nobody has switched it off, unless the ranges of IPv4 that are given leave
// 127.0.0.1 out (kube-proxy --nodeport-addresses, --iptables-localhost-nodeports).
func (h *History) localhostNodePorts() bool {
	var given, holds bool
	for _, p := range h.settings.NodePortAddresses {
		given = given || p.Addr().Is4()
		holds = holds || p.Contains(netip.MustParseAddr("127.0.0.1"))
	}
	return h.mode.Localhost && !h.settings.NoLocalhostNodePorts && !h.settings.Primary && (holds || !given)
}

// leftAlone: it is an address of a node, and the number is a NodePort's, but not there: the node's own stack answers.
// kube-proxy's iptables mode refuses a NodePort without endpoints at every address of a node, these too.
func leftAlone(q *question) (Reason, bool) {
	if q.aside == nil {
		return Reason{}, false
	}
	row, why, _ := q.h.answersNodePorts(q.flow.To.Addr())
	q.choice = append(q.choice, chosen{q.flow.To, 1})
	server, _ := q.serverAt(q.flow.To)
	q.because = fmt.Sprintf("%s is a NodePort of %s, but %s: %s is asked itself", q.flow.To, q.aside.name, why, server)
	if len(q.aside.usable()) == 0 && q.h.mode.EveryAddress {
		q.freely = append(q.refusal(), world.Silent)
		return Reason{"NP-14", q.because + ", or the packet is refused, as there is no endpoint"}, true
	}
	if q.aside.externalLocal && q.h.mode.EveryAddress && len(q.aside.at(q.translates, true).endpoints) == 0 {
		q.freely = []world.Outcome{world.Silent}
		return Reason{"NP-14", q.because + ", or the packet is dropped, as there is no endpoint on the node"}, true
	}
	return Reason{row, q.because}, true
}
