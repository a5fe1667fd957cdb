package cluster

import (
	"net/netip"
	"testing"
)

// As kube-proxy decides it (pkg/proxy/util/nodeport_addresses_test.go:406).
func TestLocalhostNodePorts(t *testing.T) {
	able := Mode{Localhost: true}
	in := func(ranges ...string) (s Settings) {
		for _, r := range ranges {
			s.NodePortAddresses = append(s.NodePortAddresses, netip.MustParsePrefix(r))
		}
		return s
	}
	for _, tt := range []struct {
		name string
		s    Settings
		m    Mode
		want bool
	}{
		{"nothing said", Settings{}, able, true},
		{"nothing said, another mode", Settings{}, Mode{}, false},
		{"switched off", Settings{NoLocalhostNodePorts: true}, able, false},
		{"primary", Settings{Primary: true}, able, false},
		{"a loopback range", in("127.0.0.0/8", "192.168.0.0/16"), able, true},
		{"everything", in("0.0.0.0/0"), able, true},
		{"no loopback range", in("192.168.0.0/16"), able, false},
		{"IPv6 ranges say nothing of IPv4", in("fd00::/8"), able, true},
	} {
		if got := tt.s.LocalhostNodePorts(tt.m); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}
