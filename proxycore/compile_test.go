package proxycore

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
)

// compiled is what becomes of the Service on node n1, a line for each front.
func compiled(svc *corev1.Service, view NodeView, all ...*discoveryv1.EndpointSlice) (out []string) {
	s := (&cluster.Snapshot{}).WithService(svc)
	for _, o := range all {
		s = s.WithSlice(o)
	}
	key := cluster.Key{Namespace: svc.Namespace, Name: svc.Name}
	for _, r := range Compile(s.Service(key), slices.Collect(s.Slices(key)), view) {
		masquerade := map[Masquerade]string{MasqueradeOutside: "outside", MasqueradeAll: "all", MasqueradeNode: "node"}[r.Masquerade]
		out = append(out, FormatRoute(r)+" masquerade "+masquerade)
	}
	return out
}

func balanced(edit func(s *corev1.Service)) *corev1.Service {
	s := service("web", "10.96.0.1", 0, 80)
	s.Spec.Type = corev1.ServiceTypeLoadBalancer
	s.Spec.Ports[0].NodePort = 30080
	s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.1"}}
	edit(s)
	return s
}

var onN1 = NodeView{Name: "n1", Zone: "berlin", Primary: []netip.Addr{netip.MustParseAddr("192.168.7.1")}, NodePorts: []netip.Addr{netip.MustParseAddr("192.168.7.1")}}

func TestCompilePolicies(t *testing.T) {
	const near, far = "10.0.0.1@n1", "10.0.0.2@n2"
	external := func(s *corev1.Service) { s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal }
	internal := func(s *corev1.Service) {
		policy := corev1.ServiceInternalTrafficPolicyLocal
		s.Spec.InternalTrafficPolicy = &policy
	}
	ranges := func(texts ...string) func(s *corev1.Service) {
		return func(s *corev1.Service) { s.Spec.LoadBalancerSourceRanges, s.Spec.Ports[0].NodePort = texts, 0 }
	}
	for _, tt := range []struct {
		name string
		edit func(s *corev1.Service)
		eps  []string
		want string
	}{
		{"policies Cluster", func(*corev1.Service) {}, []string{near, far},
			"10.96.0.1:80/TCP -> 10.0.0.1:8080 10.0.0.2:8080 masquerade outside\n" +
				"192.168.7.1:30080/TCP -> 10.0.0.1:8080 10.0.0.2:8080 masquerade all\n" +
				"198.51.100.1:80/TCP -> 10.0.0.1:8080 10.0.0.2:8080 masquerade all"},
		{"externalTrafficPolicy Local (POL-7, POL-9, POL-11)", external, []string{near, far},
			"10.96.0.1:80/TCP -> 10.0.0.1:8080 10.0.0.2:8080 masquerade outside\n" +
				"192.168.7.1:30080/TCP -> 10.0.0.1:8080 10.0.0.2:8080 local 10.0.0.1:8080 masquerade node\n" +
				"198.51.100.1:80/TCP -> 10.0.0.1:8080 10.0.0.2:8080 local 10.0.0.1:8080 masquerade node"},
		{"nobody here, somebody elsewhere: dropped (POL-8)", external, []string{far},
			"10.96.0.1:80/TCP -> 10.0.0.2:8080 masquerade outside\n" +
				"192.168.7.1:30080/TCP -> 10.0.0.2:8080 local drop masquerade node\n" +
				"198.51.100.1:80/TCP -> 10.0.0.2:8080 local drop masquerade node"},
		{"nobody anywhere: refused (TERM-6)", external, []string{near + " terminating", far + " none"},
			"10.96.0.1:80/TCP -> refuse masquerade outside\n" +
				"192.168.7.1:30080/TCP -> refuse local refuse masquerade node\n" +
				"198.51.100.1:80/TCP -> refuse local refuse masquerade node"},
		{"the local one terminates, another is ready (TERM-5)", external, []string{near + " serving,terminating", far},
			"10.96.0.1:80/TCP -> 10.0.0.2:8080 masquerade outside\n" +
				"192.168.7.1:30080/TCP -> 10.0.0.2:8080 local 10.0.0.1:8080 masquerade node\n" +
				"198.51.100.1:80/TCP -> 10.0.0.2:8080 local 10.0.0.1:8080 masquerade node"},
		{"internalTrafficPolicy Local (POL-1, POL-6)", internal, []string{near, far},
			"10.96.0.1:80/TCP -> 10.0.0.1:8080 masquerade outside\n" +
				"192.168.7.1:30080/TCP -> 10.0.0.1:8080 10.0.0.2:8080 masquerade all\n" +
				"198.51.100.1:80/TCP -> 10.0.0.1:8080 10.0.0.2:8080 masquerade all"},
		{"internalTrafficPolicy Local, nobody here (POL-2)", internal, []string{far},
			"10.96.0.1:80/TCP -> drop masquerade outside\n" +
				"192.168.7.1:30080/TCP -> 10.0.0.2:8080 masquerade all\n" +
				"198.51.100.1:80/TCP -> 10.0.0.2:8080 masquerade all"},
		{"source ranges are for the VIP (LB-6, NP-17)", ranges(" 203.0.113.0/24 ", "2001:db8::/32", "10.0.0.0/8"), []string{near},
			"10.96.0.1:80/TCP -> 10.0.0.1:8080 masquerade outside\n" +
				"198.51.100.1:80/TCP from 10.0.0.0/8 203.0.113.0/24 -> 10.0.0.1:8080 masquerade all"},
		{"the node is in a range: so is the VIP as its source (LB-9)", ranges("192.168.0.0/16"), []string{near},
			"10.96.0.1:80/TCP -> 10.0.0.1:8080 masquerade outside\n" +
				"198.51.100.1:80/TCP from 192.168.0.0/16 198.51.100.1/32 -> 10.0.0.1:8080 masquerade all"},
		{"a range that holds everybody, and only ranges of the other family (LB-11)", ranges("203.0.113.0/24", "0.0.0.0/0"), []string{near},
			"10.96.0.1:80/TCP -> 10.0.0.1:8080 masquerade outside\n198.51.100.1:80/TCP -> 10.0.0.1:8080 masquerade all"},
		{"only ranges of the other family (LB-11)", ranges("2001:db8::/32"), []string{near},
			"10.96.0.1:80/TCP -> 10.0.0.1:8080 masquerade outside\n198.51.100.1:80/TCP -> 10.0.0.1:8080 masquerade all"},
		{"ipMode Proxy, a name, and another family are no VIPs (LB-4, LB-5, FAM-2)", func(s *corev1.Service) {
			proxy := corev1.LoadBalancerIPModeProxy
			s.Spec.Ports[0].NodePort = 0
			s.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "198.51.100.1", IPMode: &proxy}, {Hostname: "lb.example.com"}, {IP: "2001:db8::1"}}
		}, []string{near}, "10.96.0.1:80/TCP -> 10.0.0.1:8080 masquerade outside"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := compiled(balanced(tt.edit), onN1, slice("a", "web", "IPv4", "p80", 8080, tt.eps...))
			if d := cmp.Diff(strings.Join(got, "\n"), tt.want); d != "" {
				t.Errorf("(-got +want):\n%s", d)
			}
		})
	}
}

