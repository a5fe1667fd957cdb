package lab_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

// crowd has many pods, in turn on the nodes, that serve TCP and UDP.
func crowd(nodes, pods int) *world.Topology {
	t := &world.Topology{}
	serve := []world.Port{{Proto: cluster.TCP, Port: 5000}, {Proto: cluster.UDP, Port: 5000}}
	for i := range nodes {
		t.Nodes = append(t.Nodes, world.Host{
			Place:    world.Place{Kind: world.Node, Name: fmt.Sprintf("node-%d", i+1)},
			Addrs:    addrs(fmt.Sprintf("192.168.50.%d", i+1), fmt.Sprintf("fd00:192:168:50::%x", i+1)),
			PodCIDRs: []netip.Prefix{netip.MustParsePrefix(fmt.Sprintf("10.%d.0.0/16", i+1)), netip.MustParsePrefix(fmt.Sprintf("fd00:10:%x::/64", i+1))},
		})
	}
	for i := range pods {
		n, k := i%nodes, i/nodes+2
		t.Pods = append(t.Pods, world.Host{
			Place: world.Place{Kind: world.Pod, Namespace: "default", Name: fmt.Sprintf("pod-%d", i+1)}, Node: t.Nodes[n].Name,
			Addrs:  addrs(fmt.Sprintf("10.%d.%d.%d", n+1, k>>8, k&255), fmt.Sprintf("fd00:10:%x::%x", n+1, k)),
			Listen: serve,
		})
	}
	return t
}

type idle struct{}

func (idle) Apply(context.Context, *cluster.Snapshot) error { return nil }
func (idle) Close() error                                   { return nil }

func noProxy(*world.Host, *nsnet.NS) (lab.NodeProxy, error) { return idle{}, nil }

// TestWhatAPodCosts pins what making a dual-stack pod with two servers takes, since times would not hold: what a lab with ten
// pods more does more.
func TestWhatAPodCosts(t *testing.T) {
	nstest.Need(t, "veth", "bridge")
	const few, more = 4, 14
	files := func() int {
		all, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(all)
	}
	measure := func(pods int) (c nsnet.Counts, open int) {
		files0, counts0 := files(), nsnet.Counted()
		l := openWith(t, crowd(2, pods), noProxy)
		counts, open := nsnet.Counted().Sub(counts0), files()-files0
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return counts, open
	}
	measure(few) // the first opens files of the process's own
	a, filesA := measure(few)
	b, filesB := measure(more)
	got := b.Sub(a)
	const n = more - few
	if got.Visits != 2*n || got.Settings != 12*n {
		t.Errorf("%d pods more cost %+v, want %d visits and %d settings", n, got, 2*n, 12*n)
	}
	// An address that is not in force at once is asked for again, a turn with three messages.
	again := got.Exchanges - 6*n
	if want := 17*n + 3*again; got.Messages != want {
		t.Errorf("%d pods more cost %+v, want %d messages", n, got, want)
	}
	if filesB-filesA != 3*n {
		t.Errorf("%d pods more have %d files open, want %d: TCP, and UDP of either family", n, filesB-filesA, 3*n)
	}
}

// TestManyPodsAnswer: every pod of a crowd is reached by both families, by TCP and UDP, and sees who asks; also from a pod whose
// namespace is at rest.
func TestManyPodsAnswer(t *testing.T) {
	nstest.Need(t, "veth", "bridge")
	top := crowd(3, 40)
	l := openWith(t, top, noProxy)
	for i := range top.Pods {
		from := &top.Pods[(i*7+1)%len(top.Pods)]
		for family, a := range top.Pods[i].Addrs {
			for _, proto := range []cluster.Proto{cluster.TCP, cluster.UDP} {
				to := netip.AddrPortFrom(a, 5000)
				o := send(t, l, world.Flow{From: from.Place, To: to, Proto: proto})
				if o.Outcome != world.Answered || o.Server != to || o.Source.Addr() != from.Addrs[family] {
					t.Errorf("%s → %s/%s: %+v", from.Place, to, proto, o)
				}
			}
		}
	}
}

