package stat

import (
	"math"
	"math/rand/v2"
	"testing"
)

// Published values: NIST/SEMATECH e-Handbook of Statistical Methods, table 1.3.6.7.4 (upper critical values of the
// chi-square distribution); and closed forms: Q(1, x) = e⁻ˣ, Q(1/2, x) = erfc(√x).
func TestUpperTailAgainstTables(t *testing.T) {
	for _, c := range []struct{ df, x, p float64 }{
		{1, 3.841, 0.05}, {1, 10.828, 0.001}, {2, 5.991, 0.05}, {2, 13.816, 0.001}, {5, 11.070, 0.05},
		{9, 16.919, 0.05}, {9, 27.877, 0.001}, {10, 23.209, 0.01}, {30, 59.703, 0.001}, {100, 124.342, 0.05}, {100, 149.449, 0.001},
	} {
		if got := upperTail(c.x, c.df); math.Abs(got-c.p) > 0.0005*c.p+2e-5 {
			t.Errorf("P(chi² with %v degrees of freedom ≥ %v) = %.6f, want %v", c.df, c.x, got, c.p)
		}
	}
	for _, x := range []float64{0.1, 0.5, 1, 2, 5, 11, 30, 200} {
		if got, want := gammaQ(1, x), math.Exp(-x); math.Abs(got/want-1) > 1e-12 {
			t.Errorf("Q(1, %v) = %g, want %g", x, got, want)
		}
		if got, want := gammaQ(0.5, x), math.Erfc(math.Sqrt(x)); math.Abs(got/want-1) > 1e-11 {
			t.Errorf("Q(1/2, %v) = %g, want %g", x, got, want)
		}
	}
}

// With one degree of freedom a noncentral chi-square is the square of a normal variable with mean √λ.
func TestNoncentralAgainstNormal(t *testing.T) {
	for _, x := range []float64{0.5, 4, 23.93, 60} {
		for _, lambda := range []float64{0, 0.3, 2, 25, 52, 900} {
			root, mean := math.Sqrt(x), math.Sqrt(lambda)
			want := math.Erfc((root-mean)/math.Sqrt2)/2 + math.Erfc((root+mean)/math.Sqrt2)/2
			if got := noncentralUpperTail(x, 1, lambda); math.Abs(got-want) > 1e-10 {
				t.Errorf("P(chi²(1, λ=%v) ≥ %v) = %.12f, want %.12f", lambda, x, got, want)
			}
		}
	}
}

func TestChiSquare(t *testing.T) {
	for _, c := range []struct {
		name     string
		observed []int
		weights  []float64
		stat, p  float64
	}{
		// Mendel's peas, 1866: 315, 101, 108, 32 for 9:3:3:1; the textbook's statistic is 0.470.
		{"Mendel", []int{315, 101, 108, 32}, []float64{9, 3, 3, 1}, 0.470, 0.9254},
		{"a coin, 60 of 100", []int{60, 40}, []float64{0.5, 0.5}, 4, 0.0455},
		{"all on one of two", []int{100, 0}, []float64{1, 1}, 100, 0},
		{"one endpoint", []int{7}, []float64{1}, 0, 1},
		{"nothing sent", []int{0, 0}, []float64{1, 1}, 0, 1},
		{"seen where nothing may be", []int{5, 1}, []float64{1, 0}, math.Inf(1), 0},
		{"no share and nothing seen", []int{50, 50, 0}, []float64{1, 1, 0}, 0, 1},
	} {
		stat, p := ChiSquare(c.observed, c.weights)
		if stat != c.stat && math.Abs(stat-c.stat) > 0.0005 || math.Abs(p-c.p) > 0.00005 {
			t.Errorf("%s: got %.4f, p %.5f; want %.4f, p %.5f", c.name, stat, p, c.stat, c.p)
		}
	}
}

// Under the null hypothesis a p-value is below α in a part α of all runs: counted, and compared with the binomial's
// standard deviation.
func TestPValuesAreCalibrated(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const runs = 6000
	for _, k := range []int{2, 3, 10} {
		weights := make([]float64, k)
		for i := range weights {
			weights[i] = 1
		}
		flows := 10 * k * k
		below := map[string]map[float64]int{"chi-square": {}, "independence": {}}
		for range runs {
			observed, sequence := make([]int, k), make([]int, flows)
			for i := range sequence {
				sequence[i] = rng.IntN(k)
				observed[sequence[i]]++
			}
			_, fair := ChiSquare(observed, weights)
			for name, p := range map[string]float64{"chi-square": fair, "independence": Independent(sequence, k)} {
				for _, alpha := range []float64{0.1, 0.01, 0.001} {
					if p <= alpha {
						below[name][alpha]++
					}
				}
			}
		}
		for name, counts := range below {
			for _, alpha := range []float64{0.1, 0.01, 0.001} {
				// Counts are discrete (a coin thrown 40 times): half of α more is granted beside 4 deviations.
				slack := 4*math.Sqrt(runs*alpha*(1-alpha)) + 0.5*alpha*runs
				if got := float64(counts[alpha]); math.Abs(got-alpha*runs) > slack {
					t.Errorf("%s of %d: p ≤ %v in %v of %d fair runs, want %v ± %.0f", name, k, alpha, got, runs, alpha*runs, slack)
				}
			}
		}
	}
}

