package rulesync

import (
	"context"
	"strings"
	"testing"
	"time"

	"svclab/nsnet/nstest"
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

func TestOurs(t *testing.T) {
	p, err := proxies.Find("nftables")
	if err != nil {
		t.Fatal(err)
	}
	small(t, p, "nftables", nil)
}
