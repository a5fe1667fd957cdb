package nftables

import (
	"context"
	"iter"
	"slices"

	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// prepare collects what must be in force before the first element that needs it: tables, node rules, larger sets, and
// the chains lb-N with their numbers. A packet that straddles a commit sees the new elements but still the old, empty
// rules of a new chain, and would leave untranslated: so chains come one transaction before their first use
// (flat-layout.md, order point 1: seen to fail without it). And the ranges of a front that had none: the kernel puts the
// intervals of a transaction in force a moment after its other elements, and who is admitted would be dropped (5 of 10,034
// datagrams in 13,360 changes).
func (b *Backend) prepare(ctx context.Context, node proxycore.NodeRules, want ...[]proxycore.Route) error {
	for _, s := range b.sides {
		c := character{masqueradeNobody, node.PodInterface}
		switch {
		case node.MasqueradeAll:
			c.masquerade = masqueradeAll
		case node.DetectsPods(s.fam == 1): // as in kube-proxy, a family without a detector masquerades nobody
			c.masquerade = masqueradeOutside
		}
		need := s.sizes(want)
		for id := range need {
			s.coming[id] = need[id] - s.count[id]
		}
		if s.fresh {
			b.tx.layout(s, c, need)
			s.fresh = false
		} else {
			b.tx.grow(s, need)
			if c != s.character {
				b.tx.writeChain(s, s.f.etpLocal(c), true)
				b.tx.writeChain(s, s.f.translated(c), true)
			}
		}
		s.character = c
		b.tx.writeIntervals(s, pods, spans(node.Pods, s.fam))
		b.tx.writeIntervals(s, cidrs, spans(node.ServiceCIDRs, s.fam))
	}
	for r := range routes(want) { // nobody uses yet what is made here: any cut is good
		s := b.sides[familyIndex(r.Addr)]
		for n := range numbersOf(r).needed() {
			if err := b.room(ctx, chainSize, true); err != nil {
				return err
			}
			s.provide(b.tx, n)
		}
		if e := s.fronts.at(r.Front); len(r.Ranges) > 0 && (e == nil || e.numbers[services] != toCheck) {
			if e == nil {
				e = &entry{}
				s.fronts[r.Key()] = e
			}
			now := spans(r.Ranges, s.fam)
			if err := b.room(ctx, (len(e.ranges)+len(now))*intervalSize(s.f.rangeLen()), true); err != nil {
				return err
			}
			b.admit(s, r.Front, e.ranges, now)
			e.ranges = now
		}
	}
	return nil
}

// chainSize is more than a chain that comes and goes takes of a transaction, with its number: sticky-T, 5.3 KB over IPv6.
const chainSize = 6 << 10

// provide makes a chain and its number, if they are not there.
func (s *side) provide(t *transaction, number uint32) {
	if !s.chains[number] {
		t.writeChain(s, s.f.chain(number), false)
		t.addNumber(s, number)
		s.chains[number] = true
	}
}

func routes(lists [][]proxycore.Route) iter.Seq[*proxycore.Route] {
	return func(yield func(*proxycore.Route) bool) {
		for _, list := range lists {
			for i := range list {
				if !yield(&list[i]) {
					return
				}
			}
		}
	}
}

// sizes is how many elements each sized set may come to hold on the way.
func (s *side) sizes(want [][]proxycore.Route) [numSets]int {
	n, none := s.count, entry{}
	for r := range routes(want) {
		if familyIndex(r.Addr) != s.fam {
			continue
		}
		old, now := s.fronts.at(r.Front), wanted(r)
		if old == nil {
			old = &none
		}
		for set, number := range now.numbers {
			if number != 0 && old.numbers[set] == 0 {
				n[set]++
			}
		}
		for i, set := range [...]setID{masqAll, masqNode} {
			if now.masq[i] && !old.masq[i] {
				n[set]++
			}
		}
		if now.counted && !s.clusterIPs.placed(r.Addr) {
			n[clusterIPs]++
		}
		for h, list := range poolsOf(r) {
			p := &old.pools[h]
			n[endpoints] += max(0, len(list)-len(p.slots))
			if now.numbers[picks+setID(h)] != 0 {
				n[ids] += max(0, len(list)-len(p.ids))
				n[live+setID(h)] += p.newcomers(list)
			}
			for _, e := range list {
				if e.Here && !s.hairpin.placed(e.Addr()) {
					n[hairpin]++
				}
			}
		}
	}
	return n
}

// layout declares a table with everything that does not depend on Services.
func (t *transaction) layout(s *side, c character, need [numSets]int) {
	t.message(unix.NFT_MSG_NEWTABLE, unix.NLM_F_CREATE, s.fam, func(w *buffer) { w.str(unix.NFTA_TABLE_NAME, t.table) })
	for id := range setID(numSets) {
		if sets[id].room > 0 {
			s.size[id] = max(sets[id].room, 2*need[id])
		}
		t.declare(s, id)
	}
	for _, c := range s.f.chains(c) {
		t.writeChain(s, c, false)
	}
	for _, o := range others {
		t.addNumber(s, o.number)
	}
}

func (t *transaction) declare(s *side, id setID) {
	t.message(unix.NFT_MSG_NEWSET, unix.NLM_F_CREATE, s.fam, func(w *buffer) {
		sets[id].declare(w, s.f, t.table, id, s.size[id])
	})
}

// grow declares a set that is about to be full larger: a full one costs the whole transaction (ENFILE). The new size
// is in force after the commit.
func (t *transaction) grow(s *side, need [numSets]int) {
	for id := range setID(numSets) {
		if s.size[id] > 0 && need[id] > s.size[id] {
			s.size[id] = 2 * need[id]
			t.declare(s, id)
		}
	}
}

// writeIntervals replaces a whole interval set: there are few, and intervals that overlap old ones may not be added
// one by one.
func (t *transaction) writeIntervals(s *side, set setID, want []span) {
	if slices.Equal(want, s.intervals[set]) {
		return
	}
	if len(s.intervals[set]) > 0 {
		t.flush(s, set)
	}
	w := &t.elems[s.fam][set].add
	before := len(w.b)
	for _, m := range boundaries(want) {
		at := w.nest(unix.NFTA_LIST_ELEM)
		w.value(unix.NFTA_SET_ELEM_KEY, appendAddr(nil, m.at))
		if m.end {
			w.u32(unix.NFTA_SET_ELEM_FLAGS, unix.NFT_SET_ELEM_INTERVAL_END)
		}
		w.end(at)
	}
	t.size += len(w.b) - before
	s.intervals[set] = want
}
