package nftables

import (
	"net/netip"

	"svclab/proxycore"
)

// entry is what the kernel has about one front.
type entry struct {
	numbers numbers
	pools   [2]pool // everywhere, local
	masq    [2]bool // it is in masq-all, in masq-node
	ranges  []span
	counted bool // it has a reference on its address in cluster-ips
	goes    bool // the Full change at hand does not name the front
	comes   bool // it does
}

// pool is the endpoints of a front: slots 0…N−1 of the map endpoints, or those from maxSlots on. Which endpoint sits in
// which slot is a matter of history; nobody can tell from outside.
type pool struct {
	slots  []proxycore.Endpoint // the zero Endpoint is a slot that is missing, found in a damaged kernel only
	memory                      // of a sticky front
}

// nothing reports whether the kernel has nothing about the front.
func (e *entry) nothing() bool {
	for h := range e.pools {
		if p := &e.pools[h]; len(p.slots) > 0 || !p.memory.empty() || e.masq[h] {
			return false
		}
	}
	return e.numbers == numbers{} && len(e.ranges) == 0
}

// wanted is what the kernel shall have about a front but for its endpoints; nothing without a route.
func wanted(r *proxycore.Route) (e entry) {
	if r == nil {
		return e
	}
	e.numbers = numbersOf(r)
	e.masq = [2]bool{r.Masquerade == proxycore.MasqueradeAll, r.Masquerade == proxycore.MasqueradeNode}
	e.ranges = spans(r.Ranges, familyIndex(r.Addr))
	e.counted = r.Kind == proxycore.ClusterIP
	return e
}

// poolsOf is the endpoints of a route by pool.
func poolsOf(r *proxycore.Route) (lists [2][]proxycore.Endpoint) {
	if r != nil {
		lists[everywhere] = r.Pool.Endpoints
		if r.Local != nil {
			lists[local] = r.Local.Endpoints
		}
	}
	return lists
}

// step is a change of one slot. Without old the slot is new, without now it goes.
type step struct {
	slot     int
	old, now proxycore.Endpoint
}

// slotter computes steps; it keeps its map and slice between calls.
type slotter struct {
	left  map[netip.AddrPort]demand
	steps []step
}

type demand struct {
	count int
	here  bool
}

// reslot gives each wanted endpoint a slot: whoever has one keeps it, newcomers take what is free, and then the last
// ones move into the holes (swap with last), so that slots are 0…N−1. An endpoint that is wanted twice gets two slots.
// The steps are valid until the next call.
func (s *slotter) reslot(slots, want []proxycore.Endpoint) (now []proxycore.Endpoint, steps []step) {
	if s.left == nil {
		s.left = map[netip.AddrPort]demand{}
	}
	clear(s.left)
	for _, e := range want {
		w := s.left[e.AddrPort]
		s.left[e.AddrPort] = demand{w.count + 1, w.here || e.Here}
	}
	take := func(e netip.AddrPort) (proxycore.Endpoint, bool) {
		w := s.left[e]
		if w.count == 0 {
			return proxycore.Endpoint{}, false
		}
		s.left[e] = demand{w.count - 1, w.here}
		return proxycore.Endpoint{AddrPort: e, Here: w.here}, true
	}
	now = make([]proxycore.Endpoint, len(slots), max(len(slots), len(want)))
	for i, e := range slots {
		if e.IsValid() {
			now[i], _ = take(e.AddrPort)
		}
	}
	hole := 0
	nextHole := func() bool {
		for hole < len(now) && now[hole].IsValid() {
			hole++
		}
		return hole < len(now)
	}
	for _, e := range want {
		if e, ok := take(e.AddrPort); !ok {
			continue
		} else if nextHole() {
			now[hole] = e
		} else {
			now = append(now, e)
		}
	}
	for nextHole() {
		last := len(now) - 1
		now[hole] = now[last] // a hole itself when it is the last
		now = now[:last]
	}
	s.steps = s.steps[:0]
	for i := range max(len(slots), len(now)) {
		st := step{slot: i}
		if i < len(slots) {
			st.old = slots[i]
		}
		if i < len(now) {
			st.now = now[i]
		}
		if st.old != st.now {
			s.steps = append(s.steps, st)
		}
	}
	return now, s.steps
}
