package oracle

import (
	"math/rand/v2"
	"net/netip"
	"slices"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Mutant is a World with one known bug: the model with one rule spoilt. It answers by its own rules, and is judged by
// the true ones; if no scenario fails in it, the judge is blind to that bug.
type Mutant struct {
	Name     string
	Bug      string   // what it does wrong, in words
	Breaks   []string // the rows that it breaks: one, or several where one bug truly breaks them all
	Scenario string   // the bundled scenario that must kill it
	Sentence string   // what that scenario's failure must say
	Family   string   // the only one that it breaks, "ipv4" or "ipv6"; empty: both

	rule  string // the name of the rule that is replaced; empty when it is what chance or time do to it
	spoil func() func(q *question, was func(*question) (Reason, bool)) (Reason, bool)
	pick  func() func(f world.Flow, weights []float64, rng *rand.Rand) int
	twist func() func(m *Model, from *world.Host, f world.Flow, o *world.Observation) // the last word on what is seen
	// misread takes the cluster's objects for others than they are.
	misread func() func(s *cluster.Snapshot) *cluster.Snapshot
	wrap    func(m *Model) world.World // what it does about changes, restarts and flushes
	// unwell is the last word on what a load balancer is told.
	unwell func() func(m *Model, c world.HealthCheck, a *world.HealthAnswer)
}

// World makes the mutant's world.
func (m Mutant) World(t *world.Topology, rng *rand.Rand) world.World {
	model := NewModel(t, rng)
	if m.pick != nil {
		model.pick = m.pick()
	}
	if m.twist != nil {
		model.twist = m.twist()
	}
	if m.unwell != nil {
		model.unwell = m.unwell()
	}
	if m.spoil != nil {
		model.history.rules = slices.Clone(rules)
		i := slices.IndexFunc(rules, func(r rule) bool { return r.name == m.rule })
		was, spoilt := rules[i].decide, m.spoil()
		model.history.rules[i].decide = func(q *question) (Reason, bool) { return spoilt(q, was) }
	}
	if m.misread != nil {
		model.misread = m.misread()
	}
	if m.wrap != nil {
		return m.wrap(model)
	}
	return model
}

// after spoils what a rule has decided; the rule applies when it did.
func after(spoil func(q *question)) func() func(*question, func(*question) (Reason, bool)) (Reason, bool) {
	return func() func(*question, func(*question) (Reason, bool)) (Reason, bool) {
		return func(q *question, was func(*question) (Reason, bool)) (Reason, bool) {
			why, applies := was(q)
			if applies {
				spoil(q)
			}
			return why, applies
		}
	}
}

// where spoils it only when the rule gave that row as its reason.
func where(row string, spoil func(q *question)) func() func(*question, func(*question) (Reason, bool)) (Reason, bool) {
	return func() func(*question, func(*question) (Reason, bool)) (Reason, bool) {
		return func(q *question, was func(*question) (Reason, bool)) (Reason, bool) {
			why, applies := was(q)
			if applies && why.Row == row {
				spoil(q)
			}
			return why, applies
		}
	}
}

// Mutants has at least one for each row that a bundled scenario can break.
var Mutants = slices.Concat(mutants, mutantsOfSources, mutantsOfChoice, mutantsOfSockets, mutantsOfClients, mutantsOfReading, mutantsOfTime,
	mutantsOfProtocols, outwardMutants, mutantsOfHealth)

var mutants = []Mutant{
	{Name: "masquerades-pods", Bug: "a pod's packets to a ClusterIP are masqueraded", Breaks: []string{"CIP-1", "M-10"},
		Scenario: "myservice", Sentence: "is a pod, so its own address is kept",
		rule: "a pod's address is kept", spoil: after(func(q *question) { q.ofNode(q.home) })},
	{Name: "keeps-outside-source", Bug: "packets of an outside client are not masqueraded", Breaks: []string{"CIP-6"},
		Scenario: "myservice", Sentence: "is outside the cluster, so the node by which it enters",
		rule: "an outside client is masqueraded", spoil: after(func(q *question) { q.kept(); q.asItCame = false })}, // and let its answers find back
	{Name: "biased", Bug: "the first endpoint gets 10 % more than its share", Breaks: []string{"CIP-3"},
		Scenario: "myservice", Sentence: "unfair: ",
		rule: "a ready endpoint", spoil: after(func(q *question) { favour(q.choice, 1.1) })},
	{Name: "first-endpoint-only", Bug: "the first endpoint gets everything", Breaks: []string{"CIP-3"},
		Scenario: "myservice", Sentence: "never answered, though its share is",
		rule: "a ready endpoint", spoil: after(func(q *question) { favour(q.choice, float64(len(q.choice))) })},
	{Name: "takes-turns", Bug: "endpoints are chosen in turn, not at random", Breaks: []string{"CIP-3"},
		Scenario: "myservice", Sentence: "a choice depends on the one before",
		pick: takeTurns},
	{Name: "serves-removed-endpoint", Bug: "endpoints are never removed", Breaks: []string{"CIP-20"},
		Scenario: "myservice", Sentence: "which is no endpoint of default/myservice:80 any more",
		rule: "a ready endpoint", spoil: neverRemove},
	{Name: "asks-terminating", Bug: "a terminating endpoint still gets new flows while another is ready", Breaks: []string{"TERM-1"},
		Scenario: "readiness", Sentence: "should have answered",
		rule: "a ready endpoint", spoil: after(func(q *question) { q.choose(addMissing(slices.Clone(q.front.ready), q.front.draining)) })},
	{Name: "no-terminating-fallback", Bug: "without a ready endpoint those that terminate are not asked", Breaks: []string{"TERM-2"},
		Scenario: "readiness", Sentence: "should have answered",
		rule: "a terminating endpoint that still serves", spoil: after(func(q *question) { q.choice, q.mute = nil, q.refusal() })},
	{Name: "silent-without-endpoints", Bug: "packets to a Service without endpoints are dropped, not refused", Breaks: []string{"NE-1"},
		Scenario: "no-endpoints", Sentence: "has no ready endpoint",
		rule: "refused without endpoints", spoil: after(func(q *question) { q.mute = []world.Outcome{world.Silent} })},
	{Name: "no-hairpin-masquerade", Bug: "a pod that calls itself gets a packet from itself, which its kernel drops", Breaks: []string{"HP-1", "M-9"},
		Scenario: "hairpin", Sentence: "silent for",
		rule: "a pod that calls itself", spoil: after(func(q *question) { q.lost = []world.Outcome{world.Silent} })},
	{Name: "masquerades-at-home", Bug: "an outside client is masqueraded although the endpoint is the node by which it enters", Breaks: []string{"HP-4"},
		Scenario: "host-network", Sentence: "the packet goes no further, and its source is kept",
		rule: "from outside to the entry node itself", spoil: after(func(q *question) { q.ofNode(q.home) })},
	{Name: "keeps-nodeport-source", Bug: "packets to a NodePort are not masqueraded", Breaks: []string{"NP-1"},
		Scenario: "nodeport", Sentence: "which translates it and puts its own address in place, whoever calls",
		rule: "a NodePort is masqueraded", spoil: after(func(q *question) { q.keptOf() })},
	{Name: "keeps-external-source", Bug: "packets to an externalIP are not masqueraded", Breaks: []string{"EXT-1"},
		Scenario: "external-ip", Sentence: "translates it and puts its own address in place, whoever calls",
		rule: "an externalIP is masqueraded", spoil: after(func(q *question) { q.keptOf() })},
	{Name: "silent-where-nobody-listens", Bug: "packets to a port of a node that nobody listens on are dropped", Breaks: []string{"M-12"},
		Scenario: "pod-network", Sentence: "silent for",
		rule: "nobody listens there", spoil: after(func(q *question) { q.lost = []world.Outcome{world.Silent} })},
	{Name: "forgets-clients", Bug: "session affinity is not kept", Breaks: []string{"AFF-1"},
		Scenario: "affinity", Sentence: "and stays with it until it has not called for",
		rule: "a client stays with its endpoint", spoil: after(func(q *question) { q.choose(q.pool().endpoints) })},
	{Name: "udp-sticks", Bug: "a UDP socket stays with its endpoint when that is removed", Breaks: []string{"CT-1", "POL-15"},
		Scenario: "udp-sender", Sentence: "it moves to a current one",
		rule: "a UDP socket moves", spoil: where("CT-1", func(q *question) { q.keep() })},
	{Name: "gap-in-change", Bug: "a change takes the old rules away before it brings the new: the first flow meets none", Breaks: []string{"CIP-20"},
		Scenario: "scale", Sentence: "refused by ICMP from",
		twist: refuseOnceAfterChange},
}

// favour multiplies the first share and shrinks the others in proportion.
func favour(choice []chosen, by float64) {
	if len(choice) < 2 {
		return
	}
	was := choice[0].weight
	choice[0].weight = was * by
	for i := range choice[1:] {
		choice[1+i].weight *= (1 - was*by) / (1 - was)
	}
}

// takeTurns counts per address that is called.
func takeTurns() func(world.Flow, []float64, *rand.Rand) int {
	turns := map[netip.AddrPort]int{}
	return func(f world.Flow, weights []float64, rng *rand.Rand) int {
		if len(weights) < 2 {
			return byWeight(f, weights, rng)
		}
		turns[f.To]++
		return turns[f.To] % len(weights)
	}
}

// neverRemove remembers every endpoint that a front had when it was asked about.
func neverRemove() func(*question, func(*question) (Reason, bool)) (Reason, bool) {
	ever := map[frontKey][]netip.AddrPort{}
	return func(q *question, was func(*question) (Reason, bool)) (Reason, bool) {
		why, applies := was(q)
		if applies {
			key := frontKey{q.flow.To, q.flow.Proto}
			ever[key] = addMissing(ever[key], q.front.ready)
			q.choose(ever[key])
		}
		return why, applies
	}
}

// refuseOnceAfterChange spares the first change, before which there was nothing to lose.
func refuseOnceAfterChange() func(m *Model, from *world.Host, f world.Flow, o *world.Observation) {
	seen := 1
	return func(m *Model, from *world.Host, f world.Flow, o *world.Observation) {
		if m.changes > seen {
			seen = m.changes
			*o = world.Observation{Client: o.Client, At: o.At, Took: o.Took}
			m.mute(o, f, from, world.Refused)
		}
	}
}
