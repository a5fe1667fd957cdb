// Package iptables makes a node's kernel forward Services through iptables, of either flavour: nft, which iptables calls
// nf_tables, or legacy. Rules go in through iptables-restore --noflush, one run for each family that a change touches;
// go-iptables looks for the commands and takes out jumps.
//
//	mangle PREROUTING, OUTPUT (new) ─► SVCLAB: a rule for each front with source ranges: DROP for who is not in them
//	nat  PREROUTING, OUTPUT ─► SVCLAB ─┬─► SVCLAB-CLUSTER ──┐ a rule for each front: DNAT when there is one endpoint,
//	                                   ├─► SVCLAB-EXTERNAL ─┤ else ─► SVCLAB-<hash>: a rule for each endpoint, DNAT with
//	                                   ├─► SVCLAB-NEAR ─────┤ probability 1/N, 1/(N−1) … 1
//	                                   └─► SVCLAB-FAR ──────┘
//	nat  POSTROUTING (translated) ─► SVCLAB-POST ─► SVCLAB-MASQ
//	filter INPUT, FORWARD, OUTPUT (new) ─► SVCLAB ─► SVCLAB-EMPTY, SVCLAB-NEAR, SVCLAB-FAR: a rule for each front without
//	                                   endpoints, since nat can neither reject nor drop
//	filter FORWARD ─► SVCLAB-FORWARD: what is let through
//	filter INPUT, OUTPUT (to 127.0.0.0/8 from elsewhere) ─► SVCLAB-GUARD, where there are fronts at 127.0.0.1
//
// A box of fronts is a tree of chains: a chain has up to 16 fronts, or leads on by a prefix of the address, and below one
// address by a range of ports; so the last of 10,000 ClusterIPs or NodePorts is found behind at most 36 rules, and a packet
// to elsewhere leaves after one, where they have the beginning of their addresses in common, or four. A tree is a function of its fronts (tree.go), and when it is rebuilt, rules are in
// their new place before they leave the old one. SVCLAB-POST is one too, by the endpoint that calls itself.
//
// There are fewer rules than kube-proxy writes: it has a chain and two rules for each endpoint besides the rule that
// chooses it, and a rule that marks for each front. Here an endpoint is one rule (two where clients stick), a front is one,
// and a front with one endpoint has no chain. Who is masqueraded is decided by where a front stands: SVCLAB sets the mark
// before it looks into SVCLAB-CLUSTER, takes it from pods, sets it again before SVCLAB-EXTERNAL, and clears it behind, for
// packets that found nothing. A rule in POSTROUTING that names the original destination would be one for each front. The
// mark is bit 0x1000, and it does not outlive POSTROUTING.
//
// A front of externalTrafficPolicy Local is two: in NEAR it is for pods and the node itself, who have all endpoints, and in
// FAR for everybody else, who has the local ones. Pods are spared there and the node is marked, as before ClusterIPs; who
// has the mark and is not the node goes to FAR and does not come back. In filter the same names hold the same fronts, each
// for those clients for whom it has no endpoints.
//
// Source ranges are judged in table mangle, before anything is translated, so that endpoints and ranges know nothing of each
// other, and a front's ranges are a chain that one restore replaces. In kube-proxy's layout they are in nat, where a packet
// that is not admitted falls out untranslated, and once more in filter, which must know that it did.
//
// Fronts of one Service port with the same endpoints share a chain: a change of endpoints writes that chain, and nothing
// else. The fronts of a chain have no order, so one rule is added or deleted and the rest is not read again by us.
//
// What a change costs is then the kernel's, and grows with the table. The legacy flavour reads all of it and hands all of it
// back, whatever the change is: an empty restore over 10,000 Services of 10 endpoints takes 0.1 s, one rule more 0.2 s, three
// quarters of it in the kernel (perf: copies, and checking each rule's match and target again). It goes with the rules and
// their size: with a comment, 288 bytes, at each endpoint that table was 61 MB and a change cost twice as much as with the
// 32 MB of today. In the nft flavour a transaction that adds a rule makes the kernel validate all rules that its hooks reach
// (nft_table_validate: 9 tenths of 0.1 s at that size), and one that only deletes takes some 10 ms. Of a first sync, 4 µs a
// rule are iptables-restore reading it.
//
// No Service is in two minds: a table is replaced at once; what is refused is refused before it is no longer translated, and
// translated before it is no longer refused; who may not call is kept out before there is anything to call, and after;
// where a restore must be cut, it is cut between Services.
//
// What kube-proxy does besides, and others must not be hurt by: packets that conntrack calls INVALID are not forwarded, what is
// ours passes a policy DROP of FORWARD, and route_localnet is set while there are fronts at 127.0.0.1, behind a guard that
// remembers what it was. Nothing is dropped for being sent to an address in the ServiceCIDRs that no Service has (row CIP-12).
package iptables

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"slices"
	"strings"

	"svclab/proxycore"
)

// Options say where to program what, and with which commands.
type Options struct {
	Flavour string // "nft", "legacy", or "" for what the machine calls iptables

	// Run is required: it runs the function with its thread in the node's network namespace (nsnet.NS.Do). Commands are
	// started in it, and go-iptables runs them there by itself.
	Run func(func() error) error

	// MaxRules is optional: how many operations a restore may have. 0: of the nft flavour 10,000, or 200 without privilege, and
	// no limit of the legacy one.
	MaxRules int
}

