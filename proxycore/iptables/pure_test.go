package iptables

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/proxycore"
)

// sideWith is one family's wanted state, without a kernel.
func sideWith(rules proxycore.NodeRules, routes ...proxycore.Route) *side {
	s := &side{}
	s.forget()
	s.node.NodeRules = rules
	for _, r := range routes {
		s.put(r)
	}
	return s
}

func (s *side) whole() layout {
	l, _ := s.all()
	return l
}

// text is what a first restore into an empty kernel says.
func text(p plan, limit int) string {
	return strings.Join(p.restores(limit), "--\n")
}

func TestRules(t *testing.T) {
	s := sideWith(*podCIDRs("10.244.0.0/16", "10.250.0.0/16"), routesOf(
		"web 10.96.0.1:80/TCP here=10.244.1.2:8080 10.244.2.1:8080 10.244.2.2:8080",
		"web 192.168.7.1:30080/TCP all here=10.244.1.2:8080 10.244.2.1:8080 10.244.2.2:8080",
		"one 10.96.0.2:53/UDP here=10.244.1.2:53",
		"sticky 10.96.0.3:80/SCTP all 60s 10.244.2.1:9 10.244.2.2:9",
		"none 10.96.0.4:80/TCP",
		"away 10.96.0.5:80/TCP drop",
		"local 192.168.7.1:30081/TCP here=10.244.1.2:8080 10.244.2.1:8080 local here=10.244.1.2:8080",
		"ranges 203.0.113.1:80/TCP all from=10.0.0.0/8 10.244.2.1:80 local drop",
		"ranges 203.0.113.2:80/TCP all from=10.0.0.0/8 from=192.168.0.0/16 10.244.2.1:80")...)
	want := `*mangle
:SVCLAB - [0:0]
:SVCLAB-RANGES - [0:0]
-A SVCLAB-RANGES -s 10.0.0.0/8 -j RETURN
-A SVCLAB-RANGES -s 192.168.0.0/16 -j RETURN
-A SVCLAB-RANGES -j DROP
-A SVCLAB -d 203.0.113.2/32 -p tcp -m tcp --dport 80 -m comment --comment "default/ranges:http source ranges" -j SVCLAB-RANGES
-A SVCLAB ! -s 10.0.0.0/8 -d 203.0.113.1/32 -p tcp -m tcp --dport 80 -m comment --comment "default/ranges:http source ranges" -j DROP
COMMIT
--
*filter
:SVCLAB-EMPTY - [0:0]
:SVCLAB-FAR - [0:0]
:SVCLAB-NEAR - [0:0]
:SVCLAB - [0:0]
-A SVCLAB -j SVCLAB-EMPTY
-A SVCLAB -m addrtype --src-type LOCAL -j SVCLAB-NEAR
-A SVCLAB -s 10.244.0.0/16 -j SVCLAB-NEAR
-A SVCLAB -s 10.250.0.0/16 -j SVCLAB-NEAR
-A SVCLAB -j SVCLAB-FAR
:SVCLAB-FORWARD - [0:0]
-A SVCLAB-FORWARD -m conntrack --ctstate DNAT --ctstatus CONFIRMED -j ACCEPT
-A SVCLAB-FORWARD -m mark --mark 0x1000/0x1000 -m conntrack --ctstate DNAT -j ACCEPT
-A SVCLAB-FORWARD -m conntrack --ctstate INVALID -j DROP
-A SVCLAB-EMPTY -d 10.96.0.5/32 -p tcp -m tcp --dport 80 -m comment --comment "default/away:http has no endpoints" -j DROP
-A SVCLAB-EMPTY -d 10.96.0.4/32 -p tcp -m tcp --dport 80 -m comment --comment "default/none:http has no endpoints" -j REJECT --reject-with icmp-port-unreachable
-A SVCLAB-FAR -d 203.0.113.1/32 -p tcp -m tcp --dport 80 -m comment --comment "default/ranges:http has no endpoints" -j DROP
COMMIT
--
*nat
:SVCLAB-CLUSTER - [0:0]
:SVCLAB-EXTERNAL - [0:0]
:SVCLAB-FAR - [0:0]
:SVCLAB-NEAR - [0:0]
:SVCLAB-POST - [0:0]
-A SVCLAB-POST -m mark --mark 0x1000/0x1000 -j SVCLAB-MASQ
-A SVCLAB-POST -s 10.244.1.2/32 -d 10.244.1.2/32 -j MASQUERADE --random-fully
:SVCLAB - [0:0]
-A SVCLAB -j MARK --set-xmark 0x1000/0x1000
-A SVCLAB -j SVCLAB-PODS
-A SVCLAB -j SVCLAB-CLUSTER
-A SVCLAB -j MARK --set-xmark 0x1000/0x1000
-A SVCLAB -j SVCLAB-EXTERNAL
-A SVCLAB -j SVCLAB-PODS
-A SVCLAB -m mark --mark 0x1000/0x1000 -m addrtype ! --src-type LOCAL -g SVCLAB-OUTSIDE
-A SVCLAB -j SVCLAB-NEAR
-A SVCLAB -j MARK --set-xmark 0x0/0x1000
:SVCLAB-MASQ - [0:0]
-A SVCLAB-MASQ -j MARK --set-xmark 0x0/0x1000
-A SVCLAB-MASQ -j MASQUERADE --random-fully
:SVCLAB-OUTSIDE - [0:0]
-A SVCLAB-OUTSIDE -j MARK --set-xmark 0x0/0x1000
-A SVCLAB-OUTSIDE -j SVCLAB-FAR
:SVCLAB-PODS - [0:0]
-A SVCLAB-PODS -s 10.244.0.0/16 -j MARK --set-xmark 0x0/0x1000
-A SVCLAB-PODS -s 10.250.0.0/16 -j MARK --set-xmark 0x0/0x1000
:SVCLAB-STICKY - [0:0]
-A SVCLAB-STICKY -p sctp -m recent --update --seconds 60 --reap --name LIST-1 --mask 255.255.255.255 --rsource -m comment --comment "default/sticky:http" -j DNAT --to-destination 10.244.2.1:9
-A SVCLAB-STICKY -p sctp -m recent --update --seconds 60 --reap --name LIST-2 --mask 255.255.255.255 --rsource -j DNAT --to-destination 10.244.2.2:9
-A SVCLAB-STICKY -p sctp -m statistic --mode random --probability 0.50000000000 -m recent --set --name LIST-1 --mask 255.255.255.255 --rsource -m comment --comment "default/sticky:http" -j DNAT --to-destination 10.244.2.1:9
-A SVCLAB-STICKY -p sctp -m recent --set --name LIST-2 --mask 255.255.255.255 --rsource -j DNAT --to-destination 10.244.2.2:9
-A SVCLAB-EXTERNAL -d 10.96.0.3/32 -p sctp -m sctp --dport 80 -m comment --comment "default/sticky:http" -j SVCLAB-STICKY
:SVCLAB-LOCAL - [0:0]
-A SVCLAB-LOCAL -p tcp -m statistic --mode random --probability 0.50000000000 -m comment --comment "default/local:http" -j DNAT --to-destination 10.244.1.2:8080
-A SVCLAB-LOCAL -p tcp -j DNAT --to-destination 10.244.2.1:8080
-A SVCLAB-NEAR -d 192.168.7.1/32 -p tcp -m tcp --dport 30081 -m comment --comment "default/local:http" -j SVCLAB-LOCAL
-A SVCLAB-FAR -d 192.168.7.1/32 -p tcp -m tcp --dport 30081 -m comment --comment "default/local:http -> 10.244.1.2:8080" -j DNAT --to-destination 10.244.1.2:8080
:SVCLAB-WEB - [0:0]
-A SVCLAB-WEB -p tcp -m statistic --mode random --probability 0.33333333349 -m comment --comment "default/web:http" -j DNAT --to-destination 10.244.1.2:8080
-A SVCLAB-WEB -p tcp -m statistic --mode random --probability 0.50000000000 -j DNAT --to-destination 10.244.2.1:8080
-A SVCLAB-WEB -p tcp -j DNAT --to-destination 10.244.2.2:8080
-A SVCLAB-CLUSTER -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -m comment --comment "default/web:http" -j SVCLAB-WEB
-A SVCLAB-EXTERNAL -d 192.168.7.1/32 -p tcp -m tcp --dport 30080 -m comment --comment "default/web:http" -j SVCLAB-WEB
-A SVCLAB-CLUSTER -d 10.96.0.2/32 -p udp -m udp --dport 53 -m comment --comment "default/one:http -> 10.244.1.2:53" -j DNAT --to-destination 10.244.1.2:53
-A SVCLAB-NEAR -d 203.0.113.1/32 -p tcp -m tcp --dport 80 -m comment --comment "default/ranges:http -> 10.244.2.1:80" -j DNAT --to-destination 10.244.2.1:80
-A SVCLAB-EXTERNAL -d 203.0.113.2/32 -p tcp -m tcp --dport 80 -m comment --comment "default/ranges:http -> 10.244.2.1:80" -j DNAT --to-destination 10.244.2.1:80
COMMIT
`
	sticky := route("sticky 10.96.0.3:80/SCTP 10.244.2.1:9 10.244.2.2:9")
	names := strings.NewReplacer(chainName(route("l 192.168.7.1:30081/TCP").Front, near), "SVCLAB-LOCAL",
		chainName(route("r 203.0.113.2:80/TCP").Front, top), "SVCLAB-RANGES",
		chainName(sticky.Front, inside), "SVCLAB-STICKY", chainName(route("web 10.96.0.1:80/TCP").Front, inside), "SVCLAB-WEB",
		listName(groupOf(sticky), sticky.Pool.Endpoints[0].AddrPort), "LIST-1",
		listName(groupOf(sticky), sticky.Pool.Endpoints[1].AddrPort), "LIST-2")
	if d := cmp.Diff(names.Replace(text(compare(layout{}, s.whole()), 0)), want); d != "" {
		t.Errorf("-got +want:\n%s", d)
	}
}

