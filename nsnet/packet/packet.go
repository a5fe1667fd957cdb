// Package packet reads the headers of IP packets, whole or cut short, as packet sockets, nf_tables and nfnetlink_log hand
// them out, and gives each packet a key by which it is known again on another wire, translated or not.
package packet

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Packet is what one IP packet says of itself. Ports are 0 for protocols without; an echo has its identifier in both.
type Packet struct {
	Proto    uint8 // of the IP header, behind extension headers
	Src, Dst netip.AddrPort
	TTL      uint8
	ID       uint16 // IPv4; 0 for some packets (SYN ACK), and always in IPv6
	Length   int    // of the payload of TCP and UDP, of everything behind the IP header for other protocols, in bytes

	Seq, Ack uint32 // TCP; an echo has its sequence number in Seq
	Flags    uint8  // TCP, as in its header: 1 FIN, 2 SYN, 4 RST, 8 PSH, 16 ACK

	Kind, Code uint8   // ICMP
	Quoted     *Packet // ICMP errors: the packet that they are about
	Fragment   bool    // a later fragment, which has no ports

	head [12]byte // of a datagram's payload
}

// Key is the same for one packet on every wire and at every hook, since routers and NAT change none of it.
type Key struct {
	proto      uint8
	id         uint16
	length     int
	seq, ack   uint32
	flags      uint8
	kind, code uint8
	head       [12]byte
}

// Key is the packet's. What an ICMP error quotes is not in it: a trace has too little of that.
func (p *Packet) Key() Key {
	return Key{proto: p.Proto, id: p.ID, length: p.Length, seq: p.Seq, ack: p.Ack, flags: p.Flags, kind: p.Kind, code: p.Code, head: p.head}
}

// IsError reports whether it is an ICMP error, of either family.
func (p *Packet) IsError() bool {
	switch p.Proto {
	case unix.IPPROTO_ICMP:
		return p.Kind == 3 || p.Kind == 11 || p.Kind == 12
	case unix.IPPROTO_ICMPV6:
		return 1 <= p.Kind && p.Kind <= 4
	}
	return false
}

var flagNames = [...]string{"FIN", "SYN", "RST", "PSH", "ACK", "URG"}

// FlagWords are a TCP packet's flags: "SYN ACK".
func (p *Packet) FlagWords() string {
	words := ""
	for i, name := range flagNames {
		if p.Flags&(1<<i) != 0 {
			if words != "" {
				words += " "
			}
			words += name
		}
	}
	return words
}

// String is "SYN", "PSH ACK, 9 bytes", "datagram, 9 bytes" or "ICMP port unreachable".
func (p *Packet) String() string {
	switch {
	case p.Fragment:
		return "fragment"
	case p.Proto == unix.IPPROTO_TCP && p.Length > 0:
		return fmt.Sprintf("%s, %d bytes", p.FlagWords(), p.Length)
	case p.Proto == unix.IPPROTO_TCP:
		return p.FlagWords()
	case p.Proto == unix.IPPROTO_UDP:
		return fmt.Sprintf("datagram, %d bytes", p.Length)
	case p.Proto == unix.IPPROTO_ICMP || p.Proto == unix.IPPROTO_ICMPV6:
		return "ICMP " + p.icmpWords()
	}
	return fmt.Sprintf("protocol %d, %d bytes", p.Proto, p.Length)
}

// icmpWords has those that a lab meets (RFC 792, RFC 1122, RFC 4443).
func (p *Packet) icmpWords() string {
	four := p.Proto == unix.IPPROTO_ICMP
	type which struct {
		four       bool
		kind, code uint8
	}
	words, ok := map[which]string{
		{true, 3, 0}: "network unreachable", {true, 3, 1}: "host unreachable", {true, 3, 2}: "protocol unreachable",
		{true, 3, 3}: "port unreachable", {true, 3, 4}: "fragmentation needed", {true, 3, 13}: "administratively prohibited",
		{true, 8, 0}: "echo request", {true, 0, 0}: "echo reply", {true, 11, 0}: "time exceeded",
		{false, 1, 0}: "no route", {false, 1, 1}: "administratively prohibited", {false, 1, 3}: "address unreachable",
		{false, 1, 4}: "port unreachable", {false, 2, 0}: "packet too big", {false, 3, 0}: "time exceeded",
		{false, 128, 0}: "echo request", {false, 129, 0}: "echo reply",
	}[which{four, p.Kind, p.Code}]
	if !ok {
		return fmt.Sprintf("type %d code %d", p.Kind, p.Code)
	}
	return words
}

const ethernetHeader = 14

