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
	reach   stage = iota // whose endpoints count: the whole cluster's, or the node's alone
	whither              // what is the address, and who may be chosen
	stays                // does an earlier flow of the same client narrow the choice
	again                // does an earlier flow of the same socket narrow the choice
	arrive               // for each that may be chosen: does it fail to answer
	source               // for each that answers: whom does it see
	back                 // does its answer find back
)

// rules is the specification. A new rule goes where a reader would look for it, with its row and source in Rows, and
// brings a mutant.
var rules = []rule{
	{"internal traffic stays on its node", reach, []string{"POL-1", "POL-3", "POL-5", "POL-13"}, internalStays},
	{"external traffic stays on its node", reach, []string{"POL-7", "POL-12", "POL-13", "EXT-2"}, externalStays},
	{"a pod's way out is cut short", reach, []string{"POL-9", "POL-13", "EXT-3"}, podShortCut},
	{"a node's way out is cut short", reach, []string{"POL-10", "POL-13", "EXT-3"}, nodeShortCut},
	{"a policy for other traffic", reach, []string{"POL-6", "POL-11", "POL-14"}, otherPolicy},

	{"no address of that family", whither, []string{"M-16"}, noFamily},
	{"where NodePorts are not answered", whither, []string{"NP-5", "NP-6", "NP-7", "NP-9", "NP-10", "NP-11", "NP-14"}, leftAlone},
	{"a load balancer answers itself", whither, []string{"LB-4"}, balancerItself},
	{"straight to a place", whither, []string{"CIP-14"}, straight},
	{"a source that is not let in", whither, []string{"LB-7", "LB-8", "LB-10", "LB-12"}, notLetIn},
	{"an endpoint that hints name", whither, []string{"TOPO-1", "TOPO-2", "TOPO-3", "TOPO-6", "TOPO-7", "TOPO-9"}, chooseHinted},
	{"a ready endpoint", whither, []string{"CIP-3", "TERM-1", "POL-4", "TOPO-4", "TOPO-5", "TOPO-7"}, chooseReady},
	{"a terminating endpoint that still serves", whither, []string{"TERM-2", "TERM-3", "TERM-4", "TERM-5", "TOPO-8"}, chooseDraining},
	{"dropped without endpoints on the node", whither, []string{"POL-2", "POL-8", "POL-12", "EXT-2"}, dropWithoutLocal},
	{"an externalIP without endpoints, from a node", whither, []string{"NE-5"}, externalWithoutEndpoints},
	{"refused without endpoints", whither, []string{"NE-1", "NE-2", "NE-3", "NE-4"}, refuseWithoutEndpoints},
	{"an echo to a Service", whither, []string{"CIP-13"}, echoToService},
	{"an unused port of an externalIP", whither, []string{"EXT-5", "LB-14"}, unusedExternalPort},
	{"an unused port of a ClusterIP", whither, []string{"CIP-11"}, unusedPort},
	{"an address that nobody has", whither, []string{"CIP-12"}, nobody},

	{"a client stays with its endpoint", stays, []string{"AFF-1", "AFF-2", "AFF-3", "AFF-6", "AFF-7"}, clientStays},

	{"a connection keeps its endpoint", again, []string{"CIP-4"}, connectionKeeps},
	{"a UDP socket keeps its endpoint", again, []string{"CIP-4"}, socketKeeps},
	{"a UDP socket stays while its endpoint serves", again, []string{"CT-8"}, socketDrains},
	{"a UDP socket ends with its Service", again, []string{"CT-10"}, socketEnds},
	{"a UDP socket moves", again, []string{"CT-1", "CT-2", "CT-3", "CT-4"}, socketMoves},
	{"a UDP socket is refused when no endpoint is left", again, []string{"CT-7"}, socketRefused},
	{"a UDP socket starts to work", again, []string{"CT-5", "CT-10"}, socketStarts},

	{"nobody has the endpoint's address", arrive, []string{"CIP-21"}, endpointNowhere},
	{"nobody listens there", arrive, []string{"M-12"}, endpointDeaf},

	{"no Service, no translation", source, []string{"M-1", "M-2", "M-3", "M-4", "M-5", "CIP-14"}, straightSource},
	{"by a NodePort or externalIP to the translating node itself", source, []string{"HP-4", "HP-5"}, frontToItself},
	{"a NodePort is masqueraded", source, []string{"NP-1", "NP-2", "NP-3", "NP-4", "NP-5", "POL-10"}, nodePortMasqueraded},
	{"an externalIP is masqueraded", source, []string{"EXT-1", "EXT-3"}, externalMasqueraded},
	{"a VIP is masqueraded", source, []string{"LB-1", "LB-2", "LB-3", "POL-10"}, vipMasqueraded},
	{"a pod that calls itself", source, []string{"HP-1", "HP-2", "HP-3"}, hairpin},
	{"policy Local keeps the source", source, []string{"POL-7", "POL-9", "POL-12", "EXT-2", "EXT-3"}, localKept},
	{"everybody is masqueraded", source, []string{"CIP-7"}, allMasqueraded},
	{"a pod's address is kept", source, []string{"CIP-1", "CIP-2", "HP-4"}, podKept},
	{"without a detector nobody is masqueraded", source, []string{"SRC-5"}, undetectedKept},
	{"who has a pod's address is taken for one", source, []string{"SRC-1"}, takenForPod},
	{"a pod that its node takes for an outsider", source, []string{"SRC-1", "SRC-2", "SRC-3", "SRC-4"}, podMasqueraded},
	{"a node shows an address of its own", source, []string{"CIP-5", "HP-5", "HP-6"}, nodeSource},
	{"from outside to the entry node itself", source, []string{"HP-4"}, outsideToEntry},
	{"an outside client is masqueraded", source, []string{"CIP-6"}, outsideMasqueraded},

	{"the answer takes another way", back, []string{"SRC-1", "SRC-5", "CIP-21"}, answerAstray},
}

