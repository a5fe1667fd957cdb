package rules

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables/expr"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Spelled is a rule in nft's words.
type Spelled struct {
	Handle uint64
	Text   string
}

// Spell reads the rules of one chain and writes them as nft would, in a millisecond however large the table is: nft reads all
// of the table first, which takes seconds where there are thousands of Services. It knows the expressions that svclab's own
// rules are made of and no more; ok is false when a rule has another one. It is for tables whose rules are known to be such.
func Spell(ns *nsnet.NS, c Chain) (list []Spelled, ok bool, err error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns.FD()})
	if err != nil {
		return nil, false, err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, false, err
	}
	e := netlink.NewAttributeEncoder()
	e.String(unix.NFTA_RULE_TABLE, c.Table)
	e.String(unix.NFTA_RULE_CHAIN, c.Name)
	body, err := e.Encode()
	if err != nil {
		return nil, false, err
	}
	answer, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETRULE, Flags: netlink.Request | netlink.Dump},
		Data:   append([]byte{familyNumber(c.Family), unix.NFNETLINK_V0, 0, 0}, body...),
	})
	if err != nil {
		return nil, false, fmt.Errorf("list the rules of chain %s of table %s %s: %w", c.Name, c.Family, c.Table, err)
	}
	keys := keyLengths{conn: conn, chain: c, of: map[string]int{}}
	for _, m := range answer {
		if len(m.Data) < 4 {
			continue
		}
		w := speller{family: c.Family, keys: &keys, registers: map[uint32]piece{}}
		one := Spelled{}
		if b := inside(m.Data[4:], unix.NFTA_RULE_HANDLE); len(b) == 8 {
			one.Handle = binary.BigEndian.Uint64(b)
		}
		if !w.rule(m.Data[4:], familyNumber(c.Family)) {
			return nil, false, nil
		}
		if comment := commentOf(inside(m.Data[4:], unix.NFTA_RULE_USERDATA)); comment != "" {
			w.say("comment " + strconv.Quote(comment))
		}
		one.Text = strings.Join(w.words, " ")
		list = append(list, one)
	}
	return list, true, nil
}

func familyNumber(name string) byte {
	return map[string]byte{"ip": unix.NFPROTO_IPV4, "ip6": unix.NFPROTO_IPV6, "inet": unix.NFPROTO_INET}[name]
}

// commentOf finds the comment in a rule's user data (libnftnl/udata.h: type, length, value; the comment is type 0).
func commentOf(b []byte) string {
	for len(b) >= 2 && len(b) >= 2+int(b[1]) {
		if b[0] == 0 {
			return strings.TrimRight(string(b[2:2+int(b[1])]), "\x00")
		}
		b = b[2+int(b[1]):]
	}
	return ""
}

// keyLengths are the sizes of sets' keys in bytes, asked for once.
type keyLengths struct {
	conn  *netlink.Conn
	chain Chain
	of    map[string]int
}

func (k *keyLengths) length(set string) (int, bool) {
	if n, ok := k.of[set]; ok {
		return n, true
	}
	e := netlink.NewAttributeEncoder()
	e.String(unix.NFTA_SET_TABLE, k.chain.Table)
	e.String(unix.NFTA_SET_NAME, set)
	body, err := e.Encode()
	if err != nil {
		return 0, false
	}
	answer, err := k.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSET, Flags: netlink.Request},
		Data:   append([]byte{familyNumber(k.chain.Family), unix.NFNETLINK_V0, 0, 0}, body...),
	})
	if err != nil || len(answer) != 1 || len(answer[0].Data) < 4 {
		return 0, false
	}
	b := inside(answer[0].Data[4:], unix.NFTA_SET_KEY_LEN)
	if len(b) != 4 {
		return 0, false
	}
	k.of[set] = int(binary.BigEndian.Uint32(b))
	return k.of[set], true
}

// piece is what a register was loaded with.
type piece struct {
	text  string
	words uint32 // registers of 4 bytes that it fills
	value []byte // a constant; nil otherwise
	mask  []byte // of the status of connection tracking, its bits
}

// speller follows the expressions of one rule through the registers.
type speller struct {
	family    string
	keys      *keyLengths
	registers map[uint32]piece
	words     []string
}

func (w *speller) say(s string) { w.words = append(w.words, s) }

// word is a register's number in words of 4 bytes: the kernel names those at multiples of 16 bytes by the old numbers.
func word(register uint32) uint32 {
	if register >= unix.NFT_REG32_00 {
		return register - unix.NFT_REG32_00
	}
	return (register - 1) * 4
}

func (w *speller) load(register uint32, bytes int, p piece) bool {
	p.words = uint32((bytes + 3) / 4)
	w.registers[word(register)] = p
	return true
}

// concatenation is what a key of that many bytes from a register on is made of.
func (w *speller) concatenation(register uint32, bytes int) (string, bool) {
	var texts []string
	for at, left := word(register), (bytes+3)/4; left > 0; {
		p, ok := w.registers[at]
		if !ok {
			return "", false
		}
		texts = append(texts, p.text)
		at, left = at+p.words, left-int(p.words)
	}
	return strings.Join(texts, " . "), true
}

