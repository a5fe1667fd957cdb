package nftables

import (
	"iter"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// A number stands for a chain in the maps of fronts: the kind in the upper byte, N or T below. Were the chain itself in
// such a map, the kernel would validate every element whenever one is added: 3.7 ms a change instead of 0.011 at 30,000
// Services (flat-layout.md, Q8a). Numbers are functions of the state, so that a new process finds what the old one wrote.
const (
	kindPool   = 1 << 24 // lb-N
	kindSticky = 3 << 24 // sticky-T, T in seconds
	kindPick   = 5 << 24 // pick-N
	ofLocal    = 1 << 24 // added to one of these: lb-N-local, sticky-T-local, pick-N-local
	kindOther  = 8 << 24
	toRefuse   = kindOther
	toIgnore   = kindOther + 1
	toLocal    = kindOther + 2
	toCheck    = kindOther + 3
	kindMask   = 0xff << 24
)

// maxSeconds bounds an affinity timeout; the API's bound is 86,400.
const maxSeconds = 1<<24 - 1

// maxSlots bounds a pool; the slots above are those of the local ones (flat-layout.md, Q1).
const maxSlots = 1 << 16

// A front has two pools: that of its Route, and under a Local policy that of Route.Local.
const (
	everywhere = iota
	local
)

// firstSlot is where the slots of a pool begin.
func firstSlot(half int) int { return half * maxSlots }

var (
	kinds = []struct {
		kind           uint32
		prefix, suffix string
		most           int
	}{
		{kindPool, "lb-", "", maxSlots}, {kindPool + ofLocal, "lb-", "-local", maxSlots},
		{kindSticky, "sticky-", "", maxSeconds}, {kindSticky + ofLocal, "sticky-", "-local", maxSeconds},
		{kindPick, "pick-", "", maxSlots}, {kindPick + ofLocal, "pick-", "-local", maxSlots},
	}
	others = []struct {
		number uint32
		chain  string
	}{{toRefuse, "refuse"}, {toIgnore, "ignore"}, {toLocal, "etp-local"}, {toCheck, "source-check"}}
)

func poolNumber(n, half int) uint32 { return kindPool + uint32(half)*ofLocal | uint32(n) }
func pickNumber(n, half int) uint32 { return kindPick + uint32(half)*ofLocal | uint32(n) }
func stickyNumber(timeout time.Duration, half int) uint32 {
	return kindSticky + uint32(half)*ofLocal | uint32(timeout/time.Second)
}

// kindOfNumber takes a number apart: its kind, of which pool, and N or T.
func kindOfNumber(number uint32) (kind uint32, half, n int) {
	kind, n = number&kindMask, int(number&^kindMask)
	for _, k := range [...]uint32{kindPool, kindSticky, kindPick} {
		if kind == k+ofLocal {
			return k, local, n
		}
	}
	return kind, everywhere, n
}

// place is a number in one of the maps that lead to chains.
type place struct {
	set    setID
	number uint32
}

// places are the maps in which a number stands, so that whoever may be sent to its chain finds it, but for a way that led
// back: a chain must not be reachable from itself (ELOOP).
func places(number uint32) []setID {
	kind, half, _ := kindOfNumber(number)
	switch {
	case kind == kindPick:
		return []setID{byPick}
	case half == local:
		return []setID{byLocal}
	case number == toLocal:
		return []setID{byService, byAllowed}
	case number == toCheck:
		return []setID{byService}
	}
	return []setID{byService, byAllowed, byLocal}
}

// verb is how a map leads to a chain: who picks comes back.
func (id setID) verb() int32 {
	if id == byPick {
		return unix.NFT_JUMP
	}
	return unix.NFT_GOTO
}

// chains is the map in which the numbers of a map of fronts are.
func (id setID) chains() setID {
	return [numNumbers]setID{byService, byAllowed, byLocal, byLocal, byPick, byPick}[id]
}

// chainOf is the chain of a number, empty for a number that nobody gives.
func chainOf(number uint32) string {
	for _, o := range others {
		if o.number == number {
			return o.chain
		}
	}
	n := int(number &^ kindMask)
	for _, k := range kinds {
		if k.kind == number&kindMask && 0 < n && n <= k.most {
			return k.prefix + strconv.Itoa(n) + k.suffix
		}
	}
	return ""
}

// numberOfChain is the inverse for the chains that come and go: lb-N, sticky-T, pick-N, and the same with "-local".
func numberOfChain(chain string) (number uint32, ok bool) {
	for _, k := range kinds {
		digits, is := strings.CutPrefix(chain, k.prefix)
		if digits, ofKind := strings.CutSuffix(digits, k.suffix); is && ofKind {
			if n, err := strconv.Atoi(digits); err == nil && 0 < n && n <= k.most {
				number = k.kind | uint32(n)
				return number, chainOf(number) == chain
			}
		}
	}
	return 0, false
}

// chain is the chain of a number that numberOfChain gives.
func (f *family) chain(number uint32) chainSpec {
	switch kind, half, n := kindOfNumber(number); kind {
	case kindSticky:
		return f.sticky(n, half)
	case kindPick:
		return f.pick(n, half)
	default:
		return f.pool(n, half)
	}
}

// numbers are those of a front, by the map in which they stand; 0: it is not in the map.
type numbers [numNumbers]uint32

// numbersOf leads packets to a front where its Route wants them.
func numbersOf(r *proxycore.Route) (to numbers) {
	fate := func(p *proxycore.Pool, half int) uint32 {
		n := len(p.Endpoints)
		switch {
		case n > 0 && r.Affinity > 0:
			to[int(picks)+half] = pickNumber(n, half)
			return stickyNumber(r.Affinity, half)
		case n > 0:
			return poolNumber(n, half)
		case p.Empty == proxycore.Drop:
			return toIgnore
		}
		return toRefuse
	}
	number := fate(&r.Pool, everywhere)
	if r.Local != nil {
		to[internal], to[external] = number, fate(r.Local, local)
		number = toLocal
	}
	if len(r.Ranges) > 0 {
		to[allowed] = number
		number = toCheck
	}
	to[services] = number
	return to
}

// needed yields the numbers of chains that come and go.
func (n numbers) needed() iter.Seq[uint32] {
	return func(yield func(uint32) bool) {
		for _, number := range n {
			if kind, _, _ := kindOfNumber(number); number != 0 && kind != kindOther && !yield(number) {
				return
			}
		}
	}
}

// ends are where a packet may end up after services, allowed and the Local policy: the number for the front's pool, and
// that for its local one, 0 without such a policy.
func (n numbers) ends() [2]uint32 {
	to := n[services]
	if to == toCheck {
		to = n[allowed]
	}
	if to == toLocal {
		return [2]uint32{n[internal], n[external]}
	}
	return [2]uint32{to, 0}
}
