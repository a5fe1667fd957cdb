package nftables

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"svclab/proxycore"
)

// Check reads the kernel and verifies what Dump does not show: chains and their rules, numbers that lead to their
// chains, slots 0…N−1 each once and as many as the chain draws from, no element that nobody refers to, cluster-ips and
// hairpin belonging to fronts and endpoints; and that the kernel holds what this process believes it holds. It reports
// all it finds, in a fixed order.
func (b *Backend) Check(ctx context.Context) error {
	if b.closed {
		return errClosed
	}
	var errs []error
	for fam, f := range families {
		k, err := b.readTable(ctx, fam)
		if err != nil {
			return err
		}
		for _, problem := range b.problems(fam, k) {
			errs = append(errs, fmt.Errorf("table %s %s: %s", f.name, b.table, problem))
		}
	}
	return errors.Join(errs...)
}

func (b *Backend) problems(fam int, k *found) []string {
	if !k.exists {
		if b.known {
			return []string{"it is missing"}
		}
		return nil // nothing has been programmed
	}
	f := families[fam]
	if !k.isOurs(f) {
		return []string{"its sets or hooks are not of this layout"}
	}
	kind := kindOf(k.chains["translated"])
	if b.known {
		kind = b.sides[fam].kind
	}
	var out []string
	report := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, c := range f.chains(kind) {
		if d := c.differs(k.chains[c.name]); d != "" {
			report("%s", d)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(k.chains)) {
		if n, ok := numberOfChain(name); ok {
			if d := f.chain(n).differs(k.chains[name]); d != "" {
				report("%s", d)
			}
			if by, _ := byNumber(n); k.numbers[n] == "" {
				report("chain %s has no number in %s", name, sets[by].name)
			}
		}
	}
	for _, n := range slices.Sorted(maps.Keys(k.numbers)) {
		if chainOf(n) != k.numbers[n] {
			by, _ := byNumber(n)
			report("%s: number %#x leads to %s, want %q", sets[by].name, n, k.numbers[n], chainOf(n))
		}
	}
	for _, x := range k.strays {
		report("element %s of %s is nobody's", f.element(x.set, x.key), sets[x.set].name)
	}
	k.checkFronts(report)
	if b.known {
		b.sides[fam].compare(k, report)
	}
	return out
}

func (k *found) checkFronts(report func(format string, args ...any)) {
	addresses, targets := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	vips := map[netip.Addr]bool{} // of fronts that must be ClusterIPs
	for _, f := range slices.SortedFunc(maps.Keys(k.fronts), proxycore.Front.Compare) {
		p := k.fronts[f]
		if p.number == 0 {
			report("front %v is not in services, but in other sets", f)
			continue
		}
		addresses[f.Addr] = true
		if !p.masq {
			vips[f.Addr] = true
		}
		if k.numbers[p.number] == "" {
			report("front %v has number %#x, which is not in by-service", f, p.number)
		}
		kind, n := kindOfNumber(p.number)
		switch kind {
		case kindSticky:
			_, n = kindOfNumber(p.pick)
			k.checkMemory(f, p, n, report)
		case kindPool:
		default:
			n = 0
		}
		if kind != kindSticky && !p.memory.empty() {
			report("front %v is not sticky, but in picks, ids or live", f)
		}
		for slot := range max(n, len(p.slots)) {
			switch there := slot < len(p.slots) && p.slots[slot].IsValid(); {
			case slot < n && !there:
				report("front %v draws from %d slots, and slot %d is missing", f, n, slot)
			case slot >= n && there:
				report("front %v draws from %d slots, and nobody refers to slot %d", f, n, slot)
			case there:
				targets[p.slots[slot].Addr()] = true
			}
		}
	}
	for _, a := range k.clusterIPs {
		if !addresses[a] {
			report("cluster-ips has %v, which no front has", a)
		}
		delete(vips, a)
	}
	for _, a := range sorted(vips) {
		report("%v of a front that is not in masq-all is not in cluster-ips", a)
	}
	for _, a := range k.hairpin {
		if !targets[a] {
			report("hairpin has %v, which is no endpoint", a)
		}
	}
}

// checkMemory verifies that each slot of a sticky front has an id that lives at the slot's endpoint.
func (k *found) checkMemory(f proxycore.Front, p *pool, n int, report func(format string, args ...any)) {
	if k.numbers[p.pick] == "" {
		report("sticky front %v has number %#x in picks, which is not in by-pick", f, p.pick)
	}
	if len(p.ids) != n {
		report("sticky front %v picks from %d slots, and ids has %d", f, n, len(p.ids))
	}
	used := map[uint32]bool{}
	for slot, id := range p.ids {
		used[id] = true
		if slot < len(p.slots) && (id == 0 || p.live[id] != p.slots[slot].AddrPort) {
			report("sticky front %v: id %#x of slot %d lives at %v, want %v", f, id, slot, p.live[id], p.slots[slot].AddrPort)
		}
	}
	for _, id := range slices.Sorted(maps.Keys(p.live)) {
		if !used[id] {
			report("sticky front %v: id %#x lives at %v, and no slot has it", f, id, p.live[id])
		}
	}
}

func sorted(set map[netip.Addr]bool) []netip.Addr {
	return slices.SortedFunc(maps.Keys(set), netip.Addr.Compare)
}

// compare checks that the kernel holds what the next change will assume.
func (s *side) compare(k *found, report func(format string, args ...any)) {
	for _, f := range slices.SortedFunc(maps.Keys(s.fronts), proxycore.Front.Compare) {
		want, have := s.fronts[f], k.fronts[f]
		if have == nil {
			report("front %v is missing", f)
			continue
		}
		same := slices.EqualFunc(want.slots, have.slots, func(a, b proxycore.Endpoint) bool { return a.AddrPort == b.AddrPort })
		if !same || want.number != have.number {
			report("front %v is %s, programmed was %s", f, have.line(f), want.line(f))
		}
		if want.pick != have.pick || !slices.Equal(want.ids, have.ids) || !maps.Equal(want.live, have.live) {
			report("front %v has other ids than programmed", f)
		}
		if want.masq != have.masq {
			report("front %v is in masq-all: %v, programmed was %v", f, have.masq, want.masq)
		}
	}
	if extra := len(k.fronts) - len(s.fronts); extra > 0 {
		report("%d fronts more than programmed", extra)
	}
	for _, x := range []struct {
		name string
		refs *refs
		have []netip.Addr
	}{{"cluster-ips", &s.clusterIPs, k.clusterIPs}, {"hairpin", &s.hairpin, k.hairpin}} {
		have := map[netip.Addr]bool{}
		for _, a := range x.have {
			have[a] = true
		}
		for _, a := range slices.SortedFunc(maps.Keys(x.refs.of), netip.Addr.Compare) {
			if !have[a] {
				report("%s lacks %v", x.name, a)
			}
		}
		if c := cmp.Compare(len(x.have), len(x.refs.of)); c > 0 {
			report("%s has %d elements, programmed were %d", x.name, len(x.have), len(x.refs.of))
		}
	}
	if !slices.Equal(k.pods, s.pods) {
		report("pods are %v, programmed were %v", prefixes(k.pods), prefixes(s.pods))
	}
}