const (
	// unprivilegedRules: a message to the kernel fails above 250 or so.
	unprivilegedRules = 200

	// nftRules: iptables-nft looks for the chain of each operation in a sorted list of those that the restore names, from its
	// beginning (1.8.9: nft-cache.c, cache_chain_list_insert), so that 10,000 Services at once took it 10 s of 12.
	nftRules = 10000
)

// Backend programs one node. It implements proxycore.Backend and proxycore.Namer.
type Backend struct {
	flavour string
	limit   int
	node    proxycore.NodeRules // both sides have it
	known   bool
	sides   [2]*side // IPv4, IPv6
	closed  bool
}

var (
	_ proxycore.Backend = (*Backend)(nil)
	_ proxycore.Namer   = (*Backend)(nil)
)

// New finds the commands. It changes nothing in the kernel yet.
func New(o Options) (*Backend, error) {
	if o.Run == nil {
		return nil, errors.New("iptables: Options.Run is required")
	}
	if o.Flavour != "" && o.Flavour != nft && o.Flavour != legacy {
		return nil, fmt.Errorf("iptables: flavour %q is neither nft nor legacy", o.Flavour)
	}
	b := &Backend{limit: o.MaxRules}
	for i := range b.sides {
		s := &side{is6: i == 1}
		s.tool.run = o.Run
		flavour, err := s.tool.detect(s.is6, o.Flavour)
		if err != nil {
			return nil, err
		}
		if i > 0 && flavour != b.flavour {
			return nil, fmt.Errorf("iptables is of flavour %s and ip6tables of flavour %s", b.flavour, flavour)
		}
		b.flavour, b.sides[i] = flavour, s
		// Read once, as kube-proxy does; a kernel without connection tracking so far has no such sysctl (row CT-14).
		v, err := s.tool.sysctl("net/netfilter/nf_conntrack_tcp_be_liberal")
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("iptables: %w", err)
		}
		s.node = node{is6: s.is6, liberal: v == "1"}
	}
	if b.limit == 0 && b.flavour == nft {
		b.limit = nftRules
		if unprivileged() {
			b.limit = unprivilegedRules
		}
	}
	if lock := lockFile(); b.flavour == legacy && !canLock(lock) {
		return nil, fmt.Errorf("iptables: cannot write the lock file %s; set XTABLES_LOCKFILE to one that can be written", lock)
	}
	return b, nil
}

var errClosed = errors.New("the backend is closed")

// Close takes the jumps away, and then our chains, in both families and tables.
func (b *Backend) Close() error {
	if b.closed {
		return nil
	}
	b.closed, b.known = true, false
	return errors.Join(b.sides[0].clear(b.limit), b.sides[1].clear(b.limit))
}

// each does something for one family after the other: two restores of the nft flavour at the same time disturb each other
// ("CHAIN_USER_ADD failed (File exists)": iptables 1.8.9 repeats what a new generation of the tables interrupted), and
// those of the legacy flavour wait for the same lock.
func (b *Backend) each(do func(s *side) error) error {
	for _, s := range b.sides {
		if err := do(s); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) clear(limit int) error {
	ctx := context.Background()
	k, err := s.tool.save(ctx)
	if err != nil {
		return err
	}
	s.node.NodeRules = proxycore.NodeRules{}
	if err := s.remember(k); err != nil {
		return err
	}
	var inputs []string
	for _, table := range []string{nat, filter, mangle} { // who may not call is let in at no moment
		var units []unit
		for _, j := range slices.Backward(k.jumps) {
			if j.table == table {
				units = append(units, unit{"-D " + j.chain + " " + j.text})
			}
		}
		for _, p := range k.places() {
			if p.table == table {
				units = append(units, unit{"-F " + p.chain})
			}
		}
		for _, p := range k.places() {
			if p.table == table {
				units = append(units, unit{"-X " + p.chain})
			}
		}
		inputs = append(inputs, restores(table, units, limit)...)
	}
	return s.tool.restore(ctx, inputs)
}

// RuleFor names the chain and quotes the rule that send a flow to the front to that endpoint.
func (b *Backend) RuleFor(f proxycore.Front, to netip.AddrPort) (string, bool) {
	if !b.known || !f.Addr.IsValid() {
		return "", false
	}
	s := b.sideOf(f)
	r, ok := s.routes[f]
	if !ok {
		return "", false
	}
	l := s.lay(map[group]bool{groupOf(r): true})
	end := dnat(to)
	for _, it := range l.items {
		if it.front != f || it.table != nat {
			continue
		}
		rules, chain, first := []string{it.text}, s.trees[it.place].chainOf(it.key), ""
		if it.to != "" {
			rules, chain, first = l.bodies[place{nat, it.to}].rules, it.to, "chain "+chain+" leads to "
		}
		for _, rule := range slices.Backward(rules) { // the last: the one that chooses, not the one that remembers
			if strings.HasSuffix(rule, end) {
				return fmt.Sprintf("%s table nat, %schain %s, rule %q", s.tool.base, first, chain, rule), true
			}
		}
	}
	return "", false
}

func (b *Backend) sideOf(f proxycore.Front) *side {
	if f.Addr.Is4() {
		return b.sides[0]
	}
	return b.sides[1]
}
