package scenario

import (
	"fmt"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func parsed(t *testing.T, text string) *Scenario {
	t.Helper()
	s, err := Parse("v.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// Every field that holds an address, in a file of IPv4 and in one of the IPv6 that it must become.
const variantStory = `
apiVersion: svclab/v1alpha1
kind: Scenario
metadata: {name: v}
spec:
  about: To 10.96.0.10, which is only prose here.
  clients: [{name: laptop, addresses: CLIENT}]
  proxy: {detectLocalMode: ClusterCIDR, clusterCIDR: SOURCES, nodePortAddresses: [RANGE, EVERYBODY, OWN]}
  steps:
  - probe: {from: client/laptop, to: ["LITERAL:80/udp", service/web:80, "LOCALHOST:30080"]}
  - change:
      apply: [pod/web-1, {apiVersion: v1, kind: Pod, metadata: {name: late}, spec: {nodeName: n}, status: {podIP: POD20}}]
      merge: {service/web: {metadata: {labels: {version: 1.2.3.4}}, spec: {externalIPs: [EXTERNAL], ipFamilies: [FAMILY], sessionAffinityConfig: {clientIP: {timeoutSeconds: 10800}}}}}
      during: {probe: {from: pod/web-1, to: "LITERAL:81"}}
---
apiVersion: v1
kind: Node
metadata: {name: n, annotations: {note: 1.2.3.4}}
spec: {podCIDR: RANGE, podCIDRs: [RANGE]}
status: {addresses: [{type: InternalIP, address: NODE}, {type: Hostname, address: 1.2.3.4}, {type: ExternalIP, address: NODE2}]}
---
apiVersion: v1
kind: Pod
metadata: {name: web-1, labels: {app: web}}
spec: {nodeName: n, containers: [{name: web, args: [1.2.3.4]}]}
status: {podIP: POD30, podIPs: [{ip: POD30}], hostIP: NODE, hostIPs: [{ip: NODE}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  type: LoadBalancer
  clusterIP: CLUSTER
  clusterIPs: [CLUSTER]
  ipFamilies: [FAMILY]
  externalIPs: [EXTERNAL]
  loadBalancerSourceRanges: [SOURCES, EVERYBODY]
  allocateLoadBalancerNodePorts: false
  ports: [{port: 80}]
status: {loadBalancer: {ingress: [{ip: BALANCER}, {hostname: 1.2.3.4}]}}
---
apiVersion: v1
kind: Service
metadata: {name: headless}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: hand, labels: {kubernetes.io/service-name: web}}
addressType: FAMILY
endpoints: [{addresses: [POD30]}]
`

func fill(text string, column int, rows [][3]string) string {
	for _, r := range rows {
		text = regexp.MustCompile(r[0]+`\b`).ReplaceAllString(text, r[column])
	}
	return text
}

func TestVariantsMapEveryAddress(t *testing.T) {
	even := [][3]string{
		{"CLIENT", "203.0.113.7", "fd00:203:0:113::7"},
		{"LITERAL", "10.96.0.10", "[fd00:10:96::10]"},
		{"POD20", "10.34.188.20", "fd00:10:34:188::20"},
		{"POD30", "10.34.188.30", "fd00:10:34:188::30"},
		{"RANGE", "10.34.188.0/24", "fd00:10:34:188::/64"},
		{"NODE2", "198.51.100.2", "fd00:198:51:100::2"},
		{"NODE", "192.168.50.1", "fd00:192:168:50::1"},
		{"CLUSTER", "172.20.127.114", "fd00:172:20:127::114"},
		{"EXTERNAL", "255.255.255.255", "fd00:255:255:255::255"},
		{"SOURCES", "10.0.0.0/8", "fd00:10::/32"},
		{"EVERYBODY", "0.0.0.0/0", "::/0"},
		{"BALANCER", "100.64.0.1", "fd00:100:64::1"},
		{"LOCALHOST", "127.0.0.1", "[::1]"},
		{"OWN", "127.0.0.0/8", "::1/128"},
		{"FAMILY", "IPv4", "IPv6"},
	}
	// One range that ends between dots, and no digit can be kept.
	uneven := [][3]string{
		{"CLIENT", "203.0.113.7", "fd00::cb00:7107"},
		{"LITERAL", "10.96.0.10", "[fd00::a60:a]"},
		{"POD20", "10.34.188.20", "fd00::a22:bc14"},
		{"POD30", "10.34.188.30", "fd00::a22:bc1e"},
		{"RANGE", "10.34.184.0/21", "fd00::a22:b800/117"},
		{"NODE2", "198.51.100.2", "fd00::c633:6402"},
		{"NODE", "192.168.50.1", "fd00::c0a8:3201"},
		{"CLUSTER", "172.20.127.114", "fd00::ac14:7f72"},
		{"EXTERNAL", "255.255.255.255", "fd00::ffff:ffff"},
		{"SOURCES", "10.0.0.0/8", "fd00::a00:0/104"},
		{"EVERYBODY", "0.0.0.0/0", "::/0"},
		{"BALANCER", "100.64.0.1", "fd00::6440:1"},
		{"LOCALHOST", "127.0.0.1", "[::1]"},
		{"OWN", "127.0.0.0/8", "::1/128"},
		{"FAMILY", "IPv4", "IPv6"},
	}
	quote := func(rows [][3]string) [][3]string {
		for i := range rows {
			if !slices.Contains([]string{"LITERAL", "LOCALHOST"}, rows[i][0]) {
				rows[i][2] = `"` + rows[i][2] + `"`
			}
		}
		return rows
	}
	for name, rows := range map[string][][3]string{"even": quote(even), "uneven": quote(uneven)} {
		t.Run(name, func(t *testing.T) {
			story := func(column int) *Scenario { return parsed(t, fill(variantStory, column, rows)) }
			original, untouched, want6 := story(1), story(1), story(2)
			got := original.Variants()
			if len(got) != 2 || got[0].Family != IPv4 || got[1].Family != IPv6 {
				t.Fatalf("got %d variants: %+v", len(got), got)
			}
			if d := cmp.Diff(original, untouched, addresses); d != "" {
				t.Errorf("the original was changed (-got +want):\n%s", d)
			}
			untouched.Family = IPv4
			if d := cmp.Diff(got[0], untouched, addresses); d != "" {
				t.Errorf("IPv4 (-got +want):\n%s", d)
			}
			want6.Family = IPv6
			// Columns differ, since the addresses have other lengths; and a changed patch has its keys sorted.
			where := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().Type() == typeOfPos }, cmp.Ignore())
			if d := cmp.Diff(got[1], want6, addresses, where, sameJSON); d != "" {
				t.Errorf("IPv6 (-got +want):\n%s", d)
			}
			apply := got[1].Steps[1].Change.Apply[0].Object
			if apply != got[1].Objects[1].Object {
				t.Error("an object that a step applies by its name is not the file's any more")
			}
		})
	}
}

func TestVariantsByFamily(t *testing.T) {
	const base = "{apiVersion: v1, kind: Node, metadata: {name: n}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}], %s}}\n"
	for _, c := range []struct {
		name, spec string
		want       []Family
	}{
		{"no address at all", "type: ClusterIP", []Family{IPv4, IPv6}},
		{"IPv4", "clusterIP: 10.96.0.1", []Family{IPv4, IPv6}},
		{"IPv6", "clusterIP: 'fd00::1'", []Family{IPv6}},
		{"IPv6 by word", "ipFamilies: [IPv6]", []Family{IPv6}},
		{"both", "clusterIPs: [10.96.0.1, 'fd00::1']", []Family{IPv4, IPv6}},
		{"both by words", "ipFamilies: [IPv6, IPv4]", []Family{IPv4, IPv6}},
		{"both by policy", "ipFamilyPolicy: RequireDualStack, clusterIP: 10.96.0.1", []Family{IPv4, IPv6}},
	} {
		s := parsed(t, fmt.Sprintf(base, c.spec))
		var got []Family
		for _, v := range s.Variants() {
			got = append(got, v.Family)
		}
		if d := cmp.Diff(got, c.want); d != "" {
			t.Errorf("%s (-got +want):\n%s", c.name, d)
		}
	}
	both := parsed(t, fmt.Sprintf(base, "clusterIPs: [10.96.0.1, 'fd00::1']"))
	for _, v := range both.Variants() {
		if v.Objects[1].Object != both.Objects[1].Object {
			t.Errorf("%s: a scenario of both families was transformed", v.Family)
		}
	}
}

// No two addresses become one, and an address stays in its range: for all values of every octet, and for all lengths. Of
// 127.0.0.0/8 IPv6 has one.
func TestImageIsInjective(t *testing.T) {
	samples := [][4]byte{{10, 34, 188, 30}, {0, 0, 0, 0}, {255, 255, 255, 255}, {192, 168, 50, 1}}
	for _, m := range []image{{numeric: false}, {numeric: true}} {
		was := map[netip.Addr]netip.Addr{}
		for _, s := range samples {
			for octet := range 4 {
				for v := range 256 {
					b := s
					b[octet] = byte(v)
					a := netip.AddrFrom4(b)
					img := m.addr(a)
					if a.IsLoopback() {
						if img != netip.IPv6Loopback() {
							t.Fatalf("%+v: %s becomes %s", m, a, img)
						}
						continue
					}
					if other, ok := was[img]; ok && other != a {
						t.Fatalf("%+v: %s and %s both become %s", m, a, other, img)
					}
					was[img] = a
					for bits := 0; bits <= 32; bits++ {
						if !m.numeric && bits%8 != 0 {
							continue
						}
						r := m.prefix(netip.PrefixFrom(netip.AddrFrom4(s), bits).Masked())
						if got, want := r.Contains(img), netip.PrefixFrom(netip.AddrFrom4(s), bits).Contains(a); got != want {
							t.Fatalf("%+v: %s in %s: %v, but of %s/%d it was %v", m, img, r, got, netip.AddrFrom4(s), bits, want)
						}
					}
				}
			}
		}
	}
}

func TestBundledStoryInIPv6(t *testing.T) {
	text, err := os.ReadFile("../../scenarios/basics/myservice.yaml")
	if err != nil {
		t.Fatal(err)
	}
	v6 := parsed(t, string(text)).Variants()[1]
	if got, want := v6.Objects[5].Object, "fd00:172:20:127::114"; clusterIP(got) != want {
		t.Errorf("clusterIP %s, want %s", clusterIP(got), want)
	}
}