// TestChanges shows what a change writes: no more than the chains that changed, and each Service whole.
func TestChanges(t *testing.T) {
	chain, ranges := chainName(route("web 10.96.0.1:80/TCP").Front, inside), chainName(route("web 10.96.0.1:80/TCP").Front, top)
	vip := `-d 10.96.0.1/32 -p tcp -m tcp --dport 80 -m comment --comment "default/web:http`
	two := "web 10.96.0.1:80/TCP 10.244.2.1:80 10.244.2.2:80"
	body := ":C - [0:0]\n" +
		`-A C -p tcp -m statistic --mode random --probability 0.50000000000 -m comment --comment "default/web:http" -j DNAT --to-destination 10.244.2.1:80` + "\n" +
		`-A C -p tcp -j DNAT --to-destination 10.244.2.2:80` + "\n"
	chosen := `-A SVCLAB-CLUSTER ` + vip + `" -j C` + "\n"
	refused := `SVCLAB-EMPTY ` + vip + ` has no endpoints" -j REJECT --reject-with icmp-port-unreachable` + "\n"
	single := `SVCLAB-CLUSTER ` + vip + ` -> 10.244.2.1:80" -j DNAT --to-destination 10.244.2.1:80` + "\n"
	denied := `SVCLAB-FAR ` + vip + ` has no endpoints" -j DROP` + "\n"
	barred := `SVCLAB ! -s 10.0.0.0/8 ` + vip + ` source ranges" -j DROP` + "\n"
	gone := "-F C\n-X C\n"
	natTable := func(s string) string { return "*nat\n" + s + "COMMIT\n" }
	mangleTable := func(s string) string { return "*mangle\n" + s + "COMMIT\n" }
	filterTable := func(s string) string { return "*filter\n" + s + "COMMIT\n" }
	for _, test := range []struct{ name, old, now, want string }{
		{"nothing", two, two, ""},
		{"the first endpoints: translate, then no longer refuse", "web 10.96.0.1:80/TCP", two,
			natTable(body+chosen) + "--\n" + filterTable("-D "+refused)},
		{"the last endpoints: refuse, then no longer translate", two, "web 10.96.0.1:80/TCP",
			filterTable("-A "+refused) + "--\n" + natTable("-D"+chosen[2:]+gone)},
		{"one endpoint more: one chain", "web 10.96.0.1:80/TCP 10.244.2.1:80 10.244.2.3:80", two, natTable(body)},
		{"one endpoint becomes two", "web 10.96.0.1:80/TCP 10.244.2.1:80", two, natTable(body + chosen + "-D " + single)},
		{"two endpoints become one", two, "web 10.96.0.1:80/TCP 10.244.2.1:80", natTable("-A " + single + "-D" + chosen[2:] + gone)},
		{"another kind of masquerade", two, two + " all", natTable("-A SVCLAB-EXTERNAL " + vip + `" -j C` + "\n" + "-D" + chosen[2:])},
		{"source ranges: before nat when they come", two + " all", two + " all from=10.0.0.0/8", mangleTable("-A " + barred)},
		{"and after it when they go, and the front with them", two + " all from=10.0.0.0/8", "web 10.96.0.1:80/TCP all", filterTable("-A "+refused) + "--\n" +
			natTable("-D SVCLAB-EXTERNAL "+vip+`" -j C`+"\n"+gone) + "--\n" + mangleTable("-D "+barred)},
		{"other source ranges: at once", two + " all from=10.0.0.0/8", two + " all from=10.0.0.0/8 from=11.0.0.0/8", mangleTable(
			":R - [0:0]\n-A R -s 10.0.0.0/8 -j RETURN\n-A R -s 11.0.0.0/8 -j RETURN\n-A R -j DROP\n-A SVCLAB " + vip + ` source ranges" -j R` + "\n-D " + barred)},
		{"policy Local: a rule for some and one for others", two + " all", two + " local drop", filterTable("-A "+denied) + "--\n" +
			natTable("-A SVCLAB-NEAR "+vip+`" -j C`+"\n-D SVCLAB-EXTERNAL "+vip+`" -j C`+"\n")},
		{"the first local endpoint", two + " local drop", two + " local 10.244.2.1:80", natTable("-A SVCLAB-FAR "+single[len("SVCLAB-CLUSTER "):]) +
			"--\n" + filterTable("-D "+denied)},
	} {
		t.Run(test.name, func(t *testing.T) {
			old, now := sideWith(proxycore.NodeRules{}, route(test.old)), sideWith(proxycore.NodeRules{}, route(test.now))
			got := strings.NewReplacer(chain, "C", ranges, "R").Replace(text(compare(old.whole(), now.whole()), 0))
			if d := cmp.Diff(got, test.want); d != "" {
				t.Errorf("-got +want:\n%s", d)
			}
		})
	}
}

