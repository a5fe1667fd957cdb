package oracle

import (
	"fmt"

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

// The packet goes to the load balancer itself, if there is one.
func balancerItself(q *question) (Reason, bool) {
	if q.front != nil || q.service != nil {
		return Reason{}, false
	}
	svc := q.facts.proxied(q.h, q.flow.To.Addr())
	if svc == nil {
		return Reason{}, false
	}
	q.because = fmt.Sprintf("%s is an address of %s's load balancer, which answers itself (ipMode Proxy)", q.flow.To.Addr(), svc.Key)
	if q.straight() {
		q.choice = append(q.choice, chosen{q.flow.To, 1})
	} else {
		q.mute = q.lostPacket()
	}
	return Reason{"LB-4", q.because}, true
}

func straight(q *question) (Reason, bool) {
	if !q.straight() {
		return Reason{}, false
	}
	q.choice = append(q.choice, chosen{q.flow.To, 1})
	server, _ := q.serverAt(q.flow.To)
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

// kube-proxy's iptables mode has no such rule in the output hook, and the packet leaves by the default route; its
// nftables mode and our own core refuse.
func externalWithoutEndpoints(q *question) (Reason, bool) {
	if q.front == nil || q.by != byExternalIP && q.by != byLoadBalancer || !q.isNode() {
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
	case !q.inward():
		return Reason{"NE-4", q.because}, true
	case q.isNode():
		return Reason{"NE-2", q.because}, true
	}
	return Reason{"NE-1", q.because}, true
}

func unusedExternalPort(q *question) (Reason, bool) {
	if q.service == nil || q.inward() {
		return Reason{}, false
	}
	row, what := "EXT-5", "an externalIP"
	if q.by == byLoadBalancer {
		row, what = "LB-14", "a VIP"
	}
	q.mute = q.lostPacket()
	q.because = fmt.Sprintf("%s is %s of %s, which has no port %d/%s, so nobody cares for the packet",
		q.flow.To.Addr(), what, q.service.Key, q.flow.To.Port(), q.flow.Proto)
	return Reason{row, q.because}, true
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
