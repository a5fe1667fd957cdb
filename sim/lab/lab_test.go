package lab_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

func TestMain(m *testing.M) { nstest.Main(m) }

var (
	node1  = world.Place{Kind: world.Node, Name: "node-1"}
	node2  = world.Place{Kind: world.Node, Name: "node-2"}
	client = world.Place{Kind: world.Pod, Namespace: "default", Name: "client"}
	web1   = world.Place{Kind: world.Pod, Namespace: "default", Name: "web-1"}
	web2   = world.Place{Kind: world.Pod, Namespace: "default", Name: "web-2"}
	laptop = world.Place{Kind: world.Client, Name: "laptop"}
)

func addrs(texts ...string) (out []netip.Addr) {
	for _, t := range texts {
		out = append(out, netip.MustParseAddr(t))
	}
	return out
}

// topology is dual-stack: a client and a server on node-1, a server on node-2, a laptop outside.
func topology() *world.Topology {
	cidrs := func(texts ...string) (out []netip.Prefix) {
		for _, t := range texts {
			out = append(out, netip.MustParsePrefix(t))
		}
		return out
	}
	serve := []world.Port{{Proto: cluster.TCP, Port: 5000}, {Proto: cluster.UDP, Port: 5000}, {Proto: cluster.SCTP, Port: 5000}}
	return &world.Topology{
		Nodes: []world.Host{
			{Place: node1, Addrs: addrs("192.168.50.1", "fd00:192:168:50::1"), PodCIDRs: cidrs("10.1.1.0/24", "fd00:10:1:1::/64")},
			{Place: node2, Addrs: addrs("192.168.50.2", "fd00:192:168:50::2"), PodCIDRs: cidrs("10.1.2.0/24", "fd00:10:1:2::/64")},
		},
		Pods: []world.Host{
			{Place: client, Node: "node-1", Addrs: addrs("10.1.1.9", "fd00:10:1:1::9")},
			{Place: web1, Node: "node-1", Addrs: addrs("10.1.1.30", "fd00:10:1:1::30"), Listen: serve},
			{Place: web2, Node: "node-2", Addrs: addrs("10.1.2.30", "fd00:10:1:2::30"), Listen: serve},
		},
		Clients: []world.Host{{Place: laptop, Addrs: addrs("203.0.113.1", "2001:db8::1")}},
	}
}

// state has Service web with the endpoints that are given by the last digits of their networks: 1 is web-1, 2 is web-2.
func state(endpoints ...int) *cluster.Snapshot {
	s := (*cluster.Snapshot)(nil)
	for i := 1; i <= 2; i++ {
		s = s.WithNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("node-%d", i)},
			Spec: corev1.NodeSpec{PodCIDRs: []string{fmt.Sprintf("10.1.%d.0/24", i), fmt.Sprintf("fd00:10:1:%d::/64", i)}},
			Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
				{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("192.168.50.%d", i)},
				{Type: corev1.NodeInternalIP, Address: fmt.Sprintf("fd00:192:168:50::%d", i)}}}})
	}
	svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web"},
		Spec: corev1.ServiceSpec{ClusterIPs: []string{"10.96.0.1", "fd00:10:96::1"}}}
	s4 := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web4", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}, AddressType: "IPv4"}
	s6 := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "web6", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}}, AddressType: "IPv6"}
	for _, proto := range []corev1.Protocol{"TCP", "UDP", "SCTP"} {
		name, number := string(proto), int32(5000)
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: name, Protocol: proto, Port: 80})
		port := discoveryv1.EndpointPort{Name: &name, Protocol: &proto, Port: &number}
		s4.Ports, s6.Ports = append(s4.Ports, port), append(s6.Ports, port)
	}
	for _, i := range endpoints {
		node := fmt.Sprintf("node-%d", i)
		s4.Endpoints = append(s4.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.1.%d.30", i)}, NodeName: &node})
		s6.Endpoints = append(s6.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("fd00:10:1:%d::30", i)}, NodeName: &node})
	}
	return s.WithService(svc).WithSlice(s4).WithSlice(s6)
}

func open(t *testing.T, proxy string) *lab.Lab {
	t.Helper()
	return openOf(t, proxy, topology())
}

func openOf(t *testing.T, proxy string, top *world.Topology) *lab.Lab {
	t.Helper()
	nstest.Need(t, "nftables", "veth", "bridge")
	p, err := proxies.Find(proxy)
	if err != nil {
		t.Fatal(err)
	}
	return openWith(t, top, p.Opener(top))
}

