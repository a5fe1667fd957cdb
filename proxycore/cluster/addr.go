package cluster

import (
	"net/netip"
	"slices"
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

func sortKeys(keys []Key) { slices.SortFunc(keys, Key.Compare) }
