package oracle

import (
	"net/netip"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// sessionKey is one socket talking to one address. Sessions of the same name at other places are other sockets.
type sessionKey struct {
	from      world.Place
	via, name string
	to        netip.AddrPort
	proto     cluster.Proto
}

func sessionOf(f world.Flow) sessionKey { return sessionKey{f.From, f.Via, f.Session, f.To, f.Proto} }

func (k sessionKey) flow() world.Flow {
	return world.Flow{From: k.from, Via: k.via, Session: k.name, To: k.to, Proto: k.proto}
}

// session is what is remembered after a flow of a socket.
type session struct {
	at     time.Time      // when the flow was sent
	server netip.AddrPort // who answered it, or one before it; zero when nobody has yet
	source netip.Addr     // whom that server saw
	by     kind           // how the Service was called, when it was one
	// left: since then there may have been a state in which server was no current endpoint, so that the kernel may
	// have forgotten the choice.
	left bool
	// early: when the latest flow was sent no Service had the address.
	early bool
}

// sessions are the last two memories of a socket, the latest first: a flow must be judged by what was known before it,
// also when it was observed before it is judged. A memory of no flow has no time.
type sessions [2]*session

// before is what was known when a flow was sent; at the zero Time, what is known now. nil: nothing.
func (s *sessions) before(at time.Time) *session {
	switch {
	case s == nil:
		return nil
	case at.IsZero() || s[0].at.Before(at):
		return s[0]
	}
	return s[1]
}

// Observe remembers what became of a flow: of one with a Session, for its socket; of a new one to a Service with session
// affinity, for its client. Flows of one session must be observed in their order, and judged before the next one is
// observed.
func (h *History) Observe(f world.Flow, o world.Observation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := sessionOf(f)
	all := h.sessions[key]
	if goesOn := all != nil && all[0].server == o.Server; o.Outcome == world.Answered && !goesOn {
		h.used(f, o)
	}
	if f.Session == "" {
		return
	}
	if all == nil {
		all = &sessions{}
		h.sessions[key] = all
	}
	s := &session{}
	if all[0] != nil {
		*s = *all[0]
	}
	s.at, s.early = o.At, true
	for _, st := range h.inForce(o.At, o.At.Add(o.Took)) {
		q := h.about(f, st)
		s.early = s.early && (q == nil || q.front == nil)
	}
	switch {
	case o.Outcome == world.Answered:
		s.server, s.source, s.left = o.Server, o.Source.Addr(), false
		// What was in force when it was sent, or came since, may have passed over it before it was observed.
		for i := len(h.spans) - 1; i >= 0 && (h.spans[i].end.IsZero() || h.spans[i].end.After(o.At)); i-- {
			s.pass(h, key, h.spans[i].facts)
			if q := h.about(f, h.spans[i].facts); q != nil && q.front != nil {
				s.by = q.by
			}
		}
	case o.Outcome == world.Reset && f.Proto != cluster.UDP:
		s.server, s.source = netip.AddrPort{}, netip.Addr{} // the connection is over, the next one chooses anew
	}
	*all = sessions{s, all[0]}
}

// pass lets a state pass over the memory.
func (s *session) pass(h *History, k sessionKey, st *facts) {
	if s == nil || s.left || !s.server.IsValid() || k.proto != cluster.UDP || s.server == k.to {
		return
	}
	s.left = !has(h.pool(k.flow(), st), s.server)
}