// A front that goes from one Service to another ties both, also when the restore is cut.
func TestMovedFrontsAreNotTorn(t *testing.T) {
	old := sideWith(proxycore.NodeRules{}, routesOf("a 10.96.0.1:80/TCP 10.244.2.1:80 10.244.2.2:80", "a 10.96.0.2:80/TCP 10.244.2.1:80 10.244.2.2:80")...)
	now := sideWith(proxycore.NodeRules{}, routesOf("b 10.96.0.1:80/TCP 10.244.3.1:80 10.244.3.2:80", "a 10.96.0.2:80/TCP 10.244.2.1:80 10.244.2.2:80")...)
	p := compare(old.whole(), now.whole())
	if len(p.nat) != 1 || len(p.reject)+len(p.respect) != 0 {
		t.Errorf("%d units, want 1:\n%s", len(p.nat), text(p, 1))
	}
}

// Services that have nothing to do with one another are cut apart, of whatever kind they are.
func TestCut(t *testing.T) {
	old, now := sideWith(proxycore.NodeRules{}), sideWith(*podCIDRs("10.244.0.0/16"))
	for i := range 100 {
		for k, kind := range []string{"", "all", "all from=10.0.0.0/8 from=172.16.0.0/12", "local drop", "local 10.244.2.1:80"} {
			now.put(route(fmt.Sprintf("web-%d-%d 10.96.%d.%d:80/TCP here=10.244.2.1:80 10.244.2.2:80 %s", k, i, k, i, kind)))
		}
	}
	for _, way := range [][2]*side{{old, now}, {now, old}} {
		p := compare(way[0].whole(), way[1].whole())
		for _, in := range p.restores(30) {
			if n := strings.Count(in, "\n") - 2; n > 30 {
				t.Errorf("a restore of %d operations:\n%.300s", n, in)
			}
		}
	}
}

