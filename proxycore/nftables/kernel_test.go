package nftables

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svclab/proxycore"
)

var small = []string{
	"10.96.0.1:80/TCP here=10.244.1.2:8080 10.244.2.1:8080",
	"10.96.0.1:53/UDP 10.244.1.9:53 10.244.2.9:53 here=10.244.1.3:53",
	"10.96.0.2:80/TCP",
	"10.96.0.3:80/SCTP drop",
	"[fd00:96::1]:80/TCP here=[fd00:244:1::2]:8080",
	"10.96.0.4:80/TCP sticky=600s here=10.244.1.2:8080 10.244.2.1:8080",
	"[fd00:96::4]:53/UDP sticky=3s [fd00:244:2::2]:53",
	"192.168.7.1:30080/TCP nodeport here=10.244.1.2:8080 10.244.2.1:8080",
	"[fd00:7::1]:30080/SCTP external sticky=600s [fd00:244:2::2]:8080",
	"192.168.7.1:30081/TCP nodeport sticky=600s here=10.244.1.2:8080 10.244.2.1:8080 local here=10.244.1.2:8080",
	"192.168.7.1:30082/UDP nodeport 10.244.2.9:53 10.244.2.1:53 local drop",
	"203.0.113.10:80/TCP external from=192.168.0.0/24 from=192.168.1.0/24 from=192.168.0.7/32 from=198.51.100.7/32 here=10.244.1.2:8080",
	"203.0.113.11:80/TCP external from=192.168.0.0/24 here=10.244.1.2:8080 10.244.2.1:8080 local here=10.244.1.2:8080",
	"[2001:db8::10]:80/TCP external from=2001:db8:1::/48 [fd00:244:2::2]:8080 local",
}

const smallDump = `pods 10.244.0.0/15 fd00:244::/32
10.96.0.1:53/UDP -> 10.244.1.3:53 10.244.1.9:53 10.244.2.9:53
10.96.0.1:80/TCP -> 10.244.1.2:8080 10.244.2.1:8080
10.96.0.2:80/TCP -> refuse
10.96.0.3:80/SCTP -> drop
10.96.0.4:80/TCP sticky 600s -> 10.244.1.2:8080 10.244.2.1:8080
192.168.7.1:30080/TCP -> 10.244.1.2:8080 10.244.2.1:8080
192.168.7.1:30081/TCP sticky 600s -> 10.244.1.2:8080 10.244.2.1:8080 local 10.244.1.2:8080
192.168.7.1:30082/UDP -> 10.244.2.1:53 10.244.2.9:53 local drop
203.0.113.10:80/TCP from 192.168.0.0/23 198.51.100.7/32 -> 10.244.1.2:8080
203.0.113.11:80/TCP from 192.168.0.0/24 -> 10.244.1.2:8080 10.244.2.1:8080 local 10.244.1.2:8080
[2001:db8::10]:80/TCP from 2001:db8:1::/48 -> [fd00:244:2::2]:8080 local refuse
[fd00:7::1]:30080/SCTP sticky 600s -> [fd00:244:2::2]:8080
[fd00:96::1]:80/TCP -> [fd00:244:1::2]:8080
[fd00:96::4]:53/UDP sticky 3s -> [fd00:244:2::2]:53
`