func TestIndependentSeesPatterns(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	const n = 5000
	for _, c := range []struct {
		name string
		k    int
		next func(i, last int) int
		fail bool
	}{
		{"random of two", 2, func(int, int) int { return rng.IntN(2) }, false},
		{"random of ten", 10, func(int, int) int { return rng.IntN(10) }, false},
		{"random and biased", 2, func(int, int) int { return min(1, rng.IntN(4)) }, false},
		{"one endpoint", 1, func(int, int) int { return 0 }, false},
		{"always the second of two", 2, func(int, int) int { return 1 }, false},
		{"round-robin of two", 2, func(i, _ int) int { return i % 2 }, true},
		{"round-robin of three", 3, func(i, _ int) int { return i % 3 }, true},
		{"round-robin of ten", 10, func(i, _ int) int { return i % 10 }, true},
		{"round-robin, each twice", 2, func(i, _ int) int { return i / 2 % 2 }, true},
		{"stays with probability 0.6", 2, func(_, last int) int {
			if rng.IntN(10) < 6 {
				return last
			}
			return 1 - last
		}, true},
	} {
		sequence := make([]int, n)
		for i := range sequence {
			sequence[i] = c.next(i, sequence[max(0, i-1)])
		}
		if p := Independent(sequence, c.k); (p < 1e-6) != c.fail {
			t.Errorf("%s: p = %g, want below 1e-6: %v", c.name, p, c.fail)
		}
	}
	if p := Independent([]int{1}, 2); p != 1 {
		t.Errorf("a sequence of one: p = %v, want 1", p)
	}
}

func TestFlowsToSee(t *testing.T) {
	for _, c := range []struct {
		share float64
		want  int
	}{{0.5, 20}, {0.1, 132}, {1, 1}, {0, math.MaxInt}} {
		if got := FlowsToSee(c.share, 1e-6); got != c.want {
			t.Errorf("FlowsToSee(%v, 1e-6) = %d, want %d", c.share, got, c.want)
		}
	}
}

func TestFlowsForBias(t *testing.T) {
	even := func(n int) []float64 {
		w := make([]float64, n)
		for i := range w {
			w[i] = 1 / float64(n)
		}
		return w
	}
	for _, c := range []struct {
		name     string
		weights  []float64
		low, top int
	}{
		{"one endpoint", even(1), 0, 0},
		// (z(1 − 1e-6/2) + z(0.99))² / 0.1² by the normal approximation: (4.8916 + 2.3263)² · 100 = 5209.8.
		{"two", even(2), 5209, 5211},
		{"ten", even(10), 60000, 90000},
		// The smaller share counts: 5209.8 · (1 − 1/3) / (1/3) flows, wherever it stands.
		{"two to one", []float64{2, 1}, 10418, 10421},
		{"one to two", []float64{1, 2}, 10418, 10421},
		{"unused ones do not count", []float64{1, 1, 0}, 5209, 5211},
	} {
		if got := FlowsForBias(c.weights, 0.1, 1e-6, 0.99); got < c.low || got > c.top {
			t.Errorf("%s: %d flows, want %d to %d", c.name, got, c.low, c.top)
		}
	}
	if got := FlowsForBias(even(2), 0, 1e-6, 0.99); got != math.MaxInt {
		t.Errorf("no bias: %d flows, want as many as there are", got)
	}
}

// The power is what it says: of simulated biased choices, 99 % are called biased with the flows that FlowsForBias asks
// for, and clearly fewer with half of them.
func TestPowerIsAsPromised(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 8))
	const bias, alpha, power, runs = 0.3, 1e-4, 0.99, 3000
	for _, k := range []int{2, 5} {
		weights := make([]float64, k)
		for i := range weights {
			weights[i] = 1
		}
		flows := FlowsForBias(weights, bias, alpha, power)
		first := (1 + bias) / float64(k)
		called := func(flows int) float64 {
			n := 0
			for range runs {
				observed := make([]int, k)
				for range flows {
					if rng.Float64() < first {
						observed[0]++
					} else {
						observed[1+rng.IntN(k-1)]++
					}
				}
				if _, p := ChiSquare(observed, weights); p < alpha {
					n++
				}
			}
			return float64(n) / runs
		}
		if got := called(flows); got < power-0.008 || got > power+0.008 {
			t.Errorf("%d endpoints: %.4f of the biased runs are called with %d flows, want about %v", k, got, flows, power)
		}
		if got := called(flows / 2); got > 0.85 {
			t.Errorf("%d endpoints: %.4f are called with half the flows: FlowsForBias asks for too many", k, got)
		}
	}
}