func TestPieces(t *testing.T) {
	units := []unit{{"1", "2"}, {"3"}, {"4", "5", "6", "7"}, {"8"}}
	for limit, want := range map[int]string{
		0: "12345678", 1: "12|3|4567|8", 3: "123|4567|8", 4: "123|4567|8", 5: "123|45678", 7: "1234567|8",
	} {
		var got []string
		for _, in := range restores("t", units, limit) {
			got = append(got, strings.ReplaceAll(strings.TrimSuffix(strings.TrimPrefix(in, "*t\n"), "COMMIT\n"), "\n", ""))
		}
		if s := strings.Join(got, "|"); s != want {
			t.Errorf("limit %d: %s, want %s", limit, s, want)
		}
	}
}

// Each of N endpoints has the same share, as exactly as 31 bits allow.
func TestProbabilities(t *testing.T) {
	for _, n := range []int{2, 3, 7, 10, 97, 1000, 5000} {
		left, worst := 1.0, 0.0
		for i := range n {
			p := 1.0
			if n-i > 1 {
				p = certain(chance(probability(n - i)))
			}
			worst = max(worst, math.Abs(left*p*float64(n)-1))
			left *= 1 - p
		}
		if worst > 1e-5 {
			t.Errorf("%d endpoints: one is off by %g of its share", n, worst)
		}
	}
}

