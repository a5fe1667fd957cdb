package rules

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/packet"
)

// Lookup is one question that a rule asked of a set or map, and the kernel's answer to the same question now.
type Lookup struct {
	Set   string
	Key   string // "172.20.127.114 . tcp . 80"
	Found bool
	Data  string // of a map: "goto lb-2", "10.34.188.30 . 5000", a number
	Drawn bool   // part of the key was drawn at random: it is inferred from the packet's new destination
}

// Seen is a packet as a rule saw it.
type Seen struct {
	packet.Packet
	Original netip.AddrPort // the destination that the connection was made to; the zero AddrPort when it is not known
	Became   netip.AddrPort // the packet's destination afterwards, by which a drawn slot is told from others
	Priority string         // what a rule before has set its priority to: "numgen random mod 2"; empty: not known
}

var setPriority = regexp.MustCompile(`^meta priority set (numgen random mod \d+(?: offset \d+)?|0x[0-9a-f]+|\d+)(?: |$)`)

// Pass is the packet after a rule of such a text, which may have set its priority for the rules that follow.
func (s Seen) Pass(text string) Seen {
	if m := setPriority.FindStringSubmatch(text); m != nil {
		s.Priority = m[1]
	}
	return s
}

// Lookups finds in a rule's text every set and map that is asked for things that a packet's headers say, and asks them again,
// each for one key. What is asked for anything else is left out.
func Lookups(ns *nsnet.NS, c Chain, text string, p Seen) ([]Lookup, error) {
	words := strings.Fields(text)
	var found []Lookup
	var last []byte // the data of the last answer, which a chain of maps goes on with
	for i, w := range words {
		name, is := strings.CutPrefix(w, "@")
		if !is {
			continue
		}
		keys, ok := keysBefore(words[:i], &p, last)
		if !ok {
			continue
		}
		a, err := newAsker(ns, c, name)
		if err != nil {
			return found, err
		}
		answers, err := a.all(keys, p.Became)
		err = errors.Join(err, a.close())
		if err != nil {
			return found, fmt.Errorf("ask %s of table %s %s: %w", name, c.Family, c.Table, err)
		}
		last = nil
		for _, l := range answers {
			last = l.raw
			found = append(found, l.Lookup)
		}
	}
	return found, nil
}

// key is one key, in bytes and in words.
type key struct {
	bytes []byte
	words []string
	drawn bool
}

// manySlots is more than are tried for a drawn one.
const manySlots = 256

// keysBefore reads the key that stands before "@name": terms of a packet with "." between. More than one key: the term that is
// drawn takes each of its values.
func keysBefore(words []string, p *Seen, last []byte) (keys []key, ok bool) {
	for len(words) > 0 && slices.Contains([]string{"map", "vmap", "!="}, words[len(words)-1]) {
		words = words[:len(words)-1]
	}
	var terms [][]part
	for {
		parts, n := term(words, p, last)
		if n == 0 {
			return nil, false
		}
		terms = append(terms, parts)
		words = words[:len(words)-n]
		if len(words) == 0 || words[len(words)-1] != "." {
			break
		}
		words = words[:len(words)-1]
	}
	keys = []key{{}}
	for _, parts := range slices.Backward(terms) {
		var longer []key
		for _, k := range keys {
			for _, one := range parts {
				b := append(slices.Clone(k.bytes), one.bytes...)
				for len(b)%4 != 0 { // each part of a concatenation fills whole registers
					b = append(b, 0)
				}
				longer = append(longer, key{b, append(slices.Clone(k.words), one.word), k.drawn || len(parts) > 1})
			}
		}
		keys = longer
	}
	if len(terms) == 1 { // alone it is as long as it is
		for i := range keys {
			keys[i].bytes = terms[0][i].bytes
		}
	}
	return keys, true
}

type part struct {
	bytes []byte
	word  string
}