// rule goes through the expressions of a rule; false when there is one that it does not know.
func (w *speller) rule(body []byte, family byte) bool {
	d, err := netlink.NewAttributeDecoder(inside(body, unix.NFTA_RULE_EXPRESSIONS))
	if err != nil {
		return false
	}
	for d.Next() {
		element := d.Bytes()
		name := strings.TrimRight(string(inside(element, unix.NFTA_EXPR_NAME)), "\x00")
		make, known := expressions[name]
		if !known {
			return false
		}
		data, one := inside(element, unix.NFTA_EXPR_DATA), make()
		if name == "immediate" && inside(data, unix.NFTA_IMMEDIATE_DATA, unix.NFTA_DATA_VERDICT) != nil {
			one = &expr.Verdict{}
		}
		if name == "ct" { // the library takes the direction for a number of 4 bytes
			key, register := inside(data, unix.NFTA_CT_KEY), inside(data, unix.NFTA_CT_DREG)
			if len(key) != 4 || len(register) != 4 || !w.ct(binary.BigEndian.Uint32(key), binary.BigEndian.Uint32(register)) {
				return false
			}
			continue
		}
		if expr.Unmarshal(family, data, one) != nil || !w.expression(one) {
			return false
		}
	}
	return d.Err() == nil
}

var expressions = map[string]func() expr.Any{
	"payload": func() expr.Any { return &expr.Payload{} }, "meta": func() expr.Any { return &expr.Meta{} }, "ct": func() expr.Any { return &expr.Ct{} },
	"fib": func() expr.Any { return &expr.Fib{} }, "numgen": func() expr.Any { return &expr.Numgen{} }, "immediate": func() expr.Any { return &expr.Immediate{} },
	"bitwise": func() expr.Any { return &expr.Bitwise{} }, "cmp": func() expr.Any { return &expr.Cmp{} }, "lookup": func() expr.Any { return &expr.Lookup{} },
	"dynset": func() expr.Any { return &expr.Dynset{} }, "nat": func() expr.Any { return &expr.NAT{} }, "masq": func() expr.Any { return &expr.Masq{} },
	"reject": func() expr.Any { return &expr.Reject{} },
}

func (w *speller) expression(e expr.Any) bool {
	switch e := e.(type) {
	case *expr.Payload:
		text, ok := payloads[[4]uint32{familyOf(w.family), uint32(e.Base), e.Offset, e.Len}]
		return ok && w.load(e.DestRegister, int(e.Len), piece{text: text})
	case *expr.Meta:
		return w.meta(e)
	case *expr.Fib:
		return e.ResultADDRTYPE && e.FlagSADDR && w.load(e.Register, 4, piece{text: "fib saddr type"})
	case *expr.Numgen:
		text := fmt.Sprintf("numgen random mod %d", e.Modulus)
		if e.Offset != 0 {
			text += fmt.Sprintf(" offset %d", e.Offset)
		}
		return e.Type == unix.NFT_NG_RANDOM && w.load(e.Register, 4, piece{text: text})
	case *expr.Immediate:
		return len(e.Data) == 4 && w.load(e.Register, 4, piece{text: strconv.Itoa(int(binary.NativeEndian.Uint32(e.Data))), value: e.Data})
	case *expr.Verdict:
		w.say(strings.TrimSpace(verdictWords[int32(e.Kind)] + " " + e.Chain))
		return verdictWords[int32(e.Kind)] != ""
	case *expr.Bitwise:
		p := w.registers[word(e.SourceRegister)]
		p.mask = e.Mask
		return p.text == "ct status" && w.load(e.DestRegister, 4, p)
	case *expr.Cmp:
		return w.cmp(e)
	case *expr.Lookup:
		return w.lookup(e)
	case *expr.Dynset:
		return w.dynset(e)
	case *expr.NAT:
		target, ok := w.registers[word(e.RegAddrMin)]
		w.say("dnat " + w.family + " to " + target.text)
		return ok && e.Type == expr.NATTypeDestNAT
	case *expr.Masq:
		w.say("masquerade fully-random")
		return e.FullyRandom && !e.Random && !e.Persistent && !e.ToPorts
	case *expr.Reject:
		w.say("reject")
		return e.Type == unix.NFT_REJECT_ICMP_UNREACH && e.Code == map[string]uint8{"ip": 3, "ip6": 4}[w.family]
	}
	return false
}

// payloads: family, base, offset, length.
var payloads = map[[4]uint32]string{
	{unix.NFPROTO_IPV4, 1, 12, 4}: "ip saddr", {unix.NFPROTO_IPV4, 1, 16, 4}: "ip daddr",
	{unix.NFPROTO_IPV6, 1, 8, 16}: "ip6 saddr", {unix.NFPROTO_IPV6, 1, 24, 16}: "ip6 daddr",
	{unix.NFPROTO_IPV4, 2, 0, 2}: "th sport", {unix.NFPROTO_IPV4, 2, 2, 2}: "th dport",
	{unix.NFPROTO_IPV6, 2, 0, 2}: "th sport", {unix.NFPROTO_IPV6, 2, 2, 2}: "th dport",
}

