package proxies_test

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/reports/verdict"
	"svclab/sim/proxies"
)

// Our own core as a process of its own answers as it does inside the lab: also when it is killed under flows and another one
// takes its rules over, when settings are told by flags, and when somebody flushes its rules.
func TestProcessInLab(t *testing.T) {
	for _, name := range []string{"svclab/nftables", "svclab/iptables-nft"} {
		p := self(t, name)
		scenarios := []string{"restart", "myservice"}
		if name == "svclab/nftables" {
			scenarios = append(scenarios, "flush", "no-detector", "nodeport-addresses", "nodeport-primary")
		}
		for _, s := range scenarios {
			t.Run(name+"/"+s, func(t *testing.T) {
				t.Parallel()
				for _, v := range bundled(t, s) {
					if c := on(t, v, p); c.Verdict != verdict.Pass {
						t.Errorf("%s: %s: %s", c.ID(), c.Verdict, c.Why)
					}
				}
			})
		}
	}
}

func ruleset(t *testing.T, ns *nsnet.NS) string {
	t.Helper()
	out, err := ns.Run(exec.Command("nft", "list", "ruleset"))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Ten thousand changes while the process is stopped come in force together, soon after it goes on.
func TestProcessStopped(t *testing.T) {
	node, ns := inProcess(t, self(t, "svclab/nftables"))
	ctx := context.Background()
	s := cluster10(100)
	if err := node.Apply(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := node.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	if err := node.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	const many = 10_000
	for i := range many {
		s = s.WithSlice(sliceAt(i%100, i%16, (i+7)%16))
		if err := node.Apply(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	s = s.WithSlice(sliceAt(3, 15)).WithService(serviceAt(5000)).WithSlice(sliceAt(5000, 1))
	if err := node.Apply(ctx, s); err != nil {
		t.Fatal(err)
	}
	if err := node.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	if err := node.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	text, err := node.Metrics(ctx)
	if err != nil {
		t.Fatal(err)
	}
	rules := ruleset(t, ns)
	for _, want := range []string{"10.128.0.63 ", "10.96.19.136 "} { // endpoint 15 of Service 3; Service 5000
		if !strings.Contains(rules, want) {
			t.Errorf("%s is not among the rules", want)
		}
	}
	if strings.Contains(rules, "10.128.0.49 ") { // endpoint 1 of Service 3
		t.Error("an endpoint that is gone is among the rules")
	}
	syncs := 0
	for _, l := range strings.Split(text, "\n") {
		if n, ok := strings.CutPrefix(l, "kubeproxy_sync_proxy_rules_duration_seconds_count "); ok {
			if _, err := fmt.Sscan(n, &syncs); err != nil {
				t.Fatal(err)
			}
		}
	}
	if syncs == 0 || syncs > many/10 {
		t.Errorf("%d syncs for %d changes, which should have been put together", syncs, many)
	}
}

// A process that is told to end leaves its rules in force, and --cleanup removes them, with or without a process.
func TestProcessLeavesRulesAndCleansUp(t *testing.T) {
	for _, backend := range []string{"nftables", "iptables-nft"} {
		t.Run(backend, func(t *testing.T) {
			node, ns := inProcess(t, self(t, "svclab/"+backend))
			empty := ruleset(t, ns)
			if err := node.Apply(context.Background(), cluster10(10)); err != nil {
				t.Fatal(err)
			}
			if err := node.Barrier(context.Background()); err != nil {
				t.Fatal(err)
			}
			if err := node.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			var ended error
			for began := time.Now(); ended == nil && time.Since(began) < 5*time.Second; time.Sleep(time.Millisecond) {
				ended = node.Alive()
			}
			if ended == nil || !strings.Contains(ended.Error(), "has ended: exit status 143") {
				t.Errorf("after SIGTERM: %v", ended)
			}
			if rules := ruleset(t, ns); !strings.Contains(rules, "10.128.0.1") {
				t.Errorf("the rules are gone with the process:\n%s", rules)
			}
			path, err := program()
			if err != nil {
				t.Fatal(err)
			}
			for range 2 {
				if out, err := ns.Run(exec.Command(path, "proxy", "--backend", backend, "--cleanup")); err != nil {
					t.Fatalf("%v\n%s", err, out)
				}
			}
			left := ruleset(t, ns)
			if backend != "nftables" { // iptables leaves the empty tables and chains that it has made
				left = strings.ReplaceAll(left, "SVCLAB", "svclab")
				if strings.Contains(left, "svclab") {
					t.Errorf("left:\n%s", left)
				}
				return
			}
			if left != empty {
				t.Errorf("left:\n%s", left)
			}
		})
	}
}

func TestFindProcess(t *testing.T) {
	if _, err := (proxies.Foreign{}).Find("svclab/nonsense"); err == nil || !strings.HasPrefix(err.Error(), `there is no proxy "svclab/nonsense"; there are nftables, `) {
		t.Errorf("%v", err)
	}
	p, err := proxies.Foreign{}.Find("svclab/nftables")
	if err != nil {
		t.Fatal(err)
	}
	if _, _, known := p.Known(); known || p.Missing() != nil {
		t.Errorf("known %v, missing %v", known, p.Missing())
	}
}
