package oracle

import (
	"slices"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
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

// frontsOf is the Service of both with NodePorts, TCP 30080 and UDP 30080 (dns), and an externalIP of each family.
func frontsOf(pods ...string) func() *History {
	return func() *History { return in(fronted(pods...)) }
}

func fronted(pods ...string) *cluster.Snapshot {
	return both(pods...).WithService(myservice(func(s *corev1.Service) {
		s.Spec.Type = corev1.ServiceTypeNodePort
		s.Spec.ExternalIPs = []string{"198.51.100.7", "2001:db8:e::7"}
		s.Spec.Ports[0].NodePort, s.Spec.Ports[1].NodePort = 30080, 30080
	}))
}

// The columns "NodePort or VIP, eTP Cluster" of the quick matrix, and what belongs to them.
func frontCells() []cell {
	web, hostWeb, none := frontsOf("web-1", "web-2"), frontsOf("host-web", "web-2"), frontsOf()
	const one, two = "50% 10.1.0.1:5000 sees 192.0.2.1|link-local; 50% 10.2.0.2:5000 sees 192.0.2.1",
		"50% 10.1.0.1:5000 sees 192.0.2.2; 50% 10.2.0.2:5000 sees 192.0.2.2|link-local"
	return []cell{
		{"NodePort, outside client", web, "client/laptop 192.0.2.1:30080/TCP", "", one, "CIP-3 NP-1"},
		{"NodePort of node-2, outside client that enters by node-1", web, "client/laptop 192.0.2.2:30080/TCP", "node-1", two, "CIP-3 NP-1"},
		{"NodePort, UDP", web, "client/laptop 192.0.2.1:30080/UDP", "", one, "CIP-3 NP-1"},
		{"NodePort, IPv6", web, "client/laptop [2001:db8::2]:30080/TCP", "",
			"50% [fd01::1]:5000 sees 2001:db8::2; 50% [fd02::2]:5000 sees 2001:db8::2|link-local", "CIP-3 NP-1"},
		{"NodePort, pod to its own node", web, "pod/client 192.0.2.1:30080/TCP", "", one, "CIP-3 NP-2"},
		{"NodePort, pod to another node", web, "pod/client 192.0.2.2:30080/TCP", "", two, "CIP-3 NP-3"},
		{"NodePort, pod to itself", frontsOf("web-1"), "pod/web-1 192.0.2.1:30080/TCP", "", "100% 10.1.0.1:5000 sees 192.0.2.1|link-local", "CIP-3 NP-2"},
		{"NodePort, pod to itself by another node", frontsOf("web-1"), "pod/web-1 192.0.2.2:30080/TCP", "", "100% 10.1.0.1:5000 sees 192.0.2.2", "CIP-3 NP-3"},
		{"NodePort, node to itself", web, "node/node-1 192.0.2.1:30080/TCP", "", one, "CIP-3 NP-4"},
		{"NodePort, node to another", web, "node/node-1 192.0.2.2:30080/TCP", "", two, "CIP-3 NP-1"},
		{"NodePort, hostNetwork pod", web, "pod/host-client 192.0.2.2:30080/TCP", "", two, "CIP-3 NP-4"},
		{"NodePort, outside client to the node's own network", hostWeb, "client/laptop 192.0.2.1:30080/TCP", "",
			"50% 10.2.0.2:5000 sees 192.0.2.1; 50% 192.0.2.1:5000 sees 203.0.113.7", "CIP-3 NP-1 HP-4"},
		{"NodePort, pod to the node's own network", hostWeb, "pod/client 192.0.2.1:30080/TCP", "",
			"50% 10.2.0.2:5000 sees 192.0.2.1; 50% 192.0.2.1:5000 sees 10.1.0.9", "CIP-3 NP-2 HP-4"},
		{"NodePort, node to its own network", hostWeb, "node/node-1 192.0.2.1:30080/TCP", "",
			"50% 10.2.0.2:5000 sees 192.0.2.1; 50% 192.0.2.1:5000 sees 192.0.2.1|link-local", "CIP-3 NP-4 HP-5"},
		{"NodePort, node to another's network", hostWeb, "node/node-2 192.0.2.1:30080/TCP", "",
			"50% 10.2.0.2:5000 sees 192.0.2.1; 50% 192.0.2.1:5000 sees 192.0.2.2", "CIP-3 NP-1 HP-4"},
		{"NodePort wins over a listener", func() *History {
			return in(both("web-2").WithService(myservice(func(s *corev1.Service) {
				s.Spec.Type = corev1.ServiceTypeNodePort
				s.Spec.Ports[0].NodePort = 5000
			})))
		}, "pod/client 192.0.2.1:5000/TCP", "", "100% 10.2.0.2:5000 sees 192.0.2.1", "CIP-3 NP-2"},
		{"a node's other ports are its own", web, "client/laptop 192.0.2.1:5000/TCP", "", "100% 192.0.2.1:5000 sees 203.0.113.7", "CIP-14 CIP-14"},
		{"NodePort number at a pod's address", web, "pod/client 10.2.0.2:30080/TCP", "", "or reset", "CIP-14 M-12"},
		{"NodePort of a ClusterIP Service", func() *History {
			return in(both("web-2").WithService(myservice(func(s *corev1.Service) { s.Spec.Ports[0].NodePort = 30080 })))
		}, "pod/client 192.0.2.1:30080/TCP", "", "or reset", "CIP-14 M-12"},
		{"NodePort removed", func() *History { h := web(); h.since(both("web-1"), 1); return h }, "pod/client 192.0.2.1:30080/TCP", "", "or reset", "CIP-14 M-12"},
		{"NodePort without endpoints", none, "client/laptop 192.0.2.1:30080/TCP", "", "or refused", "NE-3"},
		{"NodePort without endpoints, node, UDP", none, "node/node-1 192.0.2.1:30080/UDP", "", "or denied; or refused", "NE-3"},
		{"NodePort of another node without endpoints, node, UDP", none, "node/node-1 192.0.2.2:30080/UDP", "", "or refused", "NE-3"},

		{"externalIP, outside client", web, "client/laptop 198.51.100.7:80/TCP", "", one, "CIP-3 EXT-1"},
		{"externalIP, outside client by node-2", web, "client/laptop 198.51.100.7:80/TCP", "node-2", two, "CIP-3 EXT-1"},
		{"externalIP, pod", web, "pod/client 198.51.100.7:80/TCP", "", one, "CIP-3 EXT-1"},
		{"externalIP, node, IPv6", web, "node/node-1 [2001:db8:e::7]:80/TCP", "",
			"50% [fd01::1]:5000 sees 2001:db8::1|link-local; 50% [fd02::2]:5000 sees 2001:db8::1", "CIP-3 EXT-1"},
		{"externalIP, pod to the node's own network", hostWeb, "pod/client 198.51.100.7:80/TCP", "",
			"50% 10.2.0.2:5000 sees 192.0.2.1; 50% 192.0.2.1:5000 sees 10.1.0.9", "CIP-3 EXT-1 HP-4"},
		{"externalIP, unused port", web, "pod/client 198.51.100.7:81/TCP", "", "or silent; or unreachable", "EXT-5"},
		{"externalIP without endpoints", none, "pod/client 198.51.100.7:80/TCP", "", "or refused", "NE-4"},
		{"externalIP without endpoints, node", none, "node/node-1 198.51.100.7:80/TCP", "", "or refused; or silent; or unreachable", "NE-5"},
		{"externalIP that is a node's address", func() *History {
			return in(both("web-2").WithService(myservice(func(s *corev1.Service) { s.Spec.ExternalIPs = []string{"192.0.2.2"} })))
		}, "pod/client 192.0.2.2:80/TCP", "", "100% 10.2.0.2:5000 sees 192.0.2.1", "CIP-3 EXT-1"},

		{"two claim one externalIP: the older", contested(1, 2), "pod/client 198.51.100.7:80/TCP", "", "100% 10.1.0.1:5000 sees 192.0.2.1|link-local", "CIP-3 EXT-1"},
		{"two claim one externalIP: the older, whatever its name", contested(2, 1), "pod/client 198.51.100.7:80/TCP", "", "or refused", "NE-4"},
		{"two claim one externalIP: of equals the first name", contested(1, 1), "client/laptop 198.51.100.7:80/TCP", "node-2", "100% 10.1.0.1:5000 sees 192.0.2.2", "CIP-3 EXT-1"},
		{"two claim one externalIP: when the winner goes", func() *History {
			h := contested(2, 1)()
			h.since(h.last.state.WithoutService(key("default/other")), 1)
			return h
		}, "pod/client 198.51.100.7:80/TCP", "", "100% 10.1.0.1:5000 sees 192.0.2.1|link-local", "CIP-3 EXT-1"},
	}
}

// contested: myservice and other, which has no endpoints, claim one externalIP; each was created at that second.
func contested(mine, others int64) func() *History {
	return func() *History {
		claim := func(name, ip string, created int64) func(*corev1.Service) {
			return func(s *corev1.Service) {
				s.Name, s.Spec.ExternalIPs, s.CreationTimestamp = name, []string{"198.51.100.7"}, metav1.Unix(created, 0)
				s.Spec.ClusterIPs = []string{ip}
			}
		}
		return in(both("web-1").WithService(myservice(claim("myservice", "172.20.0.1", mine))).
			WithService(myservice(claim("other", "172.20.0.2", others))))
	}
}

func matrix() []cell {
	return slices.Concat(clusterCells(), frontCells(), outwardCells(), protocolCells())
}

func clusterCells() []cell {
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
