package nftables

import (
	"context"
	"net/netip"
	"slices"

	"svclab/proxycore"
)

// budget is what the elements of a transaction may take of its bytes; the rest is for the messages around them: at
// most one header for each set, family and direction, and for every 60 KB.
func (b *Backend) budget() int { return max(b.limit-headers-b.limit/512, 512) }

const headers = 4 * int(numSets) * 80

// room sends what is collected when n more bytes would not fit.
func (b *Backend) room(ctx context.Context, n int, full bool) error {
	if b.refills { // all of it fits into one transaction, and must be in one
		return nil
	}
	budget := b.budget()
	if b.pipe != nil {
		budget = min(budget, chunk)
	}
	if b.tx.empty() || b.tx.size+n <= budget {
		return nil
	}
	if !full { // a Full change does not know yet what is still needed
		if err := b.sweep(ctx); err != nil {
			return err
		}
	}
	return b.send(ctx)
}

// cost is what one changed slot may add to a transaction, or one of its id.
func (f *family) cost() int {
	return elementSize(f.slotLen(), f.targetLen()) + elementSize(f.slotLen(), 0) + 2*elementSize(2*f.addrLen(), 0)
}

// fixed bounds what goes into one transaction whatever the front's size: its numbers, its ranges, masq-all or masq-node,
// and cluster-ips.
func (e *entry) fixed(f *family, now *entry) int {
	n := elementSize(f.addrLen(), 0)
	for i := range e.numbers {
		if e.numbers[i] != now.numbers[i] {
			n += elementSize(f.frontLen(), 0) + elementSize(f.frontLen(), 4)
		}
	}
	for i := range e.masq {
		if e.masq[i] != now.masq[i] {
			n += elementSize(f.frontLen(), 0)
		}
	}
	if !slices.Equal(e.ranges, now.ranges) {
		n += (len(e.ranges) + len(now.ranges)) * intervalSize(f.rangeLen())
	}
	return n
}

// front collects the change of one front; want is nil for one that goes. It is whole within one transaction. One that
// is too large even for that (thousands of endpoints) is cut so that every packet still finds an endpoint of the old
// pools or of the new: new slots, replaced slots, the front's numbers and ranges, and then the slots that go.
func (b *Backend) front(ctx context.Context, f proxycore.Front, want *proxycore.Route, full bool) error {
	s := b.sides[familyIndex(f.Addr)]
	p := s.fronts.at(f)
	if p == nil {
		p = &entry{}
		s.fronts[f.Key()] = p
	}
	now, lists := wanted(want), poolsOf(want)
	var steps [2][]step
	var fresh [2][]proxycore.Endpoint // the slots of a pool that had none
	for h := range now.pools {
		if len(p.pools[h].slots) == 0 {
			now.pools[h].slots, fresh[h] = lists[h], lists[h]
		} else {
			now.pools[h], steps[h] = b.slots[h].reslot(p.pools[h], lists[h])
		}
	}
	if now.numbers[picks] != 0 || now.numbers[localPicks] != 0 {
		now.remember(p)
	}

	fixed := p.fixed(s.f, &now)
	whole := fixed
	for h := range steps {
		whole += (len(steps[h])+len(fresh[h]))*s.f.cost() + p.pools[h].memory.size(s.f, &now.pools[h].memory)
	}
	if err := b.room(ctx, whole, full); err != nil {
		return err
	}
	each := func() error { return nil }
	huge := whole > b.budget()
	if huge {
		each = func() error { return b.room(ctx, s.f.cost()+fixed, full) }
	}

	if now.counted && !p.counted && s.clusterIPs.need(f.Addr) {
		b.add(s, clusterIPs, appendAddr(b.key[:0], f.Addr), nil)
	}
	for i, set := range [...]setID{masqAll, masqNode} {
		if now.masq[i] && !p.masq[i] {
			b.add(s, set, appendFront(b.key[:0], f), nil)
		}
	}
	for h := range steps {
		if huge {
			steps[h] = appendFresh(steps[h], fresh[h])
		} else {
			b.fill(s, f, h, fresh[h])
		}
		if err := b.place(s, f, h, steps[h], each); err != nil {
			return err
		}
		if err := b.learn(s, f, h, &p.pools[h].memory, &now.pools[h].memory, each); err != nil {
			return err
		}
	}
	for set := range numNumbers {
		b.point(s, set, f, p.numbers[set], now.numbers[set])
	}
	b.admit(s, f, p.ranges, now.ranges)
	for h := range steps {
		if err := b.forget(s, f, h, &p.pools[h].memory, &now.pools[h].memory, each); err != nil {
			return err
		}
		if err := b.vacate(s, f, h, steps[h], each); err != nil {
			return err
		}
	}
	for i, set := range [...]setID{masqAll, masqNode} {
		if p.masq[i] && !now.masq[i] {
			b.del(s, set, appendFront(b.key[:0], f))
		}
	}
	if p.counted && !now.counted {
		s.clusterIPs.release(f.Addr)
	}
	if want == nil {
		delete(s.fronts, f.Key())
		return nil
	}
	*p = now
	return nil
}

