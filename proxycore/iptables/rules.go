package iptables

import (
	"cmp"
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

// The chains that are always there. Those of fronts are "SVCLAB-" and a hash; no word here is as long as one.
const (
	top      = "SVCLAB"          // where the kernel's chains lead; mangle: fronts with source ranges
	inside   = "SVCLAB-CLUSTER"  // nat: fronts that spare pods: ClusterIPs
	external = "SVCLAB-EXTERNAL" // nat: fronts that spare nobody
	near     = "SVCLAB-NEAR"     // nat, filter: fronts of externalTrafficPolicy Local, for pods and the node itself
	far      = "SVCLAB-FAR"      // nat, filter: the same for everybody else
	empty    = "SVCLAB-EMPTY"    // filter: fronts without endpoints, whoever calls
	outside  = "SVCLAB-OUTSIDE"  // nat: leads those who are neither pods nor the node to far, and nowhere else
	pods     = "SVCLAB-PODS"     // nat: takes the mark from pods
	post     = "SVCLAB-POST"     // POSTROUTING leads here what DNAT has translated
	masq     = "SVCLAB-MASQ"
	forward  = "SVCLAB-FORWARD" // filter: what the node lets through
	guard    = "SVCLAB-GUARD"   // filter: what must not get to 127.0.0.0/8

	nat    = "nat"
	filter = "filter"
	mangle = "mangle"
)

// The mark says "masquerade me" between PREROUTING and POSTROUTING. 0x4000 and 0x8000 are kube-proxy's, 0x2000 is the CNI
// portmap plugin's, 0xf00 Cilium's, 0xff0000 Tailscale's.
const (
	hasMark   = "-m mark --mark 0x1000/0x1000"
	setMark   = "-j MARK --set-xmark 0x1000/0x1000"
	clearMark = "-j MARK --set-xmark 0x0/0x1000"
	hide      = "-j MASQUERADE --random-fully"
)

// place is a chain of a table.
type place struct{ table, chain string }

func (p place) compare(o place) int {
	return cmp.Or(strings.Compare(p.table, o.table), strings.Compare(p.chain, o.chain))
}

// set is rules that exclude one another, so that their order means nothing: one is added at the end of a chain and deleted
// by its text, and the others are not written. Many of them are a tree of chains below the set's own.
type set struct {
	place
	branch string // how the names of the chains below begin
}

var hairpinSet = place{nat, post}

// sets are in the order in which a packet meets them.
var sets = []set{
	{place{mangle, top}, "SVCLAB-S-"}, {place{nat, inside}, "SVCLAB-C-"}, {place{nat, external}, "SVCLAB-E-"}, {place{nat, near}, "SVCLAB-N-"},
	{place{nat, far}, "SVCLAB-F-"}, {place{filter, empty}, "SVCLAB-R-"}, {place{filter, near}, "SVCLAB-N-"}, {place{filter, far}, "SVCLAB-F-"},
	{hairpinSet, "SVCLAB-H-"},
}

// setOf is the set that a chain belongs to; false: to none.
func setOf(p place) (set, bool) {
	for _, s := range sets {
		if s.table == p.table && (s.chain == p.chain || strings.HasPrefix(p.chain, s.branch)) {
			return s, true
		}
	}
	return set{}, false
}

// group is what shares chains: the fronts of one Service port.
type group struct {
	owner proxycore.Owner
	proto cluster.Proto
}

func groupOf(r proxycore.Route) group { return group{r.Owner, r.Proto} }

// item is one rule of a set.
type item struct {
	place  // the set's own chain, or, once planted, the one of its tree
	text   string
	key    key             // where in the tree it stands; empty: in the set's own chain
	front  proxycore.Front // whom it concerns; the zero Front: none
	to     string          // the chain of ours that it leads to, in the same table
	branch bool            // a chain of the tree
	group  group
}

// body is a chain of endpoints, of source ranges, or a fixed one: a list of rules, always written whole.
type body struct {
	rules []string
	group group
	front proxycore.Front // whose ranges it has
}

// layout is the rules of some fronts of one family, or of all.
type layout struct {
	items  []item
	bodies map[place]body
	chains map[place]bool // of trees
}

// lay writes the rules of one group's routes, sorted by front. Fronts with the same endpoints share the chain named after
// the first of them: when endpoints change, one chain is written and no front touched. A front of policy Local is two: one
// for pods and the node itself, one for everybody else.
func (l *layout) lay(routes []proxycore.Route) {
	var shared map[string]string // rules → the chain that has them
	if len(routes) != 1 || routes[0].Local != nil {
		shared = map[string]string{}
	}
	for _, r := range routes {
		l.ranges(r)
		if r.Local == nil {
			l.front(r, r.Pool, classOf(r.Masquerade), empty, shared)
			continue
		}
		l.front(r, r.Pool, near, near, shared)
		l.front(r, *r.Local, far, far, shared)
	}
}

func classOf(m proxycore.Masquerade) string {
	if m == proxycore.MasqueradeOutside {
		return inside
	}
	return external
}

// front is the one rule of a front for some clients: in nat where it has endpoints, in filter where it has none.
func (l *layout) front(r proxycore.Route, p proxycore.Pool, some, none string, shared map[string]string) {
	it := item{place: place{nat, some}, key: keyOf(r.Front), front: r.Front, group: groupOf(r)}
	match, name := matchOf(r.Front), r.Owner.String()
	switch n := len(p.Endpoints); {
	case n == 0:
		it.place = place{filter, none}
		verdict := " -j REJECT --reject-with icmp-port-unreachable"
		if r.Addr.Is6() {
			verdict = " -j REJECT --reject-with icmp6-port-unreachable"
		}
		if p.Empty == proxycore.Drop {
			verdict = " -j DROP"
		}
		it.text = match + remark(name+" has no endpoints") + verdict
	case n == 1 && r.Affinity == 0:
		it.text = match + remark(name+" -> "+p.Endpoints[0].String()) + dnat(p.Endpoints[0].AddrPort)
	default:
		rules := endpointRules(r, p)
		text := ""
		if shared != nil {
			text = strings.Join(rules, "\n")
		}
		if it.to = shared[text]; it.to == "" {
			it.to = chainName(r.Front, some)
			if shared != nil {
				shared[text] = it.to
			}
			l.bodies[place{nat, it.to}] = body{rules: rules, group: it.group}
		}
		it.text = match + remark(name) + " -j " + it.to
	}
	l.items = append(l.items, it)
}

// ranges drops whoever may not call, before anybody looks for endpoints. Table mangle is before nat, and nothing else is
// needed there: other ranges are one restore of one table. In nat and filter it would take a chain in each.
func (l *layout) ranges(r proxycore.Route) {
	it := item{place: place{mangle, top}, key: keyOf(r.Front), front: r.Front, group: groupOf(r)}
	match, why := matchOf(r.Front), remark(r.Owner.String()+" source ranges")
	switch len(r.Ranges) {
	case 0:
		return
	case 1:
		it.text = "! -s " + r.Ranges[0].Masked().String() + " " + match + why + " -j DROP"
	default:
		it.to = chainName(r.Front, top)
		b := body{group: it.group, front: r.Front}
		for _, p := range r.Ranges {
			b.rules = append(b.rules, "-s "+p.Masked().String()+" -j RETURN")
		}
		b.rules = append(b.rules, "-j DROP")
		l.bodies[place{mangle, it.to}] = b
		it.text = match + why + " -j " + it.to
	}
	l.items = append(l.items, it)
}

// matchOf is the packets to a front. 127.0.0.1 is the node's own: route_localnet lets frames for it in from the wire, and
// they must not be translated before the guard sees them.
func matchOf(f proxycore.Front) string {
	match := "-d " + host(f.Addr) + " " + withPort(f.Proto) + " --dport " + strconv.Itoa(int(f.Port))
	if f.Addr.IsLoopback() {
		match += " " + fromNode
	}
	return match
}

// endpointRules is a chain of endpoints: a rule each, two where clients stick. A client that is remembered is renewed by
// --update; --set comes after the dice, or every client would be remembered for everybody. Fronts of a Service port share
// the lists, which are named after it and the endpoint (row AFF-4); a list goes with its last rule. The Service is named once:
// a comment is half of a rule's size, and the size of a table is what a change costs the older flavour.
func endpointRules(r proxycore.Route, p proxycore.Pool) []string {
	proto := "-p " + strings.ToLower(r.Proto.String())
	var sticky, random []string
	name := remark(r.Owner.String())
	for i, e := range p.Endpoints {
		end := name + dnat(e.AddrPort)
		name = ""
		dice := ""
		if left := len(p.Endpoints) - i; left > 1 {
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
	return item{place: hairpinSet, key: hairpinKey(a), text: "-s " + host(a) + " -d " + host(a) + " " + hide}
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

// chainName is of a front's endpoints for the clients of a set, or, of top, of its source ranges.
func chainName(f proxycore.Front, set string) string {
	if set == inside || set == external || set == near {
		set = "" // they have the same endpoints
	}
	return top + "-" + hash(f.String()+set)
}

func listName(g group, to netip.AddrPort) string {
	return top + "-" + hash(g.owner.String()+" "+g.proto.String()+" "+to.String())
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return base32.StdEncoding.EncodeToString(sum[:])[:16]
}

func isOurs(chain string) bool { return chain == top || strings.HasPrefix(chain, top+"-") }

// seconds reads back what endpointRules has written.
func seconds(s string) time.Duration {
	n, _ := strconv.Atoi(s)
	return time.Duration(n) * time.Second
}
