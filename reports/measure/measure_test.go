package measure

import (
	"bytes"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSummarize(t *testing.T) {
	if got := Summarize(nil); got != nil {
		t.Errorf("of nothing: %v", got)
	}
	if !math.IsNaN(Median(nil)) {
		t.Error("the median of nothing is a number")
	}
	got := Summarize([]float64{5, 1, 4, 2, 3})
	want := &Summary{N: 5, Min: 1, Median: 3, P95: 4.8, P99: 4.96, P999: 4.996, Max: 5}
	if diff := cmp.Diff(want, got, cmp.Comparer(func(a, b float64) bool { return math.Abs(a-b) < 1e-12 })); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if m := Median([]float64{4, 1}); m != 2.5 {
		t.Errorf("median of two: %v", m)
	}
}

func TestIndependent(t *testing.T) {
	for batch, want := range map[int][]float64{0: {1, 2, 3, 10, 20}, 1: {1, 2, 3, 10, 20}, 3: {2, 15}} {
		r := Row{Samples: []float64{1, 2, 3, 10, 20}, Batch: batch}
		if got := r.Independent(); !cmp.Equal(got, want) {
			t.Errorf("batches of %d: %v", batch, got)
		}
	}
}

func TestReadWhatWasWritten(t *testing.T) {
	run := &Run{SchemaVersion: SchemaVersion, Kind: Sync, Machine: Machine{CPU: "a", CPUs: 2}}
	at := Row{Work: "first sync", Clock: "commit", Proxy: "nftables", Services: 1000, Unit: Seconds}
	run.Add(at, 0.1)
	run.Add(at, 0.2)
	run.Add(Row{Work: "first sync", Clock: "own metric", Proxy: "x", Unit: Seconds, Note: "it has none"})
	var b bytes.Buffer
	if err := run.Write(&b); err != nil {
		t.Fatal(err)
	}
	got, err := Read(&b)
	if err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 2 || !cmp.Equal(got.Rows[0].Samples, []float64{0.1, 0.2}) || got.Rows[0].Summary.N != 2 || got.Rows[1].Summary != nil {
		t.Errorf("got %+v", got.Rows)
	}
	for _, bad := range []string{"", "{}", `{"schemaVersion": 99, "kind": "sync"}`, `{"schemaVersion": 1, "kind": "sync"`} {
		if _, err := Read(strings.NewReader(bad)); err == nil {
			t.Errorf("%q was read", bad)
		}
	}
}
