package engine

import (
	"fmt"

	"svclab/sim/world"
)

// tell puts a translation in words: what became of the address, who did it, and why the source is what it is.
func tell(p *plan, t world.Translation, why string) []string {
	if why != "" {
		why = " because " + why
	}
	if t.Became == t.Asked && t.SeenAs == t.Client {
		return []string{fmt.Sprintf("%s → %s: not translated on node %s", t.Client, t.Asked, t.Node)}
	}
	rule := t.Rule
	if rule == "" {
		rule = "by a rule of this node's proxy"
	}
	lines := []string{fmt.Sprintf("%s → %s became → %s (%s) by DNAT in nf_nat on node %s, %s", t.Client, t.Asked, t.Became, p.nameOf(t.Became), t.Node, rule)}
	switch {
	case t.SeenAs == t.Client:
		lines = append(lines, fmt.Sprintf("the source %s was kept%s", t.Client.Addr(), why))
	case t.SeenAs.Addr() == t.Client.Addr():
		lines = append(lines, fmt.Sprintf("the source %s became %s: masquerade chose the address that it had, and a port at random%s", t.Client, t.SeenAs, why))
	default:
		lines = append(lines, fmt.Sprintf("the source %s became %s by masquerade (SNAT in nf_nat)%s", t.Client, t.SeenAs, why))
	}
	return append(lines, fmt.Sprintf("replies %s → %s are translated back from the connection-tracking entry alone: no rule is asked again", t.Became, t.SeenAs))
}
