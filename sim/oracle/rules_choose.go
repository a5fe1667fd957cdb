package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"svclab/sim/world"
)

// Dropped before any address is rewritten, and without a word: as a firewall would.
func notLetIn(q *question) (Reason, bool) {
	if q.front == nil || q.admits() {
		return Reason{}, false
	}
	row := "LB-7"
	switch {
	case q.isNode():
		row = "LB-10"
	case q.from.Kind == world.Pod:
		row = "LB-8"
	}
	q.mute = q.drop()
	q.because = fmt.Sprintf("%s calls with %s, which is in none of the loadBalancerSourceRanges of %s", q.from, q.self, q.front.name)
	if len(q.front.usable()) > 0 {
		q.because += ": the packet is dropped"
		return Reason{row, q.because}, true
	}
	// kube-proxy's mode iptables has no firewall for a front without endpoints: it refuses, or from the node itself lets the
	// packet leave (NE-5).
	q.freely = q.refusal()
	if q.isNode() {
		q.freely = append(q.freely, world.Silent, world.Unreachable)
	}
	q.because += ", and there is no endpoint: the packet is dropped or refused"
	return Reason{"LB-12", q.because}, true
}

// within says from where a pool is: the whole cluster, or one node.
func (q *question) within() string {
	if q.local {
		return " on node/" + q.translates
	}
	return ""
}

func (q *question) anyOf(p pool, sort string) string {
	q.choose(p.endpoints)
	names := q.h.names(p.endpoints, q.flow.Proto)
	if len(names) == 1 {
		return fmt.Sprintf("%s has one %s endpoint%s, %s", q.front.name, sort, q.within(), names[0])
	}
	return fmt.Sprintf("%s has %d %s endpoints%s, and any of them may answer: %s", q.front.name, len(names), sort, q.within(), either(names))
}

func chooseHinted(q *question) (Reason, bool) {
	if q.front == nil || q.pool().draining || q.pool().hints < forNode || q.pool().hints > insteadOfNode {
		return Reason{}, false
	}
	h := q.pool().hints
	row := map[hints]string{forNode: "TOPO-2", forZone: "TOPO-1", insteadOfNode: "TOPO-3"}[h]
	text := q.anyOf(q.pool(), "ready")
	switch {
	case q.front.externalLocal && !q.inward():
		row = "TOPO-7"
	case !q.inward():
		row = "TOPO-9"
	case slices.ContainsFunc(q.front.all, unreadyAndUnhinted):
		row = "TOPO-6"
	}
	where := "node/" + q.translates
	if h != forNode {
		where = "zone " + q.facts.zone(q.translates) + ", where " + where + " is"
	}
	q.because = "by their hints the others are not for " + where
	return Reason{row, text + "; " + q.because}, true
}

func chooseReady(q *question) (Reason, bool) {
	if q.front == nil || q.pool().draining {
		return Reason{}, false
	}
	p := q.pool()
	text := q.anyOf(p, "ready")
	if draining := q.drainingBeside(); len(draining) > 0 {
		return Reason{"TERM-1", fmt.Sprintf("%s; %s, which is terminating, gets nothing new",
			text, strings.Join(q.h.names(draining, q.flow.Proto), " and "))}, true
	}
	switch {
	case q.local && q.front.hinted():
		return Reason{"TOPO-7", text + "; hints are not for policy Local"}, true
	case p.hints == incomplete:
		return Reason{"TOPO-4", text + "; hints are ignored, since a ready endpoint has none"}, true
	case p.hints == elsewhere:
		return Reason{"TOPO-5", text + "; hints are ignored, since none is for this node or its zone"}, true
	case q.local && slices.ContainsFunc(p.endpoints, q.hostNetwork):
		return Reason{"POL-4", text + "; where one is, its slice says, whosever address it has"}, true
	}
	return Reason{"CIP-3", text}, true
}

func unreadyAndUnhinted(e endpoint) bool { return !e.ready && len(e.forNodes)+len(e.forZones) == 0 }

func (q *question) hostNetwork(a netip.AddrPort) bool {
	server, _ := q.serverAt(a)
	return server != nil && inNode(server)
}

// drainingBeside are the terminating endpoints that would count if there were no ready one.
func (q *question) drainingBeside() (as []netip.AddrPort) {
	for _, e := range q.front.all {
		if !e.ready && e.serving && e.terminating && (!q.local || e.node == q.translates) {
			as = append(as, e.AddrPort)
		}
	}
	return as
}

// KEP-1669: better a pod on its way out than none.
func chooseDraining(q *question) (Reason, bool) {
	if q.front == nil || len(q.pool().endpoints) == 0 {
		return Reason{}, false
	}
	q.choose(q.pool().endpoints)
	row, elsewhere := "TERM-2", ""
	switch {
	case q.local && len(q.front.ready) > 0:
		row, elsewhere = "TERM-5", ", whatever is ready on other nodes"
	case q.local && q.inward():
		row = "TERM-4"
	case q.local:
		row = "TERM-3"
	case q.front.hinted():
		row, elsewhere = "TOPO-8", ", whatever the hints say"
	}
	return Reason{row, fmt.Sprintf("%s has no ready endpoint%s, so one that terminates but still serves may answer: %s%s",
		q.front.name, q.within(), either(q.h.names(q.pool().endpoints, q.flow.Proto)), elsewhere)}, true
}

// Dropped, not refused: a load balancer may be late to notice that the node has no endpoint any more, and its client shall
// try again.
func dropWithoutLocal(q *question) (Reason, bool) {
	if q.front == nil || !q.local || len(q.front.usable()) == 0 {
		return Reason{}, false
	}
	row := "POL-2"
	switch {
	case q.inward():
	case q.from.Kind == world.Pod && !q.isNode() && !q.h.detects(q.facts, q.caller):
		row = "POL-12"
	default:
		row = q.outRow("POL-8", "EXT-2")
		if row == "POL-13" {
			row = "POL-8"
		}
	}
	q.mute = q.drop()
	q.because += ", and there is none, though there is elsewhere: the packet is dropped, not refused"
	return Reason{row, q.because}, true
}
