package oracle

import (
	"net/netip"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Mutants in this file send packets the right way, with the wrong address on them, or lose them behind the choice.
var mutantsOfSources = []Mutant{
	{Name: "replies-untranslated", Bug: "the reply of a pod on the client's own node does not pass the proxy, and keeps the pod's address",
		Breaks: []string{"CIP-2"}, Scenario: "myservice", Sentence: "the answer came from",
		twist: func() func(*Model, *world.Host, world.Flow, *world.Observation) { return replyUntranslated }},
	{Name: "node-shows-the-front", Bug: "a node's own packets get the ClusterIP for their source", Breaks: []string{"CIP-5"},
		Scenario: "myservice", Sentence: "shows an address of its own",
		rule: "a node shows an address of its own", spoil: where("CIP-5", showFront)},
	{Name: "masquerades-with-the-front", Bug: "the address that masquerades is the one that was called, not the interface's", Breaks: []string{"SRC-8"},
		Scenario: "myservice", Sentence: "puts its own address in place",
		rule: "an outside client is masqueraded", spoil: after(showFront)},
	{Name: "node-cannot-reach-itself", Bug: "what a node sends to itself through a Service is lost", Breaks: []string{"HP-5"},
		Scenario: "host-network", Sentence: "silent for",
		rule: "a node shows an address of its own", spoil: where("HP-5", losePacket)},
	{Name: "host-network-is-a-pod", Bug: "what a pod in the host network sends is taken for a pod's, and its reply is lost", Breaks: []string{"HP-6"},
		Scenario: "host-network", Sentence: "silent for",
		rule: "a node shows an address of its own", spoil: where("HP-6", losePacket)},
	{Name: "keeps-pods-at-nodeport", Bug: "a pod that calls its own node's NodePort is not masqueraded", Breaks: []string{"NP-2"},
		Scenario: "nodeport", Sentence: "puts its own address in place, whoever calls",
		rule: "a NodePort is masqueraded", spoil: where("NP-2", func(q *question) { q.kept() })},
	{Name: "keeps-pods-at-far-nodeport", Bug: "a pod that calls another node's NodePort is taken for a local one and not masqueraded", Breaks: []string{"NP-3"},
		Scenario: "nodeport", Sentence: "puts its own address in place, whoever calls",
		rule: "a NodePort is masqueraded", spoil: where("NP-3", func(q *question) { q.kept() })},
	{Name: "nodeport-not-for-node", Bug: "a node's own call to its NodePort is not translated back", Breaks: []string{"NP-4"},
		Scenario: "nodeport", Sentence: "silent for",
		rule: "a NodePort is masqueraded", spoil: where("NP-4", losePacket)},
	{Name: "nodeports-of-one-family", Bug: "a NodePort is not translated back in IPv6", Breaks: []string{"FAM-4"},
		Scenario: "nodeport", Sentence: "silent for", Family: "ipv6",
		rule: "a NodePort is masqueraded", spoil: after(func(q *question) {
			if !q.at.Addr().Is4() {
				losePacket(q)
			}
		})},
	{Name: "masquerades-between-nodes", Bug: "what a pod sends to another node is masqueraded", Breaks: []string{"M-1"},
		Scenario: "pod-network", Sentence: "directly, so its own address is kept",
		rule: "no Service, no translation", spoil: where("M-1", func(q *question) { q.ofNode(q.home) })},
	{Name: "masquerades-on-the-node", Bug: "what a pod sends to a pod of its node is masqueraded", Breaks: []string{"M-2"},
		Scenario: "pod-network", Sentence: "directly, so its own address is kept",
		rule: "no Service, no translation", spoil: where("M-2", func(q *question) { q.ofNode(q.home) })},
	{Name: "node-cut-from-its-pods", Bug: "a node's agent does not reach the pods of its node", Breaks: []string{"M-3"},
		Scenario: "pod-network", Sentence: "silent for",
		rule: "no Service, no translation", spoil: where("M-3", losePacket)},
	{Name: "node-cut-from-far-pods", Bug: "a node does not reach the pods of other nodes", Breaks: []string{"M-4"},
		Scenario: "pod-network", Sentence: "silent for",
		rule: "no Service, no translation", spoil: where("M-4", losePacket)},
	{Name: "masquerades-to-nodes", Bug: "what a pod sends to a node is masqueraded", Breaks: []string{"M-5"},
		Scenario: "pod-network", Sentence: "directly, so its own address is kept",
		rule: "no Service, no translation", spoil: where("M-5", func(q *question) { q.ofNode(q.home) })},
	{Name: "pods-behind-nat", Bug: "a pod has another address of its own than the one that others call", Breaks: []string{"M-6"},
		Scenario: "pod-network", Sentence: "nobody has that address",
		twist: func() func(*Model, *world.Host, world.Flow, *world.Observation) { return behindNAT }},
	{Name: "host-network-elsewhere", Bug: "a port of a pod in the host network is not one of the node's", Breaks: []string{"M-8"},
		Scenario: "pod-network", Sentence: "reset",
		rule: "no Service, no translation", spoil: after(func(q *question) {
			if q.server.Kind == world.Pod && q.server.HostNetwork {
				q.lost = []world.Outcome{world.Reset}
			}
		})},
	{Name: "cuts-leaving-pods", Bug: "a pod that was asked to leave loses its network before it has left", Breaks: []string{"M-11"},
		Scenario: "leaving-pod", Sentence: "silent for",
		rule: "no Service, no translation", spoil: after(func(q *question) {
			if q.leaving(q.server) || q.leaving(q.from) {
				losePacket(q)
			}
		})},
	{Name: "one-in-forty", Bug: "masqueraded connections share a source port now and then, and one of them is lost", Breaks: []string{"SRC-7"},
		Scenario: "many-masqueraded", Sentence: "silent for",
		twist: loseOneInForty},
}

func losePacket(q *question) { q.lost = []world.Outcome{world.Silent} }

// showFront: the server sees the address that was called.
func showFront(q *question) { q.sources = []netip.Addr{q.flow.To.Addr()} }

// leaving: it is a pod with a time of deletion.
func (q *question) leaving(p *world.Host) bool {
	if p.Kind != world.Pod {
		return false
	}
	o := q.h.last.state.Pod(cluster.Key{Namespace: p.Namespace, Name: p.Name})
	return o != nil && o.DeletionTimestamp != nil
}

func replyUntranslated(m *Model, from *world.Host, f world.Flow, o *world.Observation) {
	server, _ := m.history.serverAt(o.Server, f.Proto)
	if o.Outcome == world.Answered && from.Kind == world.Pod && nodeOf(server) == nodeOf(from) {
		o.Peer = o.Server
	}
}

func behindNAT(m *Model, _ *world.Host, f world.Flow, o *world.Observation) {
	if o.Outcome == world.Answered && o.Server == f.To && m.history.node(f.To.Addr()) == nil {
		o.Server = netip.AddrPortFrom(o.Server.Addr().Next(), o.Server.Port())
	}
}

func loseOneInForty() func(*Model, *world.Host, world.Flow, *world.Observation) {
	masqueraded := 0
	return func(_ *Model, _ *world.Host, _ world.Flow, o *world.Observation) {
		if o.Outcome != world.Answered || o.Source == o.Client {
			return
		}
		if masqueraded++; masqueraded%40 == 0 {
			*o = world.Observation{Outcome: world.Silent, Client: o.Client, At: o.At, Took: patience}
		}
	}
}
