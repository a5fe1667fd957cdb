package oracle

import (
	"net/netip"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// A rule decides one stage of a flow in one state, when it applies. Of each stage the first rule that applies decides,
// so the order matters within a stage and nowhere else.
type rule struct {
	name  string
	stage stage
	rows  []string // what it stands for; the reason it gives names one of them
	// decide reports whether the rule applies, and if so decides and says why.
	decide func(q *question) (why Reason, applies bool)
}

type stage uint8

const (
	whither stage = iota // what is the address, and who may be chosen
	stays                // does an earlier flow of the same client narrow the choice
	again                // does an earlier flow of the same socket narrow the choice
	arrive               // for each that may be chosen: does it fail to answer
	source               // for each that answers: whom does it see
)

// rules is the specification. A new rule goes where a reader would look for it, with its row and source in Rows, and
// brings a mutant.
var rules = []rule{
	{"no address of that family", whither, []string{"M-16"}, noFamily},
	{"straight to a place", whither, []string{"CIP-14"}, straight},
	{"a ready endpoint", whither, []string{"CIP-3", "TERM-1"}, chooseReady},
	{"a terminating endpoint that still serves", whither, []string{"TERM-2"}, chooseDraining},
	{"an externalIP without endpoints, from a node", whither, []string{"NE-5"}, externalWithoutEndpoints},
	{"refused without endpoints", whither, []string{"NE-1", "NE-2", "NE-3", "NE-4"}, refuseWithoutEndpoints},
	{"an unused port of an externalIP", whither, []string{"EXT-5"}, unusedExternalPort},
	{"an unused port of a ClusterIP", whither, []string{"CIP-11"}, unusedPort},
	{"an address that nobody has", whither, []string{"CIP-12"}, nobody},

	{"a client stays with its endpoint", stays, []string{"AFF-1", "AFF-2", "AFF-3", "AFF-6"}, clientStays},

	{"a connection keeps its endpoint", again, []string{"CIP-4"}, connectionKeeps},
	{"a UDP socket keeps its endpoint", again, []string{"CIP-4"}, socketKeeps},
	{"a UDP socket may stay while its endpoint drains", again, []string{"CT-8"}, socketDrains},
	{"a UDP socket ends with its Service", again, []string{"CT-10"}, socketEnds},
	{"a UDP socket moves", again, []string{"CT-1", "CT-2", "CT-3", "CT-4"}, socketMoves},
	{"a UDP socket is refused when no endpoint is left", again, []string{"CT-7"}, socketRefused},
	{"a UDP socket starts to work", again, []string{"CT-5", "CT-10"}, socketStarts},

	{"nobody has the endpoint's address", arrive, []string{"CIP-21"}, endpointNowhere},
	{"nobody listens there", arrive, []string{"M-12"}, endpointDeaf},

	{"no Service, no translation", source, []string{"M-1", "M-2", "M-3", "M-4", "M-5", "CIP-14"}, straightSource},
	{"by a NodePort or externalIP to the translating node itself", source, []string{"HP-4", "HP-5"}, frontToItself},
	{"a NodePort is masqueraded", source, []string{"NP-1", "NP-2", "NP-3", "NP-4"}, nodePortMasqueraded},
	{"an externalIP is masqueraded", source, []string{"EXT-1"}, externalMasqueraded},
	{"a pod that calls itself", source, []string{"HP-1"}, hairpin},
	{"a pod's address is kept", source, []string{"CIP-1", "CIP-2", "HP-4"}, podKept},
	{"a node shows an address of its own", source, []string{"CIP-5", "HP-5", "HP-6"}, nodeSource},
	{"from outside to the entry node itself", source, []string{"HP-4"}, outsideToEntry},
	{"an outside client is masqueraded", source, []string{"CIP-6"}, outsideMasqueraded},
}

// question is a flow in one state, and what the rules have decided so far.
type question struct {
	h    *History
	flow world.Flow
	from *world.Host
	self netip.Addr // the client's address of the family in use; the zero Addr when it has none
	home string     // the client's node; of an outside client the one it enters by
	// translates is the node that rewrites the address: home, but of a NodePort the node whose address was called.
	translates string
	target
	session     *session // what was known of its socket; nil when nothing
	pin         *pin     // what was known of its client; nil when nothing, or without session affinity
	sent, until time.Time

	choice  []chosen
	mute    []world.Outcome
	because string // why nobody, or nobody else, may answer

	// About the endpoint at hand, in stages arrive and source.
	server    *world.Host
	at        netip.AddrPort
	listening bool
	lost      []world.Outcome // what happens instead of an answer; nil: it answers
	sources   []netip.Addr
	onLink    bool
}

type chosen struct {
	netip.AddrPort
	weight float64
}

func (q *question) udp() bool    { return q.flow.Proto == cluster.UDP }
func (q *question) isNode() bool { return inNode(q.from) }

// straight: it is a place's own address, and no Service has that port of it (NP-13: a Service wins over a listener).
func (q *question) straight() bool { return q.front == nil && q.h.at[q.flow.To.Addr()] != nil }

// choose: each of the pool with the same share.
func (q *question) choose(pool []netip.AddrPort) {
	q.choice = q.choice[:0]
	for _, a := range pool {
		q.choice = append(q.choice, chosen{a, 1 / float64(len(pool))})
	}
}

// lostPacket is what becomes of a packet that nobody cares for. Where a rule drops it in the output hook,
// a node's process gets EPERM for its UDP (flat-layout.md, Q4).
func (q *question) lostPacket() []world.Outcome {
	if q.udp() && q.isNode() {
		return []world.Outcome{world.Silent, world.Unreachable, world.Denied}
	}
	return []world.Outcome{world.Silent, world.Unreachable}
}

// refusal is ICMP port unreachable, for TCP as well. A reject rule in the output hook shows as EPERM to a node's
// process that sends UDP (flat-layout.md, Q4); not so when another node rejects it.
func (q *question) refusal() []world.Outcome {
	if q.udp() && q.isNode() && q.translates == q.home {
		return []world.Outcome{world.Denied, world.Refused}
	}
	return []world.Outcome{world.Refused}
}

// way returns the client's node, of an outside client the one it enters by, and the node that rewrites the address.
func (h *History) way(f world.Flow, from *world.Host, by kind) (home, translates string) {
	if home = nodeOf(from); home == "" {
		home = h.entry(f.Via)
	}
	if node := h.node(f.To.Addr()); node != nil && by == byNodePort {
		return home, node.Name
	}
	return home, home
}

// decide asks the rules about a flow in one state.
func (h *History) decide(f world.Flow, st *facts, s *session, sent, until time.Time) Answer {
	q := &question{h: h, flow: f, from: h.places[f.From], session: s, sent: sent, until: until}
	if q.from == nil {
		return Answer{because: f.From.String() + " is no place of this topology"}
	}
	q.self = q.from.AddrOf(f.To.Addr())
	q.target = st.look(h, f.To, f.Proto)
	if q.front == nil && s != nil && s.server.IsValid() {
		q.by = s.by // what it was when it was opened
	}
	q.home, q.translates = h.way(f, q.from, q.by)
	var a Answer
	a.reason(q.ask(whither))
	if q.front != nil && q.front.sticky > 0 {
		if k, ok := h.pinKey(f, q.by); ok {
			q.pin = h.pins[k]
		}
		a.reason(q.ask(stays))
		a.Sticky = len(q.choice) > 1
	}
	if s != nil {
		a.reason(q.ask(again))
	}
	a.Mute, a.because = q.mute, q.because
	for _, c := range q.choice {
		q.at, q.lost, q.sources, q.onLink = c.AddrPort, nil, nil, false
		q.server, q.listening = h.serverAt(c.AddrPort, f.Proto)
		why := q.ask(arrive)
		if q.lost == nil {
			if why = q.ask(source); q.lost == nil {
				a.Cases = append(a.Cases, Case{c.AddrPort, q.sources, c.weight, q.onLink, why.Text})
			}
		}
		if q.lost != nil {
			a.Mute = addMissing(a.Mute, q.lost)
			a.because = why.Text
		}
		a.reason(why)
	}
	return a
}

func (a *Answer) reason(r Reason) {
	if r.Row != "" {
		a.Why = addMissing(a.Why, []Reason{r})
	}
}

func (q *question) ask(s stage) Reason {
	for i := range q.h.rules {
		if r := &q.h.rules[i]; r.stage == s {
			if why, applies := r.decide(q); applies {
				return why
			}
		}
	}
	return Reason{}
}
