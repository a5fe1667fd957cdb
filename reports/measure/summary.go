package measure

import (
	"math"
	"slices"
)

// Summary is what is shown of samples, in their unit.
type Summary struct {
	N      int     `json:"n"`
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	P95    float64 `json:"p95"`
	P99    float64 `json:"p99"`
	P999   float64 `json:"p999"`
	Max    float64 `json:"max"`
}

// Summarize returns nil when there are no samples.
func Summarize(samples []float64) *Summary {
	if len(samples) == 0 {
		return nil
	}
	s := slices.Sorted(slices.Values(samples))
	return &Summary{len(s), s[0], Quantile(s, 0.5), Quantile(s, 0.95), Quantile(s, 0.99), Quantile(s, 0.999), s[len(s)-1]}
}

// Median of samples; NaN when there are none.
func Median(samples []float64) float64 {
	if len(samples) == 0 {
		return math.NaN()
	}
	return Quantile(slices.Sorted(slices.Values(samples)), 0.5)
}

// Quantile p (from 0 to 1) of sorted samples, of which there is at least one, between two of them by their distance (Hyndman and Fan 1996, type 7).
func Quantile(sorted []float64, p float64) float64 {
	at := p * float64(len(sorted)-1)
	i := int(at)
	if i+1 >= len(sorted) {
		return sorted[len(sorted)-1]
	}
	return sorted[i] + (at-float64(i))*(sorted[i+1]-sorted[i])
}
