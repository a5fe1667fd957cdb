package oracle

import (
	"net/netip"
	"slices"
	"sort"
	"sync"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// History is what an oracle must know: the places, the states applied with their times, and the flows observed so
// far. Its methods, Expect and Latest may be called by several goroutines at once; Begin, Done and Settle by one.
type History struct {
	mu     sync.Mutex
	rules  []rule
	places map[world.Place]*world.Host
	at     map[netip.Addr][]*world.Host // who has an address: a node and its hostNetwork pods share theirs
	entry  func(via string) string
	links  map[world.Place]int // the number of each pod's link, as the lab counts them

	settings cluster.Settings
	mode     cluster.Mode

	spans    []span // begin and end ascend
	last     *facts // of the state applied last
	facts    map[*cluster.Snapshot]*facts
	learnt   *cluster.Snapshot
	claims   map[netip.AddrPort][]cluster.Key // who ever claimed a front, an address (port 0) or a NodePort (no address)
	answers  map[union]Answer
	sessions map[sessionKey]*sessions
	pins     map[pinKey]*pin
	scratch  [4]*facts // for inForce, whose result is not kept
}

// span is a time in which a state may be in force. end is zero while it still may.
type span struct {
	begin, end time.Time
	facts      *facts
}

// NewHistory starts with the empty state in force: a proxy that was told nothing serves nothing.
func NewHistory(t *world.Topology) *History {
	h := &History{
		rules: rules, places: map[world.Place]*world.Host{}, at: map[netip.Addr][]*world.Host{}, entry: t.Entry,
		links: map[world.Place]int{}, settings: t.Settings, mode: t.Mode,
		facts: map[*cluster.Snapshot]*facts{}, claims: map[netip.AddrPort][]cluster.Key{},
		answers: map[union]Answer{}, sessions: map[sessionKey]*sessions{}, pins: map[pinKey]*pin{},
	}
	for _, hosts := range [][]world.Host{t.Pods, t.Nodes, t.Clients} {
		for i := range hosts {
			p := &hosts[i]
			h.places[p.Place] = p
			for _, a := range slices.Concat(p.Addrs, p.More) {
				h.at[a] = append(h.at[a], p)
			}
		}
	}
	for i, p := range t.Pods {
		h.links[p.Place] = i + 1
	}
	h.begin(nil, time.Time{})
	return h
}

// Begin says that an Apply of s begins: from now on s may be in force, beside what may be already.
func (h *History) Begin(s *cluster.Snapshot, at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.prune(at)
	h.begin(s, at)
	for k, v := range h.sessions {
		v[0].pass(h, k, h.last)
		v[1].pass(h, k, h.last)
	}
	h.passPins(h.last, at)
}

func (h *History) begin(s *cluster.Snapshot, at time.Time) {
	st := h.facts[s]
	if st == nil {
		h.learn(s)
		st = newFacts(s)
		h.facts[s] = st
	}
	h.last = st
	// A state that may be in force already needs no second span: so two states that alternate in a world without
	// barrier stay two.
	for i := len(h.spans) - 1; i >= 0 && h.spans[i].end.IsZero(); i-- {
		if h.spans[i].facts == st {
			return
		}
	}
	st.spans++
	h.spans = append(h.spans, span{begin: at, facts: st})
}

// Done says that the last Apply has returned behind a barrier: from now on only its state is in force.
func (h *History) Done(at time.Time) { h.only(at) }

// Settle says the same for a world without barrier, when it must have settled.
func (h *History) Settle(at time.Time) { h.only(at) }

func (h *History) only(at time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	i := len(h.spans) - 1
	if h.spans[i].facts != h.last { // it was in force before others that began since: a second span keeps the order
		h.last.spans++
		h.spans = append(h.spans, span{begin: at, facts: h.last})
		i++
	}
	for i--; i >= 0 && h.spans[i].end.IsZero(); i-- {
		h.spans[i].end = at
	}
}

// inForce returns the states, each once and the oldest first, that may be in force at some time from from to until.
func (h *History) inForce(from, until time.Time) []*facts {
	first := sort.Search(len(h.spans), func(i int) bool { return h.spans[i].end.IsZero() || h.spans[i].end.After(from) })
	if first == len(h.spans)-1 {
		return append(h.scratch[:0], h.spans[first].facts)
	}
	states := h.scratch[:0]
	for _, s := range h.spans[first:] {
		if s.begin.After(until) && len(states) > 0 {
			break
		}
		if !slices.Contains(states, s.facts) {
			states = append(states, s.facts)
		}
	}
	return states
}

// What is kept: windows reach back by seconds, and sentences about what was removed should too.
const (
	keepSpans = 4096
	keepTime  = time.Minute
	keepFacts = 256
)

func (h *History) prune(now time.Time) {
	n := 0
	for len(h.spans)-n > keepSpans && !h.spans[n].end.IsZero() && now.Sub(h.spans[n].end) > keepTime {
		st := h.spans[n].facts
		if st.spans--; st.spans == 0 && len(h.facts) > keepFacts {
			delete(h.facts, st.state)
		}
		n++
	}
	// Moved in large steps only, so that a change costs the same however many there were.
	if n > 0 && n >= len(h.spans)/2 {
		h.spans = slices.Clone(h.spans[n:])
	} else {
		h.spans = h.spans[n:]
	}
}
