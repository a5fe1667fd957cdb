package oracle

import (
	"net/netip"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Mutants in this file ask the wrong server for a new flow, or refuse it in the wrong way.
var mutantsOfChoice = []Mutant{
	{Name: "serves-every-port", Bug: "a port that the Service does not have leads where its first one does", Breaks: []string{"CIP-11"},
		Scenario: "unused", Sentence: "which has no port",
		rule: "an unused port of a ClusterIP", spoil: after(firstPortInstead)},
	{Name: "refuses-unknown-addresses", Bug: "an address that no Service has is refused, as if one had it", Breaks: []string{"CIP-12"},
		Scenario: "unused", Sentence: "belongs to no Service and to no place",
		rule: "an address that nobody has", spoil: after(refuse)},
	{Name: "takes-every-port", Bug: "an externalIP's other ports are refused, though they are nobody's", Breaks: []string{"EXT-5"},
		Scenario: "unused", Sentence: "so nobody cares for the packet",
		rule: "an unused port of an externalIP", spoil: after(refuse)},
	{Name: "headless-is-a-front", Bug: "who calls one pod of a headless Service may be answered by another", Breaks: []string{"CIP-14"},
		Scenario: "headless", Sentence: "should have answered",
		rule: "straight to a place", spoil: after(chooseSiblings)},
	{Name: "takes-the-nodes-ports", Bug: "of an externalIP that is a node's address every port is taken", Breaks: []string{"EXT-4"},
		Scenario: "external-node", Sentence: "should have",
		rule: "straight to a place", spoil: after(func(q *question) {
			for svc := range q.h.last.state.Services() {
				if has := externalIPs(svc.Object); len(has) > 0 && has[0] == q.flow.To.Addr() {
					refuse(q)
				}
			}
		})},
	{Name: "counts-copies", Bug: "an endpoint that is in two slices gets two shares", Breaks: []string{"CIP-25"},
		Scenario: "hand-written", Sentence: "unfair: ",
		rule: "a ready endpoint", spoil: after(func(q *question) { weighByCopies(q) })},
	{Name: "listener-wins", Bug: "a process on the node that listens on a NodePort's number gets its connections", Breaks: []string{"NP-13"},
		Scenario: "node-listeners", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: after(listenerInstead)},
	{Name: "listener-gets-the-empty", Bug: "without endpoints a process on the node that listens on a NodePort's number is asked", Breaks: []string{"NP-14"},
		Scenario: "nodeport-empty", Sentence: "has no ready endpoint",
		rule: "refused without endpoints", spoil: after(listenerInstead)},
	{Name: "node-hears-nothing", Bug: "without endpoints a node's own packets are dropped, not refused", Breaks: []string{"NE-2"},
		Scenario: "no-endpoints", Sentence: "has no ready endpoint",
		rule: "refused without endpoints", spoil: where("NE-2", drop)},
	{Name: "silent-nodeport", Bug: "without endpoints packets to a NodePort are dropped, not refused", Breaks: []string{"NE-3"},
		Scenario: "nodeport-empty", Sentence: "has no ready endpoint",
		rule: "refused without endpoints", spoil: where("NE-3", drop)},
	{Name: "silent-external", Bug: "without endpoints packets to an externalIP are dropped, not refused", Breaks: []string{"NE-4", "EXT-6"},
		Scenario: "external-empty", Sentence: "has no ready endpoint",
		rule: "refused without endpoints", spoil: where("NE-4", drop)},
	{Name: "resets-its-own", Bug: "without endpoints a node's own connection to an externalIP is answered by a reset", Breaks: []string{"NE-5"},
		Scenario: "external-empty", Sentence: "has no ready endpoint",
		rule: "an externalIP without endpoints, from a node", spoil: after(func(q *question) { q.mute = []world.Outcome{world.Reset} })},
	{Name: "unreachable-network", Bug: "the refusal says that the network is unreachable, not the port", Breaks: []string{"NE-1", "NE-9"},
		Scenario: "no-endpoints", Sentence: "reported unreachable",
		rule: "refused without endpoints", spoil: after(func(q *question) { q.mute = []world.Outcome{world.Unreachable} })},
	{Name: "falls-back-to-other-family", Bug: "who has no address of a family gets an answer from somewhere", Breaks: []string{"M-16"},
		Scenario: "families", Sentence: "address", Family: "ipv6",
		rule: "no address of that family", spoil: after(drop)},
}

func drop(q *question)   { q.choice, q.mute = nil, []world.Outcome{world.Silent} }
func refuse(q *question) { q.choice, q.mute = nil, []world.Outcome{world.Refused} }

func firstPortInstead(q *question) {
	port := &q.service.Object.Spec.Ports[0]
	proto, err := cluster.ParseProto(string(port.Protocol))
	if err != nil {
		return
	}
	q.front = q.h.last.front(q.service, port, proto, q.flow.To.Addr().Is4(), q.by)
	q.choose(q.pool().endpoints)
}

// chooseSiblings: if a headless Service has the address, all that it has.
func chooseSiblings(q *question) {
	for svc := range q.h.last.state.Services() {
		if len(svc.ClusterIPs) > 0 {
			continue
		}
		var pool []netip.AddrPort
		for slice := range q.h.last.state.Slices(svc.Key) {
			for _, a := range slice.Addresses {
				pool = append(pool, netip.AddrPortFrom(a, q.flow.To.Port()))
			}
		}
		if has(pool, q.flow.To) {
			q.choose(pool)
		}
	}
}

func weighByCopies(q *question) {
	copies := make([]float64, len(q.choice))
	total := 0.0
	for slice := range q.h.last.state.Slices(q.service.Key) {
		for _, a := range slice.Addresses {
			for i, c := range q.choice {
				if c.Addr() == a {
					copies[i]++
					total++
				}
			}
		}
	}
	for i := range q.choice {
		q.choice[i].weight = copies[i] / total
	}
}

func listenerInstead(q *question) {
	if _, listens := q.h.serverAt(q.flow.To, q.flow.Proto); listens && q.by == byNodePort {
		q.choose([]netip.AddrPort{q.flow.To})
		q.mute = nil
	}
}
