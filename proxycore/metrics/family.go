package metrics

import (
	"time"

	dto "github.com/prometheus/client_model/go"
)

// The buckets are upstream's.
var (
	exponential = func() (b []float64) { // 1 ms to 16.4 s
		for i, v := 0, 0.001; i < 15; i, v = i+1, 2*v {
			b = append(b, v)
		}
		return b
	}()
	linear = func() (b []float64) { // 0.25 s to 5 min
		b = []float64{0.25, 0.5}
		for _, part := range []struct{ from, step, to float64 }{{1, 1, 59}, {60, 5, 115}, {120, 30, 300}} {
			for v := part.from; v <= part.to; v += part.step {
				b = append(b, v)
			}
		}
		return b
	}()
)

// histogram counts durations.
type histogram struct {
	bounds []float64
	counts []uint64 // of each bucket alone; the last is beyond all bounds
	sum    float64
}

func newHistogram(bounds []float64) histogram {
	return histogram{bounds: bounds, counts: make([]uint64, len(bounds)+1)}
}

func (h *histogram) observe(d time.Duration) {
	v, i := d.Seconds(), 0
	for i < len(h.bounds) && v > h.bounds[i] {
		i++
	}
	h.counts[i]++
	h.sum += v
}

func (h *histogram) family(name, help string) *dto.MetricFamily {
	sum, n := h.sum, uint64(0) // copies: it is encoded when others measure again
	out := &dto.Histogram{SampleSum: &sum}
	for i, bound := range h.bounds {
		n += h.counts[i]
		so := n
		out.Bucket = append(out.Bucket, &dto.Bucket{UpperBound: &bound, CumulativeCount: &so})
	}
	n += h.counts[len(h.bounds)]
	out.SampleCount = &n
	return &dto.MetricFamily{Name: &name, Help: &help, Type: dto.MetricType_HISTOGRAM.Enum(), Metric: []*dto.Metric{{Histogram: out}}}
}

// sample is one value with its labels: name, value, name, value, in order of the names.
type sample struct {
	value  float64
	labels []string
}

func value(v float64, labels ...string) sample { return sample{v, labels} }

func (s sample) pairs() (out []*dto.LabelPair) {
	for i := 0; i < len(s.labels); i += 2 {
		out = append(out, &dto.LabelPair{Name: &s.labels[i], Value: &s.labels[i+1]})
	}
	return out
}

func gauge(name, help string, samples ...sample) *dto.MetricFamily {
	f := &dto.MetricFamily{Name: &name, Help: &help, Type: dto.MetricType_GAUGE.Enum()}
	for _, s := range samples {
		f.Metric = append(f.Metric, &dto.Metric{Label: s.pairs(), Gauge: &dto.Gauge{Value: &s.value}})
	}
	return f
}

func counter(name, help string, samples ...sample) *dto.MetricFamily {
	f := &dto.MetricFamily{Name: &name, Help: &help, Type: dto.MetricType_COUNTER.Enum()}
	for _, s := range samples {
		f.Metric = append(f.Metric, &dto.Metric{Label: s.pairs(), Counter: &dto.Counter{Value: &s.value}})
	}
	return f
}