// Hints are written "zones/nodes" behind an endpoint.
func TestCompileHints(t *testing.T) {
	for _, tt := range []struct {
		name, zone string
		eps, want  string
	}{
		{"zones (TOPO-1)", "berlin", "1=berlin/ 2=potsdam/", "1"},
		{"nobody for this zone (TOPO-5)", "berlin", "1=hamburg/ 2=potsdam/", "1 2"},
		{"a node without zone (TOPO-5)", "", "1=berlin/ 2=potsdam/", "1 2"},
		{"one without a hint (TOPO-4)", "berlin", "1=berlin/ 2", "1 2"},
		{"one without, that is not ready (TOPO-6)", "berlin", "1=berlin/ 2=potsdam/ 3!", "1"},
		{"nodes before zones (TOPO-2)", "berlin", "1=berlin/n1 2=berlin/n2", "1"},
		{"none for this node: its zone (TOPO-3)", "berlin", "1=berlin/n3 2=potsdam/n2", "1"},
		{"nodes and zones mixed, neither complete", "berlin", "1=/n1 2=berlin/", "1 2"},
		{"in several zones", "berlin", "1=hamburg+berlin/ 2=potsdam/ 3=berlin/", "1 3"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := slice("a", "web", "IPv4", "p80", 8080)
			for _, w := range strings.Fields(tt.eps) {
				name, hints, _ := strings.Cut(w, "=")
				name, unready := strings.CutSuffix(name, "!")
				ready := !unready
				e := discoveryv1.Endpoint{Addresses: []string{"10.0.0." + name}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}
				zones, nodes, _ := strings.Cut(hints, "/")
				e.Hints = &discoveryv1.EndpointHints{}
				for _, z := range strings.FieldsFunc(zones, func(r rune) bool { return r == '+' }) {
					e.Hints.ForZones = append(e.Hints.ForZones, discoveryv1.ForZone{Name: z})
				}
				if nodes != "" {
					e.Hints.ForNodes = []discoveryv1.ForNode{{Name: nodes}}
				}
				o.Endpoints = append(o.Endpoints, e)
			}
			want := "10.96.0.1:80/TCP ->"
			for _, n := range strings.Fields(tt.want) {
				want += " 10.0.0." + n + ":8080"
			}
			view := onN1
			view.Zone = tt.zone
			got := compiled(service("web", "10.96.0.1", 0, 80), view, o)
			if d := cmp.Diff(got, []string{want + " masquerade outside"}); d != "" {
				t.Errorf("(-got +want):\n%s", d)
			}
		})
	}
}