// term reads the last term of the words: its values, and how many words it has; 0 when it is none that a header tells.
func term(words []string, p *Seen, last []byte) ([]part, int) {
	n := len(words)
	two := ""
	if n >= 2 {
		two = words[n-2] + " " + words[n-1]
	}
	addr := func(a netip.Addr) ([]part, int) { return []part{{a.AsSlice(), a.String()}}, 2 }
	port := func(v uint16) ([]part, int) {
		return []part{{binary.BigEndian.AppendUint16(nil, v), strconv.Itoa(int(v))}}, 2
	}
	if n >= 4 && words[n-4] == "ct" && (two == "ip daddr" || two == "ip6 daddr") {
		if words[n-3] != "original" || !p.Original.IsValid() {
			return nil, 0
		}
		return []part{{p.Original.Addr().AsSlice(), p.Original.Addr().String()}}, 4
	}
	if n >= 3 && words[n-3] == "ct" {
		if two != "original proto-dst" || !p.Original.IsValid() {
			return nil, 0
		}
		return []part{{binary.BigEndian.AppendUint16(nil, p.Original.Port()), strconv.Itoa(int(p.Original.Port()))}}, 3
	}
	switch two {
	case "ip daddr", "ip6 daddr":
		return addr(p.Dst.Addr())
	case "ip saddr", "ip6 saddr":
		if n >= 4 && words[n-4] == "ct" {
			return nil, 0
		}
		return addr(p.Src.Addr())
	case "meta l4proto":
		return []part{{[]byte{p.Proto}, protoWord(p.Proto)}}, 2
	case "th dport", "tcp dport", "udp dport", "sctp dport":
		return port(p.Dst.Port())
	case "th sport", "tcp sport", "udp sport", "sctp sport":
		return port(p.Src.Port())
	case "meta priority":
		if len(last) == 4 {
			return []part{{last, number(last)}}, 2
		}
		if words := strings.Fields(p.Priority); len(words) > 0 {
			if parts, n := drawn(words); n == len(words) {
				return parts, 2
			}
		}
		return nil, 0
	}
	return drawn(words)
}

// drawn reads "numgen random mod N" and "numgen random mod N offset M", or a number.
func drawn(words []string) ([]part, int) {
	n, offset, used := len(words), uint64(0), 0
	if n >= 6 && words[n-2] == "offset" {
		offset, _ = strconv.ParseUint(words[n-1], 10, 32)
		n, used = n-2, 2
	}
	if n >= 4 && words[n-4] == "numgen" && words[n-3] == "random" && words[n-2] == "mod" {
		mod, err := strconv.ParseUint(words[n-1], 10, 32)
		if err != nil || mod > manySlots {
			return nil, 0
		}
		var all []part
		for i := range mod {
			b := binary.NativeEndian.AppendUint32(nil, uint32(offset+i))
			all = append(all, part{b, strconv.FormatUint(offset+i, 10)})
		}
		return all, used + 4
	}
	if used == 0 && n >= 1 {
		if v, err := strconv.ParseUint(words[n-1], 0, 32); err == nil {
			return []part{{binary.NativeEndian.AppendUint32(nil, uint32(v)), words[n-1]}}, 1
		}
	}
	return nil, 0
}

func protoWord(p uint8) string {
	if w, ok := map[uint8]string{unix.IPPROTO_TCP: "tcp", unix.IPPROTO_UDP: "udp", unix.IPPROTO_SCTP: "sctp", unix.IPPROTO_ICMP: "icmp", unix.IPPROTO_ICMPV6: "ipv6-icmp"}[p]; ok {
		return w
	}
	return strconv.Itoa(int(p))
}

func number(b []byte) string { return fmt.Sprintf("%#x", binary.NativeEndian.Uint32(b)) }

// asker asks one set.
type asker struct {
	conn   *netlink.Conn
	family uint8
	chain  Chain
	set    *nftables.Set
}

const patience = 2 * time.Second

func newAsker(ns *nsnet.NS, c Chain, name string) (*asker, error) {
	a := &asker{chain: c, family: unix.NFPROTO_IPV4}
	table := &nftables.Table{Name: c.Table, Family: nftables.TableFamilyIPv4}
	switch c.Family {
	case "ip6":
		a.family, table.Family = unix.NFPROTO_IPV6, nftables.TableFamilyIPv6
	case "inet":
		a.family, table.Family = unix.NFPROTO_INET, nftables.TableFamilyINet
	}
	sets, err := nftables.New(nftables.WithNetNSFd(ns.FD()))
	if err != nil {
		return nil, err
	}
	if a.set, err = sets.GetSetByName(table, name); err != nil {
		return nil, fmt.Errorf("ask for set %s of table %s %s: %w", name, c.Family, c.Table, err)
	}
	if a.conn, err = netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns.FD()}); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *asker) close() error { return a.conn.Close() }

type answer struct {
	Lookup
	raw []byte
}

