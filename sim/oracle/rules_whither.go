package oracle

import (
	"fmt"
	"strings"

	"svclab/sim/world"
)

func noFamily(q *question) (Reason, bool) {
	if q.self.IsValid() {
		return Reason{}, false
	}
	family := "IPv6"
	if q.flow.To.Addr().Is4() {
		family = "IPv4"
	}
	q.mute = []world.Outcome{world.Unreachable}
	q.because = fmt.Sprintf("%s has no %s address", q.from, family)
	return Reason{"M-16", q.because}, true
}

func straight(q *question) (Reason, bool) {
	if !q.straight() {
		return Reason{}, false
	}
	q.choice = append(q.choice, chosen{q.flow.To, 1})
	server, _ := q.h.serverAt(q.flow.To, q.flow.Proto)
	return Reason{"CIP-14", fmt.Sprintf("%s is the address of %s, no Service is involved", q.flow.To.Addr(), server)}, true
}

func straightRow(q *question, server *world.Host) string {
	near := nodeOf(q.from) == nodeOf(server)
	switch {
	case q.from.Kind == world.Client || server.Kind == world.Client:
		return "CIP-14"
	case inNode(server):
		return "M-5"
	case q.isNode() && near:
		return "M-3"
	case q.isNode():
		return "M-4"
	case near:
		return "M-2"
	}
	return "M-1"
}

func chooseReady(q *question) (Reason, bool) {
	if q.front == nil || len(q.front.ready) == 0 {
		return Reason{}, false
	}
	q.choose(q.front.ready)
	text := fmt.Sprintf("%s has %d ready endpoints, and any of them may answer: %s",
		q.front.name, len(q.front.ready), either(q.h.names(q.front.ready, q.flow.Proto)))
	if len(q.front.ready) == 1 {
		text = fmt.Sprintf("%s has one ready endpoint, %s", q.front.name, q.h.who(q.front.ready[0], q.flow.Proto))
	}
	if len(q.front.draining) > 0 {
		return Reason{"TERM-1", fmt.Sprintf("%s; %s, which is terminating, gets nothing new",
			text, strings.Join(q.h.names(q.front.draining, q.flow.Proto), " and "))}, true
	}
	return Reason{"CIP-3", text}, true
}

// KEP-1669: better a pod on its way out than none.
func chooseDraining(q *question) (Reason, bool) {
	if q.front == nil || len(q.front.draining) == 0 {
		return Reason{}, false
	}
	q.choose(q.front.draining)
	return Reason{"TERM-2", fmt.Sprintf("%s has no ready endpoint, so one that terminates but still serves may answer: %s",
		q.front.name, either(q.h.names(q.front.draining, q.flow.Proto)))}, true
}

// kube-proxy's iptables mode has no such rule in the output hook, and the packet leaves by the default route; its
// nftables mode and our own core refuse.
func externalWithoutEndpoints(q *question) (Reason, bool) {
	if q.front == nil || q.by != byExternalIP || !q.isNode() {
		return Reason{}, false
	}
	q.mute = append(q.refusal(), world.Silent, world.Unreachable)
	q.because = q.front.name + " has no ready endpoint"
	return Reason{"NE-5", q.because}, true
}

func refuseWithoutEndpoints(q *question) (Reason, bool) {
	if q.front == nil {
		return Reason{}, false
	}
	q.mute = q.refusal()
	q.because = q.front.name + " has no ready endpoint"
	switch {
	case q.by == byNodePort:
		return Reason{"NE-3", q.because}, true
	case q.by == byExternalIP:
		return Reason{"NE-4", q.because}, true
	case q.isNode():
		return Reason{"NE-2", q.because}, true
	}
	return Reason{"NE-1", q.because}, true
}

func unusedExternalPort(q *question) (Reason, bool) {
	if q.service == nil || q.by != byExternalIP {
		return Reason{}, false
	}
	q.mute = q.lostPacket()
	q.because = fmt.Sprintf("%s is an externalIP of %s, which has no port %d/%s, so nobody cares for the packet",
		q.flow.To.Addr(), q.service.Key, q.flow.To.Port(), q.flow.Proto)
	return Reason{"EXT-5", q.because}, true
}

// Backends differ here, so both are permitted; our own core refuses, as kube-proxy's nftables mode does.
func unusedPort(q *question) (Reason, bool) {
	if q.service == nil {
		return Reason{}, false
	}
	q.mute = append(q.refusal(), world.Silent)
	q.because = fmt.Sprintf("%s is the ClusterIP of %s, which has no port %d/%s",
		q.flow.To.Addr(), q.service.Key, q.flow.To.Port(), q.flow.Proto)
	return Reason{"CIP-11", q.because}, true
}

func nobody(q *question) (Reason, bool) {
	q.mute = q.lostPacket()
	q.because = q.flow.To.Addr().String() + " belongs to no Service and to no place"
	return Reason{"CIP-12", q.because}, true
}
