package oracle

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Rows of the quick matrix of the specification (TestInternalExternalMasquerade), column ClusterIP, and what belongs to
// it. Servers and sources are written by hand: this table tests the oracle, so it must not come from it.
func TestMatrix(t *testing.T) {
	for _, c := range matrix() {
		t.Run(c.name, func(t *testing.T) {
			f := flow(c.flow)
			f.Via = c.via
			a := Expect(c.state(), f, at(2), at(2))
			if got := text(a); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			if got := rows(a); got != c.rows {
				t.Errorf("rows %s, want %s", got, c.rows)
			}
		})
	}
}

type cell struct {
	name  string
	state func() *History
	flow  string
	via   string
	want  string
	rows  string
}

func matrix() []cell {
	web := both("web-1", "web-2")
	single := both("web-1")
	hostWeb := both("host-web", "web-2")
	none := both()
	return []cell{
		{"pod", func() *History { return in(web) }, "pod/client 172.20.0.1:80/TCP", "",
			"50% 10.1.0.1:5000 sees 10.1.0.9; 50% 10.2.0.2:5000 sees 10.1.0.9", "CIP-3 CIP-2 CIP-1"},
		{"pod, UDP", func() *History { return in(web) }, "pod/client 172.20.0.1:53/UDP", "",
			"50% 10.1.0.1:5000 sees 10.1.0.9; 50% 10.2.0.2:5000 sees 10.1.0.9", "CIP-3 CIP-2 CIP-1"},
		{"pod, IPv6", func() *History { return in(web) }, "pod/client [fd20::1]:80/TCP", "",
			"50% [fd01::1]:5000 sees fd01::9; 50% [fd02::2]:5000 sees fd01::9", "CIP-3 CIP-2 CIP-1"},
		{"node", func() *History { return in(web) }, "node/node-1 172.20.0.1:80/TCP", "",
			"50% 10.1.0.1:5000 sees 192.0.2.1|link-local; 50% 10.2.0.2:5000 sees 192.0.2.1", "CIP-3 CIP-5"},
		{"node, IPv6", func() *History { return in(web) }, "node/node-2 [fd20::1]:80/TCP", "",
			"50% [fd01::1]:5000 sees 2001:db8::2; 50% [fd02::2]:5000 sees 2001:db8::2|link-local", "CIP-3 CIP-5"},
		{"hostNetwork pod as a client", func() *History { return in(web) }, "pod/host-client 172.20.0.1:80/TCP", "",
			"50% 10.1.0.1:5000 sees 192.0.2.2; 50% 10.2.0.2:5000 sees 192.0.2.2|link-local", "CIP-3 HP-6"},
		{"outside client", func() *History { return in(web) }, "client/laptop 172.20.0.1:80/TCP", "",
			"50% 10.1.0.1:5000 sees 192.0.2.1|link-local; 50% 10.2.0.2:5000 sees 192.0.2.1", "CIP-3 CIP-6"},
		{"outside client by node-2", func() *History { return in(web) }, "client/laptop 172.20.0.1:53/UDP", "node-2",
			"50% 10.1.0.1:5000 sees 192.0.2.2; 50% 10.2.0.2:5000 sees 192.0.2.2|link-local", "CIP-3 CIP-6"},

		{"hairpin", func() *History { return in(single) }, "pod/web-1 172.20.0.1:80/TCP", "",
			"100% 10.1.0.1:5000 sees 192.0.2.1|link-local", "CIP-3 HP-1"},
		{"hairpin, and a sibling", func() *History { return in(web) }, "pod/web-2 172.20.0.1:80/TCP", "",
			"50% 10.1.0.1:5000 sees 10.2.0.2; 50% 10.2.0.2:5000 sees 192.0.2.2|link-local", "CIP-3 CIP-1 HP-1"},

		{"pod to a hostNetwork endpoint", func() *History { return in(hostWeb) }, "pod/client 172.20.0.1:80/TCP", "",
			"50% 10.2.0.2:5000 sees 10.1.0.9; 50% 192.0.2.1:5000 sees 10.1.0.9", "CIP-3 CIP-1 HP-4"},
		{"node to itself through a Service", func() *History { return in(hostWeb) }, "node/node-1 172.20.0.1:80/TCP", "",
			"50% 10.2.0.2:5000 sees 192.0.2.1; 50% 192.0.2.1:5000 sees 192.0.2.1|link-local", "CIP-3 CIP-5 HP-5"},
		{"outside client to the entry node itself", func() *History { return in(hostWeb) }, "client/laptop 172.20.0.1:80/TCP", "",
			"50% 10.2.0.2:5000 sees 192.0.2.1; 50% 192.0.2.1:5000 sees 203.0.113.7", "CIP-3 CIP-6 HP-4"},
		{"hostNetwork endpoint that does not listen", func() *History { return in(hostWeb) }, "pod/client 172.20.0.1:53/UDP", "",
			"50% 10.2.0.2:5000 sees 10.1.0.9; or refused", "CIP-3 CIP-1 M-12"},

		{"no endpoints", func() *History { return in(none) }, "pod/client 172.20.0.1:80/TCP", "", "or refused", "NE-1"},
		{"no endpoints, UDP", func() *History { return in(none) }, "pod/client 172.20.0.1:53/UDP", "", "or refused", "NE-1"},
		{"no endpoints, outside client", func() *History { return in(none) }, "client/laptop [fd20::1]:80/TCP", "", "or refused", "NE-1"},
		{"no endpoints, node", func() *History { return in(none) }, "node/node-1 172.20.0.1:80/TCP", "", "or refused", "NE-2"},
		{"no endpoints, node, UDP", func() *History { return in(none) }, "node/node-1 172.20.0.1:53/UDP", "", "or denied; or refused", "NE-2"},
		{"no endpoints, hostNetwork pod, UDP", func() *History { return in(none) }, "pod/host-client 172.20.0.1:53/UDP", "", "or denied; or refused", "NE-2"},
		{"endpoints of the other family only", func() *History { return in(state(slice("four", "10.1.0.1"))) }, "pod/client [fd20::1]:80/TCP", "", "or refused", "NE-1"},

		{"unused port", func() *History { return in(web) }, "pod/client 172.20.0.1:81/TCP", "", "or refused; or silent", "CIP-11"},
		{"port of the other protocol", func() *History { return in(web) }, "pod/client 172.20.0.1:80/UDP", "", "or refused; or silent", "CIP-11"},
		{"unused port, node, UDP", func() *History { return in(web) }, "node/node-1 172.20.0.1:54/UDP", "", "or denied; or refused; or silent", "CIP-11"},
		{"nobody's address", func() *History { return in(web) }, "pod/client 172.20.0.2:80/TCP", "", "or silent; or unreachable", "CIP-12"},
		{"nobody's address, node, UDP", func() *History { return in(web) }, "node/node-1 172.20.0.2:80/UDP", "", "or silent; or unreachable; or denied", "CIP-12"},
		{"Service deleted", func() *History { h := in(web); h.since(nil, 1); return h }, "pod/client 172.20.0.1:80/TCP", "", "or silent; or unreachable", "CIP-12"},
		{"nothing applied yet", func() *History { return NewHistory(places()) }, "pod/client 172.20.0.1:80/TCP", "", "or silent; or unreachable", "CIP-12"},
		{"ExternalName", func() *History {
			return in(web.WithService(myservice(func(s *corev1.Service) { s.Spec.Type = corev1.ServiceTypeExternalName })))
		}, "pod/client 172.20.0.1:80/TCP", "", "or silent; or unreachable", "CIP-12"},
		{"left to another proxy", func() *History {
			return in(web.WithService(myservice(func(s *corev1.Service) {
				s.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": ""}
			})))
		}, "pod/client 172.20.0.1:80/TCP", "", "or silent; or unreachable", "CIP-12"},
		{"endpoint that nobody has", func() *History { return in(state(slice("four", "10.9.9.9"))) }, "pod/client 172.20.0.1:80/TCP", "",
			"or silent; or unreachable", "CIP-3 CIP-21"},
		{"endpoint that does not listen", func() *History { return in(state(slice("four", "10.1.0.4"))) }, "pod/client 172.20.0.1:80/TCP", "",
			"or reset", "CIP-3 M-12"},

		{"directly, other node", func() *History { return in(web) }, "pod/client 10.2.0.2:5000/TCP", "", "100% 10.2.0.2:5000 sees 10.1.0.9", "CIP-14 M-1"},
		{"directly, same node", func() *History { return in(web) }, "pod/client 10.1.0.1:5000/UDP", "", "100% 10.1.0.1:5000 sees 10.1.0.9", "CIP-14 M-2"},
		{"directly to oneself", func() *History { return in(web) }, "pod/web-1 10.1.0.1:5000/TCP", "", "100% 10.1.0.1:5000 sees 10.1.0.1", "CIP-14 M-2"},
		{"directly, node to its pod", func() *History { return in(web) }, "node/node-1 10.1.0.1:5000/TCP", "", "100% 10.1.0.1:5000 sees 192.0.2.1|link-local", "CIP-14 M-3"},
		{"directly, node to another's pod", func() *History { return in(web) }, "node/node-1 10.2.0.2:5000/TCP", "", "100% 10.2.0.2:5000 sees 192.0.2.1", "CIP-14 M-4"},
		{"directly to a node", func() *History { return in(web) }, "pod/web-2 192.0.2.1:5000/TCP", "", "100% 192.0.2.1:5000 sees 10.2.0.2", "CIP-14 M-5"},
		{"directly from outside", func() *History { return in(web) }, "client/laptop [fd02::2]:5000/TCP", "", "100% [fd02::2]:5000 sees 2001:db8:f::7", "CIP-14 CIP-14"},
		{"directly, nobody listens", func() *History { return in(web) }, "pod/client 10.2.0.2:80/TCP", "", "or reset", "CIP-14 M-12"},
		{"directly, nobody listens, UDP", func() *History { return in(web) }, "pod/client 10.2.0.2:80/UDP", "", "or refused", "CIP-14 M-12"},
		{"no IPv6 address", func() *History { return in(web) }, "pod/old [fd20::1]:80/TCP", "", "or unreachable", "M-16"},
	}
}
