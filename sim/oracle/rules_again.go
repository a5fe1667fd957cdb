package oracle

import (
	"fmt"
	"net/netip"

	"svclab/sim/world"
)

// held reports whether somebody has answered this socket before.
func (q *question) held() bool { return q.session != nil && q.session.server.IsValid() }

// asBefore: what is translated once stays so; a policy that changed meanwhile changes nothing for an open flow.
func (q *question) asBefore() {
	if q.held() && q.at == q.session.server && q.session.source.IsValid() {
		q.sources = addMissing(q.sources, []netip.Addr{q.session.source})
		q.asItCame = false // its answers do find back: one did
	}
}

// was names who did.
func (q *question) was() string { return q.h.who(q.session.server, q.flow.Proto) }

// keep narrows the choice to that server.
func (q *question) keep() {
	q.choice = append(q.choice[:0], chosen{q.session.server, 1})
	q.mute = nil
}

// since gives a reason that also explains why nobody else may answer.
func (q *question) since(row, format string, args ...any) (Reason, bool) {
	q.because = fmt.Sprintf(format, args...)
	return Reason{row, q.because}, true
}

// A proxy sees the first packet of a connection only; no change of endpoints touches it afterwards (TERM-8, CIP-19).
func connectionKeeps(q *question) (Reason, bool) {
	if !q.held() || q.udp() {
		return Reason{}, false
	}
	q.keep()
	return q.since("CIP-4", "this connection was opened to %s and keeps it to its end", q.was())
}

func socketKeeps(q *question) (Reason, bool) {
	direct := q.straight() && q.held() && q.session.server == q.flow.To
	if !q.held() || !direct && (q.front == nil || q.session.left || !has(q.pool().endpoints, q.session.server)) {
		return Reason{}, false
	}
	q.keep()
	return q.since("CIP-4", "this UDP socket was answered by %s and keeps it while it is an endpoint", q.was())
}

// kube-proxy forgets only flows to endpoints that serve no more; our own core may forget these as well.
func socketDrains(q *question) (Reason, bool) {
	if !q.held() || q.front == nil || has(q.pool().endpoints, q.session.server) {
		return Reason{}, false
	}
	for _, e := range q.front.all {
		if e.AddrPort == q.session.server && e.serving {
			q.choose([]netip.AddrPort{e.AddrPort})
			return q.since("CT-8", "this UDP socket was answered by %s, which still serves: it stays there", q.was())
		}
	}
	return Reason{}, false
}

// Row CT-10 describes kube-proxy v1.36.3, which does not look for the entries of a Service that is gone, or of an address
// that it has no more; that is a bug (kubernetes/kubernetes#141275): a new flow would not be served, nor may this one.
func socketEnds(q *question) (Reason, bool) {
	if !q.held() || q.front != nil {
		return Reason{}, false
	}
	if q.straight() {
		q.because = "no Service has " + q.flow.To.String() + " any more"
	}
	return q.since("CT-10", "this UDP socket was answered by %s, but %s", q.was(), q.because)
}

func socketMoves(q *question) (Reason, bool) {
	if !q.held() || q.front == nil || len(q.choice) == 0 {
		return Reason{}, false
	}
	row := "CT-1"
	switch {
	case q.isNode():
		row = "CT-4"
	case q.by == byNodePort:
		row = "CT-2"
	case q.by != byClusterIP:
		row = "CT-3"
	}
	if has(q.pool().endpoints, q.session.server) {
		return q.since(row, "this UDP socket was answered by %s, which was no endpoint for a while: any endpoint may answer", q.was())
	}
	return q.since(row, "this UDP socket was answered by %s, which is no endpoint any more: it moves to a current one", q.was())
}

// Row CT-7 describes kube-proxy v1.36.3, which leaves the flow on the dead pod; that is a bug, since fixed
// (kubernetes/kubernetes#139628): a new flow would be refused, so is this one.
func socketRefused(q *question) (Reason, bool) {
	if !q.held() || len(q.choice) > 0 {
		return Reason{}, false
	}
	return q.since("CT-7", "this UDP socket was answered by %s, but %s", q.was(), q.because)
}

// Row CT-10 describes kube-proxy v1.36.3, which does not look for the entries of a front that is new; but a new socket is
// served, so must this one be.
func socketStarts(q *question) (Reason, bool) {
	if q.session == nil || q.held() || !q.udp() || q.front == nil || len(q.choice) == 0 {
		return Reason{}, false
	}
	if q.session.early {
		return q.since("CT-10", "nobody has answered this UDP socket yet, and now a Service has the address")
	}
	return q.since("CT-5", "nobody has answered this UDP socket yet, and now there is an endpoint")
}

// A packet to an address that nobody has dies somewhere on its way.
func endpointNowhere(q *question) (Reason, bool) {
	if q.server != nil {
		return Reason{}, false
	}
	q.lost = []world.Outcome{world.Silent, world.Unreachable}
	return Reason{"CIP-21", fmt.Sprintf("%s is an endpoint, but nobody has that address", q.at)}, true
}

// The server's own kernel answers: a reset, or for UDP an ICMP port unreachable.
func endpointDeaf(q *question) (Reason, bool) {
	if q.listening || q.echo() {
		return Reason{}, false
	}
	q.lost = []world.Outcome{world.Reset}
	if q.udp() {
		q.lost = []world.Outcome{world.Refused}
	}
	return Reason{"M-12", fmt.Sprintf("%s does not listen on port %d/%s", q.server, q.at.Port(), q.flow.Proto)}, true
}
