package figures

import (
	"bytes"
	"encoding/csv"
	"flag"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"svclab/reports/measure"
)

var (
	update = flag.Bool("update", false, "write testdata anew; read the difference before you keep it")
	pages  = flag.String("pages", "", "write the page of each made-up run into this folder, to be looked at")
)

// nasty is what formats have to escape.
const nasty = "x~<script>alert(1)</script>&\"'`,\r\n=1"

// noise is lognormal, with now and then a long wait, as clocks of busy machines have it.
func noise(rng *rand.Rand, n int, median float64) (out []float64) {
	for range n {
		v := median * math.Exp(0.08*rng.NormFloat64())
		if rng.IntN(30) == 0 {
			v *= 1.5 + rng.Float64()
		}
		out = append(out, math.Round(v*1e9)/1e9)
	}
	return out
}

func emptyRun(kind measure.Kind) (*measure.Run, *rand.Rand) {
	return &measure.Run{
		SchemaVersion: measure.SchemaVersion, Kind: kind, Version: "0123456789ab", Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 563.2, Seed: 7,
		Flags: map[string]string{"services": "1000,10000", "budget": "10m"},
		Machine: measure.Machine{Host: "lab", CPU: "AMD EPYC 7763 64-Core Processor", CPUs: 2, Memory: 8331235328, Kernel: "6.18.44", System: "Debian GNU/Linux 12 (bookworm)", Go: "go1.26.8",
			Root: true, Load: 0.41, Settings: map[string]string{"net.core.wmem_max": "212992"}, Programs: map[string]string{"nft": "1.0.6", "kube-proxy/nftables": "v1.36.3"}},
	}, rand.New(rand.NewPCG(7, 7))
}

func syncRun() *measure.Run {
	r, rng := emptyRun(measure.Sync)
	r.Flags["proxy"] = "nftables,kube-proxy/nftables,kube-proxy/iptables"
	r.Notes = []string{"--budget 10m: 5 instead of 20 measurements of first sync"}
	type cost struct{ first, change, grow, memory float64 }
	costs := []struct {
		proxy string
		cost
	}{{"kube-proxy/nftables", cost{0.9, 0.19, 0.9, 72e6}}, {"nftables", cost{0.021, 0.0019, 0.02, 31e6}}, {"kube-proxy/iptables", cost{0.4, 0.11, 0.72, 64e6}}}
	for _, services := range []int{1000, 5000, 10000} {
		for _, p := range costs {
			at := func(work, clock string, unit measure.Unit) measure.Row {
				return measure.Row{Work: work, Clock: clock, Proxy: p.proxy, Services: services, Endpoints: "10", Unit: unit}
			}
			size := float64(services) / 1000
			first := p.first * math.Pow(size, 1.15)
			change := p.change * math.Pow(size, p.grow)
			r.Add(at("first sync", "first correct packet", measure.Seconds), noise(rng, 5, first)...)
			r.Add(at("first sync", "commit", measure.Seconds), noise(rng, 5, first*0.93)...)
			r.Add(at("first sync", "CPU", measure.Seconds), noise(rng, 5, first*1.3)...)
			r.Add(at("first sync", "peak RSS", measure.Bytes), noise(rng, 5, p.memory*math.Pow(size, 0.6))...)
			r.Add(at("first sync", "rules", measure.Count), math.Round(40+p.memory/1e6*size*10))
			for i, work := range []string{"endpoint replaced", "endpoint added", "endpoint removed", "Service added", "Service removed", "100 Services", "rolling update of 100 pods"} {
				f := change * (1 + 0.1*float64(i))
				r.Add(at(work, "first correct packet", measure.Seconds), noise(rng, 20, f+0.0004)...)
				r.Add(at(work, "commit", measure.Seconds), noise(rng, 20, f)...)
				if own := r.Add(at(work, "own metric", measure.Seconds)); p.proxy == "nftables" {
					own.Samples = noise(rng, 20, f*0.7)
				} else {
					own.Note = "its metric has no bucket below 1 ms"
				}
			}
			churn := r.Add(at("churn, 20 changes a second", "first correct packet", measure.Seconds))
			until := 0.0 // a sync takes all changes that wait
			for i := range 400 {
				at := float64(i) * 0.05
				if at > until {
					until = at + change*(1+0.2*rng.ExpFloat64())
				}
				churn.At = append(churn.At, at)
				churn.Samples = append(churn.Samples, until-at+change*(1+0.2*rng.ExpFloat64()))
			}
		}
	}
	return r
}

