package proxies_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore/foreign"
	"svclab/reports/verdict"
	"svclab/sim/engine"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// on runs one variant with real packets on a foreign proxy.
func on(t *testing.T, s *scenario.Scenario, p proxies.Proxy) verdict.Case {
	t.Helper()
	nstest.Need(t, append([]string{"veth", "bridge"}, p.Powers...)...)
	return engine.Run(context.Background(), s, engine.Options{
		Proxy: p.Name, Seed: 1,
		Open: func(ctx context.Context, top *world.Topology, _ *rand.Rand) (world.World, error) {
			return lab.Open(ctx, lab.Options{Topology: top, Proxy: p.Opener(top)})
		},
	})
}

func profile(t *testing.T, text string) proxies.Proxy {
	t.Helper()
	file := filepath.Join(t.TempDir(), "profile.yaml")
	if err := os.WriteFile(file, []byte("apiVersion: svclab/v1alpha1\nkind: ProxyProfile\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := proxies.Foreign{}.Find("exec:" + file)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// named finds a proxy, of kube-proxy the one that was built for tests, and skips with proof where it cannot run.
func named(t *testing.T, name string) proxies.Proxy {
	t.Helper()
	p, err := proxies.Foreign{Binary: os.Getenv("SVCLAB_KUBE_PROXY")}.Find(name)
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
	return p
}

// A proxy that dies in the middle of a step fails that step, with what it said last, even if its rules still do their work.
func TestADeadProxyFails(t *testing.T) {
	p := profile(t, "command: [sh, -c, 'echo I give up; sleep 1; exit 3']\n")
	s, err := scenario.Parse("dead.yaml", []byte(`apiVersion: svclab/v1alpha1
kind: Scenario
metadata: {name: dead}
spec: {steps: [{wait: 2s}, {probe: {from: pod/b, to: "pod/a:80"}}]}
---
{apiVersion: v1, kind: Node, metadata: {name: n}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {containers: [{name: c}]}}
`))
	if err != nil {
		t.Fatal(err)
	}
	c := on(t, s.Variants()[0], p)
	if c.Verdict != verdict.Fail || len(c.Steps) != 1 || !strings.Contains(c.Why, "line 4: node n: ") ||
		!strings.Contains(c.Why, "has ended: exit status 3; it said last:\n  I give up") {
		t.Errorf("%s in %d steps: %s", c.Verdict, len(c.Steps), c.Why)
	}
	if !strings.Contains(c.Artifacts["node-n/proxy.log"], "I give up") {
		t.Errorf("the log is no artifact: %v", c.Artifacts)
	}
}

// So does a kube-proxy that is killed while flows are under way, whose rules go on to work.
func TestAKilledKubeProxyFails(t *testing.T) {
	p := named(t, "kube-proxy/nftables")
	s := bundled(t, "myservice")[0]
	s.Steps = slices.Clone(s.Steps[1:2]) // thousands of flows
	c := engine.Run(context.Background(), s, engine.Options{
		Proxy: p.Name, Seed: 1,
		Open: func(ctx context.Context, top *world.Topology, _ *rand.Rand) (world.World, error) {
			open := p.Opener(top)
			var first lab.NodeProxy
			return lab.Open(ctx, lab.Options{Topology: top,
				Proxy: func(node *world.Host, ns *nsnet.NS) (lab.NodeProxy, error) {
					p, err := open(node, ns)
					if first == nil {
						first = p
					}
					return p, err
				},
				Phase: func(name string) {
					if name == "probe" { // the first flow is about to be sent
						if err := first.(*foreign.Proxy).Signal(syscall.SIGKILL); err != nil {
							t.Error(err)
						}
					}
				},
			})
		},
	})
	if c.Verdict != verdict.Fail || len(c.Steps) != 1 || c.Steps[0].Kind != "probe" || !strings.Contains(c.Why, "kube-proxy has ended: signal: killed; it said last:\n") ||
		!strings.Contains(c.Why, "SyncProxyRules complete") {
		t.Errorf("%s in %d steps: %s", c.Verdict, len(c.Steps), c.Why)
	}
}

// The example, a proxy that has but an API server and nft, is right about some scenarios and wrong about others; the lab
// breaks over none.
func TestTheExampleProxy(t *testing.T) {
	if testing.Short() {
		t.Skip("builds a program; CI runs it without -short")
	}
	program := filepath.Join(t.TempDir(), "example")
	if out, err := exec.Command("go", "build", "-o", program, "svclab/proxycore/foreign/example").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	p := profile(t, fmt.Sprintf("command: [%s, '{{.API}}']\nneeds: [nftables]\n", program))
	for name, want := range map[string]verdict.Verdict{
		"ports": verdict.Pass, "named-port": verdict.Pass, "hairpin": verdict.Pass, "shared-pods": verdict.Pass, "headless": verdict.Pass, "not-ready-addresses": verdict.Pass,
		"hand-written": verdict.Fail, "nodeport": verdict.Fail, "udp-sender": verdict.Fail,
		"nodeport-protocols": verdict.Fail, // thousands of wrong answers a second would use up the source ports
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, s := range bundled(t, name) {
				if c := on(t, s, p); c.Verdict != want {
					t.Errorf("%s: %s, want %s: %s", c.ID(), c.Verdict, want, c.Why)
				}
			}
		})
	}
}

func TestFindForeign(t *testing.T) {
	for name, want := range map[string]string{
		"kube-proxy/nonsense":      `there is no proxy "kube-proxy/nonsense"; there are nftables, `,
		"exec:/nowhere/there.yaml": "proxy exec:/nowhere/there.yaml: open /nowhere/there.yaml: no such file or directory",
	} {
		if _, err := (proxies.Foreign{}).Find(name); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("XDG_CACHE_HOME", "/nowhere")
	p, err := proxies.Foreign{}.Find("kube-proxy/nftables@v1.33.13")
	if err != nil {
		t.Fatal(err)
	}
	const missing = "there is no /nowhere/svclab/kube-proxy/v1.33.13/kube-proxy: build it with: ./run.sh kube-proxy v1.33.13, or name another with --kube-proxy PATH"
	if err := p.Missing(); err == nil || err.Error() != missing {
		t.Errorf("%v", err)
	}
	if base, version, ok := p.Known(); base != "kube-proxy/nftables" || version != "v1.33.13" || !ok {
		t.Errorf("%s %s %v", base, version, ok)
	}
}
