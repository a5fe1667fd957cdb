package mutant

import (
	"strings"

	"svclab/proxycore"
)

// staticRule is a mutant without a rule that does not depend on Services: it comes back with a Full change, which
// repairs what it finds damaged, and with other node rules. With many, name is how several begin.
func staticRule(name string, many bool) func(proxycore.Backend, int) proxycore.Backend {
	return func(b proxycore.Backend, netns int) proxycore.Backend {
		return &withoutRule{
			inner:   inner{b},
			netns:   netns,
			match:   func(comment string) bool { return comment == name || many && strings.HasPrefix(comment, name) },
			written: func(c proxycore.Change) bool { return c.Full || c.Node != nil },
		}
	}
}

// noHeal does not notice that somebody else has flushed its rules.
var noHeal = Mutant{
	Name:     "no-heal",
	Breaks:   "LIFE-3",
	Scenario: "flush",
	Peaceful: "myservice",
	Sentence: "should have answered",
	Idle:     true,
}

var noMasquerade = Mutant{
	Name:     "no-masquerade",
	Breaks:   "CIP-6",
	Scenario: "myservice",
	Peaceful: "hairpin",
	Only:     "nftables",
	Sentence: "is outside the cluster, so the node by which it enters, node/node-1, puts its own address in place",
	Backend:  staticRule("masquerade", false),
}

var noHairpin = Mutant{
	Name:     "no-hairpin",
	Breaks:   "HP-1",
	Scenario: "hairpin",
	Peaceful: "myservice",
	Only:     "nftables",
	Sentence: "silent for 5 s, but pod/me should have answered",
	Backend:  staticRule("hairpin", false),
}

// noNodePortMasquerade lets an endpoint answer past the node that translated.
var noNodePortMasquerade = Mutant{
	Name:     "no-nodeport-masquerade",
	Breaks:   "NP-1",
	Scenario: "nodeport",
	Peaceful: "myservice",
	Only:     "nftables",
	Sentence: "puts its own address in place",
	Backend:  staticRule("masquerade front ", true),
}

// noSecondLookup loses a new connection whose packet reads the number of endpoints before a commit and its slot after
// it (flat-layout.md, order point 2).
var noSecondLookup = Mutant{
	Name:     "no-second-lookup",
	Breaks:   "CIP-20",
	Scenario: "scale",
	Peaceful: "hairpin",
	Only:     "nftables",
	Sentence: "refused by ICMP from",
	Stress:   100_000,
	Backend:  staticRule("slot 0:", true),
}
