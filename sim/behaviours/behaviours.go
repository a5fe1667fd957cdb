// Package behaviours says of every row of the specification whether it is judged, and computes that: a row is judged where a
// scenario that covers it turns red in a model that breaks it, and is green in the model that does not. What nobody has
// seen red counts for nothing.
package behaviours

import (
	"cmp"
	"context"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"

	"svclab/reports/verdict"
	"svclab/sim/engine"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// State is what can be said of a row.
type State string

// Judged: seen red, by packets. DumpOnly: it shows in what a proxy programs, not in a packet. Unjudged: the rest.
const (
	Judged   State = "judged"
	DumpOnly State = "dump-only"
	Unjudged State = "unjudged"
)

// Set is what there is to compute from.
type Set struct {
	Rows      []oracle.Row
	Rest      []oracle.Unjudged
	Scenarios []*scenario.Scenario
	Mutants   []oracle.Mutant
}

// Row is a line of the table.
type Row struct {
	ID        string   `json:"id"`
	Text      string   `json:"behaviour"`
	Source    string   `json:"source,omitempty"`
	Freedom   string   `json:"freedom,omitempty"`
	State     State    `json:"state"`
	Reason    string   `json:"reason,omitempty"` // of a row that is not judged
	Scenarios []string `json:"scenarios"`        // that judge it; of a row that is not judged: that cover it
	Mutants   []string `json:"mutants"`          // that turn them red; of a row that is not judged: that break it
	Proofs    []Proof  `json:"proofs,omitempty"`
	// Proxies has for each proxy how the scenarios that judge the row ended on it.
	Proxies map[string]Outcome `json:"proxies,omitempty"`
}

// Proof is one scenario that was seen red in one mutant.
type Proof struct {
	Scenario string `json:"scenario"`
	Mutant   string `json:"mutant"`
	Why      string `json:"why"`
}

// Table is the whole.
type Table struct {
	SchemaVersion int      `json:"schemaVersion"` // 1
	Judged        int      `json:"judged"`
	DumpOnly      int      `json:"dumpOnly"`
	Unjudged      int      `json:"unjudged"`
	Columns       []Column `json:"proxies"`
	Report        string   `json:"report,omitempty"` // where the columns are from
	Rows          []Row    `json:"rows"`
}

// Options say how to compute.
type Options struct {
	Parallel int                // how many pairs at once; 0 is 32: some scenarios only wait
	Progress func(done, of int) // optional
}

// pair is a scenario in a mutant; the empty mutant is the model itself.
type pair struct{ scenario, mutant string }

// Compute runs every scenario in every mutant of a row that it covers, and in the model.
func Compute(ctx context.Context, set Set, o Options) (*Table, error) {
	scenarios := map[string]*scenario.Scenario{}
	covers := map[string][]string{} // row → scenarios
	for _, s := range set.Scenarios {
		scenarios[s.Name] = s
		for _, row := range s.Covers {
			covers[row] = append(covers[row], s.Name)
		}
	}
	mutants := map[string]oracle.Mutant{}
	breaks := map[string][]string{} // row → mutants
	var pairs []pair
	seen := map[pair]bool{}
	want := func(p pair) {
		if !seen[p] {
			seen[p] = true
			pairs = append(pairs, p)
		}
	}
	for _, m := range set.Mutants {
		mutants[m.Name] = m
		for _, row := range m.Breaks {
			breaks[row] = append(breaks[row], m.Name)
			for _, s := range covers[row] {
				want(pair{s, ""})
				want(pair{s, m.Name})
			}
		}
	}
	red, err := runAll(ctx, pairs, o, func(ctx context.Context, p pair) (string, bool) {
		return isRed(ctx, scenarios[p.scenario], mutants[p.mutant])
	})
	if err != nil {
		return nil, err
	}
	t := &Table{SchemaVersion: 1}
	for _, r := range set.Rows {
		row := Row{ID: r.ID, Text: r.Text, Source: r.Source, Freedom: r.Freedom}
		row.judge(covers[r.ID], breaks[r.ID], red)
		t.Rows = append(t.Rows, row)
	}
	t.add(set.Rest)
	t.order()
	for _, r := range t.Rows {
		switch r.State {
		case Judged:
			t.Judged++
		case DumpOnly:
			t.DumpOnly++
		default:
			t.Unjudged++
		}
	}
	return t, nil
}

// judge fills what the runs say.
func (r *Row) judge(covers, breaks []string, red map[pair]string) {
	green := func(s string) bool { _, is := red[pair{s, ""}]; return !is }
	for _, m := range breaks {
		for _, s := range covers {
			if why, is := red[pair{s, m}]; is && green(s) {
				r.Proofs = append(r.Proofs, Proof{s, m, why})
				r.Scenarios, r.Mutants = append(r.Scenarios, s), append(r.Mutants, m)
			}
		}
	}
	r.State = Judged
	if len(r.Proofs) == 0 {
		r.State, r.Scenarios, r.Mutants = Unjudged, covers, breaks
		switch {
		case len(covers) == 0 && len(breaks) == 0:
			r.Reason = "no scenario covers it, and no mutant breaks it"
		case len(covers) == 0:
			r.Reason = "no scenario covers it"
		case len(breaks) == 0:
			r.Reason = "no mutant breaks it"
		case !slices.ContainsFunc(covers, green):
			r.Reason = "the model itself fails what covers it"
		default:
			r.Reason = "its mutants turn nothing red that covers it"
		}
	}
	r.Scenarios, r.Mutants = unique(r.Scenarios), unique(r.Mutants)
}

// add takes in the rows that packets do not judge. One that they do judge after all stays so: what is computed beats what
// is written.
func (t *Table) add(rest []oracle.Unjudged) {
	for _, r := range rest {
		state := Unjudged
		if r.DumpOnly {
			state = DumpOnly
		}
		i := slices.IndexFunc(t.Rows, func(have Row) bool { return have.ID == r.ID })
		switch {
		case i < 0:
			t.Rows = append(t.Rows, Row{ID: r.ID, Text: r.Text, State: state, Reason: r.Reason, Scenarios: []string{}, Mutants: []string{}})
		case t.Rows[i].State != Judged:
			t.Rows[i].State, t.Rows[i].Reason = state, r.Reason
		}
	}
}

// order sorts the rows of an area by number, and the areas as they came.
func (t *Table) order() {
	areas := map[string]int{}
	for _, r := range t.Rows {
		if area, _ := areaOf(r.ID); areas[area] == 0 {
			areas[area] = len(areas) + 1
		}
	}
	slices.SortStableFunc(t.Rows, func(a, b Row) int {
		x, n := areaOf(a.ID)
		y, m := areaOf(b.ID)
		return cmp.Or(areas[x]-areas[y], n-m)
	})
}

func areaOf(id string) (area string, number int) {
	area, digits, _ := strings.Cut(id, "-")
	number, _ = strconv.Atoi(strings.TrimRight(digits, "abcdefghijklmnopqrstuvwxyz"))
	return area, number
}

func unique(words []string) []string {
	out := []string{}
	for _, w := range words {
		if !slices.Contains(out, w) {
			out = append(out, w)
		}
	}
	return out
}

// runAll runs each pair once, many at a time, and returns why those are red that are.
func runAll(ctx context.Context, pairs []pair, o Options, run func(context.Context, pair) (why string, red bool)) (map[pair]string, error) {
	if o.Parallel == 0 {
		o.Parallel = 32
	}
	if o.Progress == nil {
		o.Progress = func(int, int) {}
	}
	var (
		mu    sync.Mutex // guards red and done
		wait  sync.WaitGroup
		red   = map[pair]string{}
		done  int
		slots = make(chan struct{}, o.Parallel)
	)
	for _, p := range pairs {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		wait.Go(func() {
			why, is := run(ctx, p)
			mu.Lock()
			defer mu.Unlock()
			if is {
				red[p] = why
			}
			done++
			o.Progress(done, len(pairs))
			<-slots
		})
	}
	wait.Wait()
	return red, context.Cause(ctx)
}

// isRed runs all variants of a scenario at once; one that is red is enough. A case that cannot be carried out is not red in
// a mutant, for that is no judgement; in the model itself it is no better than red.
func isRed(ctx context.Context, s *scenario.Scenario, m oracle.Mutant) (why string, red bool) {
	open := func(t *world.Topology, rng *rand.Rand) world.World { return oracle.NewModel(t, rng) }
	if m.Name != "" {
		open = m.World
	}
	variants := s.Variants()
	cases := make([]verdict.Case, len(variants))
	var wait sync.WaitGroup
	for i, v := range variants {
		wait.Go(func() {
			cases[i] = engine.Run(ctx, v, engine.Options{
				Proxy: "model", Seed: 1, Senders: 1,
				Open: func(_ context.Context, t *world.Topology, rng *rand.Rand) (world.World, error) {
					return open(t, rng), nil
				},
			})
		})
	}
	wait.Wait()
	for _, c := range cases {
		if c.Verdict == verdict.Fail || m.Name == "" && c.Verdict != verdict.Pass {
			return c.Why, true
		}
	}
	return "", false
}
