package nftables

import (
	"encoding/binary"
	"slices"

	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// maxList keeps a list of elements below 64 KB, the largest attribute that 16 bits of length can tell.
const maxList = 60000

// transaction collects what one commit will do, for both families: the kernel takes a batch as a whole or not at all.
type transaction struct {
	table string
	out   buffer // declarations, then the composed batch
	first uint32
	seq   uint32
	last  int                       // where the last message begins
	elems [2][numSets]elementBuffer // encoded, waiting to be composed into messages
	size  int                       // of out and elems
}

type elementBuffer struct{ del, add buffer }

// reset begins a new transaction whose messages are numbered from seq+1 on. Buffers are kept, so that a small change
// allocates little; those of a first sync are not.
func (t *transaction) reset(seq uint32) {
	t.out.b, t.seq, t.first, t.last, t.size = again(t.out.b), seq+1, seq+1, 0, 0
	at := t.out.message(unix.NFNL_MSG_BATCH_BEGIN, 0, t.seq, unix.AF_UNSPEC, nftables)
	t.out.endMessage(at)
	for fam := range t.elems {
		for id := range t.elems[fam] {
			t.elems[fam][id].del.b = again(t.elems[fam][id].del.b)
			t.elems[fam][id].add.b = again(t.elems[fam][id].add.b)
		}
	}
}

func again(b []byte) []byte {
	const keep = 2 * chunk
	if cap(b) > keep {
		return nil
	}
	return b[:0]
}

// expect makes room for so many additions, within one transaction of so many bytes. Growing step by step took 40 % of a
// first sync.
func (t *transaction) expect(fam int, set setID, additions, limit int) {
	if additions <= 0 {
		return
	}
	f := families[fam]
	b := &t.elems[fam][set].add.b
	*b = slices.Grow(*b, min(additions*elementSize(sets[set].keyLen(f), sets[set].dataLen(f)), limit))
}

func (t *transaction) empty() bool { return t.size == 0 }

// message adds a message; write fills it.
func (t *transaction) message(typ, flags uint16, fam int, write func(w *buffer)) {
	at := t.open(typ, flags, fam)
	write(&t.out)
	t.out.endMessage(at)
	t.size += len(t.out.b) - at
}

func (t *transaction) open(typ, flags uint16, fam int) int {
	t.seq++
	t.last = len(t.out.b)
	return t.out.message(nftables<<8|typ, flags, t.seq, families[fam].proto, 0)
}

func (t *transaction) addElement(fam int, set setID, key, data []byte) {
	w := &t.elems[fam][set].add
	before := len(w.b)
	w.element(key, data)
	t.size += len(w.b) - before
}

func (t *transaction) addSlots(fam int, front proxycore.Front, first int, list []proxycore.Endpoint) {
	w := &t.elems[fam][endpoints].add
	before := len(w.b)
	w.slots(families[fam], front, first, list)
	t.size += len(w.b) - before
}

func (t *transaction) delElement(fam int, set setID, key []byte) {
	w := &t.elems[fam][set].del
	before := len(w.b)
	w.element(key, nil)
	t.size += len(w.b) - before
}

func (t *transaction) addInterval(fam int, set setID, from, to []byte) {
	w := &t.elems[fam][set].add
	before := len(w.b)
	w.interval(from, to)
	t.size += len(w.b) - before
}

func (t *transaction) delInterval(fam int, set setID, from, to []byte) {
	w := &t.elems[fam][set].del
	before := len(w.b)
	w.interval(from, to)
	t.size += len(w.b) - before
}

// compose returns the batch: declarations, deletions, additions. An element that gets other data is in both; and in a
// full set the deletion makes the room.
func (t *transaction) compose() []byte {
	t.out.b = slices.Grow(t.out.b, t.size+t.size/512+headers)
	for fam := range t.elems {
		for id := range t.elems[fam] {
			t.lists(unix.NFT_MSG_DELSETELEM, 0, fam, setID(id), t.elems[fam][id].del.b)
		}
	}
	for fam := range t.elems {
		for id := range t.elems[fam] {
			t.lists(unix.NFT_MSG_NEWSETELEM, unix.NLM_F_CREATE, fam, setID(id), t.elems[fam][id].add.b)
		}
	}
	flags := t.out.b[t.last+6:]
	binary.NativeEndian.PutUint16(flags, binary.NativeEndian.Uint16(flags)|unix.NLM_F_ACK)
	end := t.out.message(unix.NFNL_MSG_BATCH_END, 0, t.seq+1, unix.AF_UNSPEC, nftables)
	t.out.endMessage(end)
	return t.out.b
}

func (t *transaction) lists(typ, flags uint16, fam int, set setID, elems []byte) {
	for len(elems) > 0 {
		n := len(elems)
		if n > maxList {
			for n = 0; n <= maxList; {
				n += align(int(binary.NativeEndian.Uint16(elems[n:])))
			}
		}
		at := t.open(typ, flags, fam)
		t.out.str(unix.NFTA_SET_ELEM_LIST_TABLE, t.table)
		t.out.str(unix.NFTA_SET_ELEM_LIST_SET, sets[set].name)
		list := t.out.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
		t.out.b = append(t.out.b, elems[:n]...)
		t.out.end(list)
		t.out.endMessage(at)
		elems = elems[n:]
	}
}
