// Package change tells whether two runs of a benchmark differ, or only seem to. It knows rows and samples, and nothing of
// what was measured.
//
// Of each row that both runs have it compares the samples by the Mann-Whitney U test, which assumes nothing of how they are
// spread. Where a machine is noisy from hour to hour it compares the row's ratio to another proxy of the same run instead:
// by the medians' logarithms, whose errors add up (Price and Bonett, "Distribution-free confidence intervals for difference
// and ratio of medians", Journal of Statistical Computation and Simulation 72, 2002; a delta method). A count that never varied is compared as it is.
//
// Many rows make chance findings likely, so their p are adjusted (Benjamini and Hochberg 1995): when nothing at all has
// changed, some row is told to have changed in at most alpha of all comparisons.
package change

import (
	"fmt"
	"math"
	"slices"

	"golang.org/x/perf/benchmath"

	"svclab/reports/measure"
)

// Options of Runs. The zero value works.
type Options struct {
	Alpha         float64 // optional: 0.05
	MaxRegression float64 // a row that is worse by more than this part has regressed: 0.1 is 10 %
	RatioTo       string  // optional: compare each row's ratio to the row of this proxy
}

// Verdict on a row.
type Verdict string

// The verdicts.
const (
	Same       Verdict = "~"               // the difference is not told from noise
	Improved   Verdict = "better"          // it is
	Worsened   Verdict = "worse"           // it is, and no more than Options.MaxRegression
	Regressed  Verdict = "REGRESSION"      // it is, and more than that
	TooFew     Verdict = "too few samples" // to tell any difference from noise, however large
	notDecided Verdict = ""
)

// Comparison of two runs.
type Comparison struct {
	SchemaVersion int      `json:"schemaVersion"`
	Kind          string   `json:"kind"`
	RatioTo       string   `json:"ratioTo,omitempty"`
	Alpha         float64  `json:"alpha"`
	MaxRegression float64  `json:"maxRegression"`
	Rows          []Row    `json:"rows"`
	Means         []Mean   `json:"means"`
	OnlyOld       []string `json:"onlyOld"`
	OnlyNew       []string `json:"onlyNew"`
	NotCompared   []string `json:"notCompared"` // rows of both, and why
	Warnings      []string `json:"warnings"`
	Regressions   int      `json:"regressions"`
}

// Row that both runs have.
type Row struct {
	Conditions measure.Row `json:"conditions"` // without samples
	Old        Side        `json:"old"`
	New        Side        `json:"new"`
	Change     *float64    `json:"change,omitempty"` // of the median (with RatioTo: of the ratio): 0.1 is 10 % more; nil: from nothing
	P          float64     `json:"p"`                // adjusted: how likely chance alone shows as much
	Exact      bool        `json:"exact,omitempty"`  // it never varied, so there is no chance in it
	Verdict    Verdict     `json:"verdict"`
	Note       string      `json:"note,omitempty"`
}

// Side of a row: its median, with a confidence interval of 95 % where there are samples enough. With RatioTo all are ratios.
type Side struct {
	N      int      `json:"n"`
	Median float64  `json:"median"`
	Low    *float64 `json:"low,omitempty"`
	High   *float64 `json:"high,omitempty"`
}

// Mean is the geometric mean of the changes of one proxy's rows of one work.
type Mean struct {
	Work   string       `json:"work"`
	Proxy  string       `json:"proxy"`
	Unit   measure.Unit `json:"unit"`
	Change float64      `json:"change"`
	Rows   int          `json:"rows"`
}

const confidence = 0.95