// TestServersHaveThePodsAddressesOnly: the one TCP server of both families is at the pod's two addresses, and nowhere else.
func TestServersHaveThePodsAddressesOnly(t *testing.T) {
	nstest.Need(t, "veth", "bridge")
	top := crowd(1, 1)
	l := openWith(t, top, noProxy)
	for _, lo := range addrs("127.0.0.1", "::1") {
		for proto, want := range map[cluster.Proto]world.Outcome{cluster.TCP: world.Reset, cluster.UDP: world.Refused} {
			f := world.Flow{From: top.Pods[0].Place, To: netip.AddrPortFrom(lo, 5000), Proto: proto}
			if o := send(t, l, f); o.Outcome != want {
				t.Errorf("%s: %s, want %s", f, o.Outcome, want)
			}
		}
	}
}

// TestSCTPFromTheFirstFlow: where no pod serves SCTP, a pod still says so.
func TestSCTPFromTheFirstFlow(t *testing.T) {
	nstest.Need(t, "veth", "bridge")
	top := crowd(1, 2)
	l := openWith(t, top, noProxy)
	for _, a := range top.Pods[1].Addrs {
		f := world.Flow{From: top.Pods[0].Place, To: netip.AddrPortFrom(a, 5000), Proto: cluster.SCTP}
		if o := send(t, l, f); o.Outcome != world.Reset {
			t.Errorf("%s: %s, want %s", f, o.Outcome, world.Reset)
		}
	}
}

// TestAFailingPodLeavesNothing: in the middle of a crowd, and under a context that ends there.
func TestAFailingPodLeavesNothing(t *testing.T) {
	nstest.Need(t, "veth", "bridge")
	files := func() int {
		all, _ := os.ReadDir("/proc/self/fd")
		return len(all)
	}
	before := files()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // which would close what is forgotten
	top := crowd(2, 40)
	top.Pods[20].Listen = []world.Port{{Proto: cluster.ICMP, Port: 1}}
	want := "build lab: pod/pod-21 cannot serve 10.1.0.12:1: this lab has no ICMP servers"
	if _, err := lab.Open(t.Context(), lab.Options{Topology: top, Proxy: noProxy}); err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	if _, err := lab.Open(ctx, lab.Options{Topology: crowd(2, 200), Proxy: noProxy}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want that the time was over", err)
	}
	if now := files(); now != before {
		t.Errorf("%d files open, %d before", now, before)
	}
}

func TestTooFewFiles(t *testing.T) {
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	pods := int(limit.Cur)/3 + 1
	top := &world.Topology{Pods: make([]world.Host, pods)}
	for i := range top.Pods {
		top.Pods[i] = world.Host{Addrs: addrs("10.0.0.1", "fd00::1"), Listen: []world.Port{{Proto: cluster.TCP, Port: 1}, {Proto: cluster.UDP, Port: 1}}}
	}
	_, err := lab.Open(t.Context(), lab.Options{Topology: top, Proxy: noProxy})
	want := fmt.Sprintf("build lab: 0 nodes and %d pods need some %d open files, and this process may have %d: raise the limit", pods, 256+3*pods, limit.Cur)
	if err == nil || !strings.HasPrefix(err.Error(), want) {
		t.Errorf("got  %v\nwant %s…", err, want)
	}
}

// BenchmarkOpenMany opens a lab of ten nodes.
func BenchmarkOpenMany(b *testing.B) {
	nstest.Need(b, "nftables", "veth", "bridge")
	p, _ := proxies.Find("nftables")
	for _, pods := range []int{100, 1000} {
		b.Run(fmt.Sprint(pods), func(b *testing.B) {
			top := crowd(10, pods)
			for b.Loop() {
				l, err := lab.Open(b.Context(), lab.Options{Topology: top, Proxy: p.Opener(top)})
				if err != nil {
					b.Fatal(err)
				}
				b.StopTimer()
				if err := l.Close(); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*pods), "µs/pod")
		})
	}
}