// kube-proxy's numbers are from its iptables proxier of v1.36: a front is a rule in KUBE-SERVICES and one that marks; an
// endpoint is a rule in KUBE-SVC- and two in its own KUBE-SEP-.
func TestCountOfRules(t *testing.T) {
	for _, test := range []struct{ endpoints, rules, chains, kubeRules, kubeChains int }{
		{1, 1, 0, 2 + 3, 2}, {2, 3, 1, 2 + 6, 3}, {10, 11, 1, 2 + 30, 11}, {100, 101, 1, 2 + 300, 101},
	} {
		line := "web 10.96.0.1:80/TCP"
		for i := range test.endpoints {
			line += fmt.Sprintf(" 10.244.2.%d:80", i)
		}
		s := sideWith(proxycore.NodeRules{}, route(line))
		got, chains := len(s.lay(map[group]bool{groupOf(route(line)): true}).items), 0
		for _, b := range s.lay(map[group]bool{groupOf(route(line)): true}).bodies {
			got += len(b.rules)
			chains++
		}
		if got != test.rules || chains != test.chains {
			t.Errorf("%d endpoints: %d rules in %d chains, want %d in %d (kube-proxy: %d in %d)", test.endpoints, got, chains,
				test.rules, test.chains, test.kubeRules, test.kubeChains)
		}
	}
}

func TestMergedPrefixes(t *testing.T) {
	for in, want := range map[string]string{
		"10.0.0.0/24 10.0.1.0/24 10.0.2.0/24": "[10.0.0.0/23 10.0.2.0/24]",
		"10.244.1.0/24 10.244.0.0/16":         "[10.244.0.0/16]",
		"0.0.0.0/1 128.0.0.0/1 ::/0":          "[0.0.0.0/0]",
		"10.244.1.7/16":                       "[10.244.0.0/16]",
		"0.0.0.0/0 0.0.0.0/0":                 "[0.0.0.0/0]",
		"fd00::/64":                           "[]",
	} {
		if got := fmt.Sprint(merged(podCIDRs(strings.Fields(in)...).Pods, false)); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}

func TestSplit(t *testing.T) {
	got := split(`-A X  --comment "a b \" c" -j ""`)
	if d := cmp.Diff(got, []string{"-A", "X", "--comment", `a b " c`, "-j", ""}); d != "" {
		t.Error(d)
	}
}

func TestUnsupported(t *testing.T) {
	local := route("web 10.96.0.1:80/TCP 10.244.2.1:80 local [fd00::1]:80")
	half := route("web 10.96.0.1:80/TCP 10.244.2.1:80")
	half.Local = &proxycore.Pool{}
	for _, test := range []struct {
		route proxycore.Route
		want  string
	}{
		{half, "front 10.96.0.1:80/TCP: one of Local and MasqueradeNode without the other"},
		{local, "front 10.96.0.1:80/TCP: endpoint [fd00::1]:80 is not of its family"},
		{route("web 10.96.0.1:80/TCP [fd00::1]:80"), "front 10.96.0.1:80/TCP: endpoint [fd00::1]:80 is not of its family"},
		{route("web 10.96.0.1:80/TCP from=fd00::/8"), "front 10.96.0.1:80/TCP: source range fd00::/8 is not of its family"},
	} {
		if err := supports(test.route); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}

func TestOptions(t *testing.T) {
	run := func(f func() error) error { return f() }
	for want, o := range map[string]Options{
		"iptables: Options.Run is required":                  {},
		`iptables: flavour "ebpf" is neither nft nor legacy`: {Flavour: "ebpf", Run: run},
		"iptables: cannot write the lock file /nowhere/there.lock; set XTABLES_LOCKFILE to one that can be written": {Flavour: legacy, Run: run},
	} {
		t.Setenv("XTABLES_LOCKFILE", "/nowhere/there.lock")
		if _, err := New(o); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	t.Setenv("PATH", "/nowhere")
	_, err := New(Options{Flavour: nft, Run: run})
	if want := `find iptables-nft: exec: "iptables-nft": executable file not found in $PATH; install it with: apt-get install iptables`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
