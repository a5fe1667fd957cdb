package naming_test

import (
	"net/netip"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/naming"
)

// state is default/myservice, 172.20.127.114:80 without a name and NodePort 30080, with two endpoints, and shop/edge with a port http.
func state() *cluster.Snapshot {
	p := func(n int32) *int32 { return &n }
	s := func(t string) *string { return &t }
	tcp := corev1.ProtocolTCP
	slice := func(ns, name, svc, port string, number int32, pods ...string) *discoveryv1.EndpointSlice {
		o := &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: svc}},
			Ports:      []discoveryv1.EndpointPort{{Name: s(port), Port: p(number), Protocol: &tcp}},
		}
		for _, pod := range pods {
			at, name, _ := strings.Cut(pod, " ")
			o.Endpoints = append(o.Endpoints, discoveryv1.Endpoint{Addresses: []string{at}, NodeName: s("node-1"), TargetRef: &corev1.ObjectReference{Kind: "Pod", Namespace: ns, Name: name}})
		}
		return o
	}
	return (&cluster.Snapshot{}).
		WithNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.168.50.1"}}}}).
		WithService(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: "myservice"}, Spec: corev1.ServiceSpec{
			ClusterIP: "172.20.127.114", Ports: []corev1.ServicePort{{Port: 80, Protocol: tcp, NodePort: 30080}}}}).
		WithService(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "edge"}, Spec: corev1.ServiceSpec{
			ClusterIP: "fd00::7", ExternalIPs: []string{"198.51.100.7"}, Ports: []corev1.ServicePort{{Name: "http", Port: 443, Protocol: tcp}}}}).
		WithSlice(slice("default", "myservice-a", "myservice", "", 5000, "10.34.188.30 web-a", "10.34.89.157 web-b")).
		WithSlice(slice("shop", "edge-a", "edge", "http", 8443, "fd00:1::9 edge-1"))
}

func index(proxy string, former ...*cluster.Snapshot) *naming.Index {
	return naming.New(naming.Options{Proxy: proxy, State: state(), Former: former, Where: func(kind string, key cluster.Key) string { return kind + " of the test" }})
}

// The names were seen in kernels that unmodified kube-proxies have programmed, or are those of upstream's own tests.
func TestChains(t *testing.T) {
	for _, tt := range []struct{ proxy, table, chain, words string }{
		{"kube-proxy/iptables", "nat", "KUBE-SVC-OU4YAF3JEHVEJFUL", "the endpoints of default/myservice"},
		{"kube-proxy/iptables", "nat", "KUBE-SEP-CYEX5EIQWRU7ZC4L", "endpoint pod/web-a of default/myservice"},
		{"kube-proxy/iptables-legacy", "nat", "KUBE-SEP-VIAFGDWUJMZDZ5OW", "endpoint pod/web-b of default/myservice"},
		{"kube-proxy/iptables@v1.33.13", "nat", "KUBE-POSTROUTING", "whose source becomes the node's address"},
		{"kube-proxy/iptables", "nat", "KUBE-SVC-AAAAAAAAAAAAAAAA", ""},
		{"kube-proxy/nftables", "kube-proxy", "service-JOKA5FQZ-default/myservice/tcp/", "the endpoints of default/myservice"},
		{"kube-proxy/nftables", "kube-proxy", "services", "which front is called"},
		{"nftables", "svclab", "lb-2", "fronts of so many endpoints"},
		{"nftables", "svclab", "lb-2-local", "fronts of so many local endpoints, for who comes from outside"},
		{"svclab/iptables-nft", "nat", "SVCLAB-CLUSTER", "ClusterIPs"},
		{"exec:mine.yaml", "nat", "KUBE-SVC-OU4YAF3JEHVEJFUL", ""},
	} {
		m := index(tt.proxy).Chain(naming.Chain{Family: "ip", Table: tt.table, Name: tt.chain})
		if m.Words != tt.words || m.Known() != (tt.words != "") {
			t.Errorf("%s: chain %s is %q, want %q", tt.proxy, tt.chain, m.Words, tt.words)
		}
	}
}