// all asks for each key. Of drawn keys only those remain that lead to where the packet went.
func (a *asker) all(keys []key, became netip.AddrPort) (list []answer, err error) {
	for _, k := range keys {
		one := answer{Lookup: Lookup{Set: a.set.Name, Key: strings.Join(k.words, " . "), Drawn: k.drawn}}
		data, verdict, err := a.get(k.bytes)
		switch {
		case errors.Is(err, unix.ENOENT):
		case err != nil:
			return nil, err
		default:
			one.Found, one.raw, one.Data = true, data, verdict
			if data != nil {
				one.Data = a.spell(data)
			}
		}
		if k.drawn && (!one.Found || one.Data != fmt.Sprintf("%s . %d", became.Addr(), became.Port())) {
			continue
		}
		list = append(list, one)
	}
	return list, nil
}

// get is what `nft get element` does, without reading the whole table before.
func (a *asker) get(key []byte) (data []byte, verdict string, err error) {
	if err := a.conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return nil, "", err
	}
	e := netlink.NewAttributeEncoder()
	e.ByteOrder = binary.BigEndian
	e.String(unix.NFTA_SET_ELEM_LIST_TABLE, a.chain.Table)
	e.String(unix.NFTA_SET_ELEM_LIST_SET, a.set.Name)
	e.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(e *netlink.AttributeEncoder) error {
		e.Nested(unix.NFTA_LIST_ELEM, func(e *netlink.AttributeEncoder) error {
			e.Nested(unix.NFTA_SET_ELEM_KEY, func(e *netlink.AttributeEncoder) error {
				e.Bytes(unix.NFTA_DATA_VALUE, key)
				return nil
			})
			return nil
		})
		return nil
	})
	body, err := e.Encode()
	if err != nil {
		return nil, "", err
	}
	answer, err := a.conn.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETSETELEM, Flags: netlink.Request}, // no acknowledgement: it would come after the answer, and be taken for the next one
		Data:   append([]byte{a.family, unix.NFNETLINK_V0, 0, 0}, body...),
	})
	if err != nil {
		return nil, "", err
	}
	for _, m := range answer {
		if len(m.Data) < 4 {
			continue
		}
		element := inside(m.Data[4:], unix.NFTA_SET_ELEM_LIST_ELEMENTS, unix.NFTA_LIST_ELEM, unix.NFTA_SET_ELEM_DATA)
		if v := inside(element, unix.NFTA_DATA_VERDICT); v != nil {
			code := int32(binary.BigEndian.Uint32(inside(v, unix.NFTA_VERDICT_CODE)))
			chain := strings.TrimRight(string(inside(v, unix.NFTA_VERDICT_CHAIN)), "\x00")
			word := map[int32]string{-3: "jump", -4: "goto", -5: "return", 0: "drop", 1: "accept"}[code]
			return nil, strings.TrimSpace(word + " " + chain), nil
		}
		return slices.Clone(inside(element, unix.NFTA_DATA_VALUE)), "", nil
	}
	return nil, "", nil
}

// inside is the value of the first attribute of that type, found by a path of nested ones.
func inside(b []byte, path ...uint16) []byte {
	for _, want := range path {
		d, err := netlink.NewAttributeDecoder(b)
		if err != nil {
			return nil
		}
		b = nil
		for d.Next() {
			if d.Type() == want {
				b = d.Bytes()
				break
			}
		}
	}
	return b
}

// spell writes data as nft does: the types of a concatenation are 6 bits each (nft's enum datatypes).
func (a *asker) spell(data []byte) string {
	const typeAddr4, typeAddr6, typeProto, typePort = 7, 8, 12, 13
	types := a.set.DataType.GetNFTMagic()
	var words []string
	var order []uint32
	for ; types != 0; types >>= 6 {
		order = append(order, types&63)
	}
	for _, typ := range slices.Backward(order) {
		size := 4
		if typ == typeAddr6 {
			size = 16
		}
		if len(data) < min(size, 2) {
			break
		}
		b := data[:min(size, len(data))]
		data = data[len(b):]
		switch {
		case (typ == typeAddr4 || typ == typeAddr6) && len(b) == size:
			addr, _ := netip.AddrFromSlice(b)
			words = append(words, addr.String())
		case typ == typePort:
			words = append(words, strconv.Itoa(int(binary.BigEndian.Uint16(b))))
		case typ == typeProto:
			words = append(words, protoWord(b[0]))
		case len(b) == 4:
			words = append(words, number(b))
		default:
			words = append(words, fmt.Sprintf("%x", b))
		}
	}
	return strings.Join(words, " . ")
}
