package nftrace

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Table is the name of the observers' table, of family inet.
const Table = "svclab-explain"

// Wanted says which packets are traced.
type Wanted struct {
	Proto  uint8          // required, of the IP header
	Client netip.AddrPort // required: the client's own address and port; an echo's identifier for port
	// Servers: packets to and from these addresses are traced as well. Behind a masquerade that was made on another node
	// nothing of the client is left to be matched.
	Servers []netip.Addr
}

// observer is a chain: where it stands, and whether it chooses packets.
type observer struct {
	chain    string
	hook     *nftables.ChainHook
	priority nftables.ChainPriority
	chooses  choice
}

type choice uint8

const (
	nothing choice = iota
	byAddress
	byTrack // after connection tracking has looked (priority -200)
)

// The priorities lie outside of all that proxies use: raw is -300, conntrack -200, srcnat 100.
const first, tracked, last = -450, -190, 400

var observers = []observer{
	{"pre-first", nftables.ChainHookPrerouting, first, byAddress}, {"pre-tracked", nftables.ChainHookPrerouting, tracked, byTrack}, {"pre-last", nftables.ChainHookPrerouting, last, nothing},
	{"in-first", nftables.ChainHookInput, first, nothing}, {"in-last", nftables.ChainHookInput, last, nothing},
	{"fwd-first", nftables.ChainHookForward, first, nothing}, {"fwd-last", nftables.ChainHookForward, last, nothing},
	{"out-first", nftables.ChainHookOutput, first, byAddress}, {"out-tracked", nftables.ChainHookOutput, tracked, byTrack}, {"out-last", nftables.ChainHookOutput, last, nothing},
	{"post-first", nftables.ChainHookPostrouting, first, nothing}, {"post-last", nftables.ChainHookPostrouting, last, nothing},
}

// Observe puts the observers' table into a namespace, in one transaction. Unobserve takes it out.
func Observe(ns *nsnet.NS, w Wanted) error {
	c, err := nftables.New(nftables.WithNetNSFd(ns.FD()))
	if err != nil {
		return fmt.Errorf("observe in namespace %s: %w", ns.Name(), err)
	}
	t := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: Table})
	c.DelTable(t) // one that is there, from whomever, would go on watching
	c.AddTable(t)
	m := matcher{w: w, is6: w.Client.Addr().Is6()}
	if len(w.Servers) > 0 {
		m.servers = &nftables.Set{Table: t, Name: "servers", KeyType: nftables.TypeIPAddr}
		if m.is6 {
			m.servers.KeyType = nftables.TypeIP6Addr
		}
		var elements []nftables.SetElement
		for _, a := range w.Servers {
			if a.Is6() == m.is6 {
				elements = append(elements, nftables.SetElement{Key: a.AsSlice()})
			}
		}
		if err := c.AddSet(m.servers, elements); err != nil {
			return fmt.Errorf("observe in namespace %s: %w", ns.Name(), err)
		}
	}
	for _, o := range observers {
		accept := nftables.ChainPolicyAccept
		chain := c.AddChain(&nftables.Chain{Table: t, Name: o.chain, Type: nftables.ChainTypeFilter, Hooknum: o.hook, Priority: &o.priority, Policy: &accept})
		for _, match := range m.rules(o.chooses) {
			c.AddRule(&nftables.Rule{Table: t, Chain: chain, Exprs: append(match,
				&expr.Immediate{Register: 1, Data: []byte{1}}, &expr.Meta{Key: expr.MetaKeyNFTRACE, SourceRegister: true, Register: 1})})
		}
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("observe in namespace %s: %w", ns.Name(), err)
	}
	return nil
}

// Unobserve removes the observers' table.
func Unobserve(ns *nsnet.NS) error {
	c, err := nftables.New(nftables.WithNetNSFd(ns.FD()))
	if err == nil {
		c.DelTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: Table})
		err = c.Flush()
	}
	if err != nil {
		return fmt.Errorf("stop observing in namespace %s: %w", ns.Name(), err)
	}
	return nil
}

// matcher makes the conditions of rules, one list for each rule.
type matcher struct {
	w       Wanted
	is6     bool
	servers *nftables.Set
}