// fill fills all slots of a pool that had none.
func (b *Backend) fill(s *side, f proxycore.Front, half int, list []proxycore.Endpoint) {
	for i := range list {
		if list[i].Here {
			b.mayCallItself(s, list[i].Addr())
		}
	}
	b.tx.addSlots(s.fam, f, firstSlot(half), list)
	s.count[endpoints] += len(list)
}

func (b *Backend) mayCallItself(s *side, a netip.Addr) {
	if s.hairpin.need(a) {
		b.add(s, hairpin, appendAddr(appendAddr(b.key[:0], a), a), nil)
	}
}

// place fills the slots that are new, then those that change hands.
func (b *Backend) place(s *side, f proxycore.Front, half int, steps []step, each func() error) error {
	for _, st := range steps { // also where only Here differs
		if st.now.Here && !st.old.Here || st.now.Here && st.now.Addr() != st.old.Addr() {
			if err := each(); err != nil {
				return err
			}
			b.mayCallItself(s, st.now.Addr())
		}
	}
	for _, replaced := range [2]bool{false, true} {
		for _, st := range steps {
			if st.now.IsValid() && st.old.IsValid() == replaced && st.now.AddrPort != st.old.AddrPort {
				if err := each(); err != nil {
					return err
				}
				key := appendSlot(b.key[:0], f, firstSlot(half)+st.slot)
				if replaced {
					b.del(s, endpoints, key)
				}
				b.add(s, endpoints, key, appendTarget(b.data[:0], st.now.AddrPort))
			}
		}
	}
	return nil
}

// vacate empties the slots that go.
func (b *Backend) vacate(s *side, f proxycore.Front, half int, steps []step, each func() error) error {
	for _, st := range steps {
		if !st.now.IsValid() && st.old.IsValid() {
			if err := each(); err != nil {
				return err
			}
			b.del(s, endpoints, appendSlot(b.key[:0], f, firstSlot(half)+st.slot))
		}
	}
	for _, st := range steps {
		if st.old.Here && !st.now.Here || st.old.Here && st.now.Addr() != st.old.Addr() {
			s.hairpin.release(st.old.Addr())
		}
	}
	return nil
}

// point gives a front another number in a map; 0 is none.
func (b *Backend) point(s *side, set setID, f proxycore.Front, old, now uint32) {
	if old == now {
		return
	}
	key := appendFront(b.key[:0], f)
	if old != 0 {
		b.del(s, set, key)
	}
	if now != 0 {
		b.add(s, set, key, appendNative(b.data[:0], now))
	}
	s.use(old, -1)
	s.use(now, +1)
}

// admit changes who may call a front. All of it is in one transaction, so that there is no moment at which somebody is
// locked out who was let in before and is after, or the reverse. The kernel copies all intervals there are whenever one
// changes (net/netfilter/nft_set_pipapo.c): 9 ms a change where there are 2,000, 26 ms where there are 6,000 (kernel 6.18).
// Changes of anything else cost nothing more.
func (b *Backend) admit(s *side, f proxycore.Front, old, now []span) {
	for _, r := range missing(old, now) {
		from, to := appendRange(b.key[:0], f, r.from), appendRange(b.data[:0], f, r.to)
		b.tx.delInterval(s.fam, ranges, from, to)
		s.count[ranges]--
	}
	for _, r := range missing(now, old) {
		from, to := appendRange(b.key[:0], f, r.from), appendRange(b.data[:0], f, r.to)
		b.tx.addInterval(s.fam, ranges, from, to)
		s.count[ranges]++
	}
}

func (b *Backend) add(s *side, set setID, key, data []byte) {
	b.tx.addElement(s.fam, set, key, data)
	s.count[set]++
}

func (b *Backend) del(s *side, set setID, key []byte) {
	b.tx.delElement(s.fam, set, key)
	s.count[set]--
}

func (b *Backend) sweepSet(ctx context.Context, s *side, set setID, r *refs) error {
	return r.sweep(func(a netip.Addr) error {
		if b.tx.size+elementSize(2*s.f.addrLen(), 0) > b.budget() { // nobody uses them: any cut is good
			if err := b.send(ctx); err != nil {
				return err
			}
		}
		key := appendAddr(b.key[:0], a)
		if set == hairpin {
			key = appendAddr(key, a)
		}
		b.del(s, set, key)
		return nil
	})
}