func datapathRun() *measure.Run {
	r, rng := emptyRun(measure.Datapath)
	costs := map[string]float64{"nftables": 1.12, "iptables": 1.3, "kube-proxy/nftables": 1.16, "kube-proxy/iptables": 1.5}
	for _, where := range []string{"same node", "cross node"} {
		base := map[string]float64{"same node": 38e-6, "cross node": 61e-6}[where]
		add := func(proxy, through string, services int, f float64) {
			at := func(work string, unit measure.Unit) measure.Row {
				row := measure.Row{Work: work, Proxy: proxy, Where: where, Through: through, Services: services, Unit: unit}
				if services > 0 {
					row.Endpoints = "10"
				}
				return row
			}
			r.Add(at("new TCP connection", measure.Seconds), noise(rng, 300, base*f)...)
			r.Add(at("TCP connections", measure.PerSecond), noise(rng, 5, 0.9/(base*f))...)
			r.Add(at("throughput", measure.BytesRate), noise(rng, 5, 3.1e9/math.Sqrt(f))...)
		}
		add("direct", "direct", 0, 1)
		for _, proxy := range []string{"nftables", "iptables", "kube-proxy/nftables", "kube-proxy/iptables"} {
			for _, through := range []string{direct, "last", "first", "middle"} {
				f := costs[proxy]
				if proxy == "kube-proxy/iptables" {
					f *= map[string]float64{direct: 7, "first": 1, "middle": 4.2, "last": 7.5}[through]
				}
				add(proxy, through, 10000, f)
			}
		}
	}
	return r
}

func labRun() *measure.Run {
	r, rng := emptyRun(measure.Lab)
	for _, nodes := range []int{2, 10} {
		for _, pods := range []int{100, 1000, 5000} {
			for _, work := range []struct {
				name string
				cost float64
			}{{"opened", 1.6e-3}, {"first verdict", 0.2e-3}, {"closed", 0.5e-3}} {
				r.Add(measure.Row{Work: work.name, Proxy: "nftables", Nodes: nodes, Pods: pods, Unit: measure.Seconds}, noise(rng, 5, work.cost*math.Pow(float64(pods), 0.97))...)
			}
			r.Add(measure.Row{Work: "opened", Clock: "peak RSS", Proxy: "nftables", Nodes: nodes, Pods: pods, Unit: measure.Bytes}, 4e7+3e4*float64(pods))
		}
	}
	return r
}

// nastyRun has in every word what must be escaped.
func nastyRun() *measure.Run {
	r, _ := emptyRun(measure.Sync)
	r.Version, r.Notes, r.Flags = nasty, []string{nasty}, map[string]string{nasty: nasty}
	m := &r.Machine
	m.Host, m.CPU, m.Kernel, m.System, m.Go = nasty, nasty, nasty, nasty, nasty
	m.Settings, m.Programs = map[string]string{nasty: nasty}, map[string]string{nasty: nasty}
	for i, services := range []int{10, 100} {
		for _, clock := range []string{nasty, "b" + nasty} {
			row := r.Add(measure.Row{Work: nasty, Clock: clock, Proxy: nasty, Services: services, Endpoints: nasty, Through: nasty, Where: nasty, Unit: measure.Seconds, Note: nasty}, 1, 2, 3)
			row.At = []float64{float64(i), 1, 2}
		}
		r.Add(measure.Row{Work: nasty, Clock: "RSS", Proxy: nasty, Services: services, Unit: measure.Bytes}, 1e6)
		r.Add(measure.Row{Work: nasty, Clock: "odd", Proxy: nasty, Services: services, Unit: nasty}, 1e6)
	}
	return r
}

var madeUp = map[string]func() *measure.Run{"sync": syncRun, "datapath": datapathRun, "lab": labRun}

func golden(t *testing.T, file, got string) {
	t.Helper()
	path := filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(got, string(want)); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
}

