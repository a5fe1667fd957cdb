package oracle

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// The places of all tests: two nodes; web-1 and client on node-1, web-2 and web-3 on node-2; host-web serves in the
// host network of node-1, host-client calls from that of node-2; laptop is outside.
func places() *world.Topology {
	tcpudp := []world.Port{{Proto: cluster.TCP, Port: 5000}, {Proto: cluster.UDP, Port: 5000}}
	pod := func(name, node, v4, v6 string, listen ...world.Port) world.Host {
		return world.Host{Place: podPlace(name), Node: node, Addrs: addrs(v4, v6), Listen: listen}
	}
	hostPod := func(name, node, v4, v6 string, listen ...world.Port) world.Host {
		h := pod(name, node, v4, v6, listen...)
		h.HostNetwork = true
		return h
	}
	return &world.Topology{
		Nodes: []world.Host{
			{Place: nodePlace("node-1"), Addrs: addrs("192.0.2.1", "2001:db8::1"), PodCIDRs: ranges("10.1.0.0/16", "fd01::/64")},
			{Place: nodePlace("node-2"), Addrs: addrs("192.0.2.2", "2001:db8::2"), PodCIDRs: ranges("10.2.0.0/16", "fd02::/64")},
		},
		Pods: []world.Host{
			pod("web-1", "node-1", "10.1.0.1", "fd01::1", tcpudp...),
			pod("web-2", "node-2", "10.2.0.2", "fd02::2", tcpudp...),
			pod("web-3", "node-2", "10.2.0.3", "fd02::3", tcpudp...),
			pod("client", "node-1", "10.1.0.9", "fd01::9"),
			pod("old", "node-1", "10.1.0.4", ""),
			pod("stray", "node-1", "10.9.0.1", ""),
			hostPod("host-web", "node-1", "192.0.2.1", "2001:db8::1", world.Port{Proto: cluster.TCP, Port: 5000}),
			hostPod("host-client", "node-2", "192.0.2.2", "2001:db8::2"),
		},
		Clients: []world.Host{{Place: clientPlace("laptop"), Addrs: addrs("203.0.113.7", "2001:db8:f::7")}},
	}
}

func podPlace(name string) world.Place {
	return world.Place{Kind: world.Pod, Namespace: "default", Name: name}
}
func nodePlace(name string) world.Place   { return world.Place{Kind: world.Node, Name: name} }
func clientPlace(name string) world.Place { return world.Place{Kind: world.Client, Name: name} }

func ranges(texts ...string) (ps []netip.Prefix) {
	for _, t := range texts {
		ps = append(ps, netip.MustParsePrefix(t))
	}
	return ps
}

func addrs(texts ...string) (as []netip.Addr) {
	for _, t := range texts {
		if t != "" {
			as = append(as, netip.MustParseAddr(t))
		}
	}
	return as
}

// place is the inverse of Place.String for the places above.
func place(s string) world.Place {
	kind, name, _ := strings.Cut(s, "/")
	switch kind {
	case "node":
		return nodePlace(name)
	case "client":
		return clientPlace(name)
	}
	return podPlace(name)
}

// flow reads "pod/client 172.20.0.1:80/TCP".
func flow(s string) world.Flow {
	from, to, _ := strings.Cut(s, " ")
	to, proto, _ := strings.Cut(to, "/")
	if proto == "ICMP" {
		return world.Flow{From: place(from), To: netip.AddrPortFrom(netip.MustParseAddr(strings.Trim(to, "[]")), 0), Proto: cluster.ICMP}
	}
	p, err := cluster.ParseProto(proto)
	if err != nil {
		panic(err)
	}
	return world.Flow{From: place(from), To: netip.MustParseAddrPort(to), Proto: p}
}

// The Service of most tests: default/myservice at 172.20.0.1 and fd20::1, port 80 named "http" over TCP and port 53
// named "dns" over UDP, both to port 5000 of the pods.
func myservice(change ...func(*corev1.Service)) *corev1.Service {
	s := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "myservice"},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: "172.20.0.1", ClusterIPs: []string{"172.20.0.1", "fd20::1"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80}, {Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP}},
		},
	}
	for _, c := range change {
		c(s)
	}
	return s
}

// slice reads endpoints such as "10.1.0.1" or "10.1.0.1 terminating serving": what is named is true and the other
// conditions are false; nothing named leaves them nil. A pod's node is given, unless
// another is ("at:node-2") or none ("nowhere"); "zone:a" and "node:node-1" are hints.
func slice(name string, endpoints ...string) *discoveryv1.EndpointSlice {
	return sliceOf(name, []discoveryv1.EndpointPort{port("http", 5000, corev1.ProtocolTCP), port("dns", 5000, corev1.ProtocolUDP)}, endpoints...)
}