func TestProgramDumpAndList(t *testing.T) {
	ns := namespace(t)
	b := open(t, ns, Options{})
	node := podCIDRs("10.244.0.0/16", "10.245.0.0/16", "fd00:244::/32")
	node.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("10.97.0.0/16"), netip.MustParsePrefix("10.100.0.0/16")}
	program(t, b, full(node, small...))
	if d := cmp.Diff(dump(t, b), smallDump); d != "" {
		t.Errorf("dump (-got +want):\n%s", d)
	}
	list := nft(t, ns, "list ruleset")
	t.Log(list)
	for _, want := range []string{
		"ct original ip daddr @cluster-ips ip saddr != @pods goto masq comment \"masquerade\"",
		"ip saddr . ip daddr @hairpin goto masq comment \"hairpin\"",
		"meta priority set numgen random mod 3 goto to-endpoint comment \"random slot of 3\"",
		"dnat ip to ip daddr . meta l4proto . th dport . meta priority map @endpoints comment \"the endpoint in the slot\"",
		"ct original ip6 daddr @cluster-ips ip6 saddr != @pods goto masq",
		slotZero,
		"10.96.0.1 . tcp . 80 . 0x00000001 : 10.244.2.1 . 8080",
		"10.244.0.0-10.245.255.255",
		": goto lb-3",
		"type nat hook output priority -100; policy accept;",
		": goto sticky-600",
		": jump pick-2",
		"update @affinity { ip saddr . ip daddr . meta l4proto . th dport timeout 10m : meta priority }",
		"delete @affinity { ip6 saddr . ip6 daddr . meta l4proto . th dport : meta priority }",
		"203.0.113.10 . tcp . 80 . 192.168.0.0/23",
		"203.0.113.11 . tcp . 80 . 192.168.0.0/24",
		"2001:db8::10 . tcp . 80 . 2001:db8:1::/48",
		"ip daddr . meta l4proto . th dport . ip saddr @source-ranges meta priority set ip daddr . meta l4proto . th dport map @allowed meta priority vmap @by-allowed comment \"in a range\"",
		"ip saddr @pods meta priority set ip daddr . meta l4proto . th dport map @internal meta priority vmap @by-local comment \"pods\"",
		"fib saddr type local meta priority set ip6 daddr . meta l4proto . th dport map @internal meta priority vmap @by-local comment \"this node\"",
		"meta priority set numgen random mod 1 offset 65536 goto id-of-slot-local",
		"elements = { 10.96.0.0/15, 10.100.0.0/16 }",
		"ip daddr @service-cidrs drop",
		": goto sticky-600-local",
		": jump pick-1-local",
		"meta l4proto udp ct original ip6 daddr . meta l4proto . ct original proto-dst @masq-all goto masq comment \"masquerade front UDP\"",
	} {
		if !strings.Contains(strings.ReplaceAll(list, "10.244.0.0/15", "10.244.0.0-10.245.255.255"), want) {
			t.Errorf("nft list ruleset lacks %q", want)
		}
	}
	for _, x := range []struct{ front, to, want string }{
		{small[9], "10.244.1.2:8080", "chain sticky-600, map live, element 192.168.7.1 . TCP . 30081 . id 0x2026a297, or for traffic from outside " +
			"chain sticky-600-local, map local-live, element 192.168.7.1 . TCP . 30081 . id 0x2026a297"},
		{small[12], "10.244.1.2:8080", "chain lb-2, map endpoints, element 203.0.113.11 . TCP . 80 . slot 0, or for traffic from outside " +
			"chain lb-1-local, map endpoints, element 203.0.113.11 . TCP . 80 . slot 65536"},
		{small[12], "10.244.2.1:8080", "chain lb-2, map endpoints, element 203.0.113.11 . TCP . 80 . slot 1"},
		{"192.168.7.1:30082/UDP", "10.244.1.2:8080", ""},
	} {
		got, _ := b.RuleFor(route(x.front).Front, netip.MustParseAddrPort(x.to))
		if strings.TrimPrefix(got, "table ip svclab, ") != x.want {
			t.Errorf("RuleFor %s: %q, want %q", x.to, got, x.want)
		}
	}
	got, ok := b.RuleFor(route(small[0]).Front, netip.MustParseAddrPort("10.244.2.1:8080"))
	if want := "table ip svclab, chain lb-2, map endpoints, element 10.96.0.1 . TCP . 80 . slot 1"; got != want || !ok {
		t.Errorf("RuleFor: %q %v, want %q", got, ok, want)
	}
	got, ok = b.RuleFor(route(small[5]).Front, netip.MustParseAddrPort("10.244.2.1:8080"))
	if want := "table ip svclab, chain sticky-600, map live, element 10.96.0.4 . TCP . 80 . id 0xe112aae9"; got != want || !ok {
		t.Errorf("RuleFor: %q %v, want %q", got, ok, want)
	}
}

