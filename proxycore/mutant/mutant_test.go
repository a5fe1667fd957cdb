package mutant

import (
	"context"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore"
	"svclab/proxycore/cluster"
	flat "svclab/proxycore/nftables"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func TestMutantsAreComplete(t *testing.T) {
	for _, m := range Mutants {
		spoilt := 0
		for _, is := range []bool{m.Backend != nil, m.Cleaner != nil, m.State != nil, m.Idle, m.Sysctls != nil} {
			if is {
				spoilt++
			}
		}
		if m.Name == "" || m.Breaks == "" || m.Scenario == "" || m.Peaceful == "" || m.Sentence == "" || spoilt != 1 {
			t.Errorf("mutant %q lacks something: %+v", m.Name, m)
		}
		if found, ok := Find(m.Name); !ok || found.Name != m.Name {
			t.Errorf("Find(%q) is %v, %v", m.Name, found, ok)
		}
	}
	if _, ok := Find("nobody"); ok {
		t.Error("Find found nobody")
	}
}

func pool(n int) (list []proxycore.Endpoint) {
	for i := range n {
		list = append(list, proxycore.Endpoint{AddrPort: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, 1, byte(i + 1)}), 8080)})
	}
	return list
}

func TestBiasIsAFifth(t *testing.T) {
	for n := 2; n <= 20; n++ {
		slots := bias(pool(n))
		count := map[netip.AddrPort]int{}
		for _, e := range slots {
			count[e.AddrPort]++
		}
		first := count[slots[0].AddrPort]
		if first*5*n != len(slots)*6 {
			t.Errorf("of %d, the first has %d of %d slots: want 1.2/%d", n, first, len(slots), n)
		}
		for _, e := range pool(n)[1:] {
			if count[e.AddrPort]*(n-1) != len(slots)-first {
				t.Errorf("of %d, %v has %d of %d slots", n, e, count[e.AddrPort], len(slots))
			}
		}
	}
	if got := len(bias(pool(2))); got != 5 {
		t.Errorf("a pool of two has %d slots, want 5", got)
	}
}

// node is a mutant over the real backend.
func node(t *testing.T, name string) (*nsnet.NS, proxycore.Backend) {
	t.Helper()
	nstest.Need(t, "nftables")
	ns := nstest.NS(t, "node")
	b, err := flat.New(flat.Options{NetNS: ns.FD()})
	if err != nil {
		t.Fatal(err)
	}
	m, ok := Find(name)
	if !ok {
		t.Fatalf("no mutant %s", name)
	}
	mutated := m.Backend(b, ns.FD())
	t.Cleanup(func() {
		if err := mutated.Close(); err != nil {
			t.Error(err)
		}
	})
	return ns, mutated
}

