package nftables

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// found is what the kernel holds of one family's table.
type found struct {
	exists     bool
	sets       map[string]foundSet
	chains     map[string]*foundChain
	numbers    map[place]string // by-service, by-allowed, by-local and by-pick: number → chain
	fronts     fronts
	strays     []stray // elements that nobody of ours has written
	hairpin    []netip.Addr
	clusterIPs []netip.Addr
	marks      map[setID][]boundary // of pods and service-cidrs
	intervals  map[setID][]span
	count      [numSets]int
}

type foundSet struct{ keyType, keyLen, dataType, dataLen, flags, size uint32 }

type foundChain struct {
	hook  *hook
	rules []foundRule
}

type foundRule struct {
	comment string
	terms   int
}

type stray struct {
	set      setID
	key, end []byte // end: of source-ranges
}

// readTable dumps a family's table: what is in the kernel must be known, never guessed, since one deletion of an
// element that is not there loses the whole transaction.
func (b *Backend) readTable(ctx context.Context, fam int) (*found, error) {
	k, err := b.readAllBut(ctx, fam, endpoints)
	if err == nil {
		err = b.readSet(ctx, fam, k, endpoints)
	}
	return k, err
}

// readSet reads one set more.
func (b *Backend) readSet(ctx context.Context, fam int, k *found, id setID) error {
	if _, ok := k.sets[sets[id].name]; !ok {
		return nil
	}
	return (&reader{sock: b.sock, f: families[fam], table: b.table, into: k}).elements(ctx, id)
}

// readAllBut dumps a table but for the elements of one set.
func (b *Backend) readAllBut(ctx context.Context, fam int, left setID) (*found, error) {
	k := &found{marks: map[setID][]boundary{}, intervals: map[setID][]span{}}
	r := &reader{sock: b.sock, f: families[fam], table: b.table, into: k}
	err := r.dump(ctx, unix.NFT_MSG_GETTABLE, nil, func() { k.exists = false }, func(body []byte) error {
		k.exists = k.exists || text(attr(body, unix.NFTA_TABLE_NAME)) == b.table
		return nil
	})
	if err == nil && k.exists {
		err = errors.Join(r.sets(ctx), r.chains(ctx), r.rules(ctx))
	}
	if err != nil || !k.exists {
		return k, err
	}
	for id := range setID(numSets) {
		if id != affinity && id != left { // affinity's elements are the packets'
			if err := b.readSet(ctx, fam, k, id); err != nil {
				return k, err
			}
		}
	}
	return k, nil
}

type reader struct {
	sock  *socket
	f     *family
	table string
	into  *found
}

func (r *reader) dump(ctx context.Context, typ uint16, request func(w *buffer), again func(), each func(body []byte) error) error {
	if request == nil {
		request = func(*buffer) {}
	}
	if err := r.sock.dump(ctx, typ, r.f.proto, request, again, each); err != nil {
		return fmt.Errorf("read table %s %s: %w", r.f.name, r.table, err)
	}
	return nil
}

func (r *reader) sets(ctx context.Context) error {
	return r.dump(ctx, unix.NFT_MSG_GETSET, func(w *buffer) { w.str(unix.NFTA_SET_TABLE, r.table) },
		func() { r.into.sets = map[string]foundSet{} },
		func(body []byte) error {
			r.into.sets[text(attr(body, unix.NFTA_SET_NAME))] = foundSet{
				keyType:  number(attr(body, unix.NFTA_SET_KEY_TYPE)),
				keyLen:   number(attr(body, unix.NFTA_SET_KEY_LEN)),
				dataType: number(attr(body, unix.NFTA_SET_DATA_TYPE)),
				dataLen:  number(attr(body, unix.NFTA_SET_DATA_LEN)),
				flags:    number(attr(body, unix.NFTA_SET_FLAGS)),
				size:     number(attr(body, unix.NFTA_SET_DESC, unix.NFTA_SET_DESC_SIZE)),
			}
			return nil
		})
}

