package rulesync

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"

	"svclab/sim/bench/load"
)

// The sizes of what is sent: no options anywhere.
const (
	ethernetSize = 14
	ipSize       = 20
	tcpSize      = 20
	segmentSize  = ipSize + tcpSize
)

// The flags of a TCP segment that are looked at (RFC 9293, section 3.1).
const (
	flagSYN = 0x02
	flagRST = 0x04
	flagACK = 0x10
)

// writeSegment writes an IPv4 packet with a TCP segment without payload, both checksums included.
func writeSegment(b []byte, src, dst netip.AddrPort, seq, ack uint32, flags byte) {
	ip, tcp := b[:ipSize], b[ipSize:segmentSize]
	clear(b[:segmentSize])
	ip[0], ip[8], ip[9] = 0x45, 64, unix.IPPROTO_TCP
	binary.BigEndian.PutUint16(ip[2:], segmentSize)
	ip[6] = 0x40 // don't fragment, so the identification may be 0
	from, to := src.Addr().As4(), dst.Addr().As4()
	copy(ip[12:], from[:])
	copy(ip[16:], to[:])
	binary.BigEndian.PutUint16(ip[10:], ^fold(sum(ip)))

	binary.BigEndian.PutUint16(tcp, src.Port())
	binary.BigEndian.PutUint16(tcp[2:], dst.Port())
	binary.BigEndian.PutUint32(tcp[4:], seq)
	binary.BigEndian.PutUint32(tcp[8:], ack)
	tcp[12], tcp[13] = tcpSize/4<<4, flags
	binary.BigEndian.PutUint16(tcp[14:], 64240)
	binary.BigEndian.PutUint16(tcp[16:], ^fold(sum(ip[12:20])+unix.IPPROTO_TCP+tcpSize+sum(tcp)))
}

// sum adds 16-bit words (RFC 1071); the length is even.
func sum(b []byte) (total uint32) {
	for ; len(b) >= 2; b = b[2:] {
		total += uint32(binary.BigEndian.Uint16(b))
	}
	return total
}

func fold(v uint32) uint16 {
	for v > 0xffff {
		v = v&0xffff + v>>16
	}
	return uint16(v)
}

// segment is what is read of a packet: an IPv4 TCP segment, or an ICMP error that quotes one.
type segment struct {
	src, dst netip.AddrPort
	seq      uint32
	flags    byte
	icmp     bool // "destination unreachable" about a segment from dst to src
}

// parse reads an Ethernet frame.
func parse(frame []byte) (s segment, ok bool) {
	if len(frame) < ethernetSize+ipSize || binary.BigEndian.Uint16(frame[12:]) != unix.ETH_P_IP {
		return s, false
	}
	proto, s, rest, ok := parseIP(frame[ethernetSize:])
	switch {
	case !ok:
	case proto == unix.IPPROTO_TCP && len(rest) >= tcpSize:
		s.seq, s.flags = binary.BigEndian.Uint32(rest[4:]), rest[13]
		return s, true
	case proto == unix.IPPROTO_ICMP && len(rest) >= 8 && rest[0] == 3: // RFC 792
		proto, quoted, _, ok := parseIP(rest[8:])
		return segment{src: quoted.dst, dst: quoted.src, icmp: true}, ok && proto == unix.IPPROTO_TCP
	}
	return s, false
}

// parseIP reads the header and, of TCP, the ports.
func parseIP(b []byte) (proto byte, s segment, rest []byte, ok bool) {
	if len(b) < ipSize || b[0]>>4 != 4 {
		return 0, s, nil, false
	}
	header := int(b[0]&15) * 4
	if header < ipSize || len(b) < header+4 {
		return 0, s, nil, false
	}
	rest = b[header:]
	var from, to uint16
	if b[9] == unix.IPPROTO_TCP {
		from, to = binary.BigEndian.Uint16(rest), binary.BigEndian.Uint16(rest[2:])
	}
	s.src = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[12:])), from)
	s.dst = netip.AddrPortFrom(netip.AddrFrom4([4]byte(b[16:])), to)
	return b[9], s, rest, true
}

// writeAnswer turns a frame with a SYN into its SYN+ACK. The answer's sequence number is the address that was asked, so that
// one packet tells the client who answers: what a kernel would put there is random.
func writeAnswer(frame, syn []byte, s segment) {
	copy(frame[:6], syn[6:12])
	copy(frame[6:12], syn[:6])
	copy(frame[12:14], syn[12:14])
	me := s.dst.Addr().As4()
	writeSegment(frame[ethernetSize:], s.dst, s.src, binary.BigEndian.Uint32(me[:]), s.seq+1, flagSYN|flagACK)
}

// server is who wrote that answer.
func (s segment) server() netip.Addr {
	var a [4]byte
	binary.BigEndian.PutUint32(a[:], s.seq)
	return netip.AddrFrom4(a)
}

// asksEndpoint: whatever else comes to a pod, resets above all, wants no answer.
func (s segment) asksEndpoint() bool {
	return !s.icmp && s.flags == flagSYN && s.dst.Port() == load.TargetPort
}