func TestSameStateSendsNothing(t *testing.T) {
	ns := namespace(t)
	b := open(t, ns, Options{})
	node := podCIDRs("10.244.0.0/16")
	program(t, b, full(node, small...))
	sent := b.transactions.Load()
	program(t, b, proxycore.Change{Node: node, Replace: routesOf(small...)})
	program(t, b, full(node, small...))
	if b.transactions.Load() != sent {
		t.Errorf("the same state again sent %d transactions", b.transactions.Load()-sent)
	}
	heir := open(t, ns, Options{})
	program(t, heir, full(node, small...))
	if heir.transactions.Load() != 0 {
		t.Errorf("a fresh backend on the same kernel sent %d transactions, want none", heir.transactions.Load())
	}
	if d := cmp.Diff(dump(t, heir), dump(t, b)); d != "" {
		t.Errorf("dumps differ:\n%s", d)
	}
}

// A change that the kernel refuses names the element, changes nothing, and the next one must be Full.
func TestRefusedChange(t *testing.T) {
	ns := namespace(t)
	b := open(t, ns, Options{})
	program(t, b, full(nil, small...))
	nft(t, ns, "delete element ip svclab endpoints { 10.96.0.1 . tcp . 80 . 1 }")
	err := b.Program(context.Background(), proxycore.Change{
		Add:     routesOf("10.96.0.7:80/TCP 10.244.7.7:80"),
		Replace: routesOf("10.96.0.1:80/TCP 10.244.1.2:8080"),
	})
	want := "delete an element of endpoints element 10.96.0.1 . TCP . 80 . slot 1 in table ip svclab: no such file or directory"
	if err == nil || err.Error() != want {
		t.Fatalf("got %v, want %s", err, want)
	}
	if list := nft(t, ns, "list map ip svclab services"); strings.Contains(list, "10.96.0.7") {
		t.Error("half of the change is in force")
	}
	if err := b.Program(context.Background(), proxycore.Change{}); err == nil {
		t.Error("a change that is not Full was taken after an error")
	}
	program(t, b, full(nil, small...))
	dump(t, b)
}