func openWith(t *testing.T, top *world.Topology, proxy func(*world.Host, *nsnet.NS) (lab.NodeProxy, error)) *lab.Lab {
	t.Helper()
	l, err := lab.Open(t.Context(), lab.Options{Topology: top, Proxy: proxy})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return l
}

var vips = map[string]netip.AddrPort{
	"ipv4": netip.MustParseAddrPort("10.96.0.1:80"), "ipv6": netip.MustParseAddrPort("[fd00:10:96::1]:80"),
}

func send(t *testing.T, l *lab.Lab, f world.Flow) world.Observation {
	t.Helper()
	o, err := l.Send(context.Background(), f)
	if err != nil {
		t.Fatalf("%s: %v", f, err)
	}
	return o
}

// The whole matrix of first light, literal: who is asked from where, and whom the server sees.
func TestClusterIPFromEverywhere(t *testing.T) {
	l := open(t, "nftables")
	for _, endpoint := range []int{1, 2} {
		if err := l.Apply(t.Context(), state(endpoint)); err != nil {
			t.Fatal(err)
		}
		for family, vip := range vips {
			v6 := family == "ipv6"
			pick := func(v4, six string) netip.Addr {
				if v6 {
					return netip.MustParseAddr(six)
				}
				return netip.MustParseAddr(v4)
			}
			server := pick(fmt.Sprintf("10.1.%d.30", endpoint), fmt.Sprintf("fd00:10:1:%d::30", endpoint))
			node := pick("192.168.50.1", "fd00:192:168:50::1")
			for _, tt := range []struct {
				from world.Place
				via  string
				seen netip.Addr
			}{
				{client, "", pick("10.1.1.9", "fd00:10:1:1::9")},
				{node1, "", node},
				{laptop, "", node},
				{laptop, "node-2", pick("192.168.50.2", "fd00:192:168:50::2")},
			} {
				for _, proto := range []cluster.Proto{cluster.TCP, cluster.UDP, cluster.SCTP} {
					o := send(t, l, world.Flow{From: tt.from, Via: tt.via, To: vip, Proto: proto})
					if o.Outcome != world.Answered || o.Server != netip.AddrPortFrom(server, 5000) || o.Source.Addr() != tt.seen || o.Peer != vip {
						t.Errorf("%s via %q → %s/%s: %+v; want an answer from %s that saw %s", tt.from, tt.via, vip, proto, o, server, tt.seen)
					}
				}
			}
			if endpoint == 1 {
				o := send(t, l, world.Flow{From: web1, To: vip, Proto: cluster.TCP})
				if o.Outcome != world.Answered || o.Source.Addr() != node {
					t.Errorf("hairpin %s: %+v; want the node's address %s as source", family, o, node)
				}
			}
		}
	}
}

func TestRefusedSilentAndLeaked(t *testing.T) {
	l := open(t, "nftables")
	if err := l.Apply(t.Context(), state()); err != nil {
		t.Fatal(err)
	}
	for family, vip := range vips {
		for _, from := range []world.Place{client, node1, laptop} {
			for _, proto := range []cluster.Proto{cluster.TCP, cluster.UDP, cluster.SCTP} {
				o := send(t, l, world.Flow{From: from, To: vip, Proto: proto, Wait: 400 * time.Millisecond})
				want := world.Refused
				if from == node1 && proto != cluster.TCP { // which has no send to be refused
					want = world.Denied
				}
				if o.Outcome != want || o.Took > 300*time.Millisecond {
					t.Errorf("%s → %s/%s: %s after %s, want %s at once", from, vip, proto, o.Outcome, o.Took, want)
				}
				if o.Outcome == world.Refused && !o.ICMPFrom.IsValid() {
					t.Errorf("%s → %s/%s: refused by nobody", from, vip, proto)
				}
			}
		}
		nowhere := netip.MustParseAddrPort(map[string]string{"ipv4": "198.51.100.9:80", "ipv6": "[2001:db8:9::9]:80"}[family]) // no Service's range
		for _, proto := range []cluster.Proto{cluster.TCP, cluster.UDP, cluster.SCTP, cluster.ICMP} {
			if proto == cluster.ICMP {
				nowhere = netip.AddrPortFrom(nowhere.Addr(), 0)
			}
			o := send(t, l, world.Flow{From: client, To: nowhere, Proto: proto, Wait: 100 * time.Millisecond})
			if o.Outcome != world.Silent || !o.Leaked {
				t.Errorf("%s %s: %s, leaked %v: an address that nobody handles leaves by the default route", family, proto, o.Outcome, o.Leaked)
			}
		}
		deaf := netip.AddrPortFrom(map[bool]netip.Addr{false: addrs("10.1.1.30")[0], true: addrs("fd00:10:1:1::30")[0]}[vip.Addr().Is6()], 81)
		for proto, want := range map[cluster.Proto]world.Outcome{cluster.TCP: world.Reset, cluster.UDP: world.Refused, cluster.SCTP: world.Reset} {
			if o := send(t, l, world.Flow{From: client, To: deaf, Proto: proto}); o.Outcome != want {
				t.Errorf("%s: a %s port where nobody listens: %s, want %s", family, proto, o.Outcome, want)
			}
		}
	}
	if late := l.Late(); len(late) != 0 {
		t.Errorf("late answers of nobody: %+v", late)
	}
}