// Rules, as tools write them, of each layout: what they do, whose they are, and whom they lead to.
func TestRules(t *testing.T) {
	for _, tt := range []struct{ proxy, table, chain, text, want string }{
		{"kube-proxy/iptables", "nat", "KUBE-SVC-OU4YAF3JEHVEJFUL", `-m comment --comment "default/myservice -> 10.34.188.30:5000" -m statistic --mode random --probability 0.50000000000 -j KUBE-SEP-CYEX5EIQWRU7ZC4L`,
			"endpoints default/myservice pod/web-a: to pod/web-a, with this probability"},
		{"kube-proxy/iptables", "nat", "KUBE-SEP-CYEX5EIQWRU7ZC4L", `-A KUBE-SEP-CYEX5EIQWRU7ZC4L -p tcp -m tcp -j DNAT --to-destination 10.34.188.30:5000`,
			"endpoints default/myservice pod/web-a: DNAT: the destination becomes pod/web-a"},
		{"kube-proxy/iptables", "nat", "KUBE-SERVICES", `-d 172.20.127.114/32 -p tcp -m comment --comment "default/myservice cluster IP" -m tcp --dport 80 -j KUBE-SVC-OU4YAF3JEHVEJFUL`,
			"dispatch default/myservice 172.20.127.114:80/TCP: 172.20.127.114:80/TCP: KUBE-SVC-OU4YAF3JEHVEJFUL has the endpoints"},
		{"kube-proxy/iptables", "filter", "KUBE-SERVICES", `-d 172.20.127.114/32 -p tcp -m comment --comment "default/myservice has no endpoints" -m tcp --dport 80 -j REJECT --reject-with icmp-port-unreachable`,
			"refuse or drop default/myservice 172.20.127.114:80/TCP: 172.20.127.114:80/TCP has no endpoints: refused, with ICMP port unreachable"},
		{"kube-proxy/nftables", "kube-proxy", "service-JOKA5FQZ-default/myservice/tcp/", `meta l4proto tcp dnat ip to numgen random mod 2 map { 0 : 10.34.188.30 . 5000, 1 : 10.34.89.157 . 5000 }`,
			"endpoints default/myservice pod/web-a pod/web-b: DNAT: the destination becomes one of the endpoints, drawn at random: pod/web-a or pod/web-b"},
		{"kube-proxy/nftables", "kube-proxy", "cluster-ips-check", `ip daddr @cluster-ips reject comment "Reject traffic to invalid ports of ClusterIPs"`,
			"refuse or drop: a ClusterIP was called at a port that its Service has not: refused"},
		{"nftables~no-masquerade", "svclab", "lb-2", `meta priority set numgen random mod 2 goto to-endpoint comment "random slot of 2"`,
			"endpoints: the number of a slot, drawn at random"},
		{"iptables-nft", "nat", "SVCLAB-EXTERNAL", `-d 192.168.50.1/32 -p tcp -m tcp --dport 30080 -m comment --comment "default/myservice" -j SVCLAB-7L6Q3PYB5M2QKZ5A`,
			"dispatch default/myservice NodePort 30080/TCP: NodePort 30080/TCP: SVCLAB-7L6Q3PYB5M2QKZ5A has the endpoints"},
		{"iptables-legacy", "nat", "SVCLAB-POST", `-s 10.34.188.30/32 -d 10.34.188.30/32 -j MASQUERADE --random-fully`,
			"masquerade default/myservice pod/web-a: an endpoint that reaches itself: it must not see its own address as source"},
		// A rule that nobody has written so, and rules of Services that are not there.
		{"kube-proxy/iptables", "nat", "KUBE-SVC-AAAAAAAAAAAAAAAA", `-m comment --comment "default/myservice -> 10.34.188.30:5000" -j KUBE-SEP-CYEX5EIQWRU7ZC4L`, "not recognized: "},
		{"kube-proxy/nftables", "kube-proxy", "service-AAAAAAAA-default/myservice/tcp/", `meta l4proto tcp dnat ip to numgen random mod 1 map { 0 : 10.34.188.30 . 5000 }`, "not recognized: "},
		{"iptables-nft", "nat", "SVCLAB-AAAAAAAAAAAAAAAA", `-p tcp -j DNAT --to-destination 10.34.188.30:5000`, "not recognized: "},
		{"iptables-legacy", "nat", "SVCLAB-POST", `-j ACCEPT`, "not recognized: "},
		{"kube-proxy/iptables", "nat", "KUBE-SERVICES", `-d 172.20.127.114/32 -j LOG`, "not recognized: "},
		{"kube-proxy/nftables", "kube-proxy", "services", `counter accept`, "not recognized: "},
		{"exec:mine.yaml", "nat", "PREROUTING", `-d 172.20.127.114/32 -p tcp --dport 80 -j DNAT --to-destination 10.34.188.30:5000`, "not recognized: "},
	} {
		if got := told(index(tt.proxy).Rule(naming.Chain{Family: "ip", Table: tt.table, Name: tt.chain}, tt.text)); got != tt.want {
			t.Errorf("%s %s %s:\ngot  %s\nwant %s", tt.proxy, tt.chain, tt.text, got, tt.want)
		}
	}
}

