package iptables

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// The chains that are always there. Those of endpoints are "SVCLAB-" and a hash; no word here is as long as one.
const (
	top      = "SVCLAB"          // nat: PREROUTING and OUTPUT lead here; filter: INPUT, FORWARD and OUTPUT do
	keep     = "SVCLAB-KEEP"     // fronts whose clients are never masqueraded
	inside   = "SVCLAB-CLUSTER"  // fronts that spare pods: ClusterIPs
	external = "SVCLAB-EXTERNAL" // fronts that spare nobody
	pods     = "SVCLAB-PODS"     // takes the mark from pods
	post     = "SVCLAB-POST"     // POSTROUTING leads here what DNAT has translated
	masq     = "SVCLAB-MASQ"

	nat    = "nat"
	filter = "filter"
)

// The mark says "masquerade me" between PREROUTING and POSTROUTING. 0x4000 and 0x8000 are kube-proxy's, 0x2000 is the CNI
// portmap plugin's, 0xf00 Cilium's, 0xff0000 Tailscale's.
const (
	setMark   = "-j MARK --set-xmark 0x1000/0x1000"
	clearMark = "-j MARK --set-xmark 0x0/0x1000"
	marked    = "-m mark --mark 0x1000/0x1000 -j " + masq
	hide      = "-j MASQUERADE --random-fully"
)

// jump is a rule in a chain of the kernel's that leads to ours.
type jump struct{ table, chain, text string }

// jumps are in the order in which they are put in: a packet that is translated can already be masqueraded.
var jumps = []jump{
	{nat, "POSTROUTING", `-m conntrack --ctstate DNAT -m comment --comment "svclab: masquerade" -j ` + post},
	{filter, "INPUT", `-m conntrack --ctstate NEW -m comment --comment "svclab: no endpoints" -j ` + top},
	{filter, "FORWARD", `-m conntrack --ctstate NEW -m comment --comment "svclab: no endpoints" -j ` + top},
	{filter, "OUTPUT", `-m conntrack --ctstate NEW -m comment --comment "svclab: no endpoints" -j ` + top},
	{nat, "PREROUTING", `-m comment --comment "svclab: Services" -j ` + top},
	{nat, "OUTPUT", `-m comment --comment "svclab: Services" -j ` + top},
}

// place is a chain of a table.
type place struct{ table, chain string }

// sets are the chains whose rules exclude one another, so that their order means nothing: one is added at the end and
// deleted by its text, and the others are not written.
var sets = []place{{nat, keep}, {nat, inside}, {nat, external}, {nat, post}, {filter, top}}

func isSet(p place) bool {
	for _, s := range sets {
		if s == p {
			return true
		}
	}
	return false
}

// group is what shares chains: the fronts of one Service port.
type group struct {
	owner proxycore.Owner
	proto cluster.Proto
}

func groupOf(r proxycore.Route) group { return group{r.Owner, r.Proto} }

// item is one rule of a set.
type item struct {
	place
	text  string
	front proxycore.Front // whom it concerns; the zero Front: none
	to    string          // the chain of ours that it leads to
	group group
}

// body is a chain of endpoints or a fixed one: a list of rules, always written whole.
type body struct {
	rules []string
	group group
}

// layout is the rules of some fronts of one family, or of all.
type layout struct {
	items  []item
	bodies map[string]body // in table nat
}

// nodeBodies are the fixed chains.
func nodeBodies(n proxycore.NodeRules, is6 bool) map[string]body {
	var main, who []string
	for _, p := range merged(n.Pods, is6) {
		who = append(who, "-s "+p.String()+" "+clearMark)
	}
	switch {
	case n.MasqueradeAll:
		main = []string{setMark, "-j " + keep, "-j " + inside, "-j " + external}
	case len(who) > 0:
		main = []string{"-j " + keep, setMark, "-j " + pods, "-j " + inside, setMark, "-j " + external}
	default: // as in kube-proxy, a family without a detector masquerades nobody to ClusterIPs
		main = []string{"-j " + keep, "-j " + inside, setMark, "-j " + external}
	}
	return map[string]body{
		top:  {rules: append(main, clearMark)},
		pods: {rules: who},
		masq: {rules: []string{clearMark, hide}},
	}
}

