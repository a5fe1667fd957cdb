package scenario

import (
	"encoding/binary"
	"net/netip"

	"svclab/proxycore/cluster"
)

// image is how the addresses of one scenario become IPv6. Where all ranges end at a dot, the digits stay readable:
// 10.34.188.30 is fd00:10:34:188::30 and 10.34.188.0/24 is fd00:10:34:188::/64. Else all become fd00::/96 plus the
// number, since a range that ends between dots has no decimal image. Both are injective, and keep an address in its range;
// but for 127.0.0.0/8, of which IPv6 has the one address ::1.
type image struct{ numeric bool }

func (m image) addr(a netip.Addr) netip.Addr {
	if !a.Is4() {
		return a
	}
	if a.IsLoopback() {
		return netip.IPv6Loopback()
	}
	b := a.As4()
	out := [16]byte{0: 0xfd}
	if m.numeric {
		copy(out[12:], b[:])
		return netip.AddrFrom16(out)
	}
	for i, at := range [4]int{2, 4, 6, 14} {
		binary.BigEndian.PutUint16(out[at:], decimalAsHex(b[i]))
	}
	return netip.AddrFrom16(out)
}

// decimalAsHex reads the decimal digits of n as hexadecimal ones: 188 becomes 0x188.
func decimalAsHex(n byte) uint16 {
	return uint16(n)/100<<8 | uint16(n)/10%10<<4 | uint16(n)%10
}

// prefix keeps the bits behind the range as they are, as address/length notation has them.
func (m image) prefix(p netip.Prefix) netip.Prefix {
	if !p.Addr().Is4() {
		return p
	}
	bits := p.Bits() + 96
	switch {
	case p.Bits() == 0: // everything stays everything, also outside of fd00::
		return netip.PrefixFrom(netip.IPv6Unspecified(), 0)
	case p.Addr().IsLoopback() && p.Bits() >= 8:
		return netip.PrefixFrom(netip.IPv6Loopback(), 128)
	case !m.numeric:
		bits = map[int]int{8: 32, 16: 48, 24: 64, 32: 128}[p.Bits()]
	}
	return netip.PrefixFrom(m.addr(p.Addr()), bits)
}

// text maps an address, a range or the name of a family, and leaves all else as it is.
func (m image) text(s string) string {
	if s == "IPv4" {
		return "IPv6"
	}
	if a, ok := cluster.ParseAddr(s); ok {
		if a.Is4() {
			return m.addr(a).String()
		}
		return s
	}
	if p, err := netip.ParsePrefix(s); err == nil && p.Addr().Is4() {
		return m.prefix(p).String()
	}
	return s
}

// families is what the addresses of a scenario are.
type families struct {
	v4, v6 bool
	uneven bool // some IPv4 range does not end at a dot
}

// visit notes one text and returns it as it is.
func (f *families) visit(s string) string {
	switch s {
	case "IPv4":
		f.v4 = true
	case "IPv6":
		f.v6 = true
	default:
		if a, ok := cluster.ParseAddr(s); ok {
			f.see(a)
		} else if p, err := netip.ParsePrefix(s); err == nil {
			f.see(p.Addr())
			f.uneven = f.uneven || p.Addr().Is4() && p.Bits()%8 != 0
		}
	}
	return s
}

func (f *families) see(a netip.Addr) {
	f.v4 = f.v4 || a.Is4()
	f.v6 = f.v6 || !a.Is4()
}
