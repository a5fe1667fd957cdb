package figures

import (
	"html/template"
	"slices"

	"svclab/reports/measure"
)

// strip is a row of a plot whose axis lies.
type strip struct {
	heading string // above it, where it differs from that of the one before
	name    string
	style   style
	samples []float64
	said    string // at its right: the median, and the ratio
}

// stripPlot draws of each strip how its samples are spread: few as points, many as a box.
type stripPlot struct {
	axis   axis
	strips []strip
	bars   bool    // from zero up to the median, with the samples as points
	base   float64 // a line across all of them: the reference's median; 0: none
}

const (
	stripLeft  = 8
	stripRight = wide - 8
	fewSamples = 12
)

func (p *stripPlot) draw(id, title, about string) template.HTML {
	var d, marks drawing
	x := func(v float64) float64 { return stripLeft + p.axis.place(v)*(stripRight-stripLeft) }
	y, top, heading := 4.0, 8.0, ""
	for _, s := range p.strips {
		if s.heading != heading {
			y += 16
			marks.text("heading", stripLeft, y, "start", short(s.heading, 58))
			heading = s.heading
			y += 4
		}
		y += 14
		marks.mark(s.style, stripLeft+5, y-4, 3.6)
		marks.text("name", stripLeft+14, y, "start", short(s.name, 34))
		marks.text("said", stripRight, y, "end", s.said)
		y += 12
		p.spread(&marks, s, x, y)
		y += 9
	}
	y += 4
	until := -1.0
	for _, t := range p.axis.ticks {
		at, half := x(t.at), 3.2*float64(len(t.text))
		anchor, from := "middle", at-half
		switch {
		case at-half < 0:
			anchor, from = "start", at
		case at+half > wide:
			anchor, from = "end", at-2*half
		}
		d.line("grid", at, top, at, y)
		if from < until {
			continue
		}
		until = from + 2*half + 6
		d.text("tick", at, y+15, anchor, t.text)
	}
	d.line("axis", stripLeft, y, stripRight, y)
	if p.base > 0 {
		d.line("base", x(p.base), top, x(p.base), y)
	}
	d.WriteString(marks.String())
	return d.svg(id, y+22, title, about)
}

// spread draws the samples of a strip around a height.
func (p *stripPlot) spread(d *drawing, s strip, x func(float64) float64, y float64) {
	if len(s.samples) == 0 {
		d.text("tick", stripLeft+14, y+4, "start", "no sample")
		return
	}
	class := string(s.style)
	sorted := slices.Sorted(slices.Values(s.samples))
	middle := measure.Quantile(sorted, 0.5)
	switch {
	case p.bars:
		d.rect("bar "+class, x(0), y-5, max(x(middle)-x(0), 1.5), 10)
		if len(sorted) > 1 && len(sorted) < fewSamples {
			for _, v := range sorted {
				d.line("sample", x(v), y-5, x(v), y+5)
			}
		} else if len(sorted) > 1 {
			d.line("whisker "+class, x(measure.Quantile(sorted, 0.05)), y, x(measure.Quantile(sorted, 0.95)), y)
		}
		return
	case len(sorted) < fewSamples:
		for _, v := range sorted {
			d.mark(s.style, x(v), y, 2.6)
		}
	default:
		box := [2]float64{x(measure.Quantile(sorted, 0.25)), x(measure.Quantile(sorted, 0.75))}
		d.line("whisker "+class, x(measure.Quantile(sorted, 0.05)), y, x(measure.Quantile(sorted, 0.99)), y)
		d.rect("box "+class, box[0], y-5, max(box[1]-box[0], 1.5), 10)
		if len(sorted) >= 1000 {
			d.mark(s.style, x(measure.Quantile(sorted, 0.999)), y, 1.8)
		}
		d.mark(s.style, x(sorted[len(sorted)-1]), y, 2.4)
	}
	d.line("middle "+class, x(middle), y-7, x(middle), y+7)
}