// lay writes the rules of one group's routes, sorted by front. Fronts with the same endpoints share the chain named after
// the first of them: when endpoints change, one chain is written and no front touched.
func (l *layout) lay(routes []proxycore.Route) {
	type shared struct{ rules, chain string }
	var have []shared
	for _, r := range routes {
		it := item{place: place{nat, classOf(r.Masquerade)}, front: r.Front, group: groupOf(r)}
		match := "-d " + host(r.Addr) + " " + withPort(r.Proto) + " --dport " + strconv.Itoa(int(r.Port))
		name := r.Owner.String()
		switch n := len(r.Pool.Endpoints); {
		case n == 0:
			it.place = place{filter, top}
			verdict := " -j REJECT --reject-with icmp-port-unreachable"
			if r.Addr.Is6() {
				verdict = " -j REJECT --reject-with icmp6-port-unreachable"
			}
			if r.Pool.Empty == proxycore.Drop {
				verdict = " -j DROP"
			}
			it.text = match + remark(name+" has no endpoints") + verdict
		case n == 1 && r.Affinity == 0:
			it.text = match + remark(name+" -> "+r.Pool.Endpoints[0].String()) + dnat(r.Pool.Endpoints[0].AddrPort)
		default:
			b := body{endpointRules(r), it.group}
			text := strings.Join(b.rules, "\n")
			for _, s := range have {
				if s.rules == text {
					it.to = s.chain
				}
			}
			if it.to == "" {
				it.to = chainName(r.Front)
				have = append(have, shared{text, it.to})
				l.bodies[it.to] = b
			}
			it.text = match + remark(name) + " -j " + it.to
		}
		l.items = append(l.items, it)
	}
}

func classOf(m proxycore.Masquerade) string {
	if m == proxycore.MasqueradeOutside {
		return inside
	}
	return external
}

// endpointRules is a chain of endpoints: a rule each, two where clients stick. A client that is remembered is renewed by
// --update; --set comes after the dice, or every client would be remembered for everybody. Fronts of a Service port share
// the lists, which are named after it and the endpoint (row AFF-4); a list goes with its last rule.
func endpointRules(r proxycore.Route) []string {
	proto := "-p " + strings.ToLower(r.Proto.String())
	var sticky, random []string
	for i, e := range r.Pool.Endpoints {
		end := remark(r.Owner.String()+" -> "+e.String()) + dnat(e.AddrPort)
		dice := ""
		if left := len(r.Pool.Endpoints) - i; left > 1 {
			dice = " -m statistic --mode random --probability " + probability(left)
		}
		if r.Affinity == 0 {
			random = append(random, proto+dice+end)
			continue
		}
		seconds := int64(max(1, math.Ceil(r.Affinity.Seconds())))
		list := " --name " + listName(groupOf(r), e.AddrPort) + " --mask " + fullMask(r.Addr) + " --rsource"
		sticky = append(sticky, fmt.Sprintf("%s -m recent --update --seconds %d --reap%s%s", proto, seconds, list, end))
		random = append(random, proto+dice+" -m recent --set"+list+end)
	}
	return append(sticky, random...)
}

// probability is 1/n as the kernel holds it, in 31 bits, printed as iptables-save does.
func probability(n int) string {
	return strconv.FormatFloat(math.Round(twoTo31/float64(n))/twoTo31, 'f', 11, 64)
}

const twoTo31 = 1 << 31

// hairpin masquerades an endpoint that reaches itself; what was not translated does not come here.
func hairpin(a netip.Addr) item {
	return item{place: place{nat, post}, text: "-s " + host(a) + " -d " + host(a) + " " + hide}
}

func dnat(to netip.AddrPort) string { return " -j DNAT --to-destination " + to.String() }

func host(a netip.Addr) string { return netip.PrefixFrom(a, a.BitLen()).String() }

func withPort(p cluster.Proto) string {
	name := strings.ToLower(p.String())
	return "-p " + name + " -m " + name
}

func fullMask(a netip.Addr) string {
	if a.Is4() {
		return "255.255.255.255"
	}
	return "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"
}

// remark is a comment. What would end the quotes cannot be in a name of Kubernetes; 255 bytes is xt_comment's limit.
func remark(s string) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == '"' || c == '\\' || c > '~' {
			return '_'
		}
		return c
	}, s)
	return ` -m comment --comment "` + s[:min(len(s), 255)] + `"`
}

func chainName(f proxycore.Front) string { return top + "-" + hash(f.String()) }

func listName(g group, to netip.AddrPort) string {
	return top + "-" + hash(g.owner.String()+" "+g.proto.String()+" "+to.String())
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base32.StdEncoding.EncodeToString(sum[:])[:16]
}

func isOurs(chain string) bool { return chain == top || strings.HasPrefix(chain, top+"-") }

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

// seconds reads back what endpointRules has written.
func seconds(s string) time.Duration {
	n, _ := strconv.Atoi(s)
	return time.Duration(n) * time.Second
}
