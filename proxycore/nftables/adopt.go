package nftables

import (
	"context"
	"strings"

	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// adopt reads the kernel and takes over what is there, slots and numbers as found, so that a Full change sends only
// what differs. What it must repair it puts into the first transaction. A table that is not of this layout cannot be
// adopted: it is made anew, in the transaction that fills it.
func (b *Backend) adopt(ctx context.Context, want []proxycore.Route) (anew bool, err error) {
	var have [2]*found
	slots := 0
	for fam := range families {
		if have[fam], err = b.readAllBut(ctx, fam, endpoints); err != nil {
			return false, err
		}
		slots += have[fam].slots()
	}
	b.refills = slots > b.readable && b.mostOf(have, want) <= b.budget()
	for fam := range families {
		if b.refills {
			continue
		}
		if err = b.readSet(ctx, fam, have[fam], endpoints); err != nil {
			return false, err
		}
	}
	b.tx.reset(b.sock.seq)
	for fam, k := range have {
		s := newSide(fam)
		b.sides[fam] = s
		switch {
		case !k.exists:
			s.fresh = true
		case !k.isOurs(s.f):
			s.fresh, anew = true, true
			b.tx.dropTable(fam)
		default:
			b.take(s, k)
		}
	}
	return anew, nil
}

// readable is how many slots are read. The kernel begins at the first element again with every 32 KB that it lists
// (net/netfilter/nft_set_hash.c, nft_hash_walk), so a listing costs the square of the number: 0.2 s for 100,000, 6 s for
// 500,000, more than half a minute for 1,250,000. Above, nothing is read: the map endpoints is emptied and filled in one
// transaction, which takes 1 to 2 s for as many. Then slots change hands for nothing, but no packet can tell.
const readable = 1 << 17

// slots is how many slots the numbers found speak of.
func (k *found) slots() (sum int) {
	for _, e := range k.fronts {
		for half, number := range e.numbers.ends() {
			kind, _, n := kindOfNumber(number)
			if kind == kindSticky {
				_, _, n = kindOfNumber(e.numbers[picks+setID(half)])
			}
			if kind == kindPool || kind == kindSticky {
				sum += n
			}
		}
	}
	return sum
}

// mostOf bounds the transaction that makes everything wanted of what was found.
func (b *Backend) mostOf(have [2]*found, want []proxycore.Route) (sum int) {
	for r := range routes([][]proxycore.Route{want}) {
		f, now, lists := families[familyIndex(r.Addr)], wanted(r), poolsOf(r)
		sum += now.fixed(f, &entry{ranges: now.ranges})
		each := elementSize(f.slotLen(), f.targetLen())
		if r.Affinity > 0 { // ids and live, there or not
			each += 2*each + 2*elementSize(f.slotLen(), 4)
		}
		for _, list := range lists {
			sum += len(list) * each
			for i := range list {
				if list[i].Here {
					sum += elementSize(2*f.addrLen(), 0)
				}
			}
		}
	}
	for fam, k := range have {
		f := families[fam]
		for _, e := range k.fronts {
			sum += e.fixed(f, &entry{})
			for h := range e.pools {
				sum += e.pools[h].memory.size(f, &memory{})
			}
		}
		sum += (len(k.clusterIPs) + len(k.hairpin)) * elementSize(2*f.addrLen(), 0)
	}
	return sum
}

func (t *transaction) flush(s *side, set setID) {
	t.message(unix.NFT_MSG_DELSETELEM, 0, s.fam, func(w *buffer) { // without elements: all of them
		w.str(unix.NFTA_SET_ELEM_LIST_TABLE, t.table)
		w.str(unix.NFTA_SET_ELEM_LIST_SET, sets[set].name)
	})
}

func newSide(fam int) *side {
	return &side{
		f: families[fam], fam: fam,
		fronts: fronts{}, intervals: map[setID][]span{}, chains: map[uint32]bool{}, users: map[uint32]int{},
		clusterIPs: newRefs(), hairpin: newRefs(),
	}
}

// isOurs reports whether sets and hooks are those of this layout. Rules can be repaired, these cannot.
func (k *found) isOurs(f *family) bool {
	for id := range sets {
		spec := &sets[id]
		have, ok := k.sets[spec.name]
		keyType, keyLen := f.measure(spec.key)
		dataType, dataLen := f.measure(spec.data)
		if setID(id).verdicts() {
			dataLen = int(have.dataLen) // a verdict has no length to the kernel
		}
		want := foundSet{keyType, uint32(keyLen), dataType, uint32(dataLen), spec.flags, have.size}
		if !ok || have != want {
			return false
		}
	}
	for _, c := range f.chains(character{}) {
		have := k.chains[c.name]
		if have != nil && ((have.hook == nil) != (c.hook == nil) || c.hook != nil && *c.hook != *have.hook) {
			return false
		}
	}
	return true
}

func (b *Backend) take(s *side, k *found) {
	s.fronts, s.count = k.fronts, k.count
	for id := range sets {
		s.size[id] = int(k.sets[sets[id].name].size)
	}
	for _, a := range k.clusterIPs {
		s.clusterIPs.found(a)
	}
	for _, a := range k.hairpin {
		s.hairpin.found(a)
	}
	s.intervals[pods], s.intervals[cidrs] = k.intervals[pods], k.intervals[cidrs]
	s.character = k.character()
	for _, c := range s.f.chains(s.character) {
		if c.differs(k.chains[c.name]) != "" {
			b.tx.writeChain(s, c, k.chains[c.name] != nil)
		}
	}
	for _, x := range k.strays {
		if x.set == ranges {
			b.tx.delInterval(s.fam, x.set, x.key, x.end)
		} else {
			b.tx.delElement(s.fam, x.set, x.key)
		}
		s.count[x.set]--
	}
	for at, chain := range k.numbers {
		if chainOf(at.number) != chain {
			b.tx.delElement(s.fam, at.set, native(at.number))
			s.count[at.set]--
		}
	}
	number := func(n uint32) {
		for _, set := range places(n) {
			if k.numbers[place{set, n}] != chainOf(n) {
				b.tx.lead(s, set, n)
			}
		}
	}
	for _, o := range others {
		number(o.number)
	}
	for name, c := range k.chains {
		if n, ok := numberOfChain(name); ok {
			if spec := s.f.chain(n); spec.differs(c) != "" {
				b.tx.writeChain(s, spec, true)
			}
			number(n)
			s.chains[n] = true
		}
	}
	for _, e := range s.fronts {
		for _, n := range e.numbers {
			s.use(n, +1)
		}
	}
}

// character reads in the rules what of NodeRules they are made for.
func (k *found) character() (c character) {
	if translated := k.chains["translated"]; translated != nil {
		for _, r := range translated.rules {
			switch r.comment {
			case ruleMasquerade:
				c.masquerade = masqueradeOutside
			case ruleMasqueradeAll:
				c.masquerade = masqueradeAll
			}
		}
	}
	if parting := k.chains["etp-local"]; parting != nil {
		for _, r := range parting.rules {
			if name, ok := strings.CutPrefix(r.comment, rulePodsOn); ok {
				c.podInterface = name
			}
		}
	}
	return c
}

// use counts the fronts of a chain. One that nobody uses stays for a while: pools that grow and shrink between two
// sizes would otherwise cost three transactions a change.
func (s *side) use(number uint32, by int) {
	if s.users[number] += by; s.users[number] == 0 {
		delete(s.users, number)
	}
}

// writeChain makes a chain hold exactly its rules. The kernel swaps the rules of a chain as a whole at the commit.
func (t *transaction) writeChain(s *side, c chainSpec, exists bool) {
	if exists {
		t.message(unix.NFT_MSG_DELRULE, 0, s.fam, func(w *buffer) {
			w.str(unix.NFTA_RULE_TABLE, t.table)
			w.str(unix.NFTA_RULE_CHAIN, c.name)
		})
	} else {
		t.addChain(s, c)
	}
	for _, r := range c.rules {
		t.message(unix.NFT_MSG_NEWRULE, unix.NLM_F_CREATE|unix.NLM_F_APPEND, s.fam, func(w *buffer) { r.body(w, t.table, c.name) })
	}
}

func (t *transaction) addChain(s *side, c chainSpec) {
	t.message(unix.NFT_MSG_NEWCHAIN, unix.NLM_F_CREATE, s.fam, func(w *buffer) {
		w.str(unix.NFTA_CHAIN_TABLE, t.table)
		w.str(unix.NFTA_CHAIN_NAME, c.name)
		if c.hook != nil {
			at := w.nest(unix.NFTA_CHAIN_HOOK)
			w.u32(unix.NFTA_HOOK_HOOKNUM, uint32(c.hook.number))
			w.u32(unix.NFTA_HOOK_PRIORITY, uint32(c.hook.priority))
			w.end(at)
			w.u32(unix.NFTA_CHAIN_POLICY, 1) // NF_ACCEPT
			w.str(unix.NFTA_CHAIN_TYPE, "nat")
		}
	})
}

// addNumber lets a number lead to its chain, wherever somebody may be sent there.
func (t *transaction) addNumber(s *side, n uint32) {
	for _, set := range places(n) {
		t.lead(s, set, n)
	}
}

func (t *transaction) lead(s *side, set setID, n uint32) {
	w := &t.elems[s.fam][set].add
	before := len(w.b)
	at := w.nest(unix.NFTA_LIST_ELEM)
	w.value(unix.NFTA_SET_ELEM_KEY, native(n))
	w.verdict(unix.NFTA_SET_ELEM_DATA, set.verb(), chainOf(n))
	w.end(at)
	t.size += len(w.b) - before
	s.count[set]++
}
