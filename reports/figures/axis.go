package figures

import (
	"math"
	"slices"

	"svclab/reports/measure"
)

// axis maps values to 0…1.
type axis struct {
	lo, hi float64
	log    bool
	tail   bool // of shares: 90 %, 99 % and 99.9 % are equally far from each other
	ticks  []tick
}

type tick struct {
	at   float64
	text string
}

func (a *axis) place(v float64) float64 {
	f := func(v float64) float64 {
		switch {
		case a.tail:
			return -math.Log10(1 - v)
		case a.log:
			return math.Log10(v)
		}
		return v
	}
	if a.hi == a.lo {
		return 0.5
	}
	return min(max((f(v)-f(a.lo))/(f(a.hi)-f(a.lo)), 0), 1)
}

// logAxis spans positive values of a unit, with ticks at the powers of ten, and between them where there are few.
func logAxis(unit measure.Unit, values []float64) axis {
	lo, hi := span(values, true)
	lo, hi = reach(lo/1.12, -1), reach(hi*1.12, 1)
	a := axis{lo: lo, hi: hi, log: true}
	between := []float64{1}
	switch decades := math.Log10(hi / lo); {
	case decades < 0.5:
		between = []float64{1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9}
	case decades < 1.2:
		between = []float64{1, 2, 3, 5}
	case decades < 2.6:
		between = []float64{1, 3}
	}
	for e := math.Floor(math.Log10(lo)); e <= math.Ceil(math.Log10(hi)); e++ {
		for _, m := range between {
			if v := m * math.Pow(10, e); v >= lo && v <= hi {
				a.ticks = append(a.ticks, tick{v, plainly(unit, v)})
			}
		}
	}
	return a
}

// reach is the next power of ten in a direction when it is near, so that the axis has a tick beyond its values.
func reach(v float64, direction float64) float64 {
	e := math.Log10(v)
	next := math.Floor(e)
	if direction > 0 {
		next = math.Ceil(e)
	}
	if math.Abs(next-e) < 0.5 {
		return math.Pow(10, next)
	}
	return v
}

// linearAxis spans values of a unit, from zero.
func linearAxis(unit measure.Unit, values []float64) axis {
	_, hi := span(values, false)
	if hi <= 0 {
		hi = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(hi)))
	for _, m := range []float64{0.2, 0.25, 0.5, 1} {
		if hi/(step*m) <= 5 {
			step *= m
			break
		}
	}
	a := axis{lo: 0, hi: hi * 1.02}
	for v := 0.0; v <= a.hi; v += step {
		a.ticks = append(a.ticks, tick{v, plainly(unit, v)})
	}
	return a
}

// valueAxis is logarithmic, with a tick at each of the values.
func valueAxis(values []float64) axis {
	a := axis{log: true}
	a.lo, a.hi = span(values, true)
	a.lo, a.hi = a.lo/1.08, a.hi*1.08
	for _, v := range slices.Compact(slices.Sorted(slices.Values(values))) {
		a.ticks = append(a.ticks, tick{v, Human(measure.Count, v)})
	}
	return a
}

// shareAxis is of shares whose slow end matters, up to that which n samples can tell.
func shareAxis(n int) axis {
	a := axis{lo: 0, hi: 1 - 1/float64(max(n, 10)), tail: true}
	for _, t := range []tick{{0, "0 %"}, {0.5, "50 %"}, {0.9, "90 %"}, {0.99, "99 %"}, {0.999, "99.9 %"}, {0.9999, "99.99 %"}} {
		if t.at <= a.hi {
			a.ticks = append(a.ticks, t)
		}
	}
	return a
}

// span of values; of positive ones only where they are for a logarithm.
func span(values []float64, positive bool) (lo, hi float64) {
	lo, hi = math.Inf(1), math.Inf(-1)
	for _, v := range values {
		if !math.IsNaN(v) && !math.IsInf(v, 0) && (v > 0 || !positive) {
			lo, hi = min(lo, v), max(hi, v)
		}
	}
	if lo > hi {
		return 1, 1
	}
	return lo, hi
}

// plainly is a round number of a unit: "10 ms", where Human says "10.0 ms".
func plainly(unit measure.Unit, v float64) string {
	text := Human(unit, v)
	for i := 0; i < len(text); i++ {
		if text[i] != '.' {
			continue
		}
		end := i + 1
		for end < len(text) && text[end] >= '0' && text[end] <= '9' {
			end++
		}
		keep := end
		for keep > i+1 && text[keep-1] == '0' {
			keep--
		}
		if keep == i+1 {
			keep = i
		}
		return text[:keep] + text[end:]
	}
	return text
}
