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
// chains, slots 0…N−1 and 65536… each once and as many as the chain draws from, no element that nobody refers to,
// source ranges where they are asked for, cluster-ips and hairpin belonging to fronts and endpoints; and that the kernel
// holds what this process believes it holds. It reports all it finds, in a fixed order.
func (b *Backend) Check(ctx context.Context) error {
	if b.closed {
		return errClosed
	}
	generation, err := b.sock.generation(ctx)
	if err != nil {
		return err
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
	if len(errs) == 0 {
		b.intact = generation - uint32(b.transactions.Load())
	}
	return errors.Join(errs...)
}

// Touched compares the generation of the kernel's rules, which every transaction in this network namespace moves on by one,
// whoever's it is, with what our own account for. It asks nothing about elements, so it costs the same however many there
// are.
func (b *Backend) Touched(ctx context.Context) (bool, error) {
	if b.closed {
		return false, errClosed
	}
	generation, err := b.sock.generation(ctx)
	return generation-uint32(b.transactions.Load()) != b.intact, err
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
	c := k.character()
	if b.known {
		c = b.sides[fam].character
	}
	var out []string
	report := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	for _, c := range f.chains(c) {
		if d := c.differs(k.chains[c.name]); d != "" {
			report("%s", d)
		}
	}
	k.checkNumbers(f, report)
	for _, x := range k.strays {
		report("element %s of %s is nobody's", f.element(x.set, x.key), sets[x.set].name)
	}
	k.checkFronts(report)
	if b.known {
		b.sides[fam].compare(k, report)
	}
	return out
}

type reporter = func(format string, args ...any)

// checkNumbers verifies the chains that come and go, and that every number leads to its chain from wherever it may be met.
func (k *found) checkNumbers(f *family, report reporter) {
	for _, name := range slices.Sorted(maps.Keys(k.chains)) {
		if n, ok := numberOfChain(name); ok {
			if d := f.chain(n).differs(k.chains[name]); d != "" {
				report("%s", d)
			}
			k.checkPlaces(n, report)
		}
	}
	for _, o := range others {
		k.checkPlaces(o.number, report)
	}
	for _, at := range slices.SortedFunc(maps.Keys(k.numbers), func(a, b place) int {
		return cmp.Or(cmp.Compare(a.set, b.set), cmp.Compare(a.number, b.number))
	}) {
		if chainOf(at.number) != k.numbers[at] {
			report("%s: number %#x leads to %s, want %q", sets[at.set].name, at.number, k.numbers[at], chainOf(at.number))
		}
	}
}

func (k *found) checkPlaces(n uint32, report reporter) {
	for _, set := range places(n) {
		if k.numbers[place{set, n}] == "" {
			report("chain %s has no number in %s", chainOf(n), sets[set].name)
		}
	}
}

func (k *found) checkFronts(report reporter) {
	addresses, targets := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	vips := map[netip.Addr]bool{} // of fronts that must be ClusterIPs
	for _, f := range k.fronts.sorted() {
		e := k.fronts.at(f)
		if e.numbers[services] == 0 {
			report("front %v is not in services, but in other sets", f)
			continue
		}
		addresses[f.Addr] = true
		switch e.masq {
		case [2]bool{}:
			vips[f.Addr] = true
		case [2]bool{true, true}:
			report("front %v is in masq-all and in masq-node", f)
		}
		k.checkWay(f, e, report)
		ends := e.numbers.ends()
		for h := range e.pools {
			k.checkPool(f, h, &e.pools[h], ends[h], e.numbers[picks+setID(h)], report)
			for _, to := range e.pools[h].slots {
				if to.IsValid() {
					targets[to.Addr()] = true
				}
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
		report("%v of a front that is in neither masq-all nor masq-node is not in cluster-ips", a)
	}
	for _, a := range k.hairpin {
		if !targets[a] {
			report("hairpin has %v, which is no endpoint", a)
		}
	}
}

// checkWay verifies that the numbers of a front lead from map to map as far as an end, and none is left aside.
func (k *found) checkWay(f proxycore.Front, e *entry, report reporter) {
	ends := e.numbers.ends()
	checked := e.numbers[services] == toCheck
	parted := e.numbers[services] == toLocal || checked && e.numbers[allowed] == toLocal
	for i, needed := range [...]bool{checked, parted, parted} {
		set := allowed + setID(i) // internal, external
		if has := e.numbers[set] != 0; has != needed {
			report("front %v is in %s: %v, its other numbers want %v", f, sets[set].name, has, needed)
		}
	}
	if has := len(e.ranges) > 0; has != checked {
		report("front %v has source ranges: %v, is sent to source-check: %v", f, has, checked)
	}
	for set, n := range e.numbers {
		if set := setID(set); n != 0 && k.numbers[place{set.chains(), n}] == "" {
			report("front %v has number %#x in %s, which is not in %s", f, n, sets[set].name, sets[set.chains()].name)
		}
	}
	for h, n := range ends {
		if kind, half, _ := kindOfNumber(n); n != 0 && kind != kindOther && half != h {
			report("front %v has number %#x, of the other pool", f, n)
		}
	}
}

// checkPool verifies that a front has the slots that its chain draws from, each once, and no others.
func (k *found) checkPool(f proxycore.Front, half int, p *pool, number, pick uint32, report reporter) {
	kind, _, n := kindOfNumber(number)
	switch kind {
	case kindSticky:
		_, _, n = kindOfNumber(pick)
		k.checkMemory(f, p, n, report)
	case kindPool:
	default:
		n = 0
	}
	if kind != kindSticky && (pick != 0 || !p.memory.empty()) {
		report("front %v is not sticky, but in picks, ids or live", f)
	}
	for i := range max(n, len(p.slots)) {
		slot := firstSlot(half) + i
		switch there := i < len(p.slots) && p.slots[i].IsValid(); {
		case i < n && !there:
			report("front %v draws from %d slots, and slot %d is missing", f, n, slot)
		case i >= n && there:
			report("front %v draws from %d slots, and nobody refers to slot %d", f, n, slot)
		}
	}
}

// checkMemory verifies that each slot of a sticky front has an id that lives at the slot's endpoint.
func (k *found) checkMemory(f proxycore.Front, p *pool, n int, report reporter) {
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
func (s *side) compare(k *found, report reporter) {
	for _, f := range s.fronts.sorted() {
		want, have := s.fronts.at(f), k.fronts.at(f)
		if have == nil {
			report("front %v is missing", f)
			continue
		}
		for h := range want.pools {
			want, have := &want.pools[h], &have.pools[h]
			if !slices.EqualFunc(want.slots, have.slots, func(a, b proxycore.Endpoint) bool { return a.AddrPort == b.AddrPort }) {
				report("front %v has other slots than programmed", f)
			}
			if !slices.Equal(want.ids, have.ids) || !maps.Equal(want.live, have.live) {
				report("front %v has other ids than programmed", f)
			}
		}
		if want.numbers != have.numbers || !slices.Equal(want.ranges, have.ranges) {
			report("front %v is %s, programmed was %s", f, have.line(f), want.line(f))
		}
		if want.masq != have.masq {
			report("front %v is in masq-all and masq-node: %v, programmed was %v", f, have.masq, want.masq)
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
	for _, set := range [...]setID{pods, cidrs} {
		if have, want := k.intervals[set], s.intervals[set]; !slices.Equal(have, want) {
			report("%s are %v, programmed were %v", sets[set].name, prefixes(have), prefixes(want))
		}
	}
}