func familyOf(name string) uint32 { return uint32(familyNumber(name)) }

var verdictWords = map[int32]string{unix.NFT_JUMP: "jump", unix.NFT_GOTO: "goto", unix.NFT_RETURN: "return", 0: "drop", 1: "accept"}

func (w *speller) meta(e *expr.Meta) bool {
	if e.SourceRegister {
		p, ok := w.registers[word(e.Register)]
		text := p.text
		if p.value != nil && binary.NativeEndian.Uint32(p.value) == 0 {
			text = "none"
		}
		w.say("meta priority set " + text)
		return ok && e.Key == expr.MetaKeyPRIORITY
	}
	switch e.Key {
	case expr.MetaKeyL4PROTO:
		return w.load(e.Register, 1, piece{text: "meta l4proto"})
	case expr.MetaKeyPRIORITY:
		return w.load(e.Register, 4, piece{text: "meta priority"})
	case expr.MetaKeyIIFNAME:
		return w.load(e.Register, unix.IFNAMSIZ, piece{text: "iifname"})
	}
	return false
}

func (w *speller) ct(key, register uint32) bool {
	switch key {
	case unix.NFT_CT_DST_IP:
		return w.load(register, 4, piece{text: "ct original ip daddr"})
	case unix.NFT_CT_DST_IP6:
		return w.load(register, 16, piece{text: "ct original ip6 daddr"})
	case unix.NFT_CT_PROTO_DST:
		return w.load(register, 2, piece{text: "ct original proto-dst"})
	case unix.NFT_CT_STATUS:
		return w.load(register, 4, piece{text: "ct status"})
	}
	return false
}

func (w *speller) cmp(e *expr.Cmp) bool {
	p, ok := w.registers[word(e.Register)]
	not := map[expr.CmpOp]string{expr.CmpOpEq: "", expr.CmpOpNeq: "!= "}[e.Op]
	switch {
	case !ok || e.Op != expr.CmpOpEq && e.Op != expr.CmpOpNeq:
		return false
	case p.mask != nil:
		const dnat = 1 << 5
		w.say("ct status dnat")
		return e.Op == expr.CmpOpNeq && len(p.mask) == 4 && binary.NativeEndian.Uint32(p.mask) == dnat
	case p.text == "meta l4proto" && len(e.Data) == 1:
		w.say(p.text + " " + not + protoWord(e.Data[0]))
	case p.text == "iifname":
		name := strings.TrimRight(string(e.Data), "\x00")
		if len(e.Data) < unix.IFNAMSIZ {
			name += "*"
		}
		w.say(p.text + " " + not + strconv.Quote(name))
	case p.text == "fib saddr type" && len(e.Data) == 4:
		w.say(p.text + " " + not + "local")
		return binary.NativeEndian.Uint32(e.Data) == unix.RTN_LOCAL
	default:
		return false
	}
	return true
}

func (w *speller) lookup(e *expr.Lookup) bool {
	n, ok := w.keys.length(e.SetName)
	if !ok || strings.HasPrefix(e.SetName, "__") {
		return false
	}
	key, ok := w.concatenation(e.SourceRegister, n)
	switch {
	case !ok:
		return false
	case e.IsDestRegSet && e.DestRegister == unix.NFT_REG_VERDICT:
		w.say(key + " vmap @" + e.SetName)
	case e.IsDestRegSet:
		return w.load(e.DestRegister, 4, piece{text: key + " map @" + e.SetName})
	case e.Invert:
		w.say(key + " != @" + e.SetName)
	default:
		w.say(key + " @" + e.SetName)
	}
	return true
}

func (w *speller) dynset(e *expr.Dynset) bool {
	n, ok := w.keys.length(e.SetName)
	if !ok || len(e.Exprs) > 0 || e.Invert {
		return false
	}
	key, ok := w.concatenation(e.SrcRegKey, n)
	data, has := w.registers[word(e.SrcRegData)]
	operation := map[uint32]string{0: "add", 1: "update", 2: "delete"}[e.Operation]
	if e.Timeout > 0 {
		key += " timeout " + span(e.Timeout)
	}
	w.say(fmt.Sprintf("%s @%s { %s : %s }", operation, e.SetName, key, data.text))
	return ok && has && operation != ""
}

// span writes a time as nft does: "3h", "1m30s".
func span(d time.Duration) string {
	text := ""
	for _, unit := range []struct {
		size time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}, {time.Millisecond, "ms"}} {
		if n := d / unit.size; n > 0 {
			text += strconv.Itoa(int(n)) + unit.name
			d -= n * unit.size
		}
	}
	return text
}
