package change

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"svclab/reports/measure"
)

// enough samples of each of the four for a comparison of ratios: below, their medians' errors are not known well enough.
const enough = 5

// hasProxy reports that a run lacks a proxy, and what it has; "" is no proxy.
func hasProxy(r *measure.Run, proxy string) error {
	var names []string
	for i := range r.Rows {
		if r.Rows[i].Proxy == proxy {
			return nil
		}
		if !slices.Contains(names, r.Rows[i].Proxy) {
			names = append(names, r.Rows[i].Proxy)
		}
	}
	if proxy == "" {
		return nil
	}
	return fmt.Errorf("has no row of proxy %q; it has %s", proxy, strings.Join(names, ", "))
}

// beside is the row of another proxy under the same conditions; "direct" has no Services.
func beside(run *measure.Run, r *measure.Row, proxy string) *measure.Row {
	k := r.Key()
	k.Proxy = proxy
	if found := run.Find(k); found != nil {
		return found
	}
	for i := range run.Rows {
		if other := &run.Rows[i]; other.Proxy == "direct" && proxy == "direct" &&
			other.Work == r.Work && other.Clock == r.Clock && other.Where == r.Where && other.Nodes == r.Nodes && other.Pods == r.Pods {
			return other
		}
	}
	return nil
}

// ratios compares the row's ratio to another, before and after. The logarithm of a ratio of medians is a sum, and the
// variances of its four terms add up.
func (r *Row) ratios(was, wasBeside, now, nowBeside *measure.Row) {
	four := []*measure.Row{was, wasBeside, now, nowBeside}
	least := slices.MinFunc(four, func(a, b *measure.Row) int { return cmp.Compare(len(a.Samples), len(b.Samples)) })
	r.Old, r.New = ratio(was, wasBeside), ratio(now, nowBeside)
	r.Exact = !slices.ContainsFunc(four, func(r *measure.Row) bool { return !constant(r) })
	switch {
	case r.Exact:
		r.P = map[bool]float64{true: 1}[r.Old.Median == r.New.Median]
		return
	case len(least.Samples) < enough:
		r.P, r.Verdict, r.Note = 1, TooFew, fmt.Sprintf("%d are needed, of the row of the other proxy too", enough)
		return
	}
	variance := 0.0
	for _, of := range four {
		variance += logVariance(of.Samples)
	}
	r.P = 1.0
	if d := math.Abs(math.Log(r.New.Median / r.Old.Median)); d > 0 {
		r.P = math.Erfc(d / math.Sqrt(2*variance))
	}
}

// ratio of two rows' medians, with a confidence interval of 95 %.
func ratio(a, b *measure.Row) Side {
	s := Side{N: min(len(a.Samples), len(b.Samples)), Median: measure.Median(a.Samples) / measure.Median(b.Samples)}
	if s.N >= enough {
		wide := math.Exp(1.96 * math.Sqrt(logVariance(a.Samples)+logVariance(b.Samples)))
		low, high := s.Median/wide, s.Median*wide
		s.Low, s.High = &low, &high
	}
	return s
}

// logVariance is the variance of the logarithm of the median of positive samples, whatever their distribution: two of them, the
// c-th from either end, hold it with a probability that is known (Price and Bonett 2001).
func logVariance(samples []float64) float64 {
	s := slices.Sorted(slices.Values(samples))
	n := len(s)
	c := max(1, int(math.Round(float64(n+1)/2-math.Sqrt(float64(n)))))
	tail := 0.0 // P(Binomial(n, 1/2) < c)
	for i := range c {
		a, _ := math.Lgamma(float64(n + 1))
		b, _ := math.Lgamma(float64(i + 1))
		d, _ := math.Lgamma(float64(n - i + 1))
		tail += math.Exp(a - b - d - float64(n)*math.Ln2)
	}
	z := math.Sqrt2 * math.Erfinv(1-2*tail)
	low, high := math.Max(s[c-1], math.SmallestNonzeroFloat64), s[n-c]
	e := math.Log(high/low) / (2 * z)
	return e * e
}

// adjust p for the number of rows, so that the share of false findings among all is bounded (Benjamini and Hochberg 1995).
func adjust(rows []*Row) {
	slices.SortStableFunc(rows, func(a, b *Row) int { return cmp.Compare(a.P, b.P) })
	least := 1.0
	for i := len(rows) - 1; i >= 0; i-- {
		least = min(least, rows[i].P*float64(len(rows))/float64(i+1))
		rows[i].P = least
	}
}