// Runs compares two runs of one kind.
func Runs(old, new *measure.Run, o Options) (*Comparison, error) {
	if old.Kind != new.Kind {
		return nil, fmt.Errorf("OLD is of svclab bench %s and NEW of svclab bench %s: runs of one kind can be compared", old.Kind, new.Kind)
	}
	if o.Alpha == 0 {
		o.Alpha = 0.05
	}
	for _, of := range []struct {
		name string
		run  *measure.Run
	}{{"OLD", old}, {"NEW", new}} {
		if err := hasProxy(of.run, o.RatioTo); err != nil {
			return nil, fmt.Errorf("%s %w", of.name, err)
		}
	}
	old, new = independent(old), independent(new)
	c := &Comparison{SchemaVersion: 1, Kind: string(new.Kind), RatioTo: o.RatioTo, Alpha: o.Alpha, MaxRegression: o.MaxRegression,
		Rows: []Row{}, Means: []Mean{}, OnlyOld: lone(old, new), OnlyNew: lone(new, old), NotCompared: []string{}, Warnings: warnings(old, new)}
	for i := range new.Rows {
		now := &new.Rows[i]
		was := old.Find(now.Key())
		switch {
		case was == nil: // in OnlyNew
		case o.RatioTo != "" && now.Proxy == o.RatioTo:
		default:
			c.pair(was, now, old, new)
		}
	}
	c.judge()
	c.means()
	return c, nil
}

// independent is the run with samples that the tests may take for drawn one by one.
func independent(r *measure.Run) *measure.Run {
	out := *r
	out.Rows = slices.Clone(r.Rows)
	for i := range out.Rows {
		out.Rows[i].Samples, out.Rows[i].Batch = out.Rows[i].Independent(), 0
	}
	return &out
}

// pair compares a row of both, or says why not.
func (c *Comparison) pair(was, now *measure.Row, old, new *measure.Run) {
	why := ""
	wasBeside, nowBeside := was, now
	if c.RatioTo != "" {
		wasBeside, nowBeside = beside(old, was, c.RatioTo), beside(new, now, c.RatioTo)
	}
	switch {
	case was.Unit != now.Unit:
		why = fmt.Sprintf("its unit was %q and is %q", was.Unit, now.Unit)
	case len(was.Samples) == 0:
		why = "OLD has no sample: " + was.Note
	case len(now.Samples) == 0:
		why = "NEW has no sample: " + now.Note
	case wasBeside == nil || nowBeside == nil:
		why = "no row of " + c.RatioTo + " beside it"
	case len(wasBeside.Samples) == 0 || len(nowBeside.Samples) == 0:
		why = "the row of " + c.RatioTo + " beside it has no sample"
	case c.RatioTo != "" && min(measure.Median(was.Samples), measure.Median(now.Samples), measure.Median(wasBeside.Samples), measure.Median(nowBeside.Samples)) <= 0:
		why = "a median is zero: there is no ratio"
	}
	if why != "" {
		c.NotCompared = append(c.NotCompared, words(now)+": "+why)
		return
	}
	row := Row{Conditions: *now}
	row.Conditions.Samples, row.Conditions.At, row.Conditions.Summary = nil, nil, nil
	if c.RatioTo != "" {
		row.ratios(was, wasBeside, now, nowBeside)
	} else {
		row.samples(was, now, c.Alpha)
	}
	if was, is := row.Old.Median, row.New.Median; was != 0 {
		change := is/was - 1
		row.Change = &change
	} else if is == 0 {
		row.Change = new0()
	}
	c.Rows = append(c.Rows, row)
}

func new0() *float64 { return new(float64) }

// samples compares those of a row.
func (r *Row) samples(was, now *measure.Row, alpha float64) {
	r.Old, r.New = side(was.Samples), side(now.Samples)
	if r.Exact = constant(was) && constant(now); r.Exact {
		r.P = map[bool]float64{true: 1}[r.Old.Median == r.New.Median]
		return
	}
	if smallestP(r.Old.N, r.New.N) > alpha {
		r.P, r.Verdict = 1, TooFew
		r.Note = fmt.Sprintf("%d are needed", needed(alpha))
		return
	}
	t := benchmath.DefaultThresholds
	t.CompareAlpha = alpha
	r.P = benchmath.AssumeNothing.Compare(sample(was.Samples, &t), sample(now.Samples, &t)).P
}

