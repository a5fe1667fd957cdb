package packet

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// Mend writes the checksum of TCP or UDP into an Ethernet frame whose sender has left it to a device: between two ends of a
// veth nobody ever computes it, and readers of captures take it for damaged. Other frames, and fragments, are left alone.
func Mend(frame []byte) {
	if len(frame) < ethernetHeader {
		return
	}
	ip := frame[ethernetHeader:]
	p, ok := FromFrame(frame)
	at, whole := transportAt(ip)
	if !ok || !whole || p.Fragment || ip[0]>>4 == 4 && binary.BigEndian.Uint16(ip[6:])&0x2000 != 0 {
		return
	}
	end := len(ip)
	var addresses []byte
	if ip[0]>>4 == 4 {
		addresses = ip[12:20]
		end = min(end, int(binary.BigEndian.Uint16(ip[2:])))
	} else {
		addresses = ip[8:40]
		end = min(end, 40+int(binary.BigEndian.Uint16(ip[4:])))
	}
	if end < at {
		return
	}
	segment := ip[at:end]
	field := map[uint8]int{unix.IPPROTO_TCP: 16, unix.IPPROTO_UDP: 6}[p.Proto]
	if field == 0 || len(segment) < field+2 {
		return
	}
	binary.BigEndian.PutUint16(segment[field:], 0)
	sum := add(add(uint32(p.Proto)+uint32(len(segment)), addresses), segment)
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	c := ^uint16(sum)
	if c == 0 && p.Proto == unix.IPPROTO_UDP {
		c = 0xffff // RFC 768: 0 means that there is none
	}
	binary.BigEndian.PutUint16(segment[field:], c)
}

func add(sum uint32, b []byte) uint32 {
	for ; len(b) >= 2; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}
