package rulesync

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore"
	"svclab/reports/measure"
	"svclab/sim/bench/load"
	"svclab/sim/proxies"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// small runs everything once on 50 Services with 3 endpoints each.
func small(t *testing.T, found proxies.Proxy, name string, change func(*Options)) (*measure.Run, []string) {
	t.Helper()
	nstest.Need(t, append([]string{"veth", "bridge"}, found.Powers...)...)
	run := &measure.Run{Kind: measure.Sync, Seed: 1}
	o := Options{
		Sizes: []int{50}, Proxies: []Contestant{{name, found}}, Endpoints: "3",
		Shape: func(n int) load.Shape { return load.Shape{Services: n, Endpoints: load.Each(3), Near: 300} },
		N:     3, Repeat: 1, Churn: 50, ChurnFor: 300 * time.Millisecond, Budget: time.Hour, Say: func(_, _ float64, text string) { t.Log(text) },
	}
	if change != nil {
		change(&o)
	}
	failed, err := Run(context.Background(), run, o)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	if err := run.Write(&b); err != nil {
		t.Fatal(err)
	}
	if testing.Verbose() {
		for _, r := range run.Rows {
			if s := measure.Summarize(r.Samples); s != nil {
				t.Logf("%-28s %-24s n %3d  median %12.6f  p95 %12.6f max %12.6f %s  %s", r.Work, r.Clock, s.N, s.Median, s.P95, s.Max, r.Unit, r.Note)
			} else {
				t.Logf("%-28s %-24s none: %s", r.Work, r.Clock, r.Note)
			}
		}
	}
	return run, failed
}

// complete checks that every clock of every work has samples, and that they are in order.
func complete(t *testing.T, run *measure.Run, name string, clocks ...string) {
	t.Helper()
	works := []string{FirstSync, Restart, EndpointReplaced, EndpointAdded, EndpointRemoved, ServiceAdded, ServiceRemoved, ManyAdded, ManyRemoved, Rolling, churnName(50)}
	for _, work := range works {
		for _, clock := range clocks {
			row := row(run, name, work, clock)
			if row == nil || len(row.Samples) == 0 {
				t.Errorf("%s: %s: %s: no samples: %+v", name, work, clock, row)
			}
		}
		packet, commit := row(run, name, work, FirstPacket), row(run, name, work, Commit)
		if packet == nil || commit == nil || len(packet.Samples) != len(commit.Samples) {
			continue // told above, where it must not be
		}
		for i := range packet.Samples {
			if commit.Samples[i] <= 0 || commit.Samples[i] > packet.Samples[i] {
				t.Errorf("%s: %s: commit after %g s, packet after %g s", name, work, commit.Samples[i], packet.Samples[i])
			}
		}
	}
	if r := row(run, name, Rolling, FirstPacket); r != nil && (len(r.Samples) != 100 || len(r.At) != 100) {
		t.Errorf("%s: rolling: %d samples at %d times", name, len(r.Samples), len(r.At))
	}
	if r := row(run, name, Restart, Wrong); r == nil || len(r.Samples) != 1 || r.Samples[0] != 0 {
		t.Errorf("%s: wrong packets: %+v", name, r)
	}
	if r := row(run, name, Restart, Packets); r == nil || r.Samples[0] < 100 {
		t.Errorf("%s: packets: %+v", name, r)
	}
	if r := row(run, name, FirstSync, Rules); r == nil || r.Samples[0] < 10 {
		t.Errorf("%s: rules: %+v", name, r)
	}
}

func row(run *measure.Run, proxy, work, clock string) *measure.Row {
	return run.Find(measure.Key{Work: work, Clock: clock, Proxy: proxy, Services: 50, Endpoints: "3"})
}