// FromFrame reads an Ethernet frame; ok is false when it has no IP packet that could be read.
func FromFrame(frame []byte) (Packet, bool) {
	if len(frame) < ethernetHeader {
		return Packet{}, false
	}
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP, unix.ETH_P_IPV6:
		return FromIP(frame[ethernetHeader:])
	}
	return Packet{}, false
}

// FromIP reads a packet from its IP header on. It may be cut short behind the transport header.
func FromIP(b []byte) (Packet, bool) {
	at, ok := transportAt(b)
	if !ok {
		return Packet{}, false
	}
	return FromHeaders(b[:at], b[at:])
}

// FromHeaders reads the two parts that a trace event has: the IP header, and the beginning of what follows it.
func FromHeaders(network, transport []byte) (p Packet, ok bool) {
	length := 0
	switch {
	case len(network) >= 20 && network[0]>>4 == 4:
		p.Proto, p.TTL, p.ID = network[9], network[8], binary.BigEndian.Uint16(network[4:])
		p.Src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(network[12:])), 0)
		p.Dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(network[16:])), 0)
		length = int(binary.BigEndian.Uint16(network[2:])) - int(network[0]&15)*4
		p.Fragment = binary.BigEndian.Uint16(network[6:])&0x1fff != 0
	case len(network) >= 40 && network[0]>>4 == 6:
		p.TTL = network[7]
		p.Src = netip.AddrPortFrom(netip.AddrFrom16([16]byte(network[8:])), 0)
		p.Dst = netip.AddrPortFrom(netip.AddrFrom16([16]byte(network[24:])), 0)
		length = int(binary.BigEndian.Uint16(network[4:])) + 40 - len(network)
		p.Proto, p.Fragment = extensions(network)
	default:
		return p, false
	}
	p.Length = length
	if !p.Fragment {
		p.transport(transport)
	}
	return p, true
}

// transport reads what follows the IP header; what is cut off stays zero.
func (p *Packet) transport(b []byte) {
	ports := func() {
		p.Src = netip.AddrPortFrom(p.Src.Addr(), binary.BigEndian.Uint16(b))
		p.Dst = netip.AddrPortFrom(p.Dst.Addr(), binary.BigEndian.Uint16(b[2:]))
	}
	switch p.Proto {
	case unix.IPPROTO_TCP:
		if len(b) >= 8 { // as much as ICMP quotes
			ports()
			p.Seq = binary.BigEndian.Uint32(b[4:])
		}
		if len(b) >= 14 {
			p.Ack, p.Flags = binary.BigEndian.Uint32(b[8:]), b[13]&0x3f
			p.Length -= int(b[12]>>4) * 4
		}
	case unix.IPPROTO_UDP:
		if len(b) >= 8 {
			ports()
			p.Length -= 8
			copy(p.head[:], b[8:])
		}
	case unix.IPPROTO_SCTP:
		if len(b) >= 4 {
			ports()
		}
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		p.icmp(b)
	}
}

func (p *Packet) icmp(b []byte) {
	if len(b) < 8 {
		return
	}
	p.Kind, p.Code = b[0], b[1]
	if p.IsError() {
		if q, ok := FromIP(b[8:]); ok {
			p.Quoted = &q
		}
		return
	}
	if word := p.icmpWords(); word == "echo request" || word == "echo reply" {
		id := binary.BigEndian.Uint16(b[4:])
		p.Src, p.Dst = netip.AddrPortFrom(p.Src.Addr(), id), netip.AddrPortFrom(p.Dst.Addr(), id)
		p.Seq = uint32(binary.BigEndian.Uint16(b[6:]))
		copy(p.head[:], b[8:])
	}
}

// transportAt is where the IP header with its options or extensions ends.
func transportAt(b []byte) (at int, ok bool) {
	switch {
	case len(b) >= 20 && b[0]>>4 == 4:
		at = int(b[0]&15) * 4
	case len(b) >= 40 && b[0]>>4 == 6:
		at = 40
		for next := b[6]; len(b) >= at+8; {
			size := 8
			switch next {
			case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
				size += int(b[at+1]) * 8
			case unix.IPPROTO_FRAGMENT:
			default:
				return at, true
			}
			next, at = b[at], at+size
		}
	}
	return at, at >= 20 && at <= len(b)
}

// extensions is the protocol behind an IPv6 header's extensions, and whether the packet is a later fragment.
func extensions(b []byte) (proto uint8, later bool) {
	proto = b[6]
	for at := 40; len(b) >= at+8; {
		size := 8
		switch proto {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
			size += int(b[at+1]) * 8
		case unix.IPPROTO_FRAGMENT:
			later = binary.BigEndian.Uint16(b[at+2:])>>3 != 0
		default:
			return proto, later
		}
		proto, at = b[at], at+size
	}
	return proto, later
}
