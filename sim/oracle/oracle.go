// Package oracle says what should happen to a flow. It is written from the Service documentation, packet by packet, and
// shares words but no logic with proxycore: a shared bug would be an invisible bug.
//
// The table of contents is the list of rules in rules.go. Each rule names the rows of the specification that it stands
// for (rows.go), and each mutant (mutants.go) is the model with one rule spoilt.
package oracle

import (
	"net/netip"
	"slices"
	"time"

	"svclab/sim/world"
)

// Answer is what is permitted to happen to one flow. Its slices are shared: read them only.
type Answer struct {
	Cases []Case          // who may answer; none: nobody
	Mute  []world.Outcome // what may happen instead of an answer, the most likely first
	Why   []Reason
	// Sticky: whoever answers this flow will answer the client's next ones, since the Service has session affinity.
	Sticky bool

	because string // why nobody, or nobody else, may answer
	asked   asked
}

// asked is what Permits needs in order to speak in names.
type asked struct {
	history *History
	flow    world.Flow
	at      time.Time
}

// Case is one server that may answer, with the sources that it may see: they belong together, since a pod that calls
// itself is masqueraded and its sibling is not.
type Case struct {
	Server  netip.AddrPort
	Sources []netip.Addr
	// Weight is the server's share of new flows. The shares add up to 1, less where some endpoint cannot answer.
	Weight float64

	onLink bool   // the node at the other end of the server's own link may show its link-local address (row SRC-8)
	why    string // the reason for Sources
}

// Reason is one rule that applied: the row of the specification, and what it means here.
type Reason struct{ Row, Text string }

// Expect says what is permitted to a flow sent at from and answered before until: what any state permits that may have
// been in force in between, given what was observed of flows sent before.
func Expect(h *History, f world.Flow, from, until time.Time) Answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.expect(f, from, until, h.inForce(from, until))
}

// Latest says what the last state permits, whatever else may still be in force. Where a world has no barrier, settling
// is measured by it.
func Latest(h *History, f world.Flow) Answer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.latest(f, time.Time{})
}

// latest takes what was observed before at for known; at the zero Time, all.
func (h *History) latest(f world.Flow, at time.Time) Answer {
	return h.expect(f, at, at, []*facts{h.last})
}

// shape is all of a flow that the rules look at.
type shape struct {
	from world.Place
	via  string
	to   netip.AddrPort
	num  uint8
}

// union names an answer that several states permit together. The zero facts stand for "no such state".
type union struct {
	states [3]*facts
	shape  shape
}

func (h *History) expect(f world.Flow, from, until time.Time, states []*facts) Answer {
	a := h.answer(f, from, until, states)
	a.asked = asked{h, f, from}
	return a
}

func (h *History) answer(f world.Flow, from, until time.Time, states []*facts) Answer {
	var s *session
	if f.Session != "" {
		s = h.sessions[sessionOf(f)].before(from)
	}
	if s != nil || h.pinOf(f, states) != nil || len(states) > len(union{}.states) {
		var parts []Answer
		for _, st := range states {
			parts = append(parts, h.decide(f, st, s, from, until))
		}
		return merge(parts)
	}
	key := union{shape: shape{from: f.From, via: f.Via, to: f.To, num: uint8(f.Proto)}}
	copy(key.states[:], states)
	if a, ok := h.answers[key]; ok {
		return a
	}
	var parts []Answer
	for _, st := range states {
		parts = append(parts, h.decide(f, st, nil, from, until))
	}
	a := merge(parts)
	if len(h.answers) >= manyAnswers {
		clear(h.answers)
	}
	h.answers[key] = a
	return a
}

// manyAnswers bounds the memory for answers; after that many different questions all are computed anew.
const manyAnswers = 1 << 14

// merge permits what any of the answers does. Shares are averaged: it is unknown how long each state was in force.
func merge(parts []Answer) Answer {
	if len(parts) == 1 {
		return parts[0]
	}
	var m Answer
	at := map[netip.AddrPort]int{}
	for _, p := range parts {
		for _, c := range p.Cases {
			i, ok := at[c.Server]
			if !ok {
				i = len(m.Cases)
				at[c.Server] = i
				m.Cases = append(m.Cases, Case{Server: c.Server, why: c.why})
			}
			have := &m.Cases[i]
			have.Sources = addMissing(slices.Clip(have.Sources), c.Sources)
			have.Weight += c.Weight / float64(len(parts))
			have.onLink = have.onLink || c.onLink
		}
		m.Mute = addMissing(m.Mute, p.Mute)
		m.Why = addMissing(m.Why, p.Why)
		m.Sticky = m.Sticky || p.Sticky
		m.because = p.because // the latest state's
	}
	return m
}

func addMissing[T comparable](to, from []T) []T {
	for _, v := range from {
		if !slices.Contains(to, v) {
			to = append(to, v)
		}
	}
	return to
}