func (r *reader) chains(ctx context.Context) error {
	return r.dump(ctx, unix.NFT_MSG_GETCHAIN, nil, // the kernel has no filter for the table here
		func() { r.into.chains = map[string]*foundChain{} },
		func(body []byte) error {
			if text(attr(body, unix.NFTA_CHAIN_TABLE)) != r.table {
				return nil
			}
			c := &foundChain{}
			if h := attr(body, unix.NFTA_CHAIN_HOOK); h != nil {
				c.hook = &hook{int32(number(attr(h, unix.NFTA_HOOK_HOOKNUM))), int32(number(attr(h, unix.NFTA_HOOK_PRIORITY)))}
			}
			r.into.chains[text(attr(body, unix.NFTA_CHAIN_NAME))] = c
			return nil
		})
}

func (r *reader) rules(ctx context.Context) error {
	return r.dump(ctx, unix.NFT_MSG_GETRULE, func(w *buffer) { w.str(unix.NFTA_RULE_TABLE, r.table) },
		func() {
			for _, c := range r.into.chains {
				c.rules = nil
			}
		},
		func(body []byte) error {
			c := r.into.chains[text(attr(body, unix.NFTA_RULE_CHAIN))]
			if c == nil || text(attr(body, unix.NFTA_RULE_TABLE)) != r.table {
				return nil
			}
			rule := foundRule{comment: comment(attr(body, unix.NFTA_RULE_USERDATA))}
			for range attrs(attr(body, unix.NFTA_RULE_EXPRESSIONS)) {
				rule.terms++
			}
			c.rules = append(c.rules, rule)
			return nil
		})
}

// forget drops what an interrupted dump of the set has brought.
func (k *found) forget(id setID) {
	k.count[id] = 0
	k.strays = slices.DeleteFunc(k.strays, func(x stray) bool { return x.set == id })
	of := func(drop func(e *entry)) {
		for f, e := range k.fronts {
			if drop(e); e.nothing() {
				delete(k.fronts, f)
			}
		}
	}
	switch id {
	case services: // the first that is read
		k.fronts, k.numbers = fronts{}, map[place]string{}
	case allowed, internal, external, picks, localPicks:
		of(func(e *entry) { e.numbers[id] = 0 })
	case byService, byAllowed, byLocal, byPick:
		maps.DeleteFunc(k.numbers, func(at place, _ string) bool { return at.set == id })
	case endpoints:
		of(func(e *entry) { e.pools[everywhere].slots, e.pools[local].slots = nil, nil })
	case ids:
		of(func(e *entry) { e.pools[everywhere].ids, e.pools[local].ids = nil, nil })
	case live, localLive:
		of(func(e *entry) { e.pools[id-live].live = nil })
	case masqAll, masqNode:
		of(func(e *entry) { e.masq[id-masqAll] = false })
	case ranges:
		of(func(e *entry) { e.ranges = nil })
	case clusterIPs:
		k.clusterIPs = nil
	case hairpin:
		k.hairpin = nil
	case pods, cidrs:
		k.marks[id] = nil
	}
}