// question is a flow in one state, and what the rules have decided so far.
type question struct {
	h     *History
	flow  world.Flow
	facts *facts
	caller
	target
	session     *session // what was known of its socket; nil when nothing
	pin         *pin     // what was known of its client; nil when nothing, or without session affinity
	sent, until time.Time

	local   bool // by policy only the node's own endpoints count
	reached bool // … which is decided
	choice  []chosen
	mute    []world.Outcome
	freely  []world.Outcome // what some implementations do instead
	because string          // why nobody, or nobody else, may answer

	// About the endpoint at hand, in stages arrive and source.
	server    *world.Host
	at        netip.AddrPort
	listening bool
	lost      []world.Outcome // what happens instead of an answer; nil: it answers
	sources   []netip.Addr
	onLink    bool
	asItCame  bool // the source is not rewritten
}

type chosen struct {
	netip.AddrPort
	weight float64
}

func (q *question) udp() bool    { return q.flow.Proto == cluster.UDP }
func (q *question) isNode() bool { return inNode(q.from) }

// straight: it is a place's own address, and no Service has that port of it (NP-13: a Service wins over a listener).
func (q *question) straight() bool {
	return q.front == nil && (q.h.at[q.flow.To.Addr()] != nil || q.flow.To.Addr().IsLoopback())
}

func (q *question) node(name string) *world.Host {
	return q.h.places[world.Place{Kind: world.Node, Name: name}]
}

// serverAt returns who would answer at an address. At a loopback address that is the client's own host, where nobody
// listens: servers listen at the addresses that they are known by.
func (q *question) serverAt(a netip.AddrPort) (*world.Host, bool) {
	switch {
	case !a.Addr().IsLoopback():
		return q.h.serverAt(a, q.flow.Proto)
	case inNode(q.from):
		return q.node(q.home), false
	}
	return q.from, false
}

// pool is what the flow's endpoint is chosen from, by policy and hints.
func (q *question) pool() pool {
	if !q.reached {
		q.ask(reach)
		q.reached = true
	}
	return q.front.at(q.translates, q.local)
}

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
	if q.sends() && q.isNode() {
		return []world.Outcome{world.Silent, world.Unreachable, world.Denied}
	}
	return []world.Outcome{world.Silent, world.Unreachable}
}

// refusal is ICMP port unreachable, for TCP as well. A reject rule in the output hook shows as EPERM to a node's
// process that sends UDP (flat-layout.md, Q4); not so when another node rejects it.
func (q *question) refusal() []world.Outcome {
	if q.sends() && q.isNode() && q.translates == q.home {
		return []world.Outcome{world.Denied, world.Refused}
	}
	return []world.Outcome{world.Refused}
}

// drop is a packet that a rule throws away, on the node that translates. A node's process learns of that from its own
// kernel when it sends (EPERM); TCP does not listen to it and tries again.
func (q *question) drop() []world.Outcome {
	if q.flow.Proto != cluster.TCP && q.isNode() && q.translates == q.home {
		return []world.Outcome{world.Denied, world.Silent}
	}
	return []world.Outcome{world.Silent}
}

// about is the question that a flow is in one state; nil when it comes from nowhere.
func (h *History) about(f world.Flow, st *facts) *question {
	from := h.places[f.From]
	if from == nil {
		return nil
	}
	q := &question{h: h, flow: f, facts: st, target: st.look(h, from, f.To, f.Proto)}
	by := q.by
	if q.aside != nil {
		by = byNodePort
	}
	q.caller = h.calls(f, from, st, by)
	return q
}

// pool is what the endpoint of a flow is chosen from in one state.
func (h *History) pool(f world.Flow, st *facts) []netip.AddrPort {
	q := h.about(f, st)
	if q == nil || q.front == nil {
		return nil
	}
	return q.pool().endpoints
}

// decide asks the rules about a flow in one state.
func (h *History) decide(f world.Flow, st *facts, s *session, sent, until time.Time) Answer {
	q := h.about(f, st)
	if q == nil {
		return Answer{because: f.From.String() + " is no place of this topology"}
	}
	q.session, q.sent, q.until = s, sent, until
	if q.front == nil && s != nil && s.server.IsValid() {
		q.by = s.by // what it was when it was opened
		q.caller = h.calls(f, q.from, st, q.by)
	}
	var a Answer
	if q.front != nil {
		a.reason(q.ask(reach))
		q.reached = true
	}
	a.reason(q.ask(whither))
	if q.front != nil && q.front.sticky > 0 {
		q.pin = h.pins[q.pinKey()]
		a.reason(q.ask(stays))
		a.Sticky = len(q.choice) > 1
	}
	if s != nil {
		a.reason(q.ask(again))
	}
	a.Mute, a.because = q.mute, q.because
	for _, c := range q.choice {
		q.at, q.lost, q.sources, q.onLink, q.asItCame = c.AddrPort, nil, nil, false, false
		q.server, q.listening = q.serverAt(c.AddrPort)
		why := q.ask(arrive)
		if q.lost == nil {
			why = q.ask(source)
			q.asBefore()
			if astray := q.ask(back); q.lost != nil {
				why = astray
			} else {
				a.Cases = append(a.Cases, Case{c.AddrPort, q.sources, c.weight, q.onLink, why.Text})
			}
		}
		if q.lost != nil {
			a.Mute = addMissing(a.Mute, q.lost)
			if a.because = why.Text; q.aside != nil {
				a.because = q.because + ", and " + why.Text
			}
		}
		a.reason(why)
	}
	a.Mute = addMissing(a.Mute, q.freely)
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
