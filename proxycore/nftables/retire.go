package nftables

import (
	"context"
	"slices"

	"golang.org/x/sys/unix"
)

// idleChains is how many chains lb-N, sticky-T and pick-N may wait in a family for somebody who needs them.
const idleChains = 64

// retire deletes the chains that come and go that nobody uses, when they have become many. A packet reads a number in one
// map and looks for its chain in the next, and may be held up between the two (an interrupt, a virtual CPU that is not
// scheduled) while any number of commits pass: it would find no chain, and be refused. So the chains go when no packet is
// under way any more that can have read their numbers. With a chain deleted right after its last use, 1 connection of
// 50,000 was refused.
func (b *Backend) retire(ctx context.Context) error {
	var idle [2][]uint32
	for fam, s := range b.sides {
		for n := range s.chains {
			if s.users[n] == 0 {
				idle[fam] = append(idle[fam], n)
			}
		}
		if len(idle[fam]) <= idleChains {
			idle[fam] = nil
		}
	}
	if len(idle[0])+len(idle[1]) == 0 || !packetsHavePassed() {
		return nil
	}
	for fam, s := range b.sides {
		slices.Sort(idle[fam])
		for _, n := range idle[fam] {
			b.removeChain(s, n)
		}
	}
	return b.send(ctx)
}

// packetsHavePassed returns when every packet that was between two rules at the call has left the hooks, which are read
// sections of RCU: membarrier(2) waits for a grace period, some 15 ms. It is false where the kernel does not offer that.
func packetsHavePassed() bool {
	const global = 1 // MEMBARRIER_CMD_GLOBAL (linux/membarrier.h)
	_, _, errno := unix.Syscall(unix.SYS_MEMBARRIER, global, 0, 0)
	return errno == 0
}

// removeChain deletes a chain, and before it the numbers that lead to it: a chain that an element names
// cannot be deleted (EBUSY).
func (b *Backend) removeChain(s *side, n uint32) {
	for _, set := range places(n) {
		b.tx.message(unix.NFT_MSG_DELSETELEM, 0, s.fam, func(w *buffer) {
			w.str(unix.NFTA_SET_ELEM_LIST_TABLE, b.table)
			w.str(unix.NFTA_SET_ELEM_LIST_SET, sets[set].name)
			list := w.nest(unix.NFTA_SET_ELEM_LIST_ELEMENTS)
			w.element(native(n), nil)
			w.end(list)
		})
		s.count[set]--
	}
	for _, typ := range []uint16{unix.NFT_MSG_DELRULE, unix.NFT_MSG_DELCHAIN} {
		b.tx.message(typ, 0, s.fam, func(w *buffer) {
			w.str(unix.NFTA_RULE_TABLE, b.table) // the same number as NFTA_CHAIN_TABLE
			if typ == unix.NFT_MSG_DELRULE {
				w.str(unix.NFTA_RULE_CHAIN, chainOf(n))
			} else {
				w.str(unix.NFTA_CHAIN_NAME, chainOf(n))
			}
		})
	}
	delete(s.chains, n)
}
