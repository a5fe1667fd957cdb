package stat

import "math"

// upperTail is the probability that a chi-square variable with df degrees of freedom is at least x.
func upperTail(x, df float64) float64 { return gammaQ(df/2, x/2) }

// noncentralUpperTail is the same for a noncentral chi-square variable: a Poisson mixture of central ones with df + 2j
// degrees of freedom. Terms are added outwards from the largest, so that a large lambda does not underflow.
func noncentralUpperTail(x, df, lambda float64) float64 {
	if lambda == 0 {
		return upperTail(x, df)
	}
	term := func(j float64) float64 {
		lg, _ := math.Lgamma(j + 1)
		return math.Exp(-lambda/2+j*math.Log(lambda/2)-lg) * upperTail(x, df+2*j)
	}
	const enough = 1e-16
	mode := math.Floor(lambda / 2)
	sum := 0.0
	for j := mode; j >= 0; j-- {
		t := term(j)
		sum += t
		if t < enough*sum {
			break
		}
	}
	for j := mode + 1; ; j++ {
		t := term(j)
		sum += t
		if t < enough*sum || t == 0 {
			return min(sum, 1)
		}
	}
}

// gammaQ is the regularized upper incomplete gamma function Q(a, x): by its series where x is small against a, else by
// its continued fraction, evaluated with the modified Lentz method (NIST DLMF 8.11.4 and 8.9.2).
func gammaQ(a, x float64) float64 {
	switch {
	case x <= 0:
		return 1
	case math.IsInf(x, 1):
		return 0
	}
	lg, _ := math.Lgamma(a)
	front := math.Exp(a*math.Log(x) - x - lg)
	if x < a+1 {
		term := 1 / a
		sum := term
		for n := a + 1; term > sum*1e-17; n++ {
			term *= x / n
			sum += term
		}
		return max(0, 1-front*sum)
	}
	const tiny = 1e-300
	b := x + 1 - a
	c, d := 1/tiny, 1/b
	h := d
	for i := 1.0; ; i++ {
		an := -i * (i - a)
		b += 2
		d = an*d + b
		if math.Abs(d) < tiny {
			d = tiny
		}
		c = b + an/c
		if math.Abs(c) < tiny {
			c = tiny
		}
		d = 1 / d
		step := c * d
		h *= step
		if math.Abs(step-1) < 1e-15 || i > 1e5 {
			return front * h
		}
	}
}

// search finds the least x ≥ 0 for which enough holds, given that it holds for all larger ones.
func search(enough func(float64) bool) float64 {
	high := 1.0
	for !enough(high) {
		high *= 2
	}
	low := 0.0
	for high-low > 1e-9*high {
		if mid := (low + high) / 2; enough(mid) {
			high = mid
		} else {
			low = mid
		}
	}
	return high
}
