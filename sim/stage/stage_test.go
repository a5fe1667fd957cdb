package stage

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/engine"
	"svclab/sim/naming"
	"svclab/sim/proxies"
	"svclab/sim/ruleset"
	"svclab/sim/scenario"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) {
	flag.Parse()
	nstest.Main(m)
}

// all are the proxies whose rules are known. Those of kube-proxy are skipped with proof where there is none.
var all = []string{"nftables", "iptables-nft", "iptables-legacy", "kube-proxy/nftables", "kube-proxy/iptables", "kube-proxy/iptables-legacy"}

func shop(t *testing.T, family scenario.Family) *scenario.Scenario {
	t.Helper()
	text, err := os.ReadFile("testdata/shop.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sc, err := scenario.Parse("shop.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range sc.Variants() {
		if v.Family == family {
			return v
		}
	}
	t.Fatalf("no variant %s", family)
	return nil
}

// onStage opens a lab; golden says whether its proxy is of the version that the golden files show.
func onStage(t *testing.T, proxy string, sc *scenario.Scenario) (s *Stage, ctx context.Context, golden bool) {
	t.Helper()
	p, err := proxies.Foreign{Binary: os.Getenv("SVCLAB_KUBE_PROXY")}.Find(proxy)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Missing(); err != nil {
		if strings.Contains(os.Getenv("SVCLAB_REQUIRE"), "kube-proxy") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	nstest.Need(t, append([]string{"veth", "bridge"}, p.Powers...)...)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	if s, err = Open(ctx, sc, p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	_, version, foreign := p.Known()
	return s, ctx, !foreign || version == proxies.KubeProxyVersion
}

func advance(t *testing.T, ctx context.Context, s *Stage, step int) {
	t.Helper()
	if err := s.Advance(ctx, step); err != nil {
		t.Fatal(err)
	}
}

func front(p *naming.Port) bool { return p.Service.Name == "front" }

// What each proxy has programmed, as text: everything on node-1, and one Service on node-2, which has no endpoint of it; and what
// differs when a pod goes, and when a policy changes.
func TestGoldens(t *testing.T) {
	for _, proxy := range all {
		t.Run(proxy, func(t *testing.T) {
			s, ctx, golden := onStage(t, proxy, shop(t, scenario.IPv4))
			var b bytes.Buffer
			var before []ruleset.Node
			for step := range 5 {
				advance(t, ctx, s, step)
				nodes, err := s.Rules(ctx, []string{"node-1"}, nil)
				if err != nil {
					t.Fatal(err)
				}
				title := proxy + ", " + StateText(s.scenario, step)
				switch {
				case step == 0:
					write(t, &b, nodes[0], title)
					one, err := s.Rules(ctx, []string{"node-2"}, front)
					if err != nil {
						t.Fatal(err)
					}
					b.WriteString("\n")
					write(t, &b, one[0], title)
				case before != nil:
					b.WriteString("\n")
					if err := ruleset.DiffText(&b, "node-1", "before", title, ruleset.Diff(before[0], nodes[0])); err != nil {
						t.Fatal(err)
					}
				}
				before = nodes
			}
			if golden {
				compare(t, filepath.Join("testdata", strings.ReplaceAll(proxy, "/", "-")+".txt"), b.String())
			}
		})
	}
}

func write(t *testing.T, b *bytes.Buffer, n ruleset.Node, title string) {
	t.Helper()
	if err := ruleset.Text(b, n, title); err != nil {
		t.Fatal(err)
	}
}

func compare(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(strings.Split(got, "\n"), strings.Split(string(want), "\n")); d != "" {
		t.Errorf("%s (-got +want), written anew by -update:\n%s", file, d)
	}
}

// No line of any proxy is unknown, in either family, in any state; and every line that the kernel has is shown or counted.
func TestEveryLineIsAccountedFor(t *testing.T) {
	for _, proxy := range all {
		for _, family := range []scenario.Family{scenario.IPv4, scenario.IPv6} {
			t.Run(proxy+"/"+string(family), func(t *testing.T) {
				t.Parallel()
				s, ctx, _ := onStage(t, proxy, shop(t, family))
				for step := range 5 {
					advance(t, ctx, s, step)
					for _, n := range s.nodes {
						lines, err := ruleset.Read(ctx, n.ns)
						if err != nil {
							t.Fatal(err)
						}
						if len(lines) < 50 {
							t.Errorf("step %d: %d lines", step, len(lines))
						}
						x := s.Index()
						account(t, fmt.Sprintf("step %d, %s, all", step, n.name), lines, ruleset.Explain(n.name, lines, x, nil))
						for _, p := range x.Ports() {
							account(t, fmt.Sprintf("step %d, %s, %v", step, n.name, p), lines, ruleset.Explain(n.name, lines, x, []*naming.Port{p}))
						}
					}
				}
			})
		}
	}
}

func account(t *testing.T, what string, lines []ruleset.Line, n ruleset.Node) {
	t.Helper()
	for _, e := range n.Unknown {
		t.Errorf("%s: not recognized: %s %s %s%s: %s", what, e.Family, e.Table, e.Chain, e.Set, e.Text)
	}
	type place struct{ family, table, chain, set, text string }
	left := map[place]int{}
	for _, l := range lines {
		left[place{l.Family, l.Table, l.Chain, l.Set, l.Text}]++
	}
	shown := map[place]int{}
	count := func(list []ruleset.Entry) map[place]int {
		here := map[place]int{}
		for _, e := range list {
			here[place{e.Family, e.Table, e.Chain, e.Set, e.Text}]++
			if e.Words == "" {
				t.Errorf("%s: without words: %s", what, e.Text)
			}
		}
		return here
	}
	for p, k := range count(n.Shared) {
		shown[p] += k
	}
	own := map[place]int{} // a line of several Services is shown with each
	for _, s := range n.Services {
		for p, k := range count(s.Entries) {
			own[p] = max(own[p], k)
		}
	}
	for p, k := range own {
		shown[p] += k
	}
	total := n.Hidden.Others + n.Hidden.Off + n.Hidden.Family + len(n.Unknown)
	for p, k := range shown {
		if left[p] < k {
			t.Errorf("%s: shown and not there: %+v", what, p)
		}
		total += k
	}
	if total != len(lines) {
		t.Errorf("%s: %d lines are shown or counted, and there are %d", what, total, len(lines))
	}
}

// What somebody else has written is shown as not recognized, whatever Service is asked for.
func TestStrangersAreShown(t *testing.T) {
	for proxy, command := range map[string][]string{
		"nftables":            {"nft", "add table ip mine; add chain ip mine c; add rule ip mine c ip daddr 10.96.0.10 drop; add rule ip svclab dispatch accept; add element ip svclab services { 10.96.9.9 . tcp . 80 : 100:2 }"},
		"iptables-legacy":     {"iptables-legacy", "-t", "nat", "-A", "SVCLAB-CLUSTER", "-d", "10.96.0.10", "-j", "ACCEPT"},
		"kube-proxy/iptables": {"iptables-nft", "-t", "nat", "-A", "KUBE-SERVICES", "-d", "10.96.0.10", "-j", "ACCEPT"},
	} {
		t.Run(proxy, func(t *testing.T) {
			s, ctx, _ := onStage(t, proxy, shop(t, scenario.IPv4))
			advance(t, ctx, s, 0)
			if out, err := s.nodes[0].ns.Run(exec.CommandContext(ctx, command[0], command[1:]...)); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			nodes, err := s.Rules(ctx, []string{"node-1"}, front)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range nodes[0].Unknown {
				got = append(got, e.Table+" "+e.Chain+e.Set+": "+e.Text)
			}
			want := map[string][]string{
				"nftables":            {"mine c: ip daddr 10.96.0.10 drop", "svclab dispatch: accept", "svclab services: 10.96.9.9 . tcp . 80 : 100:2"},
				"iptables-legacy":     {"nat SVCLAB-CLUSTER: -d 10.96.0.10/32 -j ACCEPT"},
				"kube-proxy/iptables": {"nat KUBE-SERVICES: -d 10.96.0.10/32 -j ACCEPT"},
			}[proxy]
			if d := cmp.Diff(got, want); d != "" {
				t.Errorf("-got +want\n%s", d)
			}
			var b bytes.Buffer
			write(t, &b, nodes[0], proxy)
			if !strings.Contains(b.String(), "\nNot recognized: "+map[int]string{1: "1 line", 3: "3 lines"}[len(want)]+" that nobody here can name\n") {
				t.Error(b.String())
			}
		})
	}
}

// A proxy that cannot say when it has settled is waited for until its rules are at rest.
func TestQuiet(t *testing.T) {
	if testing.Short() {
		t.Skip("waits until rules are at rest; CI runs it without -short")
	}
	file := filepath.Join(t.TempDir(), "profile.yaml")
	script := "sleep 1; nft add table ip late; nft add chain ip late c; nft add rule ip late c accept; sleep 60"
	if err := os.WriteFile(file, fmt.Appendf(nil, "apiVersion: svclab/v1alpha1\nkind: ProxyProfile\ncommand: [sh, -c, '%s']\nneeds: [nftables]\n", script), 0o600); err != nil {
		t.Fatal(err)
	}
	s, ctx, _ := onStage(t, "exec:"+file, shop(t, scenario.IPv4))
	advance(t, ctx, s, 0)
	nodes, err := s.Rules(ctx, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		if len(n.Unknown) != 1 || n.Unknown[0].Text != "accept" {
			t.Errorf("%+v", n.Unknown)
		}
	}
}

// Where objects stand follows the scenario's changes.
func TestWhere(t *testing.T) {
	sc := shop(t, scenario.IPv4)
	x := naming.New(naming.Options{Proxy: "nftables", State: must(t, sc).States[0], Where: Where(sc, 0)})
	y := naming.New(naming.Options{Proxy: "nftables", State: must(t, sc).States[3], Where: Where(sc, 3)})
	at := func(x *naming.Index, name string) string {
		i := slices.IndexFunc(x.Ports(), func(p *naming.Port) bool { return p.Service.Name == name })
		return x.Ports()[i].Where
	}
	if got, want := []string{at(x, "front"), at(y, "front"), at(y, "web")}, []string{"shop.yaml:49", "shop.yaml:49, patched in line 10", "shop.yaml:36"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
	if got, want := StateText(sc, 2), "after step 2, delete pod/web-2 (line 9)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func must(t *testing.T, sc *scenario.Scenario) *engine.Played {
	t.Helper()
	p, err := engine.Play(sc, cluster.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	return p
}
