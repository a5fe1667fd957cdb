package nftables

import (
	"net/netip"
	"slices"

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
	own    bool                 // slots is ours to change; else it is the list of a Route, which has it in the same order
	memory                      // of a sticky front
}

// fronts is what the kernel has, by front.
type fronts map[proxycore.FrontKey]*entry

func (m fronts) at(f proxycore.Front) *entry { return m[f.Key()] }

// sorted are the fronts in order.
func (m fronts) sorted() []proxycore.Front {
	list := make([]proxycore.Front, 0, len(m))
	for k := range m {
		list = append(list, k.Front())
	}
	slices.SortFunc(list, proxycore.Front.Compare)
	return list
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

// appendFresh appends the steps that fill a pool that had no slots.
func appendFresh(steps []step, list []proxycore.Endpoint) []step {
	for i, e := range list {
		steps = append(steps, step{slot: i, now: e})
	}
	return steps
}

// slotter computes steps; it keeps its map and slices between calls.
type slotter struct {
	left  map[netip.AddrPort]demand // who is wanted, and has not been found yet
	odd   []int                     // slots whose endpoint was not found beside the one wanted
	come  []proxycore.Endpoint      // who is wanted, and was not found beside a slot
	steps []step
}

type demand struct {
	count int
	here  bool
}

// reslot gives each wanted endpoint a slot: whoever has one keeps it, newcomers take what is free, and then the last
// ones move into the holes (swap with last), so that slots are 0…N−1. An endpoint that is wanted twice gets two slots.
// The steps are valid until the next call.
//
// Slots and list begin in the same order and part only by what has changed since, so both are walked side by side, and only
// who is not met is looked for.
func (s *slotter) reslot(p pool, want []proxycore.Endpoint) (now pool, steps []step) {
	s.odd, s.come, s.steps = s.odd[:0], s.come[:0], s.steps[:0]
	slots, w := p.slots, 0
	keep := func(slot int, here bool) {
		if e := slots[slot]; e.Here != here {
			s.steps = append(s.steps, step{slot, e, proxycore.Endpoint{AddrPort: e.AddrPort, Here: here}})
		}
	}
	for i := range slots {
		switch {
		case !slots[i].IsValid():
			s.odd = append(s.odd, i)
		case w < len(want) && slots[i].AddrPort == want[w].AddrPort:
			keep(i, want[w].Here)
			w++
		case w+1 < len(want) && slots[i].AddrPort == want[w+1].AddrPort:
			s.come = append(s.come, want[w])
			keep(i, want[w+1].Here)
			w += 2
		default:
			s.odd = append(s.odd, i)
			if w < len(want) && (i+1 == len(slots) || slots[i+1].AddrPort != want[w].AddrPort) {
				s.come = append(s.come, want[w])
				w++
			}
		}
	}
	s.come = append(s.come, want[w:]...)
	if len(s.odd)+len(s.come) == 0 {
		return pool{slots: want}, s.steps
	}
	s.match(slots)
	return pool{slots: s.settle(p), own: true}, s.steps
}

// match finds those who came at the odd slots; what is odd after it goes, who is among the newcomers has no slot.
func (s *slotter) match(slots []proxycore.Endpoint) {
	if s.left == nil {
		s.left = map[netip.AddrPort]demand{}
	}
	clear(s.left)
	for _, e := range s.come {
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
	s.odd = slices.DeleteFunc(s.odd, func(i int) bool {
		e, found := proxycore.Endpoint{}, false
		if slots[i].IsValid() {
			e, found = take(slots[i].AddrPort)
		}
		if found && e != slots[i] {
			s.steps = append(s.steps, step{i, slots[i], e})
		}
		return found
	})
	s.come = slices.DeleteFunc(s.come, func(e proxycore.Endpoint) bool { _, found := take(e.AddrPort); return !found })
}

// settle gives newcomers the odd slots and what is behind the end, and moves the last ones into what is still odd.
func (s *slotter) settle(p pool) []proxycore.Endpoint {
	list := p.slots
	if !p.own {
		list = append(make([]proxycore.Endpoint, 0, len(list)+max(0, len(s.come)-len(s.odd))), list...)
	}
	for _, st := range s.steps {
		list[st.slot] = st.now
	}
	put := func(slot int, e proxycore.Endpoint) {
		s.steps = append(s.steps, step{slot, list[slot], e})
		list[slot] = e
	}
	n := min(len(s.odd), len(s.come))
	for i, slot := range s.odd[:n] {
		put(slot, s.come[i])
	}
	for _, e := range s.come[n:] {
		list = append(list, proxycore.Endpoint{})
		put(len(list)-1, e)
	}
	for holes := s.odd[n:]; len(holes) > 0; {
		last := len(list) - 1
		if holes[len(holes)-1] == last {
			holes = holes[:len(holes)-1]
		} else {
			put(holes[0], list[last])
			holes = holes[1:]
		}
		if list[last].IsValid() {
			put(last, proxycore.Endpoint{})
		}
		list = list[:last]
	}
	return list
}
