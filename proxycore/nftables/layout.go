package nftables

import (
	"fmt"
	"slices"

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

const slotZero = "slot 0: one map was read before a commit and the next after it"

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

// character is what of NodeRules is in the rules of a table; the rest is in its sets.
type character struct {
	masquerade   translatedKind
	podInterface string
}

// Names of rules that others look for.
const (
	ruleMasquerade    = "masquerade"
	ruleMasqueradeAll = "masquerade all"
	ruleFront         = "masquerade front "     // and the protocol
	ruleNode          = "masquerade this node " // and the protocol
	rulePodsOn        = "pods on "              // and the interface
	rulePriority      = "the chain's number is not the packet's priority"
)

// chains is everything in a table that does not depend on Services, targets before those who go to them. The rules
// that use conntrack exist from the start: without one, no packet would be tracked and the nat hooks would see none.
// dispatch can go nowhere but through by-service, source-check through by-allowed and etp-local through by-local: a chain
// must not be reachable from itself (ELOOP).
//
// skb->priority carries the chain's number from one expression to the next: a rule cannot use one map's result as
// another map's key without it and still be listed by nft 1.0.6. It is zeroed again before the packet leaves.
func (f *family) chains(c character) []chainSpec {
	return slices.Concat([]chainSpec{
		{"refuse", nil, []ruleSpec{rule("no endpoint, or no such port", terms(f.reject()))}},
		{"ignore", nil, []ruleSpec{rule("no endpoint here", terms(drop()))}},
	}, f.bySlot(everywhere), f.bySlot(local), []chainSpec{
		{"masq", nil, []ruleSpec{
			rule(rulePriority, zero()),
			rule("the node's address as source", terms(masquerade()))}},
		{"from-node", nil, []ruleSpec{ // externalTrafficPolicy Local: POL-7, POL-9, POL-10
			rule("this node", fromThisNode(), terms(goTo("masq"))),
			rule(rulePriority, zero())}},
		f.etpLocal(c),
		f.sourceCheck(),
		{"dispatch", nil, []ruleSpec{
			rule("front to number to chain", f.front(r0), follow(services, byService, r0)),
			// A packet that is held up in the middle of looking (an interrupt, a virtual CPU that is not scheduled) while one change
			// is committed and the next is prepared finds neither the old element nor the new: of 200,000 connections under as
			// many changes on a busy machine one was refused. So a front is looked for twice.
			rule("the same again", f.front(r0), follow(services, byService, r0)),
			rule("a port that no Service has", terms(f.destination(r0), within(clusterIPs, r0), goTo("refuse"))),
			rule("an address that no Service has", terms(f.destination(r0), within(cidrs, r0), drop()))}}, // row CIP-12
		f.translated(c),
		{"prerouting", prerouting, []ruleSpec{rule("from elsewhere", terms(goTo("dispatch")))}},
		{"output", output, []ruleSpec{rule("from this node", terms(goTo("dispatch")))}},
		{"postrouting", postrouting, []ruleSpec{rule("to an endpoint", translatedTo(), terms(goTo("translated")))}},
	})
}

func zero() []term { return terms(constant(0, r0), metaSet(unix.NFT_META_PRIORITY, r0)) }

// translated gives the node's address to those packets that need it as source. An endpoint on the node itself gets its
// packets without: they never come to postrouting, and the answer cannot miss the node.
func (f *family) translated(c character) chainSpec {
	toClusterIP := terms(original(f.ctDaddr, r0), within(clusterIPs, r0))
	rules := []ruleSpec{rule("hairpin",
		terms(f.source(r0), f.destination(r0+f.words), within(hairpin, r0), goTo("masq")))}
	for _, p := range []cluster.Proto{cluster.TCP, cluster.UDP, cluster.SCTP} {
		rules = append(rules,
			rule(ruleFront+p.String(), f.originalFront(p, r0), terms(within(masqAll, r0), goTo("masq"))),
			rule(ruleNode+p.String(), f.originalFront(p, r0), terms(within(masqNode, r0), goTo("from-node"))))
	}
	switch c.masquerade {
	case masqueradeOutside:
		notByPod := []term(nil)
		if c.podInterface != "" {
			notByPod = cameBy(unix.NFT_CMP_NEQ, c.podInterface)
		}
		rules = append(rules, rule(ruleMasquerade, toClusterIP, terms(f.source(r0), outside(pods, r0)), notByPod, terms(goTo("masq"))))
	case masqueradeAll:
		rules = append(rules, rule(ruleMasqueradeAll, toClusterIP, terms(goTo("masq"))))
	}
	return chainSpec{"translated", nil, append(rules, rule(rulePriority, toClusterIP, zero()))}
}

// etpLocal parts those who get a front's pool under externalTrafficPolicy Local from those who get its local one: pods
// and this node (POL-9, POL-10), and everybody else (POL-7). Who comes through was sent here before a commit, and the
// policy was another after it. All of it stands twice, as in sticky: while the policy goes to and fro, one more commit may
// fall into the first pass.
func (f *family) etpLocal(c character) chainSpec {
	var rules []ruleSpec
	for range 2 {
		rules = append(rules, rule("pods", terms(f.source(r0), within(pods, r0)), f.front(r0), follow(internal, byLocal, r0)))
		if c.podInterface != "" {
			rules = append(rules, rule(rulePodsOn+c.podInterface, cameBy(unix.NFT_CMP_EQ, c.podInterface), f.front(r0), follow(internal, byLocal, r0)))
		}
		rules = append(rules,
			rule("this node", fromThisNode(), f.front(r0), follow(internal, byLocal, r0)),
			rule("from outside", f.front(r0), follow(external, byLocal, r0)),
			rule("the policy is Local no more", f.front(r0), follow(services, byLocal, r0)),
			rule("the policy is Local no more, but there are ranges", f.front(r0), follow(allowed, byLocal, r0)))
	}
	return chainSpec{"etp-local", nil, append(rules, rule("no Service any more", terms(drop())))}
}

// sourceCheck lets those through who are in a front's ranges (LB-6 to LB-8), before anybody asks for endpoints (LB-12).
// Who is not meets services again: a commit may have done away with the ranges. It stands twice too.
func (f *family) sourceCheck() chainSpec {
	var rules []ruleSpec
	for range 2 {
		rules = append(rules,
			rule("in a range", f.front(r0), terms(f.source(r0+f.words+2), within(ranges, r0)), f.front(r0), follow(allowed, byAllowed, r0)),
			rule("there are no ranges any more", f.front(r0), follow(services, byAllowed, r0)))
	}
	return chainSpec{"source-check", nil, append(rules, rule("in no range", terms(drop())))}
}

// pool is the chain lb-N: a random slot of N. It names no map: when a rule comes that does, the kernel walks through all the
// map's elements (net/netfilter/nf_tables_api.c, nf_tables_bind_set), so that a pool of a size that nobody has had cost
// 0.8 ms with 10,000 endpoints and 205 ms with 500,000. The slot travels to a chain that is always there.
func (f *family) pool(n, half int) chainSpec {
	return chainSpec{chainOf(poolNumber(n, half)), nil, []ruleSpec{
		rule(fmt.Sprintf("random slot of %d", n), randomSlot(n, half), terms(goTo(toEndpoint[half])))}}
}

// randomSlot leaves one of N slots in the scratch.
func randomSlot(n, half int) []term {
	return terms(random(n, firstSlot(half), r0), metaSet(unix.NFT_META_PRIORITY, r0))
}

// The chains that lb-N, sticky-T and pick-N lead to, by pool.
var (
	toEndpoint = [2]string{"to-endpoint", "to-endpoint-local"}
	toSlotZero = [2]string{"slot-zero", "slot-zero-local"}
	toID       = [2]string{"id-of-slot", "id-of-slot-local"}
)

// bySlot is the chains that look for what is in a slot. The number of endpoints and the slot are read at two moments, and a
// commit may fall between them: then the slot may be gone, and slot 0 is there as long as the pool is not empty
// (flat-layout.md, order point 2: without it 32 of 25,948 connections were lost under churn).
func (f *family) bySlot(half int) []chainSpec {
	slot := r0 + f.words + 2
	end := goTo("refuse")
	if half == local {
		end = drop()
	}
	inSlot := append(f.front(r0), metaGet(unix.NFT_META_PRIORITY, slot))
	return []chainSpec{
		{toSlotZero[half], nil, f.slotZero(half, drop())},
		{toEndpoint[half], nil, append([]ruleSpec{rule("the endpoint in the slot", inSlot, terms(find(endpoints, r0), f.dnat(r0)))}, f.slotZero(half, end)...)},
		{toID[half], nil, []ruleSpec{
			rule("the id in the slot", inSlot, leave(ids, r0), terms(verdict(unix.NFT_RETURN, ""))),
			rule("the id in slot 0", f.front(r0), terms(constant(uint32(firstSlot(half)), slot)), leave(ids, r0))}},
	}
}

// slotZero is what becomes of a packet that has found no endpoint. One from outside, of a front with a Local policy, goes to
// an endpoint elsewhere only when the policy is Local no more; what its fate is then may have changed too, so it is dropped
// and comes again.
func (f *family) slotZero(half int, end term) (rules []ruleSpec) {
	slot := r0 + f.words + 2
	to := func(half int, only ...term) ruleSpec {
		return rule(slotZero, only, f.front(r0), terms(constant(uint32(firstSlot(half)), slot), find(endpoints, r0), f.dnat(r0)))
	}
	if half == local {
		for range 2 { // see etpLocal
			rules = append(rules, to(local), to(everywhere, append(f.front(r0), outside(masqNode, r0))...))
		}
		end = drop()
	} else {
		rules = append(rules, to(everywhere))
	}
	return append(rules, rule("no endpoint any more", terms(end)))
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
