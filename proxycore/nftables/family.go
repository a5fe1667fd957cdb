package nftables

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// family is what differs between the two tables.
type family struct {
	name         string // as nft spells it
	proto        uint8  // of nfgenmsg, and of the nat expression
	addr         datatype
	words        uint32 // of an address, in registers of 4 bytes
	saddr, daddr uint32 // offsets in the IP header
	ctDaddr      uint32 // the key of `ct original ip daddr`
	unreachable  uint8  // the ICMP code of "port unreachable"
}

var families = [2]*family{
	{"ip", unix.NFPROTO_IPV4, ipv4Addr, 1, 12, 16, unix.NFT_CT_DST_IP, 3},
	{"ip6", unix.NFPROTO_IPV6, ipv6Addr, 4, 8, 24, unix.NFT_CT_DST_IP6, 4},
}

func familyIndex(a netip.Addr) int {
	if a.Is4() {
		return 0
	}
	return 1
}

// The parts of a concatenated key begin at multiples of 4 bytes. Addresses and ports are in network order, slots and
// numbers in the machine's.

func appendAddr(b []byte, a netip.Addr) []byte {
	if a.Is4() {
		v := a.As4()
		return append(b, v[:]...)
	}
	v := a.As16()
	return append(b, v[:]...)
}

func appendPort(b []byte, p uint16) []byte { return append(b, byte(p>>8), byte(p), 0, 0) }

func appendFront(b []byte, f proxycore.Front) []byte {
	b = append(appendAddr(b, f.Addr), byte(f.Proto), 0, 0, 0)
	return appendPort(b, f.Port)
}

func appendSlot(b []byte, f proxycore.Front, slot int) []byte {
	return binary.NativeEndian.AppendUint32(appendFront(b, f), uint32(slot))
}

// appendRange is a front and a source: an end of a source range.
func appendRange(b []byte, f proxycore.Front, source netip.Addr) []byte {
	return appendAddr(appendFront(b, f), source)
}

func appendTarget(b []byte, t netip.AddrPort) []byte {
	return appendPort(appendAddr(b, t.Addr()), t.Port())
}

func (f *family) addrLen() int   { return int(f.words) * 4 }
func (f *family) frontLen() int  { return f.addrLen() + 8 }
func (f *family) slotLen() int   { return f.addrLen() + 12 }
func (f *family) rangeLen() int  { return 2*f.addrLen() + 8 }
func (f *family) targetLen() int { return f.addrLen() + 4 }

func (f *family) readAddr(b []byte) netip.Addr {
	a, _ := netip.AddrFromSlice(b[:f.addrLen()])
	return a
}

func (f *family) readTarget(b []byte) netip.AddrPort {
	return netip.AddrPortFrom(f.readAddr(b), binary.BigEndian.Uint16(b[f.addrLen():]))
}

func (f *family) readFront(b []byte) proxycore.Front {
	n := f.addrLen()
	return proxycore.Front{Addr: f.readAddr(b), Proto: cluster.Proto(b[n]), Port: binary.BigEndian.Uint16(b[n+4:])}
}

func (f *family) readSlot(b []byte) (proxycore.Front, uint32) {
	return f.readFront(b), binary.NativeEndian.Uint32(b[f.frontLen():])
}

// element spells a key as nft lists it.
func (f *family) element(set setID, key []byte) string {
	if len(key) != sets[set].keyLen(f) {
		return fmt.Sprintf("%x", key)
	}
	front := func(v proxycore.Front) string { return fmt.Sprintf("%v . %v . %d", v.Addr, v.Proto, v.Port) }
	switch set {
	case services, allowed, internal, external, picks, localPicks, masqAll, masqNode:
		return front(f.readFront(key))
	case ranges:
		return fmt.Sprintf("%s . %v", front(f.readFront(key)), f.readAddr(key[f.frontLen():]))
	case endpoints, ids:
		v, slot := f.readSlot(key)
		return fmt.Sprintf("%s . slot %d", front(v), slot)
	case hairpin:
		return fmt.Sprintf("%v . %v", f.readAddr(key), f.readAddr(key[f.addrLen():]))
	case live, localLive:
		v, id := f.readSlot(key)
		return fmt.Sprintf("%s . id %#x", front(v), id)
	case affinity:
		return fmt.Sprintf("%v . %s", f.readAddr(key), front(f.readFront(key[f.addrLen():])))
	case byService, byAllowed, byLocal, byPick:
		return chainOf(binary.NativeEndian.Uint32(key))
	}
	return f.readAddr(key).String()
}
