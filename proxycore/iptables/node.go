package iptables

import (
	"net/netip"
	"slices"
	"strings"

	"svclab/proxycore"
)

// jump is a rule in a chain of the kernel's that leads to ours.
type jump struct{ table, chain, text string }

// jumps are in the order in which they are put in: a packet that is translated can already be masqueraded.
var jumps = []jump{
	{mangle, "PREROUTING", `-m conntrack --ctstate NEW -m comment --comment "svclab: source ranges" -j ` + top},
	{mangle, "OUTPUT", `-m conntrack --ctstate NEW -m comment --comment "svclab: source ranges" -j ` + top},
	{filter, "INPUT", `-m conntrack --ctstate NEW -m comment --comment "svclab: no endpoints" -j ` + top},
	{filter, "FORWARD", `-m conntrack --ctstate NEW -m comment --comment "svclab: no endpoints" -j ` + top},
	{filter, "OUTPUT", `-m conntrack --ctstate NEW -m comment --comment "svclab: no endpoints" -j ` + top},
	{filter, "FORWARD", `-m comment --comment "svclab: forwarding" -j ` + forward},
	{nat, "POSTROUTING", `-m conntrack --ctstate DNAT -m comment --comment "svclab: masquerade" -j ` + post},
	{nat, "PREROUTING", `-m comment --comment "svclab: Services" -j ` + top},
	{nat, "OUTPUT", `-m comment --comment "svclab: Services" -j ` + top},
}

// intruders are packets to 127.0.0.0/8 that the kernel would drop as martians if route_localnet did not let them in
// (CVE-2020-8558, kubernetes #90259; kubernetes pkg/proxy/iptables/proxier.go: KUBE-FIREWALL).
const intruders = `! -s 127.0.0.0/8 -d 127.0.0.0/8 -m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -m comment --comment "svclab: CVE-2020-8558" -j ` + guard

// guards are there besides the jumps where there are fronts at 127.0.0.1.
var guards = []jump{{filter, "INPUT", intruders}, {filter, "OUTPUT", intruders}}

const (
	fromNode  = "-m addrtype --src-type LOCAL"
	fromOther = "-m addrtype ! --src-type LOCAL"
	marked    = hasMark + " -j " + masq
)

// node is what one family of a node needs whatever the Services are.
type node struct {
	proxycore.NodeRules
	is6     bool
	liberal bool   // net.netfilter.nf_conntrack_tcp_be_liberal: nothing is INVALID for being out of a window (row CT-14)
	former  string // what route_localnet was before we set it; empty: we have not
}

func (n node) localhost() bool { return n.Localhost && !n.is6 }

func (n node) jumps() []jump {
	if n.localhost() {
		return slices.Concat(guards, jumps)
	}
	return jumps
}

// detectors match pods.
func (n node) detectors() (matches []string) {
	for _, p := range merged(n.Pods, n.is6) {
		matches = append(matches, "-s "+p.String())
	}
	if n.PodInterface != "" {
		name, isPrefix := strings.CutSuffix(n.PodInterface, "*")
		if isPrefix {
			name += "+"
		}
		matches = append(matches, "-i "+name)
	}
	return matches
}

// fixed are the chains that are there whatever the Services are.
func (n node) fixed() map[place]body {
	var services, sparePods []string
	who := n.detectors()
	switch {
	case n.MasqueradeAll:
		services = []string{setMark, "-j " + inside, "-j " + external}
	case len(who) > 0:
		services = []string{setMark, "-j " + pods, "-j " + inside, setMark, "-j " + external}
	default: // as in kube-proxy, a family without a detector masquerades nobody to ClusterIPs
		services = []string{"-j " + inside, setMark, "-j " + external}
	}
	if len(who) > 0 {
		sparePods = []string{"-j " + pods}
	}
	// Policy Local: who still has the mark is no pod. Who is not the node either goes for good, so that its packets to a
	// front without local endpoints do not come to those of the others.
	services = slices.Concat(services, sparePods, []string{hasMark + " " + fromOther + " -g " + outside, "-j " + near, clearMark})
	// What is near goes on to far here: while other pods are made known, a packet may be a pod's in one table and not in
	// the other, and who finds nothing in either must not leave the node as it came.
	refused := []string{"-j " + empty, fromNode + " -j " + near}
	var spared []string
	for _, match := range who {
		spared = append(spared, match+" "+clearMark)
		refused = append(refused, match+" -j "+near)
	}
	fixed := map[place]body{
		{nat, top}:        {rules: services},
		{nat, outside}:    {rules: []string{clearMark, "-j " + far}},
		{nat, pods}:       {rules: spared},
		{nat, masq}:       {rules: []string{clearMark, hide}},
		{filter, top}:     {rules: append(refused, "-j "+far)},
		{filter, forward}: {rules: n.forwarding()},
	}
	if n.localhost() {
		fixed[place{filter, guard}] = body{rules: []string{n.memory() + " -j DROP"}}
	}
	return fixed
}

// forwarding lets through, past a policy DROP of FORWARD, what kube-proxy does (row NP-19), and no more than that: a flow
// that is translated and masqueraded, and every translated one that has been let through once. Not every ESTABLISHED one,
// as there: those that are not ours are not ours to accept. INVALID packets belong to no flow, would leave with the
// endpoint's address, and make the client reset its connection (kubernetes #74839).
func (n node) forwarding() []string {
	rules := []string{"-m conntrack --ctstate DNAT --ctstatus CONFIRMED -j ACCEPT", hasMark + " -m conntrack --ctstate DNAT -j ACCEPT"}
	if !n.liberal {
		rules = append(rules, "-m conntrack --ctstate INVALID -j DROP")
	}
	return rules
}

// merged is the shortest list of prefixes of a family that cover the same addresses.
func merged(all []netip.Prefix, is6 bool) []netip.Prefix {
	var out []netip.Prefix
	add := func(p netip.Prefix) {
		for i := 0; i < len(out); i++ {
			switch q := out[i]; {
			case q.Bits() <= p.Bits() && q.Contains(p.Addr()):
				return
			case p.Bits() < q.Bits() && p.Contains(q.Addr()):
				out = append(out[:i], out[i+1:]...)
				i--
			case p.Bits() == q.Bits() && netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked() == netip.PrefixFrom(q.Addr(), p.Bits()-1).Masked():
				out = append(out[:i], out[i+1:]...)
				p, i = netip.PrefixFrom(p.Addr(), p.Bits()-1).Masked(), -1
			}
		}
		out = append(out, p)
	}
	for _, p := range all {
		if p.Addr().Is6() == is6 {
			add(p.Masked())
		}
	}
	sortPrefixes(out)
	return out
}
