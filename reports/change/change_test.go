package change

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/reports/measure"
)

var update = flag.Bool("update", false, "write testdata anew; read the difference before you keep it")

// noisy is a run of two proxies with rows of n samples each, as a busy machine gives them: one in ten is late. The whole
// machine is slower by a factor; the work of "ours" by another.
func noisy(rng *rand.Rand, n, rows int, machine, ours float64) *measure.Run {
	r := &measure.Run{SchemaVersion: 1, Kind: measure.Sync}
	for i := range rows {
		for _, proxy := range []string{"kube-proxy", "ours"} {
			cost := map[string]float64{"kube-proxy": 1, "ours": ours / 10}[proxy]
			var samples []float64
			for range n {
				v := machine * cost * math.Exp(0.05*rng.NormFloat64())
				if rng.IntN(10) == 0 {
					v *= 1 + rng.Float64()
				}
				samples = append(samples, v)
			}
			r.Add(measure.Row{Work: "endpoint replaced", Clock: fmt.Sprint("clock ", i), Proxy: proxy, Services: 1000, Unit: measure.Seconds}, samples...)
		}
	}
	return r
}

func compared(t *testing.T, old, new *measure.Run, o Options) *Comparison {
	t.Helper()
	c, err := Runs(old, new, o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Where nothing has changed, at most the share alpha of comparisons tells of a change in any of its rows.
func TestNoiseIsNoChange(t *testing.T) {
	const trials, alpha = 200, 0.05
	for _, o := range []Options{{Alpha: alpha}, {Alpha: alpha, RatioTo: "kube-proxy"}} {
		for _, n := range []int{5, 12} {
			rng := rand.New(rand.NewPCG(1, uint64(n)))
			wrong := 0
			for range trials {
				slower := 1.0
				if o.RatioTo != "" {
					slower = 1.5 // of the whole machine: no change of the ratio
				}
				c := compared(t, noisy(rng, n, 20, 1, 1), noisy(rng, n, 20, slower, 1), o)
				for _, r := range c.Rows {
					if r.Verdict != Same {
						wrong++
						break
					}
				}
			}
			t.Logf("ratio to %q, n=%d: %d of %d comparisons told of a change", o.RatioTo, n, wrong, trials)
			if wrong > trials*alpha*1.6 { // 10 are expected, 16 are two standard deviations more
				t.Errorf("ratio to %q, n=%d: %d of %d comparisons of the same told of a change, with alpha %g", o.RatioTo, n, wrong, trials, alpha)
			}
		}
	}
}

// What disturbs a batch disturbs all of it: a run of ten batches has ten samples that chance draws, not a thousand.
func TestBatches(t *testing.T) {
	const trials, batches, size = 100, 10, 100
	for _, batch := range []int{0, size} {
		rng := rand.New(rand.NewPCG(3, 4))
		run := func() *measure.Run {
			r := &measure.Run{Kind: measure.Datapath}
			for range batches {
				level := 10 + rng.NormFloat64()/2
				for range size {
					r.Add(measure.Row{Work: "w", Proxy: "p", Unit: measure.Seconds}, level+rng.NormFloat64()/10).Batch = batch
				}
			}
			return r
		}
		told := 0
		for range trials {
			if compared(t, run(), run(), Options{Alpha: 0.05}).Rows[0].Verdict != Same {
				told++
			}
		}
		if mistaken := batch == 0; mistaken != (told > trials/10) {
			t.Errorf("batches of %d: %d of %d comparisons of the same told of a change", batch, told, trials)
		}
	}
}

// A slow-down of 20 % is found, also on a machine that has become slower or faster meanwhile, and 20 % of a rate.
func TestSlowDownIsFound(t *testing.T) {
	rng := rand.New(rand.NewPCG(2, 2))
	for _, tt := range []struct {
		name          string
		machine, ours float64
		o             Options
		want          Verdict
	}{
		{"slower", 1, 1.2, Options{MaxRegression: 0.1}, Regressed},
		{"slower, and it may", 1, 1.2, Options{MaxRegression: 0.4}, Worsened},
		{"faster", 1, 1 / 1.2, Options{MaxRegression: 0.1}, Improved},
		{"on a faster machine", 0.7, 1.2, Options{MaxRegression: 0.1, RatioTo: "kube-proxy"}, Regressed},
		{"faster on a slower machine", 1.4, 1 / 1.2, Options{MaxRegression: 0.1, RatioTo: "kube-proxy"}, Improved},
	} {
		found, rows := 0, 0
		for range 20 {
			c := compared(t, noisy(rng, 20, 5, 1, 1), noisy(rng, 20, 5, tt.machine, tt.ours), tt.o)
			for _, r := range c.Rows {
				if r.Conditions.Proxy == "ours" {
					rows++
					if r.Verdict == tt.want {
						found++
					}
				}
			}
			if regressed := c.Regressions > 0; regressed != (tt.want == Regressed) {
				t.Errorf("%s: %d regressions", tt.name, c.Regressions)
			}
		}
		if t.Logf("%s: %d of %d rows", tt.name, found, rows); found < rows*9/10 {
			t.Errorf("%s: %s in %d of %d rows", tt.name, tt.want, found, rows)
		}
	}
}

// mixed are two runs with one row of each fate.
func mixed() (old, new *measure.Run) {
	old, new = &measure.Run{SchemaVersion: 1, Kind: measure.Datapath}, &measure.Run{SchemaVersion: 1, Kind: measure.Datapath}
	old.Machine = measure.Machine{CPU: "a", CPUs: 2, Memory: 8e9, Kernel: "6.18.44", Settings: map[string]string{"smt": "1"}}
	new.Machine = measure.Machine{CPU: "a", CPUs: 2, Memory: 8.01e9, Kernel: "6.18.50", Load: 3}
	new.Notes = []string{"not whole"}
	rng := rand.New(rand.NewPCG(3, 3))
	add := func(r *measure.Run, work, proxy string, unit measure.Unit, n int, median float64) {
		row := r.Add(measure.Row{Work: work, Proxy: proxy, Services: 1000, Unit: unit})
		for range n {
			v := median
			if unit != measure.Count {
				v *= math.Exp(0.02 * rng.NormFloat64())
			}
			row.Samples = append(row.Samples, v)
		}
	}
	for _, x := range []struct {
		work, proxy string
		unit        measure.Unit
		n           int
		was, is     float64
	}{
		{"connection", "ours", measure.Seconds, 20, 40e-6, 50e-6},
		{"connection", "other|<b>", measure.Seconds, 20, 40e-6, 30e-6},
		{"connection", "third", measure.Seconds, 20, 40e-6, 40e-6},
		{"rate", "ours", measure.PerSecond, 20, 20000, 15000},
		{"rate", "other|<b>", measure.PerSecond, 20, 20000, 30000},
		{"slow", "ours", measure.Seconds, 3, 1, 2},
		{"rules", "ours", measure.Count, 1, 40, 42},
		{"rules", "other|<b>", measure.Count, 1, 40, 40},
		{"none", "ours", measure.Count, 1, 0, 3},
		{"steps", "ours", measure.Count, 1, 100, 150},
		{"gone", "ours", measure.Seconds, 5, 1, 0},
		{"come", "ours", measure.Seconds, 5, 0, 1},
		{"come", "new proxy", measure.Seconds, 5, 0, 1},
		{"connection", "old proxy", measure.Seconds, 5, 1, 0},
	} {
		if x.is == 0 || x.was > 0 || x.work == "none" {
			add(old, x.work, x.proxy, x.unit, x.n, x.was)
		}
		if x.is > 0 {
			add(new, x.work, x.proxy, x.unit, x.n, x.is)
		}
	}
	old.Add(measure.Row{Work: "own metric", Proxy: "ours", Unit: measure.Seconds, Note: "it has none"})
	new.Add(measure.Row{Work: "own metric", Proxy: "ours", Unit: measure.Seconds}, 1)
	return old, new
}

func TestEachFate(t *testing.T) {
	old, new := mixed()
	c := compared(t, old, new, Options{MaxRegression: 0.1})
	got := map[string]Verdict{}
	for _, r := range c.Rows {
		got[r.Conditions.Work+" "+r.Conditions.Proxy] = r.Verdict
	}
	want := map[string]Verdict{
		"connection ours": Regressed, "connection other|<b>": Improved, "connection third": Same, "rate ours": Regressed, "rate other|<b>": Improved,
		"slow ours": TooFew, "rules ours": Worsened, "rules other|<b>": Same, "none ours": Regressed, "steps ours": Regressed,
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
	if c.Regressions != 4 {
		t.Errorf("%d regressions, want 4", c.Regressions)
	}
	for i := range old.Rows { // comparing leaves the samples as they were
		if again, _ := mixed(); !cmp.Equal(again.Rows[i].Samples, old.Rows[i].Samples) {
			t.Fatalf("row %d has been changed", i)
		}
	}
	for _, format := range Formats {
		var b bytes.Buffer
		if err := Write(&b, format, c); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "mixed."+format)
		if *update {
			if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(b.String(), string(text)); d != "" {
			t.Errorf("%s (-got +want):\n%s", format, d)
		}
		if format == "json" && !json.Valid(b.Bytes()) {
			t.Error("no JSON")
		}
		if format == "markdown" && strings.Contains(b.String(), "<b>") {
			t.Error("Markdown is not escaped")
		}
	}
}

func TestRatioToADirectPath(t *testing.T) {
	old, new := &measure.Run{Kind: measure.Datapath}, &measure.Run{Kind: measure.Datapath}
	for r, slower := range map[*measure.Run]float64{old: 1, new: 3} {
		for i := range 10 {
			v := slower * (1 + float64(i)/100)
			r.Add(measure.Row{Work: "connection", Proxy: "direct", Through: "direct", Where: "same node", Unit: measure.Seconds}, v)
			r.Add(measure.Row{Work: "connection", Proxy: "ours", Through: "last", Services: 10, Endpoints: "10", Where: "same node", Unit: measure.Seconds}, 2*v)
			r.Add(measure.Row{Work: "connection", Proxy: "ours", Through: "last", Services: 10, Endpoints: "10", Where: "cross node", Unit: measure.Seconds}, 2*v)
		}
	}
	c := compared(t, old, new, Options{RatioTo: "direct"})
	if len(c.Rows) != 1 || c.Rows[0].Verdict != Same || c.Rows[0].New.Median != 2 {
		t.Errorf("got %+v", c.Rows)
	}
	if want := []string{"connection (ours, 10 Services, 10 endpoints each, through last, cross node): no row of direct beside it"}; !cmp.Equal(c.NotCompared, want) {
		t.Errorf("not compared: %q", c.NotCompared)
	}
}

func TestWhatCannotBeCompared(t *testing.T) {
	old, new := mixed()
	_, err := Runs(old, &measure.Run{Kind: measure.Lab}, Options{})
	if want := "OLD is of svclab bench datapath and NEW of svclab bench lab: runs of one kind can be compared"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	_, err = Runs(old, new, Options{RatioTo: "x"})
	if want := `OLD has no row of proxy "x"; it has ours, other|<b>, third, old proxy`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
	if n, m := needed(0.05), needed(0.01); n != 4 || m != 5 {
		t.Errorf("%d and %d samples are needed, want 4 and 5", n, m)
	}
}
