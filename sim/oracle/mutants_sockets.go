package oracle

import (
	"net/netip"
	"slices"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Mutants in this file forget an open connection, or a UDP socket, that they should remember, or the other way round.
var mutantsOfSockets = []Mutant{
	{Name: "moves-connections", Bug: "a connection whose endpoint is gone is sent to another in the middle", Breaks: []string{"CIP-4"},
		Scenario: "long-lived", Sentence: "keeps it to its end",
		rule: "a connection keeps its endpoint", spoil: after(func(q *question) {
			if q.front != nil && len(q.pool().endpoints) > 0 && !has(q.pool().endpoints, q.session.server) {
				q.choose(q.pool().endpoints)
			}
		})},
	{Name: "refuses-open-connections", Bug: "when the last endpoint goes, open connections are refused too", Breaks: []string{"NE-7"},
		Scenario: "long-lived", Sentence: "keeps it to its end",
		rule: "a connection keeps its endpoint", spoil: after(func(q *question) {
			if q.front != nil && len(q.pool().endpoints) == 0 {
				refuse(q)
			}
		})},
	{Name: "resets-the-leaving", Bug: "connections to an endpoint that terminates are reset", Breaks: []string{"TERM-8"},
		Scenario: "long-lived", Sentence: "keeps it to its end",
		rule: "a connection keeps its endpoint", spoil: after(func(q *question) {
			if q.front != nil && slices.ContainsFunc(q.front.all, func(e endpoint) bool { return e.AddrPort == q.session.server && e.terminating }) {
				q.choice, q.mute = nil, []world.Outcome{world.Reset}
			}
		})},
	{Name: "cleans-tcp", Bug: "the entries of TCP connections are deleted as those of UDP are", Breaks: []string{"CT-12"},
		Scenario: "long-lived", Sentence: "keeps it to its end",
		rule: "a connection keeps its endpoint", spoil: after(func(q *question) {
			if q.front == nil || !has(q.pool().endpoints, q.session.server) {
				drop(q)
			}
		})},
	{Name: "node-sockets-stick", Bug: "a UDP socket of a node's own process stays with its endpoint when that is removed", Breaks: []string{"CT-4"},
		Scenario: "udp-sender", Sentence: "it moves to a current one",
		rule: "a UDP socket moves", spoil: where("CT-4", func(q *question) { q.keep() })},
	{Name: "nodeport-sockets-stick", Bug: "entries to a NodePort are not cleaned, since they do not have the ClusterIP", Breaks: []string{"CT-2"},
		Scenario: "udp-fronts", Sentence: "it moves to a current one",
		rule: "a UDP socket moves", spoil: where("CT-2", func(q *question) { q.keep() })},
	{Name: "external-sockets-stick", Bug: "entries to an address from outside are not cleaned, since they do not have the ClusterIP", Breaks: []string{"CT-3"},
		Scenario: "udp-fronts", Sentence: "it moves to a current one",
		rule: "a UDP socket moves", spoil: where("CT-3", func(q *question) { q.keep() })},
	{Name: "local-sockets-stick", Bug: "with internalTrafficPolicy Local entries are kept while the Service has endpoints somewhere", Breaks: []string{"POL-15"},
		Scenario: "udp-local", Sentence: "it moves to a current one",
		rule: "a UDP socket moves", spoil: after(func(q *question) {
			if q.front.internalLocal {
				q.keep()
			}
		})},
	{Name: "early-sockets-starve", Bug: "the entry that a socket made before there was an endpoint is not deleted", Breaks: []string{"CT-5", "TERM-13"},
		Scenario: "udp-early", Sentence: "now there is an endpoint",
		rule: "a UDP socket starts to work", spoil: where("CT-5", drop)},
	{Name: "early-fronts-starve", Bug: "the entry that a socket made before the Service had the address is not deleted", Breaks: []string{"CT-10"},
		Scenario: "udp-new-front", Sentence: "now a Service has the address",
		rule: "a UDP socket starts to work", spoil: where("CT-10", drop)},
	{Name: "sockets-outlive-services", Bug: "the entries of a Service that is deleted stay", Breaks: []string{"CT-10"},
		Scenario: "udp-deleted", Sentence: "belongs to no Service",
		rule: "a UDP socket ends with its Service", spoil: after(func(q *question) { q.keep() })},
	{Name: "forgets-target-ports", Bug: "an entry is kept when its address is an endpoint's, whatever the port", Breaks: []string{"CT-6"},
		Scenario: "udp-target-port", Sentence: "it moves to a current one",
		rule: "a UDP socket moves", spoil: after(func(q *question) {
			if slices.ContainsFunc(q.pool().endpoints, func(a netip.AddrPort) bool { return a.Addr() == q.session.server.Addr() }) {
				q.keep()
			}
		})},
	{Name: "last-endpoint-sticks", Bug: "without an endpoint nothing is cleaned", Breaks: []string{"CT-7"},
		Scenario: "udp-last-endpoint", Sentence: "but default/metrics:8125 has no ready endpoint",
		rule: "a UDP socket is refused when no endpoint is left", spoil: after(func(q *question) { q.keep() })},
	{Name: "refuses-the-draining", Bug: "a UDP socket whose endpoint terminates is refused", Breaks: []string{"CT-8"},
		Scenario: "udp-draining", Sentence: "which still serves: it stays there",
		rule: "a UDP socket stays while its endpoint serves", spoil: after(refuse)},
	{Name: "cleans-by-port-alone", Bug: "an entry is taken for a NodePort's when its port has that number, whatever the address", Breaks: []string{"CT-9"},
		Scenario: "udp-strangers", Sentence: "keeps it while it is an endpoint",
		rule: "a UDP socket keeps its endpoint", spoil: after(func(q *question) {
			for svc := range q.h.last.state.Services() {
				for _, p := range svc.Object.Spec.Ports {
					proto, err := cluster.ParseProto(string(p.Protocol))
					if err == nil && proto == cluster.UDP && p.NodePort == int32(q.flow.To.Port()) && q.by == byClusterIP && q.front != nil {
						q.choose(q.pool().endpoints)
					}
				}
			}
		})},
}