func TestCompileNode(t *testing.T) {
	node := (&cluster.Snapshot{}).WithNode(&corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: "n1", Labels: map[string]string{corev1.LabelTopologyZone: "berlin"}},
		Spec:       corev1.NodeSpec{PodCIDRs: []string{"10.244.1.0/24", "fd00:244:1::/64"}},
		Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.168.7.1"},
			{Type: corev1.NodeInternalIP, Address: "192.168.8.1"}, {Type: corev1.NodeInternalIP, Address: "fd00::1"}, {Type: corev1.NodeInternalIP, Address: "fd00::2"}}},
	}).Node("n1")
	prefixes := func(texts ...string) (out []netip.Prefix) {
		for _, s := range texts {
			out = append(out, netip.MustParsePrefix(s))
		}
		return out
	}
	iptables := cluster.Mode{EveryAddress: true, Localhost: true}
	for _, tt := range []struct {
		name             string
		s                cluster.Settings
		m                cluster.Mode
		pods, at, zoneOf string
	}{
		{"defaults", cluster.Settings{}, cluster.Mode{}, "[10.244.1.0/24 fd00:244:1::/64] ", "[192.168.7.1 fd00::1]", "berlin"},
		{"defaults of mode iptables (NP-5, NP-10)", cluster.Settings{}, iptables, "[10.244.1.0/24 fd00:244:1::/64] ", "[127.0.0.1 192.168.7.1 192.168.8.1 fd00::1 fd00::2]", "berlin"},
		{"primary (NP-11)", cluster.Settings{Primary: true}, iptables, "[10.244.1.0/24 fd00:244:1::/64] ", "[192.168.7.1 fd00::1]", "berlin"},
		{"ranges of one family (NP-9)", cluster.Settings{NodePortAddresses: prefixes("192.168.8.0/24")}, iptables, "[10.244.1.0/24 fd00:244:1::/64] ", "[192.168.8.1 fd00::1 fd00::2]", "berlin"},
		{"ranges of both", cluster.Settings{NodePortAddresses: prefixes("192.168.8.0/24", "fd00::2/128")}, cluster.Mode{}, "[10.244.1.0/24 fd00:244:1::/64] ", "[192.168.8.1 fd00::2]", "berlin"},
		{"ClusterCIDR (SRC-1)", cluster.Settings{DetectLocalMode: cluster.DetectClusterCIDR, ClusterCIDRs: prefixes("10.244.0.0/16")}, cluster.Mode{}, "[10.244.0.0/16] ", "[192.168.7.1 fd00::1]", "berlin"},
		{"BridgeInterface (SRC-3)", cluster.Settings{DetectLocalMode: cluster.DetectBridgeInterface, Interface: "cbr0"}, cluster.Mode{}, "[] cbr0", "[192.168.7.1 fd00::1]", "berlin"},
		{"InterfaceNamePrefix (SRC-4)", cluster.Settings{DetectLocalMode: cluster.DetectInterfaceNamePrefix, Interface: "pod"}, cluster.Mode{}, "[] pod*", "[192.168.7.1 fd00::1]", "berlin"},
		{"None (SRC-5)", cluster.Settings{DetectLocalMode: cluster.DetectNone}, cluster.Mode{}, "[] ", "[192.168.7.1 fd00::1]", "berlin"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rules, view := CompileNode(node, nil, Config{Node: "n1", Settings: tt.s, Mode: tt.m})
			got := []string{fmt.Sprint(rules.Pods, " ", rules.PodInterface), fmt.Sprint(view.NodePorts), view.Zone}
			if d := cmp.Diff(got, []string{tt.pods, tt.at, tt.zoneOf}); d != "" {
				t.Errorf("(-got +want):\n%s", d)
			}
			if rules.Localhost != strings.Contains(tt.at, "127.0.0.1") {
				t.Errorf("Localhost %v", rules.Localhost)
			}
		})
	}
}