func written(t *testing.T, format string, r *measure.Run) string {
	t.Helper()
	var b bytes.Buffer
	if err := Write(&b, format, r); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestTable(t *testing.T) {
	for name, run := range madeUp {
		t.Run(name, func(t *testing.T) {
			got := written(t, "table", run())
			golden(t, name+".table", got)
			for line := range strings.Lines(got) {
				if n := utf8.RuneCountInString(line) - 1; n > 120 && !strings.HasPrefix(line, "on ") {
					t.Errorf("%d columns: %s", n, line)
				}
			}
		})
	}
	empty, _ := emptyRun(measure.Sync)
	if got := written(t, "table", empty); !strings.Contains(got, "\nnothing was measured\n") {
		t.Errorf("of nothing: %s", got)
	}
}

func TestUnknownFormat(t *testing.T) {
	err := Write(nil, "xls", labRun())
	if want := `format "xls" is none of [table json csv html]`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What CSV writes reads back, whatever is in the names.
func TestCSV(t *testing.T) {
	golden(t, "lab.csv", written(t, "csv", labRun()))
	for name, r := range map[string]*measure.Run{"sync": syncRun(), "datapath": datapathRun(), "nasty": nastyRun()} {
		in := csv.NewReader(strings.NewReader(written(t, "csv", r)))
		lines, err := in.ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(lines[0], header); d != "" {
			t.Errorf("%s: header (-got +want):\n%s", name, d)
		}
		back := &measure.Run{}
		for _, l := range lines[1:] {
			services, _ := strconv.Atoi(l[4])
			value, err := strconv.ParseFloat(l[13], 64)
			if err != nil {
				t.Fatal(err)
			}
			row := back.Add(measure.Row{Work: l[1], Clock: l[2], Proxy: l[3], Services: services, Endpoints: l[5], Through: l[6], Where: l[7], Unit: measure.Unit(l[10])}, value)
			if l[12] != "" {
				at, _ := strconv.ParseFloat(l[12], 64)
				row.At = append(row.At, at)
			}
		}
		i := 0
		for _, want := range r.Rows {
			if len(want.Samples) == 0 {
				continue
			}
			want.Note = ""
			for _, s := range []*string{&want.Work, &want.Clock, &want.Proxy, &want.Endpoints, &want.Through, &want.Where} {
				*s = strings.ReplaceAll(*s, "\r\n", "\n") // RFC 4180 has one end of a line
			}
			want.Unit = measure.Unit(strings.ReplaceAll(string(want.Unit), "\r\n", "\n"))
			if d := cmp.Diff(back.Rows[i], want); d != "" {
				t.Fatalf("%s: row %d (-got +want):\n%s", name, i, d)
			}
			i++
		}
	}
}

func TestHuman(t *testing.T) {
	for _, tt := range []struct {
		unit measure.Unit
		v    float64
		want string
	}{
		{measure.Seconds, 0, "0 s"}, {measure.Seconds, 8.5e-7, "850 ns"}, {measure.Seconds, 9.996e-7, "1.00 µs"}, {measure.Seconds, 4.52e-5, "45.2 µs"}, {measure.Seconds, 0.00193, "1.93 ms"},
		{measure.Seconds, 9.996e-4, "1.00 ms"}, {measure.Seconds, 0.9996, "1.00 s"}, {measure.Seconds, 16.72, "16.7 s"}, {measure.Seconds, 1003, "16m43s"}, {measure.Seconds, math.NaN(), "–"}, {measure.Seconds, -0.002, "-2.00 ms"},
		{measure.Bytes, 0, "0 B"}, {measure.Bytes, 999.6, "1.00 kB"}, {measure.Bytes, 5.5e8, "550 MB"}, {measure.BytesRate, 3.1e9, "3.10 GB/s"}, {measure.Bytes, 2e15, "2,000 TB"},
		{measure.Count, 1234567, "1,234,567"}, {measure.Count, 2.5, "2.50"}, {measure.PerSecond, 12345, "12,345/s"}, {measure.PerSecond, 0.0123, "0.0123/s"},
	} {
		if got := Human(tt.unit, tt.v); got != tt.want {
			t.Errorf("%v %s: got %q, want %q", tt.v, tt.unit, got, tt.want)
		}
	}
	for ratio, want := range map[float64]string{1: "1.00×", 0.0039: "1/256", 0.1: "0.10×", 12.34: "12.3×", 253: "253×", 1234: "1,234×", math.Inf(1): ""} {
		if got := Times(ratio); got != want {
			t.Errorf("%v: got %q, want %q", ratio, got, want)
		}
	}
}
