package proxies_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/proxycore/foreign"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

// program is svclab itself, built once; forgetProgram removes it.
var (
	program = sync.OnceValues(func() (string, error) {
		dir, err := os.MkdirTemp("", "svclab-test-")
		if err != nil {
			return "", err
		}
		programDir = dir
		path := filepath.Join(dir, "svclab")
		if out, err := exec.Command("go", "build", "-o", path, "svclab/sim").CombinedOutput(); err != nil {
			return "", fmt.Errorf("build svclab: %w\n%s", err, out)
		}
		return path, os.Chmod(dir, 0o755)
	})
	programDir string
)

func forgetProgram() {
	if programDir != "" {
		os.RemoveAll(programDir)
	}
}

// self finds one of our proxies as a process of its own.
func self(t testing.TB, name string) proxies.Proxy {
	t.Helper()
	path, err := program()
	if err != nil {
		t.Fatal(err)
	}
	p, err := proxies.Foreign{Self: path}.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	nstest.Need(t, p.Powers...)
	return p
}

// inProcess prepares a proxy on a node; the first Apply starts it.
func inProcess(b testing.TB, p proxies.Proxy) (*foreign.Proxy, *nsnet.NS) {
	b.Helper()
	ns, err := nsnet.New("node")
	if err != nil {
		b.Fatal(err)
	}
	host := world.Host{Place: world.Place{Kind: world.Node, Name: "node-1"}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.128.0.0/9")}}
	node, err := p.Opener(&world.Topology{Nodes: []world.Host{host}})(&host, ns)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { node.Close(); ns.Close() })
	return node.(*foreign.Proxy), ns
}

// BenchmarkProcessFirstSync is from the start of the process to its first sync in force, feed included, and what memory that took.
func BenchmarkProcessFirstSync(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprintf("nftables/%dx10", n), func(b *testing.B) {
			p, s := self(b, "svclab/nftables"), cluster10(n)
			var apply float64
			var peak []float64
			for b.Loop() {
				b.StopTimer()
				node, _ := inProcess(b, p)
				b.StartTimer()
				if err := node.Apply(context.Background(), s); err != nil {
					b.Fatal(err)
				}
				if err := node.Barrier(context.Background()); err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				apply += number(b, node, `kubeproxy_sync_proxy_rules_duration_seconds_sum ([0-9.e+-]+)`)
				peak = append(peak, resident(b, node))
				node.Close()
				b.StartTimer()
			}
			b.ReportMetric(apply/float64(b.N)*1e3, "ms-apply")
			b.ReportMetric(slices.Max(peak), "MB-peak")
		})
	}
}

// BenchmarkProcessChange is from a write at the API server to the commit, as the kernel tells it, n Services being there. The
// process says how much of that was its Apply.
func BenchmarkProcessChange(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		p, base := self(b, "svclab/nftables"), cluster10(n)
		node, ns := inProcess(b, p)
		apply := func(s *cluster.Snapshot) {
			if err := node.Apply(context.Background(), s); err != nil {
				b.Fatal(err)
			}
		}
		apply(base)
		if err := node.Barrier(context.Background()); err != nil {
			b.Fatal(err)
		}
		commits := listenForCommits(b, ns)
		for _, c := range changes(base) {
			b.Run(fmt.Sprintf("nftables/%d/%s", n, c.there), func(b *testing.B) {
				const sum = `kubeproxy_sync_partial_proxy_rules_duration_seconds_sum ([0-9.e+-]+)`
				before := number(b, node, sum)
				var took []time.Duration
				for b.Loop() {
					for _, s := range []*cluster.Snapshot{c.to, base} {
						b.StopTimer()
						if err := node.Barrier(context.Background()); err != nil { // a quiet time
							b.Fatal(err)
						}
						commits.drain(b)
						b.StartTimer()
						began := time.Now()
						apply(s)
						commits.wait(b)
						took = append(took, time.Since(began))
					}
				}
				slices.Sort(took)
				b.ReportMetric(float64(took[len(took)/2].Microseconds()), "µs-median")
				b.ReportMetric(float64(took[len(took)*95/100].Microseconds()), "µs-p95")
				b.ReportMetric((number(b, node, sum)-before)/float64(len(took))*1e6, "µs-apply")
			})
		}
		node.Close()
	}
}

// commits are nf_tables' own events.
type commits struct{ *netlink.Conn }

func listenForCommits(b *testing.B, ns *nsnet.NS) commits {
	b.Helper()
	c, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns.FD()})
	if err == nil {
		err = c.JoinGroup(unix.NFNLGRP_NFTABLES)
	}
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	return commits{c}
}

// wait returns at the next commit.
func (c commits) wait(b *testing.B) {
	b.Helper()
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Second)); err != nil {
		b.Fatal(err)
	}
	for {
		all, err := c.Receive()
		if err != nil {
			b.Fatal(err)
		}
		for _, m := range all {
			if m.Header.Type == unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWGEN {
				return
			}
		}
	}
}

// drain forgets what was told so far.
func (c commits) drain(b *testing.B) {
	b.Helper()
	for {
		if err := c.SetReadDeadline(time.Now().Add(time.Millisecond)); err != nil {
			b.Fatal(err)
		}
		if _, err := c.Receive(); errors.Is(err, os.ErrDeadlineExceeded) {
			return
		} else if err != nil {
			b.Fatal(err)
		}
	}
}

func number(b *testing.B, node *foreign.Proxy, pattern string) float64 {
	b.Helper()
	text, err := node.Metrics(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	m := regexp.MustCompile(`(?m)^` + pattern + `$`).FindStringSubmatch(text)
	if m == nil {
		b.Fatalf("no %s in\n%s", pattern, text)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		b.Fatal(err)
	}
	return v
}

// resident is the most memory that the process has had, in MB.
func resident(b *testing.B, node *foreign.Proxy) float64 {
	b.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", node.PID()))
	if err != nil {
		b.Fatal(err)
	}
	m := regexp.MustCompile(`VmHWM:\s+(\d+) kB`).FindSubmatch(text)
	v, err := strconv.ParseFloat(string(m[1]), 64)
	if err != nil {
		b.Fatal(err)
	}
	return v / 1000
}
