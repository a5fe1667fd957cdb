package iptables

import (
	"encoding/binary"
	"fmt"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// tree says in which chain the rule of a front stands, so that a packet meets few of a set's rules: a chain of up to leafSize
// fronts has them all, one of more leads to up to fan chains, by the next bits in which its fronts differ: of the address,
// then the protocol, then the port. It is computed from the fronts and nothing else: no history, and nothing to store but
// the sorted keys.
type tree struct {
	set  set
	keys []key // sorted, each once
}

// key is the bytes of an address, then, of a front, its protocol and its port, the way they order.
type key string

const (
	leafSize = 16
	stride   = 2 // bits
	fan      = 1 << stride

	// deepest is where a chain has all fronts, however many. nf_tables follows 16 chains, the kernel's own, SVCLAB, OUTSIDE, FAR
	// and that of the endpoints among them. Fronts that somebody chose to get there would be a list; 10,000
	// ClusterIPs end at 6, 10,000 NodePorts at 7.
	deepest = 10
)

var protos = [3]cluster.Proto{cluster.TCP, cluster.UDP, cluster.SCTP}

func keyOf(f proxycore.Front) key {
	b := append(f.Addr.AsSlice(), byte(slices.Index(protos[:], f.Proto)))
	return key(binary.BigEndian.AppendUint16(b, f.Port))
}

func hairpinKey(a netip.Addr) key { return key(a.AsSlice()) }

// front is the zero Front for an address alone.
func (k key) front() proxycore.Front {
	n := k.addrLen()
	if n == len(k) {
		return proxycore.Front{}
	}
	a, _ := netip.AddrFromSlice([]byte(k[:n]))
	return proxycore.Front{Addr: a, Proto: protos[k[n]], Port: binary.BigEndian.Uint16([]byte(k[n+1:]))}
}

func (k key) addrLen() int {
	if len(k) < 16 {
		return 4
	}
	return 16
}

func (k key) addr() netip.Addr {
	a, _ := netip.AddrFromSlice([]byte(k[:k.addrLen()]))
	return a
}

// span is a chain of a tree: the keys lo to hi, which have their first bits in common.
type span struct{ lo, hi, bits, depth int }

func (t tree) root() span { return span{0, len(t.keys), 0, 0} }

func (t tree) of(n span) []key { return t.keys[n.lo:n.hi] }

// below is what a chain leads to: nothing, if it has the rules of its fronts itself. A part of one front is no chain.
func (t tree) below(n span) (parts []span) {
	if n.hi-n.lo <= leafSize || n.depth == deepest {
		return nil
	}
	if common := t.common(n.lo, n.hi); common > n.bits { // at the root: one match for all that is not for this set
		return []span{{n.lo, n.hi, common, n.depth + 1}}
	}
	for lo := n.lo; lo < n.hi; {
		digit := t.keys[lo].digit(n.bits)
		size, _ := slices.BinarySearchFunc(t.keys[lo:n.hi], digit+1, func(k key, d byte) int { return int(k.digit(n.bits)) - int(d) })
		parts = append(parts, span{lo, lo + size, t.common(lo, lo+size), n.depth + 1})
		lo += size
	}
	return parts
}

func (n span) isChain() bool { return n.hi-n.lo > 1 }

// digit is the stride bits from a bit on.
func (k key) digit(bit int) byte { return k[bit/8] >> (8 - stride - bit%8) & (fan - 1) }

// common is how many bits some keys have in common, in whole strides.
func (t tree) common(lo, hi int) int {
	a, b := t.keys[lo], t.keys[hi-1]
	for i := range a {
		if x := a[i] ^ b[i]; x != 0 {
			return (i*8 + bits.LeadingZeros8(x)) / stride * stride
		}
	}
	return len(a) * 8
}

// chainOf is the chain that has the rule of a key.
func (t tree) chainOf(k key) string {
	n := t.root()
	for {
		parts := t.below(n)
		i := slices.IndexFunc(parts, func(p span) bool { return t.keys[p.hi-1] >= k })
		if len(parts) == 0 || !parts[i].isChain() {
			return t.name(n)
		}
		n = parts[i]
	}
}

// name is a chain's: the set's own, or with a prefix: "SVCLAB-C-10.96.64.0-18", or "SVCLAB-E-C0A80701T7540-10" of ports.
func (t tree) name(n span) string {
	if n.depth == 0 {
		return t.set.chain
	}
	return t.set.branch + t.prefix(n)
}

func (t tree) prefix(n span) string {
	k := t.keys[n.lo]
	size := k.addrLen()
	switch {
	case size == 16:
		return hash(t.match(n))
	case n.bits < size*8+8:
		p := t.addresses(n)
		return fmt.Sprintf("%v-%d", p.Addr(), p.Bits())
	}
	first, _, proto := t.ports(n)
	return fmt.Sprintf("%X%c%04X-%d", k[:size], proto.String()[0], first, n.bits-size*8-8)
}

func (t tree) addresses(n span) netip.Prefix {
	a := t.keys[n.lo].addr()
	return netip.PrefixFrom(a, min(n.bits, a.BitLen())).Masked()
}

// ports are those of a chain below one address and protocol.
func (t tree) ports(n span) (first, last uint16, proto cluster.Proto) {
	f := t.keys[n.lo].front()
	open := uint16(1)<<(len(t.keys[n.lo])*8-n.bits) - 1 // 16 open bits: all
	return f.Port &^ open, f.Port | open, f.Proto
}

// match is the packets of a chain's prefix. Of hairpins both ends are in it.
func (t tree) match(n span) string {
	to := "-d " + t.addresses(n).String()
	if t.set.place == hairpinSet {
		return "-s " + to[len("-d "):] + " " + to
	}
	if n.bits < t.keys[n.lo].addrLen()*8+8 {
		return to
	}
	first, last, proto := t.ports(n)
	if first == 0 && last == 1<<16-1 {
		return to + " " + withPort(proto)
	}
	return to + " " + withPort(proto) + " --dport " + strconv.Itoa(int(first)) + ":" + strconv.Itoa(int(last))
}

// lead is the rule of a chain above that leads to a chain.
func (t tree) lead(above, n span) item {
	it := item{place: place{t.set.table, t.name(above)}, to: t.name(n), branch: true}
	it.text = t.match(n) + " -j " + it.to
	return it
}

// with are the keys after some have gone and some have come.
func (t tree) with(gone, come []key) tree {
	if len(gone)+len(come) == 0 {
		return t
	}
	slices.Sort(gone)
	slices.Sort(come)
	out := make([]key, 0, len(t.keys)+len(come)-len(gone))
	for _, k := range t.keys {
		for len(come) > 0 && come[0] < k {
			out, come = append(out, come[0]), come[1:]
		}
		if _, ok := slices.BinarySearch(gone, k); !ok {
			out = append(out, k)
		}
	}
	t.keys = append(out, come...)
	return t
}

// part is chains of a tree and the rules that lead from one to another.
type part struct {
	chains []place
	leads  []item
}

// whole is all of a tree, and where each key stands.
func (t tree) whole() (p part, where map[key]string) {
	where = make(map[key]string, len(t.keys))
	var visit func(n span, name string)
	visit = func(n span, name string) {
		p.chains = append(p.chains, place{t.set.table, name})
		parts := t.below(n)
		if parts == nil {
			for _, k := range t.of(n) {
				where[k] = name
			}
		}
		for _, c := range parts {
			if !c.isChain() {
				where[t.keys[c.lo]] = name
				continue
			}
			it := t.lead(n, c)
			p.leads = append(p.leads, it)
			visit(c, it.to)
		}
	}
	visit(t.root(), t.set.chain)
	return p, where
}

// differ compares two trees of a set: chains and leads of what is not the same in both, and the keys in both whose rule
// stands in another chain.
func differ(old, now tree) (was, is part, moved []key) {
	where := map[key]string{} // keys that stand in chains that are not the same
	var visit func(o, n *span)
	visit = func(o, n *span) {
		if o != nil && n != nil && o.depth == n.depth && slices.Equal(old.of(*o), now.of(*n)) {
			return
		}
		below := map[string]*[2]*span{}
		var names []string
		look := func(t tree, s *span, p *part, which int, stands func(k key, chain string)) {
			if s == nil {
				return
			}
			name := t.name(*s)
			p.chains = append(p.chains, place{t.set.table, name})
			parts := t.below(*s)
			if parts == nil {
				for _, k := range t.of(*s) {
					stands(k, name)
				}
			}
			for _, c := range parts {
				if !c.isChain() {
					stands(t.keys[c.lo], name)
					continue
				}
				p.leads = append(p.leads, t.lead(*s, c))
				to := t.name(c)
				if below[to] == nil {
					below[to] = &[2]*span{}
					names = append(names, to)
				}
				below[to][which] = &c
			}
		}
		look(old, o, &was, 0, func(k key, chain string) { where[k] = chain })
		look(now, n, &is, 1, func(k key, chain string) { moved = append(moved, k) })
		for _, name := range names {
			visit(below[name][0], below[name][1])
		}
	}
	o, n := old.root(), now.root()
	visit(&o, &n)
	moved = slices.DeleteFunc(moved, func(k key) bool {
		had, ok := where[k]
		return !ok || had == now.chainOf(k)
	})
	return was, is, moved
}