func TestElements(t *testing.T) {
	for _, tt := range []struct{ proxy, set, key, data, want string }{
		{"nftables", "services", "172.20.127.114 . tcp . 80", "100:2", "dispatch default/myservice 172.20.127.114:80/TCP: ClusterIP: number 100:2, chain lb-2"},
		{"nftables", "services", "192.168.50.1 . TCP . 30080", "0x1000002", "dispatch default/myservice NodePort 30080/TCP: NodePort: number 0x1000002, chain lb-2"},
		{"nftables", "services", "fd00::7 . tcp . 443", "800:3", "dispatch shop/edge:http [fd00::7]:443/TCP: ClusterIP: number 800:3, chain source-check"},
		{"nftables", "services", "10.9.9.9 . tcp . 80", "100:2", "not recognized: "},
		{"nftables", "endpoints", "172.20.127.114 . tcp . 80 . 0x00000001", "10.34.89.157 . 5000", "endpoints default/myservice 172.20.127.114:80/TCP pod/web-b: slot 1 is pod/web-b"},
		{"nftables", "endpoints", "172.20.127.114 . tcp . 80 . 0x00010000", "10.9.9.9 . 5000", "endpoints default/myservice 172.20.127.114:80/TCP: slot 0 of the local ones is an address that is no endpoint"},
		{"nftables", "by-service", "500:2", "jump pick-2", "dispatch: number 500:2 is chain pick-2"},
		{"nftables", "unheard-of", "a", "b", "not recognized: "},
		{"kube-proxy/nftables", "service-ips", "172.20.127.114 . tcp . 80", "goto service-JOKA5FQZ-default/myservice/tcp/",
			"dispatch default/myservice 172.20.127.114:80/TCP: ClusterIP: on to chain service-JOKA5FQZ-default/myservice/tcp/"},
		{"kube-proxy/nftables", "service-nodeports", "tcp . 30080", "goto external-JOKA5FQZ-default/myservice/tcp/",
			"dispatch default/myservice NodePort 30080/TCP: NodePort: on to chain external-JOKA5FQZ-default/myservice/tcp/"},
		{"kube-proxy/nftables", "no-endpoint-services", "198.51.100.7 . tcp . 443", "drop", "refuse or drop shop/edge:http 198.51.100.7:443/TCP: no endpoint here: dropped, in silence"},
		{"kube-proxy/nftables", "hairpin-connections", "10.34.188.30 . 10.34.188.30 . tcp . 5000", "", "masquerade default/myservice pod/web-a: may reach itself through a Service, and is masqueraded then"},
		{"kube-proxy/nftables", "service-nodeports", "tcp . 30081", "goto nowhere", "not recognized: "},
		{"kube-proxy/iptables", "services", "172.20.127.114 . tcp . 80", "100:2", "not recognized: "},
	} {
		if got := told(index(tt.proxy).Element(naming.Set{Family: "ip", Table: "t", Name: tt.set}, tt.key, tt.data)); got != tt.want {
			t.Errorf("%s %s %s:\ngot  %s\nwant %s", tt.proxy, tt.set, tt.key, got, tt.want)
		}
	}
}

// told is a meaning in a line.
func told(m naming.Meaning) string {
	words := []string{m.Part.String()}
	for _, p := range m.Ports {
		words = append(words, p.String())
	}
	if m.Front != nil {
		words = append(words, m.Front.String())
	}
	for _, e := range m.Endpoints {
		words = append(words, e.String())
	}
	return strings.Join(words, " ") + ": " + m.Words
}