func sliceOf(name string, ports []discoveryv1.EndpointPort, endpoints ...string) *discoveryv1.EndpointSlice {
	s := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name,
			Labels: map[string]string{discoveryv1.LabelServiceName: "myservice"}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       ports,
	}
	for _, e := range endpoints {
		words := strings.Fields(e)
		if strings.Contains(words[0], ":") {
			s.AddressType = discoveryv1.AddressTypeIPv6
		}
		o := discoveryv1.Endpoint{Addresses: strings.Split(words[0], ",")}
		for _, p := range places().Pods {
			if slices.Contains(p.Addrs, netip.MustParseAddr(o.Addresses[0])) {
				o.NodeName = &p.Node
			}
		}
		words = slices.DeleteFunc(words, func(w string) bool {
			what, name, _ := strings.Cut(w, ":")
			switch what {
			case "nowhere":
				o.NodeName = nil
			case "at":
				o.NodeName = &name
			case "zone", "node":
				if o.Hints == nil {
					o.Hints = &discoveryv1.EndpointHints{}
				}
				if what == "zone" {
					o.Hints.ForZones = append(o.Hints.ForZones, discoveryv1.ForZone{Name: name})
				} else {
					o.Hints.ForNodes = append(o.Hints.ForNodes, discoveryv1.ForNode{Name: name})
				}
			default:
				return false
			}
			return true
		})
		if len(words) > 1 {
			for i, c := range []**bool{&o.Conditions.Ready, &o.Conditions.Serving, &o.Conditions.Terminating} {
				yes := false
				for _, w := range words[1:] {
					yes = yes || w == []string{"ready", "serving", "terminating"}[i]
				}
				*c = &yes
			}
		}
		s.Endpoints = append(s.Endpoints, o)
	}
	return s
}

func port(name string, number int32, proto corev1.Protocol) discoveryv1.EndpointPort {
	return discoveryv1.EndpointPort{Name: &name, Port: &number, Protocol: &proto}
}

// state is myservice with those slices.
func state(slices ...*discoveryv1.EndpointSlice) *cluster.Snapshot {
	var s *cluster.Snapshot
	s = s.WithService(myservice())
	for _, o := range slices {
		s = s.WithSlice(o)
	}
	return s
}

// both is myservice with one IPv4 and one IPv6 slice of these pods.
func both(pods ...string) *cluster.Snapshot {
	t := places()
	var v4, v6 []string
	for _, p := range pods {
		h := t.Find(podPlace(p))
		v4, v6 = append(v4, h.Addrs[0].String()), append(v6, h.Addrs[1].String())
	}
	return state(slice("four", v4...), slice("six", v6...))
}

// The clock of the tests: at(1.5) is a second and a half after their beginning.
func at(seconds float64) time.Time {
	return time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC).Add(time.Duration(seconds * float64(time.Second)))
}

// since puts a state in force at that time.
func (h *History) since(s *cluster.Snapshot, seconds float64) {
	h.Begin(s, at(seconds))
	h.Done(at(seconds))
}

func in(s *cluster.Snapshot) *History {
	h := NewHistory(places())
	h.since(s, 0)
	return h
}

// text prints an answer: "50% 10.1.0.1:5000 sees 10.1.0.9; 50% 10.2.0.2:5000 sees 10.1.0.9; or refused".
func text(a Answer) string {
	var parts []string
	for _, c := range a.Cases {
		sources := make([]string, len(c.Sources))
		for i, s := range c.Sources {
			sources[i] = s.String()
		}
		if c.onLink {
			sources = append(sources, "link-local")
		}
		parts = append(parts, fmt.Sprintf("%.0f%% %s sees %s", 100*c.Weight, c.Server, strings.Join(sources, "|")))
	}
	for _, m := range a.Mute {
		parts = append(parts, "or "+m.String())
	}
	return strings.Join(parts, "; ")
}

// rows prints the rows that an answer gives as reasons.
func rows(a Answer) string {
	ids := make([]string, len(a.Why))
	for i, r := range a.Why {
		ids[i] = r.Row
	}
	return strings.Join(ids, " ")
}

// answered is an observation of an answer.
func answered(server, source string) world.Observation {
	return world.Observation{Outcome: world.Answered, Server: netip.MustParseAddrPort(server),
		Source: netip.AddrPortFrom(netip.MustParseAddr(source), 40000), Took: time.Millisecond}
}

type (
	sliceT   = discoveryv1.EndpointSlice
	snapshot = cluster.Snapshot
)

func ports(p ...discoveryv1.EndpointPort) []discoveryv1.EndpointPort { return p }

func key(s string) cluster.Key {
	ns, name, _ := strings.Cut(s, "/")
	return cluster.Key{Namespace: ns, Name: name}
}
