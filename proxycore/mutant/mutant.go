// Package mutant spoils backends on purpose, one rule of the specification each, to prove that the laboratory would
// notice. A mutant wraps a backend from outside: it edits the Change, or deletes one named rule in the kernel after it; or
// it edits the state that the core is told. No backend knows of mutants.
package mutant

import (
	"slices"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// Mutant is one known bug.
type Mutant struct {
	Name     string   // "no-masquerade": run as nftables~no-masquerade
	Breaks   string   // the row of the specification (service-semantics) that it breaks
	Scenario string   // the bundled scenario that must kill it
	Family   string   // "ipv4" or "ipv6": it can be seen in that one only; "": in both
	Also     []string // others that must too
	Peaceful string   // a bundled scenario that must not notice it: a mutant that turns everything red proves nothing
	Only     string   // the one proxy whose rules it knows by name; "": any
	Sentence string   // words that must be in the reason of the failing flow
	Stress   int      // so many changes under so many flows are needed to see it; 0: as the scenario says

	Backend func(inner proxycore.Backend, netns int) proxycore.Backend // nil: the backend is as it was
	Cleaner func(inner proxycore.Cleaner) proxycore.Cleaner            // nil: the cleaner is as it was
	State   func(s *cluster.Snapshot) *cluster.Snapshot                // nil: the core is told the truth. Pure
	Idle    bool                                                       // nobody looks after the rules
	Sysctls map[string]string                                          // set in the node's namespace before the proxy starts
}

// Mutants are all there are, in the order in which a newcomer should read them. Every bundled scenario is the one that
// must kill some of them.
var Mutants = []Mutant{
	noMasquerade,
	noHairpin,
	biased,
	keepsRemoved,
	dropsWithoutEndpoints,
	confusesProtocols,
	onePortForAll,
	removesSiblings,
	noNodePortMasquerade,
	ignoresNodePorts,
	ignoresExternalIPs,
	youngerWins,
	noAffinity,
	sticksToRemoved,
	firstSliceOnly,
	ignoresReadiness,
	noTerminatingFallback,
	ignoresHostNetwork,
	noUDPCleanup,
	keepsLastUDP,
	cutsConnections,
	forgetsEarly,
	servesOthers,
	masqueradesDirect,
	startsEmpty,
	noHeal,
	noSecondLookup,

	ignoresLoadBalancers,
	ignoresIPMode,
	ignoresRanges,
	ignoresExternalPolicy,
	masqueradesLocal,
	refusesLocally,
	noShortCircuit,
	ignoresInternalPolicy,
	ignoresHints,
	asksTerminating,
	ignoresMasqueradeAll,
	detectsNobody,
	onlyFirstAddresses,
	watchesHeadless,
	keepsNodePortUDP,
	ignoresNewFronts,
	onePolicyForAll,
	forgetsItsNode,

	terminatingCopyWins,
	silenceIsNo,
	noNumberIsEveryPort,
	readsToTheLetter,
	oneServiceRange,
	oneFamilyOnly,
	takesTheOtherFamily,
	claimsPorts,
	ignoresUnplaced,
	shutsWhileLeaving,
	withdrawsNothing,
	losesTheLastChange,

	dropsFragments,
	eatsICMP,
	answersEchoes,
	tracksStrictly,
}

// Spoils reports whether the mutant can spoil that proxy.
func (m *Mutant) Spoils(proxy string) bool { return m.Only == "" || m.Only == proxy }

// Find returns the mutant of that name.
func Find(name string) (*Mutant, bool) {
	i := slices.IndexFunc(Mutants, func(m Mutant) bool { return m.Name == name })
	if i < 0 {
		return nil, false
	}
	return &Mutants[i], true
}
