package oracle

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// stickiness is the timeout of session affinity by client address; the API's default is three hours.
func stickiness(s *corev1.Service) time.Duration {
	if s.Spec.SessionAffinity != corev1.ServiceAffinityClientIP {
		return 0
	}
	seconds := int32(corev1.DefaultClientIPServiceAffinitySeconds)
	if c := s.Spec.SessionAffinityConfig; c != nil && c.ClientIP != nil && c.ClientIP.TimeoutSeconds != nil {
		seconds = *c.ClientIP.TimeoutSeconds
	}
	return time.Duration(seconds) * time.Second
}

// pinKey is whom a node's proxy must recognise when it comes again: every node remembers for itself (AFF-8), and each port
// of a Service does (AFF-5). Whether the addresses of one port share what they remember is left open (AFF-4).
type pinKey struct {
	node   string // that translates
	client netip.Addr
	to     netip.AddrPort
	proto  cluster.Proto
}

// pin is what is known of one client's choices.
type pin struct {
	flow   world.Flow                   // one of them
	uses   []use                        // the latest, in the order in which they were observed
	flying []time.Time                  // when flows were sent that were not observed yet
	gone   map[netip.AddrPort]time.Time // when a server may have been forgotten the last time
}

// use is a new flow that a server answered.
type use struct {
	sent, done time.Time
	server     netip.AddrPort
}

const (
	keepUses   = 64
	timerSlack = 500 * time.Millisecond // how much too early or late a kernel may let an entry expire
)

// hold is what a pin is worth for a flow.
type hold uint8

const (
	unknown hold = iota // nobody has answered this client yet
	expired             // that was so long ago that it may be forgotten
	changed             // so much has changed since that it may be forgotten
	firm
)

// holders returns who may hold the client for a flow sent at from that reached the proxy before until. What counts is the
// last flow that was over before it was sent; of several that were under way together each, since it is unknown which of
// them the proxy saw last.
func (p *pin) holders(from, until time.Time, timeout time.Duration) (servers []netip.AddrPort, last use, h hold) {
	if p == nil {
		return nil, use{}, unknown
	}
	h = firm
	before := func(u use) bool { return u.sent.Before(from) && !u.done.After(from) }
	for _, u := range p.uses {
		if !before(u) || slices.ContainsFunc(p.uses, func(v use) bool { return before(v) && v != u && !u.done.After(v.sent) }) {
			continue
		}
		servers = addMissing(servers, []netip.AddrPort{u.server})
		if u.sent.After(last.sent) {
			last = u
		}
		if at, ok := p.gone[u.server]; ok && !at.Before(u.sent) {
			h = changed
		} else if h == firm && until.Sub(u.sent) > timeout-timerSlack {
			h = expired
		}
	}
	if servers == nil {
		h = unknown
	}
	return servers, last, h
}

// unsettled: a flow that nothing held when it was sent is still under way, and may yet decide.
func (p *pin) unsettled(until time.Time, timeout time.Duration) bool {
	return p != nil && slices.ContainsFunc(p.flying, func(sent time.Time) bool {
		_, _, h := p.holders(sent, sent, timeout)
		return h != firm && sent.Before(until)
	})
}

// forget notes that what was chosen before may be forgotten now.
func (p *pin) forget(server netip.AddrPort, at time.Time) {
	if p.gone == nil {
		p.gone = map[netip.AddrPort]time.Time{}
	}
	if at.After(p.gone[server]) {
		p.gone[server] = at
	}
}

// pass lets a state pass over all pins: where a server is no endpoint, or the Service has no affinity, it is forgotten.
func (h *History) passPins(st *facts, at time.Time) {
	for _, p := range h.pins {
		for _, u := range p.uses {
			if !h.holds(p.flow, st, u.server) {
				p.forget(u.server, at)
			}
		}
	}
}

// holds: the state lets the client of that flow stay with that server.
func (h *History) holds(f world.Flow, st *facts, server netip.AddrPort) bool {
	q := h.about(f, st)
	return q != nil && q.front != nil && q.front.sticky > 0 && has(q.pool().endpoints, server)
}

// Forget says that the proxies' rules were taken away behind their backs: clients may be forgotten with them.
func (h *History) Forget(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, p := range h.pins {
		for _, u := range p.uses {
			p.forget(u.server, at)
		}
	}
}

// Sending says that a flow is about to be sent, and returns what is to be called when it was observed, or is given up. It
// matters where flows of one client to a Service with session affinity are under way together.
func (h *History) Sending(f world.Flow, at time.Time) (landed func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	p := h.pinOf(f, h.inForce(at, at))
	if p == nil {
		return func() {}
	}
	p.flying = append(p.flying, at)
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		if i := slices.Index(p.flying, at); i >= 0 {
			p.flying = slices.Delete(p.flying, i, i+1)
		}
	}
}

// pinOf returns the pin that a flow is subject to, a new one when there is none; nil when no state has affinity there.
func (h *History) pinOf(f world.Flow, states []*facts) *pin {
	for _, st := range states {
		q := h.about(f, st)
		if q == nil || q.front == nil || q.front.sticky == 0 {
			continue
		}
		k := q.pinKey()
		p := h.pins[k]
		if p == nil {
			p = &pin{flow: f}
			h.pins[k] = p
		}
		return p
	}
	return nil
}

func (q *question) pinKey() pinKey { return pinKey{q.translates, q.self, q.flow.To, q.flow.Proto} }

// used remembers who answered a new flow.
func (h *History) used(f world.Flow, o world.Observation) {
	states := h.inForce(o.At, o.At.Add(o.Took))
	p := h.pinOf(f, states)
	if p == nil {
		return
	}
	p.uses = append(p.uses, use{o.At, o.At.Add(o.Took), o.Server})
	if len(p.uses) > keepUses {
		p.uses = slices.Delete(p.uses, 0, len(p.uses)-keepUses)
	}
	for _, st := range states {
		if !h.holds(f, st, o.Server) {
			p.forget(o.Server, o.At.Add(o.Took))
		}
	}
}

func clientStays(q *question) (Reason, bool) {
	if q.front == nil || q.front.sticky == 0 || len(q.choice) < 2 {
		return Reason{}, false
	}
	servers, last, h := q.pin.holders(q.sent, q.until, q.front.sticky)
	if h == unknown || q.pin.unsettled(q.until, q.front.sticky) {
		return Reason{}, false
	}
	for _, s := range servers {
		if !slices.ContainsFunc(q.choice, func(c chosen) bool { return c.AddrPort == s }) {
			if has(q.front.usable(), s) {
				return q.since("AFF-7", "sessionAffinity: %s had %s, which policy or hints exclude now: it moves to another", q.from, q.h.who(s, q.flow.Proto))
			}
			return q.since("AFF-6", "sessionAffinity: %s had %s, which is no endpoint any more: it moves to another",
				q.from, q.h.who(s, q.flow.Proto))
		}
	}
	switch had := q.h.who(last.server, q.flow.Proto); h {
	case expired:
		return q.since("AFF-2", "sessionAffinity: %s had %s, but did not call for %s, so any may answer", q.from, had, seconds(q.sent.Sub(last.sent)))
	case changed:
		return q.since("AFF-3", "sessionAffinity: %s had %s, which may have been forgotten meanwhile, so any may answer", q.from, had)
	}
	q.choose(servers)
	return q.since("AFF-1", "sessionAffinity: %s has %s, which answered it %s before, and stays with it until it has not called for %s",
		q.from, either(q.h.names(servers, q.flow.Proto)), seconds(q.sent.Sub(last.sent)), seconds(q.front.sticky))
}
