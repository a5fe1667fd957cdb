package nftables

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"svclab/proxycore/cluster"
)

// chainSpec is a chain as it should be.
type chainSpec struct {
	name  string
	hook  *hook // nil: a chain that others go to
	rules []ruleSpec
}

type hook struct{ number, priority int32 }

// Every base chain is of type nat: only the first packet of a connection sees a rule. The priorities are nft's dstnat
// and srcnat (linux/netfilter_ipv4.h: NF_IP_PRI_NAT_DST, NF_IP_PRI_NAT_SRC).
var (
	prerouting  = &hook{unix.NF_INET_PRE_ROUTING, -100}
	output      = &hook{unix.NF_INET_LOCAL_OUT, -100}
	postrouting = &hook{unix.NF_INET_POST_ROUTING, 100}
)

// A number stands for a chain in the map services: the kind in the upper byte, the pool's size below. Were the chain
// itself in that map, the kernel would validate every element whenever one is added: 3.7 ms a change instead of
// 0.011 at 30,000 Services (flat-layout.md, Q8a). Numbers are functions of the state, so that a new process finds
// what the old one wrote.
const (
	kindPool   = 1 << 24 // lb-N
	kindSticky = 3 << 24 // sticky-T, T in seconds
	kindPick   = 5 << 24 // pick-N
	kindOther  = 8 << 24
	toRefuse   = kindOther
	toIgnore   = kindOther + 1
	kindMask   = 0xff << 24
)

// maxSeconds bounds an affinity timeout; the API's bound is 86,400.
const maxSeconds = 1<<24 - 1

var kinds = []struct {
	kind   uint32
	prefix string
	most   int
}{{kindPool, "lb-", maxSlots}, {kindSticky, "sticky-", maxSeconds}, {kindPick, "pick-", maxSlots}}

// maxSlots bounds a pool; the slots above are for the pools of the Local policies (flat-layout.md, Q1).
const maxSlots = 1 << 16

func poolNumber(n int) uint32 { return kindPool | uint32(n) }
func pickNumber(n int) uint32 { return kindPick | uint32(n) }
func stickyNumber(timeout time.Duration) uint32 {
	return kindSticky | uint32(timeout/time.Second)
}

// kindOfNumber takes a number apart: its kind, and N or T.
func kindOfNumber(number uint32) (kind uint32, n int) {
	return number & kindMask, int(number &^ kindMask)
}

// byNumber is the map in which the number stands, and how it leads to the chain.
func byNumber(number uint32) (set setID, code int32) {
	if kind, _ := kindOfNumber(number); kind == kindPick {
		return byPick, unix.NFT_JUMP
	}
	return byService, unix.NFT_GOTO
}

// chainOf is the chain of a number, empty for a number that nobody gives.
func chainOf(number uint32) string {
	switch {
	case number == toRefuse:
		return "refuse"
	case number == toIgnore:
		return "ignore"
	}
	kind, n := kindOfNumber(number)
	for _, k := range kinds {
		if k.kind == kind && 0 < n && n <= k.most {
			return k.prefix + strconv.Itoa(n)
		}
	}
	return ""
}

// numberOfChain is the inverse for the chains that come and go: lb-N, sticky-T, pick-N.
func numberOfChain(chain string) (number uint32, ok bool) {
	for _, k := range kinds {
		if digits, ok := strings.CutPrefix(chain, k.prefix); ok {
			n, err := strconv.Atoi(digits)
			if err != nil || n <= 0 || n > k.most {
				return 0, false
			}
			number = k.kind | uint32(n)
			return number, chainOf(number) == chain
		}
	}
	return 0, false
}

// chain is the chain of a number that numberOfChain gives.
func (f *family) chain(number uint32) chainSpec {
	switch kind, n := kindOfNumber(number); kind {
	case kindSticky:
		return f.sticky(n)
	case kindPick:
		return f.pick(n)
	default:
		return f.pool(n)
	}
}

const slotZero = "slot 0: the count was read before a commit and the slot after it"

// front loads what services is keyed by: ip daddr . meta l4proto . th dport.
func (f *family) front(reg uint32) []term {
	const network, transport = 1, 2 // NFT_PAYLOAD_NETWORK_HEADER, NFT_PAYLOAD_TRANSPORT_HEADER
	return terms(
		payload(network, f.daddr, f.words*4, reg),
		metaGet(unix.NFT_META_L4PROTO, reg+f.words),
		payload(transport, 2, 2, reg+f.words+1))
}

// originalFront loads the front that the connection was made to. The protocol must be one known beforehand: nft spells
// a port in a concatenation after `meta l4proto` only.
func (f *family) originalFront(p cluster.Proto, reg uint32) []term {
	return terms(
		metaGet(unix.NFT_META_L4PROTO, reg), equal(reg, []byte{byte(p)}),
		original(f.ctDaddr, reg),
		metaGet(unix.NFT_META_L4PROTO, reg+f.words),
		original(unix.NFT_CT_PROTO_DST, reg+f.words+1))
}

