package figures

import (
	"fmt"
	"math"
	"slices"

	"svclab/reports/measure"
)

// spreads of the data path: for each place the spread of the samples as strips or bars, and how the slow end grows as curves.
func (p *plotter) spreads(b *block) []section {
	if !sampled(b.rows) {
		return nil
	}
	s := section{Title: upper(b.title()), Better: Better(b.unit), Legend: p.legend(b.rows)}
	places := p.facets(b, func(k *measure.Key) { *k = measure.Key{Where: k.Where} })
	var values []float64
	most := 0
	for _, r := range b.rows {
		values, most = append(values, r.Samples...), max(most, len(r.Samples))
	}
	if b.unit != measure.Seconds {
		s.About = "Medians, from zero; thin lines are samples. At the right the median, and its ratio to " + p.to() + "; the dashed line is the median of " + p.to() + "."
		for _, f := range places {
			s.Figures = append(s.Figures, p.place(b, &f, stripPlot{axis: linearAxis(b.unit, values), bars: true}))
		}
		return []section{s}
	}
	s.About = "The line is the median, the box holds half of the samples, its whisker reaches from p5 to p99, the last mark is the maximum; at the right the median, and its ratio to " + p.to() + ", whose median is the dashed line. The axis is logarithmic."
	for _, f := range places {
		s.Figures = append(s.Figures, p.place(b, &f, stripPlot{axis: logAxis(b.unit, values)}))
	}
	if most < fewSamples {
		return []section{s}
	}
	slow := section{Title: s.Title + ", the slow end", Better: "further left is better", Legend: s.Legend,
		About: "The share of samples that took at most so long, on a scale that stretches the slow end."}
	x := logAxis(b.unit, values)
	for _, place := range places {
		base := slices.DeleteFunc(slices.Clone(place.rows), func(r *measure.Row) bool { return r.Proxy != direct })
		for _, f := range p.facets(&place.block, func(k *measure.Key) { k.Proxy = "" }) {
			if f.key.Through == direct || slices.Equal(f.rows, base) {
				continue
			}
			slow.Figures = append(slow.Figures, p.shares(&f, base, x, most))
		}
	}
	return []section{s, slow}
}

func (p *plotter) place(b *block, f *facet, plot stripPlot) figure {
	for _, r := range f.rows {
		if r.Proxy == direct {
			plot.base = measure.Median(r.Samples)
		}
	}
	p.strip(&plot, &f.block, func(r *measure.Row) string {
		without := *r
		without.Where = ""
		return p.words(&without)
	})
	head := f.key.Where
	if head == "" {
		head = b.title()
	}
	return figure{head, plot.draw(p.id(), fmt.Sprintf("%s (%s)", joined(b.title(), f.key.Where), Better(b.unit)), "One row for each of the table below; the dashed line is the median without a proxy."), p.numbers(&f.block)}
}

// shares draws which share of samples took at most how long.
func (p *plotter) shares(f *facet, base []*measure.Row, x axis, most int) figure {
	plot := linePlot{x: x, y: shareAxis(most), xTitle: "latency", bare: true}
	rows := append(slices.Clone(base), f.rows...)
	for _, r := range rows {
		sorted := slices.Sorted(slices.Values(r.Samples))
		line := series{name: p.name(r), style: p.style(p.name(r))}
		for i := range 60 {
			share := 1 - math.Pow(10, -float64(i)*-math.Log10(1-plot.y.hi)/59)
			if len(sorted) > 0 && share <= 1-1/float64(len(sorted)) {
				line.points = append(line.points, point{measure.Quantile(sorted, share), share, 0})
			}
		}
		plot.lines = append(plot.lines, line)
	}
	all := block{work: f.work, clock: f.clock, unit: f.unit, rows: rows}
	head := p.facetWords(f)
	if head == "" {
		head = f.title()
	}
	return figure{head, plot.draw(p.id(), joined(f.title(), head)+": distribution of latencies (further left is better)", "The share of samples that took at most so long, one line a proxy."), p.numbers(&all)}
}
