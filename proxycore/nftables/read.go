package nftables

import (
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
	numbers    map[uint32]string // by-service and by-pick: number → chain
	fronts     map[proxycore.Front]*pool
	strays     []stray // elements that nobody of ours has written
	hairpin    []netip.Addr
	clusterIPs []netip.Addr
	marks      []boundary // of pods
	pods       []span
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
	set setID
	key []byte
}

// readTable dumps a family's table: what is in the kernel must be known, never guessed, since one deletion of an
// element that is not there loses the whole transaction.
func (b *Backend) readTable(ctx context.Context, fam int) (*found, error) {
	k := &found{}
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
		if _, ok := k.sets[sets[id].name]; ok && id != affinity { // affinity's elements are the packets'

			if err := r.elements(ctx, id); err != nil {
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
	of := func(drop func(p *pool)) {
		for f, p := range k.fronts {
			if drop(p); p.nothing() {
				delete(k.fronts, f)
			}
		}
	}
	switch id {
	case services:
		k.fronts, k.numbers = map[proxycore.Front]*pool{}, map[uint32]string{}
	case byService, byPick:
		maps.DeleteFunc(k.numbers, func(n uint32, _ string) bool { by, _ := byNumber(n); return by == id })
	case endpoints:
		of(func(p *pool) { p.slots = nil })
	case picks:
		of(func(p *pool) { p.pick = 0 })
	case ids:
		of(func(p *pool) { p.ids = nil })
	case live:
		of(func(p *pool) { p.live = nil })
	case masqAll:
		of(func(p *pool) { p.masq = false })
	case clusterIPs:
		k.clusterIPs = nil
	case hairpin:
		k.hairpin = nil
	case pods:
		k.marks = nil
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
			case services:
				k.front(f.readFront(key)).number = binary.NativeEndian.Uint32(data)
			case byService, byPick:
				k.number(id, key, attr(e, unix.NFTA_SET_ELEM_DATA, unix.NFTA_DATA_VERDICT))
			case endpoints, ids, live:
				k.endpoint(f, id, key, data)
			case picks:
				k.front(f.readFront(key)).pick = binary.NativeEndian.Uint32(data)
			case masqAll:
				k.front(f.readFront(key)).masq = true
			case clusterIPs:
				k.clusterIPs = append(k.clusterIPs, f.readAddr(key))
			case hairpin:
				if a := f.readAddr(key); a == f.readAddr(key[f.addrLen():]) {
					k.hairpin = append(k.hairpin, a)
				} else {
					k.astray(id, key)
				}
			case pods:
				end := number(attr(e, unix.NFTA_SET_ELEM_FLAGS))&unix.NFT_SET_ELEM_INTERVAL_END != 0
				k.marks = append(k.marks, boundary{f.readAddr(key), end})
			}
		}
		return nil
	})
	if id == pods {
		k.pods = between(k.marks)
	}
	return err
}

func (k *found) astray(id setID, key []byte) {
	k.strays = append(k.strays, stray{id, append([]byte(nil), key...)})
}

// front is what was found about a front so far.
func (k *found) front(f proxycore.Front) *pool {
	p := k.fronts[f]
	if p == nil {
		p = &pool{}
		k.fronts[f] = p
	}
	return p
}

func (k *found) number(id setID, key, verdict []byte) {
	n := binary.NativeEndian.Uint32(key)
	by, code := byNumber(n)
	if by != id {
		k.astray(id, key)
		return
	}
	chain := text(attr(verdict, unix.NFTA_VERDICT_CHAIN))
	if have := int32(number(attr(verdict, unix.NFTA_VERDICT_CODE))); have != code {
		chain += fmt.Sprintf(" (verdict %d)", have)
	}
	k.numbers[n] = chain
}

// endpoint reads an element with a slot, or in live with an id.
func (k *found) endpoint(f *family, id setID, key, data []byte) {
	front, n := f.readSlot(key)
	if id == live && n < firstID || id != live && n >= maxSlots {
		k.astray(id, key)
		return
	}
	p := k.front(front)
	switch id {
	case endpoints:
		p.slots = reach(p.slots, int(n))
		p.slots[n] = proxycore.Endpoint{AddrPort: f.readTarget(data)}
	case ids:
		p.ids = reach(p.ids, int(n))
		p.ids[n] = binary.NativeEndian.Uint32(data)
	case live:
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