func find(t *testing.T, how proxies.Foreign, name string) proxies.Proxy {
	t.Helper()
	p, err := how.Find(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Missing(); err != nil {
		if strings.Contains(os.Getenv("SVCLAB_REQUIRE"), "kube-proxy") {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	return p
}

func TestInThisProcess(t *testing.T) {
	for _, name := range []string{"nftables", "iptables-legacy"} {
		t.Run(name, func(t *testing.T) {
			run, failed := small(t, find(t, proxies.Foreign{}, name), name, nil)
			if len(failed) > 0 {
				t.Error(failed)
			}
			complete(t, run, name, FirstPacket, OwnMetric)
			if name == "nftables" {
				complete(t, run, name, Commit)
				if r := row(run, name, FirstSync, Elements); r == nil || r.Samples[0] < 150 {
					t.Errorf("elements: %+v", r)
				}
				return
			}
			if r := row(run, name, EndpointAdded, Commit); r == nil || len(r.Samples) == 0 {
				t.Errorf("a commit that changes the number of rules: %+v", r)
			}
		})
	}
}

// A process of its own, ours and kube-proxy, tells what it uses too.
func TestProcesses(t *testing.T) {
	self := filepath.Join(t.TempDir(), "svclab")
	if out, err := exec.Command("go", "build", "-o", self, "svclab/sim").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	how := proxies.Foreign{Self: self, Binary: os.Getenv("SVCLAB_KUBE_PROXY"), Config: Defaults()}
	names := []string{"svclab/nftables", "kube-proxy/nftables"}
	if testing.Short() {
		names = names[:1]
	}
	for _, name := range names {
		t.Run(name, func(t *testing.T) {
			run, failed := small(t, find(t, how, name), name, nil)
			if len(failed) > 0 {
				t.Error(failed)
			}
			complete(t, run, name, FirstPacket, Commit, OwnMetric)
			for _, clock := range []string{PeakRSS, CPU, Kernel} {
				if r := row(run, name, FirstSync, clock); r == nil || len(r.Samples) == 0 {
					t.Errorf("%s: %+v", clock, r)
				}
			}
			if r := row(run, name, FirstSync, PeakRSS); r != nil && r.Samples[0] < 1<<20 {
				t.Errorf("resident: %+v", r)
			}
		})
	}
}

// deaf takes the first state, and nothing after it.
type deaf struct{ proxycore.Backend }

func (d deaf) Program(ctx context.Context, c proxycore.Change) error {
	if !c.Full {
		return nil
	}
	return d.Backend.Program(ctx, c)
}

// What a proxy does not do is told, and is no sample, however long it was waited for; the next work is done all the same.
func TestAProxyThatDoesNotProgram(t *testing.T) {
	p := find(t, proxies.Foreign{}, "nftables")
	open := p.Backend
	p.Backend = func(ns *nsnet.NS) (proxycore.Backend, error) {
		b, err := open(ns)
		return deaf{b}, err
	}
	run, failed := small(t, p, "deaf", func(o *Options) { o.Patience = time.Second })
	for _, work := range []string{EndpointReplaced, EndpointAdded, ServiceAdded, ManyAdded, Rolling, churnName(50)} {
		r := row(run, "deaf", work, FirstPacket)
		if r == nil || len(r.Samples) > 0 || !strings.Contains(r.Note, "not in force after 1s") {
			t.Errorf("%s: %+v", work, r)
		}
		want := "deaf with 50 Services: " + work + ": not in force after 1s"
		if !slices.Contains(failed, want) || !slices.Contains(run.Notes, want) {
			t.Errorf("%s: it is not told: %q", work, failed)
		}
	}
	for _, work := range []string{EndpointRemoved, ServiceRemoved, ManyRemoved} { // of what never was
		if r := row(run, "deaf", work, FirstPacket); r != nil {
			t.Errorf("%s: %+v", work, r)
		}
	}
	for _, work := range []string{FirstSync, Restart} {
		if r := row(run, "deaf", work, FirstPacket); r == nil || len(r.Samples) != 1 {
			t.Errorf("%s: %+v", work, r)
		}
	}
}

// Chance must not hide what a proxy does only half.
func TestMutants(t *testing.T) {
	for _, c := range []struct{ mutant, never string }{
		{"keeps-removed", EndpointRemoved}, {"withdraws-nothing", ServiceRemoved},
	} {
		t.Run(c.mutant, func(t *testing.T) {
			name := "nftables~" + c.mutant
			run, failed := small(t, find(t, proxies.Foreign{}, name), name, func(o *Options) { o.Patience = time.Second })
			if r := row(run, name, c.never, FirstPacket); r == nil || len(r.Samples) > 0 || !strings.Contains(r.Note, "not in force") {
				t.Errorf("%+v", r)
			}
			if r := row(run, name, EndpointReplaced, FirstPacket); r == nil || len(r.Samples) != 3 {
				t.Errorf("what it does is not measured: %+v", r)
			}
			if len(failed) == 0 {
				t.Error("nothing has failed")
			}
		})
	}
}

// A proxy that begins with nothing refuses what its predecessor served.
func TestWrongPacketsAreCounted(t *testing.T) {
	run, _ := small(t, find(t, proxies.Foreign{}, "nftables~starts-empty"), "empty", nil)
	if r := row(run, "empty", Restart, Wrong); r == nil || len(r.Samples) != 1 || r.Samples[0] == 0 || !strings.Contains(r.Note, "wrong: ") {
		t.Errorf("%+v", r)
	}
}

// When the time is over the rest is left out, and it says so.
func TestBudget(t *testing.T) {
	run, failed := small(t, find(t, proxies.Foreign{}, "nftables"), "nftables", func(o *Options) { o.Budget, o.Repeat = time.Nanosecond, 2 })
	if len(failed) > 0 {
		t.Error(failed)
	}
	if r := row(run, "nftables", FirstSync, FirstPacket); r == nil || len(r.Samples) != 1 {
		t.Errorf("first sync: %+v", r)
	}
	if r := row(run, "nftables", Restart, FirstPacket); r == nil || len(r.Samples) > 0 || !strings.Contains(r.Note, "left out") {
		t.Errorf("restart: %+v", r)
	}
	notes := strings.Join(run.Notes, "\n")
	for _, want := range []string{"nftables with 50 Services, for the budget of 1ns: each kind of change 0 times instead of 3, ", "restart 0 times instead of 2", "first sync 1 times instead of 2, for the budget of 1ns"} {
		if !strings.Contains(notes, want) {
			t.Errorf("notes do not say %q:\n%s", want, notes)
		}
	}
}

// Who stops a run keeps what there is.
func TestInterrupted(t *testing.T) {
	p := find(t, proxies.Foreign{}, "nftables")
	nstest.Need(t, append([]string{"veth", "bridge"}, p.Powers...)...)
	ctx, cancel := context.WithCancelCause(t.Context())
	stop := errors.New("enough")
	run := &measure.Run{Kind: measure.Sync}
	_, err := Run(ctx, run, Options{
		Sizes: []int{50}, Proxies: []Contestant{{"nftables", p}}, Endpoints: "3", N: 3, Repeat: 1, Churn: 1, ChurnFor: time.Hour, Budget: 2 * time.Hour,
		Shape: func(n int) load.Shape { return load.Shape{Services: n, Endpoints: load.Each(3)} },
		Say: func(_, _ float64, text string) {
			if strings.HasSuffix(text, churnName(1)) {
				cancel(stop)
			}
		},
	})
	if !errors.Is(err, stop) {
		t.Errorf("got %v", err)
	}
	if r := row(run, "nftables", Rolling, FirstPacket); r == nil || len(r.Samples) != 100 {
		t.Errorf("%+v", r)
	}
}
