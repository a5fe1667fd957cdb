package cluster

import (
	"net/netip"
	"strconv"
	"strings"
)

// ParseAddr reads an address as the API may hold it: leading zeros in an IPv4 address are decimal, as kube-proxy reads
// them (k8s.io/utils/net ParseIPSloppy), and an IPv4-mapped IPv6 address is the IPv4 address. An address with a zone
// is none.
func ParseAddr(s string) (netip.Addr, bool) {
	a, err := netip.ParseAddr(s)
	if err != nil && !strings.Contains(s, ":") {
		parts := strings.Split(s, ".")
		for i, p := range parts {
			if p = strings.TrimLeft(p, "0"); p == "" && parts[i] != "" {
				p = "0"
			}
			parts[i] = p
		}
		a, err = netip.ParseAddr(strings.Join(parts, "."))
	}
	if err != nil || a.Zone() != "" {
		return netip.Addr{}, false
	}
	return a.Unmap(), true
}

// ParsePrefix reads a range as the API may hold it: blanks around it, and leading zeros as in ParseAddr
// (k8s.io/utils/net ParseCIDRSloppy). It is masked.
func ParsePrefix(s string) (netip.Prefix, bool) {
	addr, bits, ok := strings.Cut(strings.TrimSpace(s), "/")
	a, isAddr := ParseAddr(addr)
	n, err := strconv.Atoi(bits)
	if !ok || !isAddr || err != nil || a.Is4() && strings.Contains(addr, ":") {
		return netip.Prefix{}, false
	}
	p, err := a.Prefix(n)
	return p, err == nil
}
