package oracle

import (
	"net/netip"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// sessionKey is one socket talking to one address. Sessions of the same name at other places are other sockets.
type sessionKey struct {
	from  world.Place
	name  string
	to    netip.AddrPort
	proto cluster.Proto
}

func sessionOf(f world.Flow) sessionKey { return sessionKey{f.From, f.Session, f.To, f.Proto} }

// session is what is remembered of a socket.
type session struct {
	server netip.AddrPort // who answered last; zero when nobody has yet
	// left: since then there may have been a state in which server was no current endpoint, so that the kernel may
	// have forgotten the choice.
	left bool
}

// Observe remembers what became of a flow with a Session. Flows of one session must be observed in their order.
func (h *History) Observe(f world.Flow, o world.Observation) {
	if f.Session == "" {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	key := sessionOf(f)
	s := h.sessions[key]
	if s == nil {
		s = &session{}
		h.sessions[key] = s
	}
	switch {
	case o.Outcome == world.Answered:
		*s = session{server: o.Server}
		// What was in force when it was sent, or came since, may have passed over it before it was observed.
		for i := len(h.spans) - 1; i >= 0 && (h.spans[i].end.IsZero() || h.spans[i].end.After(o.At)); i-- {
			s.pass(h, key, h.spans[i].facts)
		}
	case o.Outcome == world.Reset && f.Proto != cluster.UDP:
		delete(h.sessions, key) // the connection is over, the next one chooses anew
	}
}

// pass lets a state pass over the session.
func (s *session) pass(h *History, k sessionKey, st *facts) {
	if s.left || !s.server.IsValid() || k.proto != cluster.UDP || h.at[k.to.Addr()] != nil {
		return
	}
	front := st.look(h, k.to, k.proto).front
	s.left = front == nil || !has(front.usable(), s.server)
}