func TestCloseLeavesOthersAlone(t *testing.T) {
	ns := namespace(t)
	nft(t, ns, "add table ip kube-proxy")
	nft(t, ns, "add chain ip kube-proxy svclab")
	nft(t, ns, "add table inet svclab")
	before := nft(t, ns, "list ruleset")
	b := open(t, ns, Options{})
	program(t, b, full(podCIDRs("10.244.0.0/16"), small...))
	for range 2 {
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(nft(t, ns, "list ruleset"), before); d != "" {
		t.Errorf("ruleset after Close (-got +want):\n%s", d)
	}
}

// What an unprivileged process may send at once is less than a first sync: every boundary is checked from outside.
func TestSplitTransactions(t *testing.T) {
	ns := namespace(t)
	b := open(t, ns, Options{MaxTransaction: 4096})
	var a, c []string
	for i := range 60 {
		line := fmt.Sprintf("10.96.1.%d:80/TCP", i)
		other := line
		for j := range i%9 + 1 {
			line += fmt.Sprintf(" 10.244.%d.%d:80", i, j)
			other += fmt.Sprintf(" 10.244.%d.%d:80", i, j*2)
		}
		a = append(a, line)
		if i%3 != 0 {
			c = append(c, other)
		}
	}
	huge := "10.96.2.1:80/TCP"
	for i := range 200 {
		huge += fmt.Sprintf(" 10.250.0.%d:80", i)
	}
	a, c = append(a, huge), append(c, huge+" 10.250.1.1:80 10.250.1.2:80")
	want := dumpOf(t, c)
	program(t, b, full(nil, a...))
	if b.transactions.Load() < 5 {
		t.Errorf("only %d transactions", b.transactions.Load())
	}
	first := dump(t, b)
	if d := cmp.Diff(first, dumpOf(t, a)); d != "" {
		t.Errorf("first state (-got +want):\n%s", d)
	}
	program(t, b, full(nil, c...))
	if d := cmp.Diff(dump(t, b), want); d != "" {
		t.Errorf("second state (-got +want):\n%s", d)
	}
	program(t, b, full(nil))
	if d := dump(t, b); d != "" {
		t.Errorf("empty state dumps %q", d)
	}
}

func dumpOf(t testing.TB, lines []string) string {
	t.Helper()
	b := open(t, namespace(t), Options{})
	program(t, b, full(nil, lines...))
	return dump(t, b)
}

// Pools that change between two sizes keep both chains; many different sizes are not kept for ever.
func TestChainsAreKeptAndRetired(t *testing.T) {
	ns := namespace(t)
	b := open(t, ns, Options{})
	program(t, b, full(nil, small[:9]...))
	one, two := "10.96.0.1:80/TCP 10.244.1.2:8080", "10.96.0.1:80/TCP 10.244.1.2:8080 10.244.2.1:8080"
	sent := b.transactions.Load()
	program(t, b, proxycore.Change{Replace: routesOf(one)})
	// A packet that straddles the commit would meet the new chain empty; too rare to wait for, so the order is tested.
	if got := b.transactions.Load() - sent; got != 2 {
		t.Errorf("a pool of a new size took %d transactions, want its chain in one and its first use in the next", got)
	}
	program(t, b, proxycore.Change{Replace: routesOf(two)})
	sent = b.transactions.Load()
	for range 5 {
		program(t, b, proxycore.Change{Replace: routesOf(one)})
		program(t, b, proxycore.Change{Replace: routesOf(two)})
	}
	if got := b.transactions.Load() - sent; got != 10 {
		t.Errorf("10 changes took %d transactions", got)
	}
	line := "10.96.0.1:80/TCP"
	for i := range 70 {
		line += fmt.Sprintf(" 10.244.3.%d:80", i)
		program(t, b, proxycore.Change{Replace: routesOf(line)})
	}
	if n := strings.Count(nft(t, ns, "list table ip svclab"), "chain lb-"); n < 2 || n > idleChains+2 {
		t.Errorf("%d chains lb-N", n)
	}
	dump(t, b)
}

// A set that is about to be full is declared larger: no change fails for its size.
func TestSetsGrow(t *testing.T) {
	ns := namespace(t)
	b := open(t, ns, Options{})
	program(t, b, full(nil))
	for i := range 4 {
		var c proxycore.Change
		for j := range 1000 {
			kind := []string{"", "sticky=600s external local here=10.244.1.1:80", "external from=192.168.0.0/24", "external from=192.168.0.0/24 local"}[i]
			c.Add = append(c.Add, route(fmt.Sprintf("10.%d.%d.%d:80/TCP here=10.244.1.1:80 here=10.244.1.2:80 10.244.1.3:80 %s", 100+i, j/250, j%250, kind)),
				route(fmt.Sprintf("10.%d.%d.%d:53/UDP here=10.244.1.1:80 %s", 100+i, j/250, j%250, kind)))
		}
		program(t, b, c)
	}
	if got := strings.Count(dump(t, b), "\n"); got != 8000 {
		t.Errorf("%d fronts, want 8000", got)
	}
}

func TestUnsupportedIsRefusedBeforeAnythingIsSent(t *testing.T) {
	b := open(t, namespace(t), Options{})
	for _, x := range []struct {
		want string
		edit func(r *proxycore.Route)
	}{
		{"a ClusterIP that masquerades this node alone", func(r *proxycore.Route) { r.Masquerade = proxycore.MasqueradeNode }},
		{"more than 1024 source ranges", func(r *proxycore.Route) { r.Ranges = make([]netip.Prefix, maxRanges+1) }},
		{"more than 65536 endpoints", func(r *proxycore.Route) {
			r.Local = &proxycore.Pool{Endpoints: make([]proxycore.Endpoint, maxSlots+1)}
		}},
		{"a front that is no ClusterIP without masquerade", func(r *proxycore.Route) { r.Kind = proxycore.NodePort }},
		{"a sessionAffinity of 1.5s", func(r *proxycore.Route) { r.Affinity = 1500 * time.Millisecond }},
		{"a sessionAffinity of 16777216s", func(r *proxycore.Route) { r.Affinity = 1 << 24 * time.Second }},
	} {
		r := route(small[0])
		x.edit(&r)
		err := b.Program(context.Background(), proxycore.Change{Full: true, Add: []proxycore.Route{r}})
		want := "front 10.96.0.1:80/TCP: backend nftables cannot do " + x.want
		if err == nil || strings.ReplaceAll(err.Error(), "4660h20m16s", "16777216s") != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if b.transactions.Load() != 0 {
		t.Errorf("%d transactions were sent", b.transactions.Load())
	}
}

func TestNodeRules(t *testing.T) {
	ns := namespace(t)
	b := open(t, ns, Options{})
	for _, x := range []struct {
		node *proxycore.NodeRules
		dump string
		rule string
	}{
		{podCIDRs("10.244.0.0/16"), "pods 10.244.0.0/16\n", ruleMasquerade},
		{podCIDRs("0.0.0.0/0", "::/0"), "pods 0.0.0.0/0 ::/0\n", ruleMasquerade},
		{podCIDRs("10.0.0.0/24", "10.0.1.0/24", "10.0.2.0/24"), "pods 10.0.0.0/23 10.0.2.0/24\n", ruleMasquerade},
		{&proxycore.NodeRules{Pods: podCIDRs("10.244.0.0/16").Pods, MasqueradeAll: true}, "pods 10.244.0.0/16\nmasquerade-all\n", ruleMasqueradeAll},
		{&proxycore.NodeRules{PodInterface: "cbr0"}, "pods on cbr0\n", ruleMasquerade},
		{&proxycore.NodeRules{PodInterface: "pod*", MasqueradeAll: true}, "pods on pod*\nmasquerade-all\n", ruleMasqueradeAll},
		{&proxycore.NodeRules{PodInterface: "pod*", Pods: podCIDRs("10.244.0.0/16").Pods}, "pods 10.244.0.0/16\npods on pod*\n", ruleMasquerade},
		{&proxycore.NodeRules{}, "", ""},
	} {
		program(t, b, proxycore.Change{Full: !b.known, Node: x.node})
		if got := dump(t, b); got != x.dump {
			t.Errorf("dump %q, want %q", got, x.dump)
		}
		list := nft(t, ns, "list table ip svclab")
		if has := strings.Contains(list, `comment "`+x.rule+`"`); has != (x.rule != "") {
			t.Errorf("%v: rule %q there: %v", x.node, x.rule, has)
		}
		in, out := `iifname "`+x.node.PodInterface+`" meta priority set`, `ip saddr != @pods iifname != "`+x.node.PodInterface+`" goto masq`
		if want := x.node.PodInterface != ""; strings.Contains(list, in) != want || strings.Contains(list, out) != (want && !x.node.MasqueradeAll) {
			t.Errorf("%v: interface not as it should be in\n%s", x.node, list)
		}
	}
	for _, x := range []struct {
		node proxycore.NodeRules
		want string
	}{
		{proxycore.NodeRules{Localhost: true}, "backend nftables cannot do NodePorts at 127.0.0.1"},
		{proxycore.NodeRules{PodInterface: "*"}, `pods on "*": not the name of an interface`},
		{proxycore.NodeRules{PodInterface: "abcdefghijklmnop"}, `pods on "abcdefghijklmnop": not the name of an interface`},
	} {
		sent := b.transactions.Load()
		if err := b.Program(context.Background(), proxycore.Change{Full: true, Node: &x.node}); err == nil || err.Error() != x.want {
			t.Errorf("got %v, want %s", err, x.want)
		}
		if b.transactions.Load() != sent {
			t.Errorf("%s: something was sent", x.want)
		}
	}
}

// Tables of our name that somebody else made, or another version of this layout, are replaced.
func TestForeignLayoutIsReplaced(t *testing.T) {
	ns := namespace(t)
	for _, c := range []string{
		"add table ip svclab", "add set ip svclab services { type ipv4_addr ; }", "add chain ip svclab refuse",
		"add chain ip svclab dispatch { type filter hook input priority 0 ; }",
	} {
		nft(t, ns, c)
	}
	b := open(t, ns, Options{})
	if err := b.Check(context.Background()); err == nil {
		t.Error("check saw nothing")
	}
	program(t, b, full(podCIDRs("10.244.0.0/15", "fd00:244::/32"), small...))
	if d := cmp.Diff(dump(t, b), smallDump); d != "" {
		t.Errorf("dump (-got +want):\n%s", d)
	}
}
