package nftables

import (
	"fmt"
	"hash/crc32"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// sticky is the chain sticky-T, or sticky-T-local. The map affinity remembers the id of a client's endpoint, and live says where that is;
// an endpoint that is gone is not in live, so its clients are picked a new one without anybody having looked for them.
//
// Recall, refresh and translate are one rule, so that nothing is refreshed that leads nowhere. What follows stands
// twice, because a commit may fall into the first pass (flat-layout.md, order point 3: 13 lost in 10,533 changes with
// one). After remembering, recall: another CPU may have been first. When the map is full, the id that was picked
// serves this connection. Who comes through when the front has ceased to be sticky finds its slot 0.
//
// Both chains remember in one map, but look for the id each among its own endpoints: who was sent to an endpoint elsewhere
// before the policy became Local must not be any more, and an endpoint here keeps its clients.
func (f *family) sticky(seconds, half int) chainSpec {
	timeout := time.Duration(seconds) * time.Second
	front, data := r0+f.words, r0+2*f.words+2
	client := append(terms(f.source(r0)), f.front(front)...)
	picks, live := picks+setID(half), live+setID(half)
	recall := append(append([]term(nil), client...), leave(affinity, r0)...)
	refresh := append(append([]term(nil), client...), metaGet(unix.NFT_META_PRIORITY, data), remember(affinity, dynsetUpdate, r0, data, timeout))
	forget := terms(metaGet(unix.NFT_META_PRIORITY, data), remember(affinity, dynsetDelete, r0, data, 0))
	pick := append(f.front(r0), follow(picks, byPick, r0)...)
	translate := append(f.front(r0), metaGet(unix.NFT_META_PRIORITY, r0+f.words+2), find(live, r0), f.dnat(r0))

	rules := []ruleSpec{rule(fmt.Sprintf("remembered, for %d s more", seconds), recall, refresh, translate)}
	for range 2 {
		rules = append(rules,
			rule("forget an endpoint that is gone", client, forget),
			rule("pick one", pick),
			rule("remember it", refresh),
			rule("recall it", recall),
			rule("to the one remembered", translate))
	}
	return chainSpec{chainOf(stickyNumber(timeout, half)), nil, append(rules, rule("its slot 0", terms(goTo(toSlotZero[half]))))}
}

// pick is the chain pick-N: it leaves the id of a random slot of N in the scratch, or that of slot 0; see pool.
func (f *family) pick(n, half int) chainSpec {
	return chainSpec{chainOf(pickNumber(n, half)), nil, []ruleSpec{
		rule(fmt.Sprintf("random slot of %d", n), randomSlot(n, half), terms(goTo(toID[half])))}}
}

// memory is what a pool of a sticky front has in the kernel besides its slots, which it keeps in the map endpoints.
type memory struct {
	ids  []uint32                  // by slot; 0 is one that is missing
	live map[uint32]netip.AddrPort // by id
}

// firstID: sockets have priorities below, and the scratch is the packet's priority.
const firstID = 16

// remember gives the pools of a sticky front their memories, which follow the old ones. An endpoint keeps its id, or its
// clients would move, and has the same in both pools; a new one's is a function of its address, but for collisions within
// the front.
func (e *entry) remember(old *entry) {
	idOf, owner := map[netip.AddrPort]uint32{}, map[uint32]netip.AddrPort{}
	for h := range old.pools {
		for id, to := range old.pools[h].live {
			if other, taken := owner[id]; taken && other != to { // in a damaged kernel only
				continue
			}
			owner[id] = to
			if have, ok := idOf[to]; !ok || id < have {
				idOf[to] = id
			}
		}
	}
	taken := func(id uint32) bool { _, is := owner[id]; return is || id < firstID }
	var key [20]byte
	for h := range e.pools {
		p := &e.pools[h]
		if e.numbers[picks+setID(h)] == 0 {
			continue
		}
		p.memory = memory{make([]uint32, len(p.slots)), make(map[uint32]netip.AddrPort, len(p.slots))}
		for i, to := range p.slots {
			id, ok := idOf[to.AddrPort]
			if !ok {
				id = crc32.ChecksumIEEE(appendTarget(key[:0], to.AddrPort))
				for taken(id) {
					id++
				}
				idOf[to.AddrPort], owner[id] = id, to.AddrPort
			}
			p.ids[i], p.live[id] = id, to.AddrPort
		}
	}
}

func (m *memory) empty() bool { return len(m.ids) == 0 && len(m.live) == 0 }

func at(ids []uint32, slot int) uint32 {
	if slot < len(ids) {
		return ids[slot]
	}
	return 0
}

// size bounds what the change from one memory to another adds to a transaction.
func (m *memory) size(f *family, now *memory) int {
	n := 0
	for slot := range max(len(m.ids), len(now.ids)) {
		if at(m.ids, slot) != at(now.ids, slot) {
			n += elementSize(f.slotLen(), 0) + elementSize(f.slotLen(), 4)
		}
	}
	for id, to := range now.live {
		if m.live[id] != to {
			n += elementSize(f.slotLen(), 0) + elementSize(f.slotLen(), f.targetLen())
		}
	}
	for id := range m.live {
		if _, stays := now.live[id]; !stays {
			n += elementSize(f.slotLen(), 0)
		}
	}
	return n
}

// learn collects what must be there before the front is sticky, or before it picks from more slots; forget what must
// stay until nobody picks it. each makes room.
func (b *Backend) learn(s *side, f proxycore.Front, half int, old, now *memory, each func() error) error {
	live, first := live+setID(half), firstSlot(half)
	for _, id := range now.ids {
		to, had := old.live[id]
		if had && to == now.live[id] {
			continue
		}
		if err := each(); err != nil {
			return err
		}
		key := appendSlot(b.key[:0], f, int(id))
		if had {
			b.del(s, live, key)
		}
		b.add(s, live, key, appendTarget(b.data[:0], now.live[id]))
		if old.live == nil {
			old.live = map[uint32]netip.AddrPort{}
		}
		old.live[id] = now.live[id] // two slots may hold one endpoint
	}
	for slot, id := range now.ids {
		have := at(old.ids, slot)
		if have == id {
			continue
		}
		if err := each(); err != nil {
			return err
		}
		key := appendSlot(b.key[:0], f, first+slot)
		if have != 0 {
			b.del(s, ids, key)
		}
		b.add(s, ids, key, appendNative(b.data[:0], id))
	}
	return nil
}

func (b *Backend) forget(s *side, f proxycore.Front, half int, old, now *memory, each func() error) error {
	live, first := live+setID(half), firstSlot(half)
	for slot := len(now.ids); slot < len(old.ids); slot++ {
		if old.ids[slot] == 0 {
			continue
		}
		if err := each(); err != nil {
			return err
		}
		b.del(s, ids, appendSlot(b.key[:0], f, first+slot))
	}
	for id := range old.live {
		if _, stays := now.live[id]; stays {
			continue
		}
		if err := each(); err != nil {
			return err
		}
		b.del(s, live, appendSlot(b.key[:0], f, int(id)))
	}
	return nil
}

// newcomers is how many elements the wanted endpoints may add to live before others go.
func (m *memory) newcomers(want []proxycore.Endpoint) int {
	if len(m.live) == 0 {
		return len(want)
	}
	there := make(map[netip.AddrPort]bool, len(m.live))
	for _, to := range m.live {
		there[to] = true
	}
	n := 0
	for _, e := range want {
		if !there[e.AddrPort] {
			n++
		}
	}
	return n
}