func rules(t *testing.T, ns *nsnet.NS, part string) int {
	t.Helper()
	out, err := ns.Run(exec.Command("nft", "list", "ruleset"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(out), part)
}

var (
	front = proxycore.Front{Addr: netip.MustParseAddr("10.96.0.1"), Proto: cluster.TCP, Port: 80}
	pods  = &proxycore.NodeRules{Pods: []netip.Prefix{netip.MustParsePrefix("10.244.0.0/16"), netip.MustParsePrefix("fd00::/16")}}
)

func of(n int) []proxycore.Route {
	return []proxycore.Route{{Front: front, Pool: proxycore.Pool{Endpoints: pool(n)}}}
}

func program(t *testing.T, b proxycore.Backend, c proxycore.Change) {
	t.Helper()
	if err := b.Program(context.Background(), c); err != nil {
		t.Fatal(err)
	}
}

// Each rule goes after every change that could bring it, from both families, and no other rule goes.
func TestRuleMutants(t *testing.T) {
	for _, x := range []struct{ mutant, rule, neighbour string }{
		{"no-masquerade", `comment "masquerade"`, `comment "hairpin"`},
		{"no-hairpin", `comment "hairpin"`, `comment "masquerade"`},
		{"no-nodeport-masquerade", `comment "masquerade front `, `comment "masquerade"`},
		{"no-second-lookup", `comment "slot 0: `, `comment "random slot of `},
	} {
		t.Run(x.mutant, func(t *testing.T) {
			ns, b := node(t, x.mutant)
			for i, c := range []proxycore.Change{
				{Full: true, Node: pods, Add: of(2)},
				{Replace: of(3)},
				{Replace: of(2)},
				{Node: &proxycore.NodeRules{Pods: pods.Pods, MasqueradeAll: true}},
				{Node: pods, Replace: of(7)},
				{Full: true, Node: pods, Add: of(7)},
			} {
				program(t, b, c)
				if n := rules(t, ns, x.rule); n != 0 {
					t.Errorf("change %d: %d rules %s", i, n, x.rule)
				}
				if n := rules(t, ns, x.neighbour); n == 0 && (c.Node == nil || !c.Node.MasqueradeAll) {
					t.Errorf("change %d: no rule %s either", i, x.neighbour)
				}
			}
		})
	}
}

func TestNoSecondLookupLooksOnlyAtNewSizes(t *testing.T) {
	_, b := node(t, "no-second-lookup")
	w := b.(*withoutRule)
	program(t, b, proxycore.Change{Full: true, Add: of(1)})
	program(t, b, proxycore.Change{Replace: of(2)})
	looked := 0
	match := w.match
	w.match = func(c string) bool { looked++; return match(c) }
	for range 3 {
		program(t, b, proxycore.Change{Replace: of(1)})
		program(t, b, proxycore.Change{Replace: of(2)})
	}
	if looked != 0 {
		t.Errorf("looked at %d rules although no size was new", looked)
	}
}

func TestChangeMutants(t *testing.T) {
	line := func(n ...int) string {
		s := "10.96.0.1:80/TCP ->"
		for _, i := range n {
			s += fmt.Sprintf(" 10.244.1.%d:8080", i)
		}
		return s + "\n"
	}
	last := of(3)
	last[0].Pool.Endpoints = last[0].Pool.Endpoints[2:]
	for _, x := range []struct {
		mutant string
		then   proxycore.Change
		want   string
	}{
		{"biased", proxycore.Change{Replace: of(2)}, line(1, 1, 1, 2, 2)},
		{"biased", proxycore.Change{Replace: of(1)}, line(1)},
		{"keeps-removed", proxycore.Change{Replace: last}, line(1, 2, 3)},
		{"keeps-removed", proxycore.Change{Full: true, Add: last}, line(1, 2, 3)},
		{"keeps-removed", proxycore.Change{Remove: of(2)}, ""},
	} {
		t.Run(x.mutant, func(t *testing.T) {
			_, b := node(t, x.mutant)
			program(t, b, proxycore.Change{Full: true, Add: of(2)})
			asked := slices.Clone(x.then.Replace)
			program(t, b, x.then)
			if err := b.Check(context.Background()); err != nil {
				t.Errorf("check: %v", err)
			}
			got, err := b.Dump(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, x.want); d != "" {
				t.Errorf("dump (-got +want):\n%s", d)
			}
			if !slices.EqualFunc(asked, x.then.Replace, proxycore.Route.Equal) {
				t.Error("the mutant changed its caller's routes")
			}
		})
	}
}

// The mutants of other fronts spoil those alone.
func TestMutantsOfOtherFronts(t *testing.T) {
	fronts := func(n int, affinity time.Duration, kind proxycore.Kind) []proxycore.Route {
		plain, other := of(n)[0], of(n)[0]
		other.Port, other.Kind, other.Masquerade, other.Affinity = 90, kind, proxycore.MasqueradeAll, affinity
		return []proxycore.Route{plain, other}
	}
	const (
		one  = "10.96.0.1:80/TCP -> 10.244.1.1:8080\n"
		both = " -> 10.244.1.1:8080 10.244.1.2:8080\n"
	)
	for _, x := range []struct {
		mutant, want string
		then         []proxycore.Route
	}{
		{"no-affinity", one + "10.96.0.1:90/TCP -> 10.244.1.1:8080\n", fronts(1, time.Minute, proxycore.NodePort)},
		{"sticks-to-removed", one + "10.96.0.1:90/TCP sticky 60s" + both, fronts(1, time.Minute, proxycore.NodePort)},
		{"sticks-to-removed", one + "10.96.0.1:90/TCP -> 10.244.1.1:8080\n", fronts(1, 0, proxycore.NodePort)},
		{"ignores-external-ips", one, fronts(1, 0, proxycore.ExternalIP)},
		{"ignores-external-ips", one + "10.96.0.1:90/TCP -> 10.244.1.1:8080\n", fronts(1, 0, proxycore.NodePort)},
	} {
		t.Run(x.mutant, func(t *testing.T) {
			_, b := node(t, x.mutant)
			program(t, b, proxycore.Change{Full: true, Add: fronts(2, time.Minute, proxycore.ExternalIP)})
			program(t, b, proxycore.Change{Replace: x.then})
			got, err := b.Dump(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got, x.want); d != "" {
				t.Errorf("dump (-got +want):\n%s", d)
			}
			program(t, b, proxycore.Change{Remove: x.then})
		})
	}
}

func TestMutantsNameRulesAsTheBackendDoes(t *testing.T) {
	_, b := node(t, "no-hairpin")
	program(t, b, proxycore.Change{Full: true, Add: of(1)})
	if _, ok := b.(proxycore.Namer).RuleFor(front, pool(1)[0].AddrPort); !ok {
		t.Error("the wrapped backend's names are lost")
	}
}