func (m matcher) rules(c choice) (rules [][]expr.Any) {
	switch c {
	case byAddress:
		for _, end := range []uint32{0, 1} { // source, destination
			rules = append(rules, m.client(end))
			if m.servers != nil {
				rules = append(rules, m.join(m.proto(m.w.Proto), m.server(unix.NFT_PAYLOAD_NETWORK_HEADER, m.address(end))))
			}
		}
		for _, kind := range m.errorKinds() {
			for _, end := range []uint32{0, 1} {
				rules = append(rules, m.quoting(kind, end)...)
			}
		}
	case byTrack:
		rules = append(rules, m.tracked())
	}
	return rules
}

func (m matcher) join(parts ...[]expr.Any) (all []expr.Any) {
	nfproto := byte(unix.NFPROTO_IPV4)
	if m.is6 {
		nfproto = unix.NFPROTO_IPV6
	}
	all = append(all, &expr.Meta{Key: expr.MetaKeyNFPROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{nfproto}})
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

func (m matcher) proto(p uint8) []expr.Any {
	return []expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: []byte{p}}}
}

// address is the offset of source (0) or destination (1) in the IP header.
func (m matcher) address(end uint32) uint32 {
	if m.is6 {
		return 8 + 16*end
	}
	return 12 + 4*end
}

func (m matcher) addressLen() uint32 {
	if m.is6 {
		return 16
	}
	return 4
}

func is(base expr.PayloadBase, offset uint32, value []byte) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: uint32(len(value))},
		&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value},
	}
}

func port(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }

// hasPorts is false for an echo, whose identifier stands for a port and may be another after NAT.
func (m matcher) hasPorts() bool {
	return m.w.Proto != unix.IPPROTO_ICMP && m.w.Proto != unix.IPPROTO_ICMPV6
}

// client matches the client at one end of the packet.
func (m matcher) client(end uint32) []expr.Any {
	match := m.join(m.proto(m.w.Proto), is(expr.PayloadBaseNetworkHeader, m.address(end), m.w.Client.Addr().AsSlice()))
	if m.hasPorts() {
		match = append(match, is(expr.PayloadBaseTransportHeader, 2*end, port(m.w.Client.Port()))...)
	}
	return match
}

// server matches one of the servers.
func (m matcher) server(base expr.PayloadBase, offset uint32) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: m.addressLen()},
		&expr.Lookup{SourceRegister: 1, SetName: m.servers.Name, SetID: m.servers.ID},
	}
}

// errorKinds are the types of ICMP errors.
func (m matcher) errorKinds() []byte {
	if m.is6 {
		return []byte{1, 2, 3, 4}
	}
	return []byte{3, 11, 12}
}

// quoting matches ICMP errors about packets of the flow: the header that they quote follows after 8 bytes.
func (m matcher) quoting(kind byte, end uint32) (rules [][]expr.Any) {
	const quoted = 8
	icmp, header := uint8(unix.IPPROTO_ICMP), uint32(20)
	if m.is6 {
		icmp, header = unix.IPPROTO_ICMPV6, 40
	}
	start := m.join(m.proto(icmp), is(expr.PayloadBaseTransportHeader, 0, []byte{kind}))
	match := append(append([]expr.Any(nil), start...), is(expr.PayloadBaseTransportHeader, quoted+m.address(end), m.w.Client.Addr().AsSlice())...)
	if m.hasPorts() {
		match = append(match, is(expr.PayloadBaseTransportHeader, quoted+header+2*end, port(m.w.Client.Port()))...)
	}
	rules = append(rules, match)
	if m.servers != nil {
		rules = append(rules, append(append([]expr.Any(nil), start...), m.server(expr.PayloadBaseTransportHeader, quoted+m.address(end))...))
	}
	return rules
}

// tracked matches by the connection's first packet, as its client sent it: so it finds replies whose addresses are yet to be
// translated back, and ICMP errors about the connection.
func (m matcher) tracked() []expr.Any {
	original := func(key expr.CtKey, value []byte) []expr.Any {
		return []expr.Any{&expr.Ct{Key: key, Register: 1}, &expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value}}
	}
	match := m.join(original(expr.CtKeyPROTOCOL, []byte{m.w.Proto}), original(expr.CtKeySRC, m.w.Client.Addr().AsSlice()))
	if m.hasPorts() {
		match = append(match, original(expr.CtKeyPROTOSRC, port(m.w.Client.Port()))...)
	}
	return match
}
