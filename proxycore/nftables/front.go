package nftables

import (
	"context"
	"net/netip"

	"svclab/proxycore"
)

// budget is what the elements of a transaction may take of its bytes; the rest is for the messages around them: at
// most one header for each set and family and for every 60 KB.
func (b *Backend) budget() int { return max(b.limit-2048-b.limit/512, 512) }

// room sends what is collected when n more bytes would not fit.
func (b *Backend) room(ctx context.Context, n int, full bool) error {
	if b.tx.empty() || b.tx.size+n <= b.budget() {
		return nil
	}
	if !full { // a Full change does not know yet what is still needed
		b.sweep()
	}
	return b.send(ctx)
}

// cost is what one changed slot may add to a transaction, or one of its id.
func (f *family) cost() int {
	return elementSize(f.slotLen(), f.targetLen()) + elementSize(f.slotLen(), 0) + 2*elementSize(2*f.addrLen(), 0)
}

// front collects the change of one front; want is nil for one that goes. It is whole within one transaction. One that
// is too large even for that (thousands of endpoints) is cut so that every packet still finds an endpoint of the old
// pool or of the new: new slots, replaced slots, the front's number, and then the slots that go.
func (b *Backend) front(ctx context.Context, f proxycore.Front, want *proxycore.Route, full bool) error {
	s := b.sides[familyIndex(f.Addr)]
	p := s.fronts[f]
	if p == nil {
		p = &pool{}
		s.fronts[f] = p
	}
	var number uint32
	var list []proxycore.Endpoint
	if want != nil {
		list = want.Pool.Endpoints
		number = numberOf(want)
	}
	now, steps := b.slots.reslot(p.slots, list)
	var recall memory
	if kind, _ := kindOfNumber(number); kind == kindSticky {
		recall = p.memory.next(now)
	}

	fixed := 8 * elementSize(s.f.frontLen(), 4) // services, picks, masq-all and cluster-ips
	whole := fixed + len(steps)*s.f.cost() + p.memory.size(s.f, &recall)
	if err := b.room(ctx, whole, full); err != nil {
		return err
	}
	each := func() error { return nil }
	if whole > b.budget() {
		each = func() error { return b.room(ctx, s.f.cost()+fixed, full) }
	}

	counts := want != nil && want.Kind == proxycore.ClusterIP
	if counts && !p.counted {
		if s.clusterIPs.need(f.Addr) {
			b.add(s, clusterIPs, appendAddr(b.key[:0], f.Addr), nil)
		}
	}
	masq := want != nil && want.Masquerade == proxycore.MasqueradeAll
	if masq && !p.masq {
		b.add(s, masqAll, appendFront(b.key[:0], f), nil)
	}
	for _, st := range steps { // also where only Here differs
		if st.now.Here && !st.old.Here || st.now.Here && st.now.Addr() != st.old.Addr() {
			if err := each(); err != nil {
				return err
			}
			if a := st.now.Addr(); s.hairpin.need(a) {
				b.add(s, hairpin, appendAddr(appendAddr(b.key[:0], a), a), nil)
			}
		}
	}
	for _, replaced := range [2]bool{false, true} {
		for _, st := range steps {
			if st.now.IsValid() && st.old.IsValid() == replaced && st.now.AddrPort != st.old.AddrPort {
				if err := each(); err != nil {
					return err
				}
				key := appendSlot(b.key[:0], f, st.slot)
				if replaced {
					b.del(s, endpoints, key)
				}
				b.add(s, endpoints, key, appendTarget(b.data[:0], st.now.AddrPort))
			}
		}
	}
	if err := b.learn(s, f, &p.memory, &recall, each); err != nil {
		return err
	}
	b.point(s, picks, f, p.pick, recall.pick)
	b.point(s, services, f, p.number, number)
	if err := b.forget(s, f, &p.memory, &recall, each); err != nil {
		return err
	}
	for _, st := range steps {
		if !st.now.IsValid() && st.old.IsValid() {
			if err := each(); err != nil {
				return err
			}
			b.del(s, endpoints, appendSlot(b.key[:0], f, st.slot))
		}
	}
	for _, st := range steps {
		if st.old.Here && !st.now.Here || st.old.Here && st.now.Addr() != st.old.Addr() {
			s.hairpin.release(st.old.Addr())
		}
	}
	if p.masq && !masq {
		b.del(s, masqAll, appendFront(b.key[:0], f))
	}
	if p.counted && !counts {
		s.clusterIPs.release(f.Addr)
	}
	if want == nil {
		delete(s.fronts, f)
		return nil
	}
	p.slots, p.number, p.memory, p.masq, p.counted = now, number, recall, masq, counts
	return nil
}

// point gives a front another number in services or picks; 0 is none.
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

// numberOf is the number of the chain for a front.
func numberOf(r *proxycore.Route) uint32 {
	switch {
	case len(r.Pool.Endpoints) > 0 && r.Affinity > 0:
		return stickyNumber(r.Affinity)
	case len(r.Pool.Endpoints) > 0:
		return poolNumber(len(r.Pool.Endpoints))
	case r.Pool.Empty == proxycore.Drop:
		return toIgnore
	}
	return toRefuse
}

func (b *Backend) add(s *side, set setID, key, data []byte) {
	b.tx.addElement(s.fam, set, key, data)
	s.count[set]++
}

func (b *Backend) del(s *side, set setID, key []byte) {
	b.tx.delElement(s.fam, set, key)
	s.count[set]--
}

func (b *Backend) sweepSet(s *side, set setID, r *refs) {
	r.sweep(func(a netip.Addr) {
		key := appendAddr(b.key[:0], a)
		if set == hairpin {
			key = appendAddr(key, a)
		}
		b.del(s, set, key)
	})
}