func side(samples []float64) Side {
	s := benchmath.AssumeNothing.Summary(sample(samples, &benchmath.DefaultThresholds), confidence)
	out := Side{N: len(samples), Median: measure.Median(samples)}
	if !math.IsInf(s.Lo, 0) && !math.IsInf(s.Hi, 0) {
		out.Low, out.High = &s.Lo, &s.Hi
	}
	return out
}

// sample makes one of a copy: benchmath sorts it.
func sample(values []float64, t *benchmath.Thresholds) *benchmath.Sample {
	return benchmath.NewSample(append([]float64(nil), values...), t)
}

// constant reports whether a count, or a size that was taken more than once, never varied.
func constant(r *measure.Row) bool {
	switch {
	case r.Unit == measure.Bytes && len(r.Samples) > 1:
	case r.Unit != measure.Count:
		return false
	}
	for _, v := range r.Samples {
		if v != r.Samples[0] {
			return false
		}
	}
	return true
}

// smallestP that the U test can find in so many samples: of all ways to mix them the two in which none are mixed.
func smallestP(n, m int) float64 {
	ways := 1.0
	for i := 1; i <= n && ways < 1e12; i++ {
		ways *= float64(m+i) / float64(i)
	}
	return min(1, 2/ways)
}

// needed are the samples of each side without which no difference is told.
func needed(alpha float64) int {
	n := 1
	for smallestP(n, n) > alpha {
		n++
	}
	return n
}

// judge adjusts p for the number of rows, and gives the verdicts.
func (c *Comparison) judge() {
	var tested []*Row
	for i := range c.Rows {
		if r := &c.Rows[i]; r.Verdict == notDecided && !r.Exact {
			tested = append(tested, r)
		}
	}
	c.blind(tested)
	adjust(tested)
	for i := range c.Rows {
		r := &c.Rows[i]
		if r.Verdict != notDecided {
			continue
		}
		worse := math.Inf(1)
		if r.Change != nil {
			worse = *r.Change
		}
		if r.Conditions.Unit.HigherIsBetter() {
			worse = -worse
		}
		switch {
		case r.P > c.Alpha || worse == 0:
			r.Verdict = Same
		case worse < 0:
			r.Verdict = Improved
		case worse > c.MaxRegression:
			r.Verdict = Regressed
			c.Regressions++
		default:
			r.Verdict = Worsened
		}
	}
}

// blind warns of rows whose change would be lost among the others: told from noise were it alone, or had many rows changed.
func (c *Comparison) blind(tested []*Row) {
	n := 0
	for _, r := range tested {
		if c.RatioTo == "" && smallestP(r.Old.N, r.New.N)*float64(len(tested)) > c.Alpha {
			n++
		}
	}
	if n > 0 {
		c.Warnings = append(c.Warnings, fmt.Sprintf("%d of %d rows have so few samples that a change of one row alone does not stand out: that takes %d", n, len(tested), needed(c.Alpha/float64(len(tested)))))
	}
}

// means of the changes of each proxy and work.
func (c *Comparison) means() {
	sums := map[Mean]float64{}
	counts := map[Mean]int{}
	var order []Mean
	for _, r := range c.Rows {
		if r.Old.Median <= 0 || r.New.Median <= 0 {
			continue
		}
		of := Mean{Work: r.Conditions.Work, Proxy: r.Conditions.Proxy, Unit: r.Conditions.Unit}
		if counts[of] == 0 {
			order = append(order, of)
		}
		sums[of] += math.Log(r.New.Median / r.Old.Median)
		counts[of]++
	}
	for _, of := range order {
		m := of
		m.Rows, m.Change = counts[of], math.Exp(sums[of]/float64(counts[of]))-1
		c.Means = append(c.Means, m)
	}
}
