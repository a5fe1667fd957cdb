// Package stat tells chance from bias: is a distribution what it should be, how many flows does it take to know, and
// do successive choices depend on one another. It is arithmetic only: no clock, no randomness.
package stat

import "math"

// ChiSquare is Pearson's test of observed counts against shares proportional to weights: the statistic, and the
// probability of one at least as large when the shares are right. Where a weight is 0 nothing may be observed.
// Fewer than two possible outcomes, or no observation, cannot be wrong: p is 1.
func ChiSquare(observed []int, weights []float64) (stat, p float64) {
	n, total, possible := 0, 0.0, 0
	for i, o := range observed {
		n += o
		total += weights[i]
		if weights[i] > 0 {
			possible++
		} else if o > 0 {
			return math.Inf(1), 0
		}
	}
	if n == 0 || possible < 2 {
		return 0, 1
	}
	for i, o := range observed {
		if weights[i] > 0 {
			want := float64(n) * weights[i] / total
			stat += (float64(o) - want) * (float64(o) - want) / want
		}
	}
	return stat, upperTail(stat, float64(possible-1))
}

// Independent tests whether each choice of the sequence is independent of the one before it and of the one before
// that; choices are 0…k−1 with any fixed shares. It returns the probability of so much dependence by chance: near 0
// for a round-robin, which passes ChiSquare. About 5·k² choices are needed for the approximation to hold.
//
// The transition counts are tested as a k×k contingency table. Transitions overlap, and may: under independence the
// statistic is still chi-square with (k−1)² degrees of freedom (Anderson and Goodman, "Statistical inference about
// Markov chains", 1957). Pairs that do not overlap would be blind to a round-robin of two: they are all (0,1).
func Independent(sequence []int, k int) (p float64) {
	const lags = 2 // the second sees 0,0,1,1,0,0,1,1, which the first does not
	p = 1
	for lag := 1; lag <= lags; lag++ {
		p = min(p, lags*transitions(sequence, k, lag))
	}
	return p
}

func transitions(sequence []int, k, lag int) (p float64) {
	table := make([]int, k*k)
	rows, cols := make([]int, k), make([]int, k)
	n := 0
	for i := lag; i < len(sequence); i++ {
		from, to := sequence[i-lag], sequence[i]
		table[from*k+to]++
		rows[from]++
		cols[to]++
		n++
	}
	stat := 0.0
	for i, row := range rows {
		for j, col := range cols {
			if row > 0 && col > 0 {
				want := float64(row) * float64(col) / float64(n)
				off := float64(table[i*k+j]) - want
				stat += off * off / want
			}
		}
	}
	df := float64((used(rows) - 1) * (used(cols) - 1))
	if df < 1 {
		return 1
	}
	return upperTail(stat, df)
}

func used(counts []int) (n int) {
	for _, c := range counts {
		if c > 0 {
			n++
		}
	}
	return n
}

// FlowsToSee is how many flows it takes to see, with probability 1 − miss, at least one that goes where a share of all
// flows goes: 20 for one of two endpoints and a miss of 1e-6, 132 for one of ten.
func FlowsToSee(share, miss float64) int {
	switch {
	case share >= 1:
		return 1
	case share <= 0:
		return math.MaxInt
	}
	return int(math.Ceil(math.Log(miss) / math.Log1p(-share)))
}

// FlowsForBias is how many flows ChiSquare needs to call a bias at level alpha with probability power, when one
// endpoint has its share times (1 + bias) and the others shrink in proportion. It is the endpoint with the smallest
// share, whose bias is the hardest to see. One endpoint alone cannot be biased: 0.
func FlowsForBias(weights []float64, bias, alpha, power float64) int {
	total, least, n := 0.0, math.Inf(1), 0
	for _, w := range weights {
		if w > 0 {
			total, least, n = total+w, min(least, w), n+1
		}
	}
	if n < 2 {
		return 0
	}
	if bias <= 0 {
		return math.MaxInt
	}
	// A flow adds Σ (biased − fair)² / fair to the noncentrality: share·bias² for the one, and the others' part of it.
	share := least / total
	perFlow := share * bias * bias / (1 - share)
	df := float64(n - 1)
	limit := search(func(x float64) bool { return upperTail(x, df) <= alpha })
	needed := search(func(lambda float64) bool { return noncentralUpperTail(limit, df, lambda) >= power })
	return int(math.Ceil(needed / perFlow))
}
