package engine

import (
	"fmt"

	"svclab/sim/world"
)

// tell puts a translation in words: what became of the address, who did it, and why the source is what it is. why is the
// oracle's reason for the source; first asks for what is the same of every translation.
func tell(p *plan, t world.Translation, why string, first bool) []string {
	if t.Became == t.Asked && t.SeenAs == t.Client {
		return []string{fmt.Sprintf("%s → %s: not translated on node %s", t.Client, t.Asked, t.Node)}
	}
	rule := t.Rule
	if rule == "" {
		rule = "by a rule of this node's proxy"
	}
	if why != "" {
		why = ", because " + why
	}
	lines := []string{
		fmt.Sprintf("%s → %s became → %s (%s)", t.Client, t.Asked, t.Became, p.nameOf(t.Became)),
		fmt.Sprintf("  by DNAT in nf_nat on node %s: %s", t.Node, rule),
	}
	switch {
	case t.SeenAs == t.Client:
		lines = append(lines, fmt.Sprintf("  the source %s was kept%s", t.Client.Addr(), why))
	case t.SeenAs.Addr() == t.Client.Addr():
		lines = append(lines, fmt.Sprintf("  the source %s became %s by masquerade, which chose the node's own address again and a port at random", t.Client, t.SeenAs))
	default:
		lines = append(lines, fmt.Sprintf("  the source %s became %s by masquerade (SNAT in nf_nat)%s", t.Client, t.SeenAs, why))
	}
	if first {
		lines = append(lines, fmt.Sprintf("  replies %s → %s are translated back by nf_conntrack's entry alone: no rule is asked again", t.Became, t.SeenAs))
	}
	return lines
}