func (r *reader) elements(ctx context.Context, id setID) error {
	k, f := r.into, r.f
	request := func(w *buffer) {
		w.str(unix.NFTA_SET_ELEM_LIST_TABLE, r.table)
		w.str(unix.NFTA_SET_ELEM_LIST_SET, sets[id].name)
	}
	keyLen, dataLen := sets[id].keyLen(f), sets[id].dataLen(f)
	err := r.dump(ctx, unix.NFT_MSG_GETSETELEM, request, func() { k.forget(id) }, func(body []byte) error {
		for _, e := range attrs(attr(body, unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			key := attr(e, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE)
			data := attr(e, unix.NFTA_SET_ELEM_DATA, unix.NFTA_DATA_VALUE)
			if len(key) != keyLen || !id.verdicts() && len(data) != dataLen {
				return fmt.Errorf("set %s has an element of %d and %d bytes, want %d and %d", sets[id].name, len(key), len(data), keyLen, dataLen)
			}
			k.count[id]++
			switch id {
			case services, allowed, internal, external, picks, localPicks:
				k.front(f.readFront(key)).numbers[id] = binary.NativeEndian.Uint32(data)
			case byService, byAllowed, byLocal, byPick:
				k.number(id, key, attr(e, unix.NFTA_SET_ELEM_DATA, unix.NFTA_DATA_VERDICT))
			case endpoints, ids, live, localLive:
				k.endpoint(f, id, key, data)
			case masqAll, masqNode:
				k.front(f.readFront(key)).masq[id-masqAll] = true
			case ranges:
				k.sourceRange(f, key, attr(e, setElemKeyEnd, unix.NFTA_DATA_VALUE))
			case clusterIPs:
				k.clusterIPs = append(k.clusterIPs, f.readAddr(key))
			case hairpin:
				if a := f.readAddr(key); a == f.readAddr(key[f.addrLen():]) {
					k.hairpin = append(k.hairpin, a)
				} else {
					k.astray(id, key, nil)
				}
			case pods, cidrs:
				end := number(attr(e, unix.NFTA_SET_ELEM_FLAGS))&unix.NFT_SET_ELEM_INTERVAL_END != 0
				k.marks[id] = append(k.marks[id], boundary{f.readAddr(key), end})
			}
		}
		return nil
	})
	switch id {
	case pods, cidrs:
		k.intervals[id] = between(k.marks[id])
	case ranges:
		for _, e := range k.fronts {
			slices.SortFunc(e.ranges, span.compare)
		}
	}
	return err
}

func (k *found) astray(id setID, key, end []byte) {
	k.strays = append(k.strays, stray{id, slices.Clone(key), slices.Clone(end)})
}

// sourceRange reads an element of source-ranges. One without end has one address; one of several fronts is not ours.
func (k *found) sourceRange(f *family, from, to []byte) {
	if to == nil {
		to = from
	}
	n := f.frontLen()
	if len(to) != len(from) || !bytes.Equal(from[:n], to[:n]) {
		k.astray(ranges, from, to)
		return
	}
	e := k.front(f.readFront(from))
	e.ranges = append(e.ranges, span{f.readAddr(from[n:]), f.readAddr(to[n:])})
}

// front is what was found about a front so far.
func (k *found) front(f proxycore.Front) *entry {
	e := k.fronts.at(f)
	if e == nil {
		e = &entry{}
		k.fronts[f.Key()] = e
	}
	return e
}

func (k *found) number(id setID, key, verdict []byte) {
	n := binary.NativeEndian.Uint32(key)
	if !slices.Contains(places(n), id) {
		k.astray(id, key, nil)
		return
	}
	chain := text(attr(verdict, unix.NFTA_VERDICT_CHAIN))
	if have := int32(number(attr(verdict, unix.NFTA_VERDICT_CODE))); have != id.verb() {
		chain += fmt.Sprintf(" (verdict %d)", have)
	}
	k.numbers[place{id, n}] = chain
}

// endpoint reads an element with a slot, or in live and local-live with an id.
func (k *found) endpoint(f *family, id setID, key, data []byte) {
	front, n := f.readSlot(key)
	half := int(n / maxSlots)
	if id == live || id == localLive {
		half = int(id - live)
		if n < firstID {
			half = 2
		}
	}
	if half > local {
		k.astray(id, key, nil)
		return
	}
	e := k.front(front)
	p := &e.pools[half]
	switch slot := int(n) - firstSlot(half); id {
	case endpoints:
		if p.slots == nil { // as many as the front's number says
			_, _, n := kindOfNumber(e.numbers.ends()[half])
			p.slots = make([]proxycore.Endpoint, 0, min(n, 1024))
		}
		p.slots = reach(p.slots, slot)
		p.slots[slot] = proxycore.Endpoint{AddrPort: f.readTarget(data)}
	case ids:
		p.ids = reach(p.ids, slot)
		p.ids[slot] = binary.NativeEndian.Uint32(data)
	default:
		if p.live == nil {
			p.live = map[uint32]netip.AddrPort{}
		}
		p.live[n] = f.readTarget(data)
	}
}

// reach makes a list long enough for an index.
func reach[T any](list []T, i int) []T {
	for len(list) <= i {
		var none T
		list = append(list, none)
	}
	return list
}