func (f *family) source(reg uint32) term      { return payload(1, f.saddr, f.words*4, reg) }
func (f *family) destination(reg uint32) term { return payload(1, f.daddr, f.words*4, reg) }

// translatedKind says which masquerade rule the chain translated has: it depends on NodeRules alone.
type translatedKind uint8

const (
	masqueradeNobody  translatedKind = iota // no local-traffic detector in this family (row SRC-5)
	masqueradeOutside                       // whoever is not a pod (CIP-1, CIP-5, CIP-6)
	masqueradeAll                           // CIP-7
)

// Names of rules that others look for.
const (
	ruleMasquerade    = "masquerade"
	ruleMasqueradeAll = "masquerade all"
	ruleFront         = "masquerade front " // and the protocol
)

// chains is everything in a table that does not depend on Services, targets before those who go to them. The rules
// that use conntrack exist from the start: without one, no packet would be tracked and the nat hooks would see none.
// dispatch can go nowhere but through by-service, one level deep: a chain must not be reachable from itself (ELOOP).
//
// skb->priority carries the chain's number from one expression to the next: a rule cannot use one map's result as
// another map's key without it and still be listed by nft 1.0.6. It is zeroed again before the packet leaves.
func (f *family) chains(kind translatedKind) []chainSpec {
	zero := terms(constant(0, r0), metaSet(unix.NFT_META_PRIORITY, r0))
	toClusterIP := terms(original(f.ctDaddr, r0), within(clusterIPs, r0))
	translated := []ruleSpec{rule("hairpin",
		terms(f.source(r0), f.destination(r0+f.words), within(hairpin, r0), goTo("masq")))}
	for _, p := range []cluster.Proto{cluster.TCP, cluster.UDP, cluster.SCTP} {
		translated = append(translated, rule(ruleFront+p.String(), f.originalFront(p, r0), terms(within(masqAll, r0), goTo("masq"))))
	}
	switch kind {
	case masqueradeOutside:
		translated = append(translated, rule(ruleMasquerade, toClusterIP,
			terms(f.source(r0), outside(pods, r0), goTo("masq"))))
	case masqueradeAll:
		translated = append(translated, rule(ruleMasqueradeAll, toClusterIP, terms(goTo("masq"))))
	}
	translated = append(translated, rule("the chain's number is not the packet's priority", toClusterIP, zero))
	return []chainSpec{
		{"refuse", nil, []ruleSpec{rule("no endpoint, or no such port", terms(f.reject()))}},
		{"ignore", nil, []ruleSpec{rule("no endpoint here", terms(drop()))}},
		{"masq", nil, []ruleSpec{
			rule("the chain's number is not the packet's priority", zero),
			rule("the node's address as source", terms(masquerade()))}},
		{"dispatch", nil, []ruleSpec{
			rule("front to number to chain", f.front(r0), terms(find(services, r0),
				metaSet(unix.NFT_META_PRIORITY, r0), metaGet(unix.NFT_META_PRIORITY, r0), decide(byService, r0))),
			rule("a port that no Service has", terms(f.destination(r0), within(clusterIPs, r0), goTo("refuse")))}},
		{"translated", nil, translated},
		{"prerouting", prerouting, []ruleSpec{rule("from elsewhere", terms(goTo("dispatch")))}},
		{"output", output, []ruleSpec{rule("from this node", terms(goTo("dispatch")))}},
		{"postrouting", postrouting, []ruleSpec{rule("to an endpoint", translatedTo(), terms(goTo("translated")))}},
	}
}

// pool is the chain lb-N: a random slot of N. The number of endpoints and the slot are read at two moments, and a
// commit may fall between them: then the slot may be gone, and slot 0 is there as long as the pool is not empty
// (flat-layout.md, order point 2: without it 32 of 25,948 connections were lost under churn).
func (f *family) pool(n int) chainSpec {
	slot := r0 + f.words + 2
	pick := terms(find(endpoints, r0), f.dnat(r0))
	return chainSpec{chainOf(poolNumber(n)), nil, []ruleSpec{
		rule(fmt.Sprintf("random slot of %d", n), f.front(r0), terms(random(n, slot)), pick),
		rule(slotZero, f.front(r0), terms(constant(0, slot)), pick),
		rule("no endpoint any more", terms(goTo("refuse"))),
	}}
}

// differs says how a chain in the kernel is not as it should be; empty when it is.
func (c chainSpec) differs(have *foundChain) string {
	if have == nil {
		return "chain " + c.name + " is missing"
	}
	if (c.hook == nil) != (have.hook == nil) || c.hook != nil && *c.hook != *have.hook {
		return "chain " + c.name + " is in another hook"
	}
	want := make([]foundRule, len(c.rules))
	for i, r := range c.rules {
		want[i] = foundRule{r.comment, len(r.terms)}
	}
	if !slices.Equal(want, have.rules) {
		return fmt.Sprintf("chain %s has rules %v, want %v", c.name, have.rules, want)
	}
	return ""
}
