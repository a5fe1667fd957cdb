package wire

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/sys/unix"
)

// packet is what a sink remembers of an IP packet. Protocols without ports have port 0, but an echo request has its identifier
// for source port.
type packet struct {
	proto    uint8
	src, dst netip.AddrPort
}

const ethernetHeader = 14

// parse reads an Ethernet frame. Later fragments have no ports and are of no interest: the first one was counted.
func parse(frame []byte) (packet, bool) {
	if len(frame) < ethernetHeader {
		return packet{}, false
	}
	ip := frame[ethernetHeader:]
	switch binary.BigEndian.Uint16(frame[12:]) {
	case unix.ETH_P_IP:
		return parseIPv4(ip)
	case unix.ETH_P_IPV6:
		return parseIPv6(ip)
	}
	return packet{}, false
}

func parseIPv4(b []byte) (packet, bool) {
	if len(b) < 20 || b[0]>>4 != 4 {
		return packet{}, false
	}
	header := int(b[0]&15) * 4
	later := binary.BigEndian.Uint16(b[6:])&0x1fff != 0
	if header < 20 || len(b) < header || later {
		return packet{}, false
	}
	return transport(b[9], netip.AddrFrom4([4]byte(b[12:])), netip.AddrFrom4([4]byte(b[16:])), b[header:])
}

func parseIPv6(b []byte) (packet, bool) {
	if len(b) < 40 || b[0]>>4 != 6 {
		return packet{}, false
	}
	next, src, dst := b[6], netip.AddrFrom16([16]byte(b[8:])), netip.AddrFrom16([16]byte(b[24:]))
	for b = b[40:]; ; {
		size := 8
		switch next {
		case unix.IPPROTO_HOPOPTS, unix.IPPROTO_ROUTING, unix.IPPROTO_DSTOPTS:
			if len(b) >= 2 {
				size += int(b[1]) * 8
			}
		case unix.IPPROTO_FRAGMENT:
			if len(b) >= 4 && binary.BigEndian.Uint16(b[2:])>>3 != 0 {
				return packet{}, false
			}
		default:
			return transport(next, src, dst, b)
		}
		if len(b) < size {
			return packet{}, false
		}
		next, b = b[0], b[size:]
	}
}

func transport(proto uint8, src, dst netip.Addr, b []byte) (packet, bool) {
	var from, to uint16
	switch proto {
	case unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP:
		if len(b) < 4 {
			return packet{}, false
		}
		from, to = binary.BigEndian.Uint16(b), binary.BigEndian.Uint16(b[2:])
	case unix.IPPROTO_ICMP, unix.IPPROTO_ICMPV6:
		const echo, echo6 = 8, 128 // RFC 792, RFC 4443
		if len(b) >= 8 && (b[0] == echo && proto == unix.IPPROTO_ICMP || b[0] == echo6 && proto == unix.IPPROTO_ICMPV6) {
			from = binary.BigEndian.Uint16(b[4:])
		}
	}
	return packet{proto, netip.AddrPortFrom(src, from), netip.AddrPortFrom(dst, to)}, true
}
