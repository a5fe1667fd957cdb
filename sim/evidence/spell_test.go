package evidence_test

import (
	"encoding/binary"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/nsnet/rules"
	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// everyKind adds Services of the kinds that testdata/scenario.yaml has not: affinity, Local policies, and both.
func everyKind(s *cluster.Snapshot, like *cluster.Service, near string) *cluster.Snapshot {
	number, proto, ready, node := int32(5000), corev1.ProtocolTCP, true, "node-1"
	name := ""
	for i, change := range []func(*corev1.ServiceSpec){
		func(s *corev1.ServiceSpec) { s.SessionAffinity = "ClientIP" },
		func(s *corev1.ServiceSpec) { s.ExternalTrafficPolicy = "Local" },
		func(s *corev1.ServiceSpec) { s.ExternalTrafficPolicy, s.SessionAffinity = "Local", "ClientIP" },
	} {
		svc := like.Object.DeepCopy()
		svc.Name = "kind-" + string(rune('a'+i))
		ip := svc.Spec.ClusterIP[:len(svc.Spec.ClusterIP)-1] + string(rune('1'+i))
		svc.Spec.ClusterIP, svc.Spec.ClusterIPs = ip, []string{ip}
		svc.Spec.Ports[0].NodePort += int32(i) + 1
		change(&svc.Spec)
		s = s.WithService(svc)
		s = s.WithSlice(&discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: svc.Namespace, Name: svc.Name, Labels: map[string]string{discoveryv1.LabelServiceName: svc.Name}},
			AddressType: map[bool]discoveryv1.AddressType{false: "IPv4", true: "IPv6"}[strings.Contains(ip, ":")],
			Ports:       []discoveryv1.EndpointPort{{Name: &name, Port: &number, Protocol: &proto}},
			Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{near}, NodeName: &node, Conditions: discoveryv1.EndpointConditions{Ready: &ready}}}})
	}
	return s
}

// What we say of our own rules is what nft says, to the letter, and none is left to nft: with many Services that takes seconds.
func TestOurRulesAreSpelledAsByNft(t *testing.T) {
	for _, is6 := range []bool{false, true} {
		r := open(t, "nftables", is6)
		var far *cluster.Service
		for s := range r.state.Services() {
			if s.Name == "far" {
				far = s
			}
		}
		state := everyKind(r.state, far, r.host(t, world.Pod, "web-1").Addrs[0].String())
		if err := r.lab.Apply(t.Context(), state); err != nil {
			t.Fatal(err)
		}
		sites, err := r.lab.Sites()
		if err != nil {
			t.Fatal(err)
		}
		ns := sites[0].NS // a node
		family := map[bool]string{false: "ip", true: "ip6"}[is6]
		out, err := ns.Run(exec.Command("nft", "-t", "-a", "list", "table", family, "svclab"))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		chain, handled := rules.Chain{Family: family, Table: "svclab"}, regexp.MustCompile(`^\t\t(.*) # handle \d+$`)
		want := map[rules.Chain][]string{}
		for line := range strings.Lines(string(out)) {
			line = strings.TrimSuffix(line, "\n")
			if f := strings.Fields(line); len(f) > 1 && f[0] == "chain" {
				chain.Name = f[1]
			} else if m := handled.FindStringSubmatch(line); m != nil {
				want[chain] = append(want[chain], plain(m[1]))
			}
		}
		for c, lines := range want {
			got, ok, err := rules.Spell(ns, c)
			if err != nil || !ok || len(got) != len(lines) {
				t.Errorf("%v: %d rules of %d, known %v, error %v:\n%s", c, len(got), len(lines), ok, err, strings.Join(lines, "\n"))
				continue
			}
			for i := range lines {
				n++
				if got[i].Text != lines[i] {
					t.Errorf("%v rule %d\ngot  %s\nwant %s", c, i+1, got[i].Text, lines[i])
				}
			}
		}
		if n < 50 {
			t.Errorf("only %d rules were compared", n)
		}
	}
}

// plain mends what nft 1.0.6 says of 65536 in a key: "0x100 [invalid type]", for it takes the machine's order for the network's.
func plain(text string) string {
	return regexp.MustCompile(`0x[0-9a-f]+ \[invalid type\]`).ReplaceAllStringFunc(text, func(s string) string {
		n, _ := strconv.ParseUint(strings.Fields(s)[0], 0, 32)
		return strconv.FormatUint(uint64(binary.NativeEndian.Uint32(binary.BigEndian.AppendUint32(nil, uint32(n)))), 10)
	})
}
