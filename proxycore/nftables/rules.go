package nftables

import (
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A term is one expression of a rule, as the kernel has them: it loads registers, looks up, or decides. Registers are
// words of 4 bytes, R the first (NFT_REG32_00); 16 of them.
type term func(w *buffer)

const r0 = 8 // NFT_REG32_00

type ruleSpec struct {
	comment string // the rule's name, for readers and for whoever compares
	terms   []term
}

func rule(comment string, parts ...[]term) ruleSpec {
	var all []term
	for _, p := range parts {
		all = append(all, p...)
	}
	return ruleSpec{comment, all}
}

func terms(t ...term) []term { return t }

// body writes the table, chain, expressions and comment of NFT_MSG_NEWRULE.
func (r ruleSpec) body(w *buffer, table, chain string) {
	w.str(unix.NFTA_RULE_TABLE, table)
	w.str(unix.NFTA_RULE_CHAIN, chain)
	list := w.nest(unix.NFTA_RULE_EXPRESSIONS)
	for _, t := range r.terms {
		one := w.nest(unix.NFTA_LIST_ELEM)
		t(w)
		w.end(one)
	}
	w.end(list)
	at := w.begin(unix.NFTA_RULE_USERDATA)
	w.b = append(w.b, 0, byte(len(r.comment)+1)) // NFTNL_UDATA_RULE_COMMENT
	w.b = append(append(w.b, r.comment...), 0)
	w.end(at)
}

func expression(name string, data func(w *buffer)) term {
	return func(w *buffer) {
		w.str(unix.NFTA_EXPR_NAME, name)
		at := w.nest(unix.NFTA_EXPR_DATA)
		data(w)
		w.end(at)
	}
}

func payload(base, offset, bytes, reg uint32) term {
	return expression("payload", func(w *buffer) {
		w.u32(unix.NFTA_PAYLOAD_DREG, reg)
		w.u32(unix.NFTA_PAYLOAD_BASE, base)
		w.u32(unix.NFTA_PAYLOAD_OFFSET, offset)
		w.u32(unix.NFTA_PAYLOAD_LEN, bytes)
	})
}

func metaGet(key, reg uint32) term {
	return expression("meta", func(w *buffer) {
		w.u32(unix.NFTA_META_KEY, key)
		w.u32(unix.NFTA_META_DREG, reg)
	})
}

func metaSet(key, reg uint32) term {
	return expression("meta", func(w *buffer) {
		w.u32(unix.NFTA_META_KEY, key)
		w.u32(unix.NFTA_META_SREG, reg)
	})
}

// original loads a key of the connection's original direction.
func original(key, reg uint32) term {
	return expression("ct", func(w *buffer) {
		w.u32(unix.NFTA_CT_KEY, key)
		w.u32(unix.NFTA_CT_DREG, reg)
		w.bytes(unix.NFTA_CT_DIRECTION, []byte{0})
	})
}

// translatedTo matches what DNAT has translated: ct status dnat.
func translatedTo() []term {
	const dnat = 1 << 5 // IPS_DST_NAT (linux/netfilter/nf_conntrack_common.h)
	return terms(
		expression("ct", func(w *buffer) {
			w.u32(unix.NFTA_CT_KEY, unix.NFT_CT_STATUS)
			w.u32(unix.NFTA_CT_DREG, r0)
		}),
		expression("bitwise", func(w *buffer) {
			w.u32(unix.NFTA_BITWISE_SREG, r0)
			w.u32(unix.NFTA_BITWISE_DREG, r0)
			w.u32(unix.NFTA_BITWISE_LEN, 4)
			w.value(unix.NFTA_BITWISE_MASK, native(dnat))
			w.value(unix.NFTA_BITWISE_XOR, native(0))
		}),
		compare(unix.NFT_CMP_NEQ, r0, native(0)))
}

func equal(reg uint32, value []byte) term { return compare(unix.NFT_CMP_EQ, reg, value) }

func compare(operation, reg uint32, value []byte) term {
	return expression("cmp", func(w *buffer) {
		w.u32(unix.NFTA_CMP_SREG, reg)
		w.u32(unix.NFTA_CMP_OP, operation)
		w.value(unix.NFTA_CMP_DATA, value)
	})
}

// fromThisNode matches a source that is an address of the node: fib saddr type local.
func fromThisNode() []term {
	return terms(expression("fib", func(w *buffer) {
		w.u32(unix.NFTA_FIB_DREG, r0)
		w.u32(unix.NFTA_FIB_RESULT, unix.NFT_FIB_RESULT_ADDRTYPE)
		w.u32(unix.NFTA_FIB_FLAGS, unix.NFTA_FIB_F_SADDR)
	}), equal(r0, native(unix.RTN_LOCAL)))
}

// cameBy matches the interface by which the packet came: a name, or how names begin and "*". What the node itself sends came
// by none. In postrouting the kernel has told it since 5.7 (28f8bfd1ac94).
func cameBy(operation uint32, pattern string) []term {
	name, many := strings.CutSuffix(pattern, "*")
	value := []byte(name)
	if !many {
		value = append(value, make([]byte, unix.IFNAMSIZ-len(name))...)
	}
	return terms(metaGet(unix.NFT_META_IIFNAME, r0), compare(operation, r0, value))
}

// Operations of a packet on a map (linux/netfilter/nf_tables.h, enum nft_dynset_ops).
const (
	dynsetUpdate = 1
	dynsetDelete = 2
)

// remember lets the packet change a map: the key is at key, the data at data. An update of a key that is there gives it
// a new timeout and leaves its data alone.
func remember(set setID, operation, key, data uint32, timeout time.Duration) term {
	return expression("dynset", func(w *buffer) {
		w.str(unix.NFTA_DYNSET_SET_NAME, sets[set].name)
		w.u32(unix.NFTA_DYNSET_OP, operation)
		w.u32(unix.NFTA_DYNSET_SREG_KEY, key)
		w.u32(unix.NFTA_DYNSET_SREG_DATA, data)
		if timeout > 0 {
			w.u64(unix.NFTA_DYNSET_TIMEOUT, uint64(timeout/time.Millisecond))
		}
	})
}

// find looks up what is at reg in a map and puts the result there.
func find(set setID, reg uint32) term {
	return expression("lookup", func(w *buffer) {
		w.str(unix.NFTA_LOOKUP_SET, sets[set].name)
		w.u32(unix.NFTA_LOOKUP_SREG, reg)
		w.u32(unix.NFTA_LOOKUP_DREG, reg)
	})
}

// follow looks up the number of the front at reg, and follows it to its chain. The number travels in skb->priority.
func follow(numbers, chains setID, reg uint32) []term {
	return append(leave(numbers, reg), metaGet(unix.NFT_META_PRIORITY, reg), decide(chains, reg))
}

// leave looks up what is at reg and leaves the result in the scratch.
func leave(set setID, reg uint32) []term {
	return terms(find(set, reg), metaSet(unix.NFT_META_PRIORITY, reg))
}

// decide looks up what is at reg in a verdict map and follows it.
func decide(set setID, reg uint32) term {
	return expression("lookup", func(w *buffer) {
		w.str(unix.NFTA_LOOKUP_SET, sets[set].name)
		w.u32(unix.NFTA_LOOKUP_SREG, reg)
		w.u32(unix.NFTA_LOOKUP_DREG, unix.NFT_REG_VERDICT)
	})
}

func within(set setID, reg uint32) term { return member(set, reg, 0) }
func outside(set setID, reg uint32) term {
	return member(set, reg, unix.NFT_LOOKUP_F_INV)
}

func member(set setID, reg, flags uint32) term {
	return expression("lookup", func(w *buffer) {
		w.str(unix.NFTA_LOOKUP_SET, sets[set].name)
		w.u32(unix.NFTA_LOOKUP_SREG, reg)
		w.u32(unix.NFTA_LOOKUP_FLAGS, flags)
	})
}

// random is a number from offset to offset+modulus-1.
func random(modulus, offset int, reg uint32) term {
	return expression("numgen", func(w *buffer) {
		w.u32(unix.NFTA_NG_DREG, reg)
		w.u32(unix.NFTA_NG_MODULUS, uint32(modulus))
		w.u32(unix.NFTA_NG_TYPE, unix.NFT_NG_RANDOM)
		w.u32(unix.NFTA_NG_OFFSET, uint32(offset))
	})
}

func constant(v, reg uint32) term {
	return expression("immediate", func(w *buffer) {
		w.u32(unix.NFTA_IMMEDIATE_DREG, reg)
		w.value(unix.NFTA_IMMEDIATE_DATA, native(v))
	})
}

func verdict(code int32, chain string) term {
	return expression("immediate", func(w *buffer) {
		w.u32(unix.NFTA_IMMEDIATE_DREG, unix.NFT_REG_VERDICT)
		w.verdict(unix.NFTA_IMMEDIATE_DATA, code, chain)
	})
}

func goTo(chain string) term { return verdict(unix.NFT_GOTO, chain) }
func drop() term             { return verdict(0, "") } // NF_DROP

// dnat translates to the address and port at reg.
func (f *family) dnat(reg uint32) term {
	return expression("nat", func(w *buffer) {
		w.u32(unix.NFTA_NAT_TYPE, unix.NFT_NAT_DNAT)
		w.u32(unix.NFTA_NAT_FAMILY, uint32(f.proto))
		w.u32(unix.NFTA_NAT_REG_ADDR_MIN, reg)
		w.u32(unix.NFTA_NAT_REG_PROTO_MIN, reg+f.words)
		w.u32(unix.NFTA_NAT_FLAGS, unix.NF_NAT_RANGE_PROTO_SPECIFIED)
	})
}

func masquerade() term {
	return expression("masq", func(w *buffer) {
		w.u32(unix.NFTA_MASQ_FLAGS, unix.NF_NAT_RANGE_PROTO_RANDOM_FULLY)
	})
}

func (f *family) reject() term {
	return expression("reject", func(w *buffer) {
		w.u32(unix.NFTA_REJECT_TYPE, unix.NFT_REJECT_ICMP_UNREACH)
		w.bytes(unix.NFTA_REJECT_ICMP_CODE, []byte{f.unreachable})
	})
}

func native(v uint32) []byte { return appendNative(nil, v) }