func TestSessionsKeepTheirSocket(t *testing.T) {
	l := open(t, "nftables")
	if err := l.Apply(t.Context(), state(1)); err != nil {
		t.Fatal(err)
	}
	for family, vip := range vips {
		for _, proto := range []cluster.Proto{cluster.TCP, cluster.UDP} {
			f := world.Flow{From: client, To: vip, Proto: proto, Session: "s"}
			first := send(t, l, f)
			if err := l.Apply(t.Context(), state(2)); err != nil {
				t.Fatal(err)
			}
			second := send(t, l, f)
			if first.Client != second.Client {
				t.Errorf("%s %s: the socket changed from %s to %s", family, proto, first.Client, second.Client)
			}
			kept := second.Server == first.Server
			if second.Outcome != world.Answered || kept != (proto == cluster.TCP) {
				t.Errorf("%s %s: %+v after %+v: TCP keeps its endpoint, UDP moves to the new one", family, proto, second, first)
			}
			if err := l.Apply(t.Context(), state(1)); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestExplainNamesTheRule(t *testing.T) {
	l := open(t, "nftables")
	if err := l.Apply(t.Context(), state(1, 2)); err != nil {
		t.Fatal(err)
	}
	for _, from := range []world.Place{client, node1, laptop} {
		f := world.Flow{From: from, To: vips["ipv4"], Proto: cluster.TCP, Session: "open"}
		o := send(t, l, f)
		tr, ok, err := l.Explain(t.Context(), f, o)
		if err != nil || !ok {
			t.Fatalf("%s: explain: %v, %v", from, ok, err)
		}
		if tr.Node != "node-1" || tr.Client != o.Client || tr.Asked != f.To || tr.Became != o.Server || tr.SeenAs != o.Source || tr.Rule == "" {
			t.Errorf("%s: %+v of %+v", from, tr, o)
		}
	}
}

func TestALabThatCannotBeBuiltLeavesNothing(t *testing.T) {
	nstest.Need(t, "veth", "bridge")
	top := topology()
	top.Pods[1].Node = "node-9"
	if _, err := lab.Open(t.Context(), lab.Options{Topology: top}); err == nil || err.Error() != "build lab: pod/web-1 is on node node-9, which the topology does not have" {
		t.Errorf("got %v", err)
	}
}

func BenchmarkOpen(b *testing.B) {
	nstest.Need(b, "nftables", "veth", "bridge")
	p, _ := proxies.Find("nftables")
	top := topology()
	for b.Loop() {
		l, err := lab.Open(b.Context(), lab.Options{Topology: top, Proxy: p.Opener(top)})
		if err != nil {
			b.Fatal(err)
		}
		if err := l.Close(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFlow(b *testing.B) {
	nstest.Need(b, "nftables", "veth", "bridge")
	p, _ := proxies.Find("nftables")
	top := topology()
	l, err := lab.Open(b.Context(), lab.Options{Topology: top, Proxy: p.Opener(top)})
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	if err := l.Apply(b.Context(), state(1, 2)); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if o, err := l.Send(b.Context(), world.Flow{From: client, To: vips["ipv4"], Proto: cluster.TCP}); err != nil || o.Outcome != world.Answered {
			b.Fatal(o, err)
		}
	}
}