func TestTargetAndFrontAndComment(t *testing.T) {
	x := index("nftables")
	to := x.Target(netip.MustParseAddrPort("10.34.89.157:5000"))
	if len(to) != 1 || to[0].Pod.Name != "web-b" || to[0].Slice.Name != "myservice-a" || to[0].PodWhere != "pod of the test" || to[0].SliceWhere != "endpointslice of the test" || to[0].Port.Where != "service of the test" {
		t.Errorf("%+v", to)
	}
	if got := x.Target(netip.MustParseAddrPort("10.34.89.157:5001")); got != nil {
		t.Errorf("%v", got)
	}
	for _, at := range []string{"192.168.50.1", "127.0.0.1"} {
		if f := x.FrontAt(netip.MustParseAddr(at), cluster.TCP, 30080); f == nil || f.Kind != naming.NodePort || f.Port.String() != "default/myservice" {
			t.Errorf("%s: %v", at, f)
		}
	}
	for _, miss := range []struct {
		at    string
		proto cluster.Proto
		port  uint16
	}{{"192.168.50.9", cluster.TCP, 30080}, {"172.20.127.114", cluster.UDP, 80}, {"172.20.127.114", cluster.TCP, 81}} {
		if f := x.FrontAt(netip.MustParseAddr(miss.at), miss.proto, miss.port); f != nil {
			t.Errorf("%v: %v", miss, f)
		}
	}
	if p := x.Comment("traffic not accepted for shop/edge:http here"); p == nil || p.Service.Name != "edge" {
		t.Errorf("%v", p)
	}
	if p := x.Comment("nothing of ours"); p != nil {
		t.Errorf("%v", p)
	}
}

// What only a former state has is still known, and said to be gone; the current state comes first.
func TestFormerStates(t *testing.T) {
	was := state()
	now := was.WithoutService(cluster.Key{Namespace: "shop", Name: "edge"})
	x := naming.New(naming.Options{Proxy: "kube-proxy/nftables", State: now, Former: []*cluster.Snapshot{was}})
	gone := map[string]bool{}
	for _, p := range x.Ports() {
		gone[p.String()] = p.Gone
	}
	if len(gone) != 2 || !gone["shop/edge:http"] || gone["default/myservice"] {
		t.Errorf("%v", gone)
	}
	if m := x.Element(naming.Set{Name: "service-ips"}, "198.51.100.7 . tcp . 443", "goto x"); len(m.Ports) != 1 || !m.Ports[0].Gone {
		t.Errorf("%+v", m)
	}
}

// Names of endpoints are those of upstream's own test (Test_servicePortEndpointChainNameBase), the last one but for its address:
// names are cut since the kernel takes no longer ones.
func TestNamesOfEndpoints(t *testing.T) {
	const ns, svc, name = "very-long-namespace-name-abcdefghijklmnopqrstuvwxyz0123456789xx", "very-long-service-name-why-would-you-even-do-this-i-mean-really", "port-443-providing-the-hypertext-transmission-protocol-with-tls"
	for _, tt := range []struct {
		ns, svc, port string
		proto         corev1.Protocol
		addr          string
		number        int32
		want          string
	}{
		{"testing", "service", "http", corev1.ProtocolTCP, "10.180.0.1", 80, "JO2XBXZR-testing/service/tcp/http__10.180.0.1/80"},
		{ns, svc, name, corev1.ProtocolSCTP, "1234:5678:9abc:def0::abc:1234", 443, "5YS7AFEA-" + ns + "/" + svc + "/sctp/" + name + "__1234.5678.9abc.def0..abc.1234/443"},
		{ns, svc, name, corev1.ProtocolSCTP, "1234:5678:9abc:def0:1:abcd:1234:5678", 443, "3TQJI7HI-" + ns + "/" + svc + "/sctp/" + name + "__1234.5678.9abc.def0.1.abcd.123..."},
	} {
		s := (&cluster.Snapshot{}).
			WithService(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: tt.ns, Name: tt.svc}, Spec: corev1.ServiceSpec{ClusterIP: "fd00::1", Ports: []corev1.ServicePort{{Name: tt.port, Port: 80, Protocol: tt.proto}}}}).
			WithSlice(&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: tt.ns, Name: "x", Labels: map[string]string{discoveryv1.LabelServiceName: tt.svc}},
				Ports:     []discoveryv1.EndpointPort{{Name: &tt.port, Port: &tt.number, Protocol: &tt.proto}},
				Endpoints: []discoveryv1.Endpoint{{Addresses: []string{tt.addr}}}})
		x := naming.New(naming.Options{Proxy: "kube-proxy/nftables", State: s})
		for _, prefix := range []string{"endpoint-", "affinity-"} {
			if m := x.Chain(naming.Chain{Name: prefix + tt.want}); m.Endpoint == nil || m.Endpoint.Addr.Addr().String() != tt.addr {
				t.Errorf("%s%s is %+v", prefix, tt.want, m)
			}
		}
	}
}
