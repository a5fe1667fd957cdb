package figures

import (
	"cmp"
	"html/template"
	"slices"
)

// series is one line of a plot.
type series struct {
	name   string
	style  style
	points []point
	end    string // said at its right end: its last value
}

// point has a whisker up to high, when that is not 0.
type point struct{ x, y, high float64 }

// linePlot draws lines over an axis, with marks at their points; of many points few are marked.
type linePlot struct {
	x, y   axis
	xTitle string
	lines  []series
	bare   bool // the points are of a curve, and none is shifted
}

const (
	plotHeight = 250
	plotLeft   = 52
	plotRight  = 58
	plotTop    = 8
	plotBottom = 40
	manyPoints = 25
)

func (p *linePlot) draw(id, title, about string) template.HTML {
	var d drawing
	left, right, bottom := float64(plotLeft), float64(wide-plotRight), float64(plotHeight-plotBottom)
	if !slices.ContainsFunc(p.lines, func(s series) bool { return s.end != "" }) {
		right = wide - 14
	}
	x := func(v float64) float64 { return left + p.x.place(v)*(right-left) }
	y := func(v float64) float64 { return bottom - p.y.place(v)*(bottom-plotTop) }
	for _, t := range p.y.ticks {
		d.line("grid", left, y(t.at), right, y(t.at))
		d.text("tick", left-6, y(t.at)+4, "end", t.text)
	}
	until := -1.0
	for _, t := range p.x.ticks {
		at, half := x(t.at), 3.2*float64(len(t.text))
		d.line("grid", at, plotTop, at, bottom)
		if at-half < until {
			continue // it would cover the one before
		}
		until = at + half + 4
		d.text("tick", at, bottom+15, "middle", t.text)
	}
	d.line("axis", left, bottom, right, bottom)
	d.text("tick", (left+right)/2, bottom+32, "middle", p.xTitle)
	var ends []label
	for i, s := range p.lines {
		if len(s.points) == 0 {
			continue
		}
		aside := 0.0 // so that whiskers of several lines do not hide each other
		if len(s.points) <= manyPoints && !p.bare {
			aside = 3 * (float64(i) - float64(len(p.lines)-1)/2)
		}
		var path [][2]float64
		for _, at := range s.points {
			path = append(path, [2]float64{x(at.x) + aside, y(at.y)})
			if at.high > at.y {
				d.line("whisker "+string(s.style), x(at.x)+aside, y(at.y), x(at.x)+aside, y(at.high))
				d.line("whisker "+string(s.style), x(at.x)+aside-3, y(at.high), x(at.x)+aside+3, y(at.high))
			}
		}
		class := "curve " + string(s.style)
		if len(s.points) > manyPoints {
			class += " dense"
		}
		d.path(class, path)
		every := max(1, len(path)/8)
		if len(s.points) <= manyPoints {
			every = 1
		}
		for n := (every / 2) * (i + 1) / max(1, len(p.lines)); n < len(path); n += every {
			d.mark(s.style, path[n][0], path[n][1], 3.6)
		}
		last := path[len(path)-1]
		ends = append(ends, label{s.end, s.style, last[1]})
	}
	for _, e := range apart(ends, 12, plotTop+4, bottom) {
		d.text("end "+string(e.style), right+7, e.y+4, "start", e.text)
	}
	return d.svg(id, plotHeight, title, about)
}

// label is at a height.
type label struct {
	text  string
	style style
	y     float64
}

// apart moves labels up and down until none covers another.
func apart(labels []label, space, top, bottom float64) []label {
	slices.SortStableFunc(labels, func(a, b label) int { return cmp.Compare(a.y, b.y) })
	for i := range labels {
		if i > 0 {
			labels[i].y = max(labels[i].y, labels[i-1].y+space)
		}
		labels[i].y = max(labels[i].y, top)
	}
	limit := bottom
	for i := len(labels) - 1; i >= 0; i-- {
		labels[i].y = min(labels[i].y, limit)
		limit = labels[i].y - space
	}
	return labels
}

// thin keeps of many points the highest of each stretch, so that no peak is lost.
func thin(points []point, most int) []point {
	if len(points) <= most {
		return points
	}
	var out []point
	for i := range most {
		stretch := points[i*len(points)/most : (i+1)*len(points)/most]
		out = append(out, slices.MaxFunc(stretch, func(a, b point) int { return cmp.Compare(a.y, b.y) }))
	}
	return out
}
