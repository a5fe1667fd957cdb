package figures

import (
	"cmp"
	"fmt"
	"html/template"
	"slices"
	"strings"

	"svclab/reports/measure"
)

// section of the page: plots that are read beside each other, with the same lines and where it helps the same axis.
type section struct {
	Title, About string
	Better       string // what to wish for: "less is better"
	Legend       []key
	Figures      []figure
}

type key struct {
	Name string
	Mark template.HTML
}

type figure struct {
	Title string
	Plot  template.HTML
	Grid  *Grid // the same in numbers
}

// plotter makes the sections of a run.
type plotter struct {
	*view
	names   []string // of lines: proxies, and nodes where they differ
	figures int
}

// sections in which a run is drawn.
func (v *view) sections() []section {
	p := &plotter{view: v}
	for _, proxy := range v.proxies {
		for i := range v.Rows {
			if name := p.name(&v.Rows[i]); v.Rows[i].Proxy == proxy && !slices.Contains(p.names, name) {
				p.names = append(p.names, name)
			}
		}
	}
	var out []section
	add := func(s []section) { out = append(out, s...) }
	switch v.Kind {
	case measure.Datapath:
		for _, b := range v.blocks {
			add(p.spreads(b))
		}
	default:
		add(p.curves())
		add(p.courses())
		add(p.bars())
	}
	return out
}

// name of a row's line.
func (p *plotter) name(r *measure.Row) string {
	name := r.Proxy
	if slices.ContainsFunc(p.shown, func(c Column) bool { return c.Head == "nodes" }) && r.Nodes > 0 {
		nodes := after(" nodes")(thousands(number(r.Nodes)))
		if name = nodes; len(p.proxies) > 1 {
			name = r.Proxy + ", " + nodes
		}
	}
	return name
}

func (p *plotter) style(name string) style {
	if name == direct {
		return "sd"
	}
	others := slices.DeleteFunc(slices.Clone(p.names), func(n string) bool { return n == direct })
	return style(fmt.Sprintf("s%d", slices.Index(others, name)%styles))
}

// legend of the lines that rows have.
func (p *plotter) legend(rows []*measure.Row) (out []key) {
	for _, name := range p.names {
		if slices.ContainsFunc(rows, func(r *measure.Row) bool { return p.name(r) == name && len(r.Samples) > 0 }) {
			var d drawing
			s := p.style(name)
			d.path("curve "+string(s), [][2]float64{{0, 8}, {28, 8}})
			d.mark(s, 14, 8, 4)
			out = append(out, key{name, template.HTML(`<svg class="key" viewBox="0 0 28 16" aria-hidden="true">` + d.String() + `</svg>`)})
		}
	}
	return out
}

func (p *plotter) id() string {
	p.figures++
	return fmt.Sprintf("figure-%d", p.figures)
}

// size is what a plot of rows has on its x axis, with its title.
func (p *plotter) size(r *measure.Row) (float64, string) {
	if p.Kind == measure.Lab {
		return float64(r.Pods), "pods"
	}
	return float64(r.Services), "Services"
}

// sizes that rows differ in.
func (p *plotter) sizes(rows []*measure.Row) []float64 {
	var out []float64
	for _, r := range rows {
		if x, _ := p.size(r); x > 0 && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	slices.Sort(out)
	return out
}

// facets parts the rows of a block by all that is neither on the x axis nor a line.
func (p *plotter) facets(b *block, keep func(*measure.Key)) (out []facet) {
	for _, r := range b.rows {
		k := r.Key()
		k.Proxy = ""
		if p.Kind == measure.Lab {
			k.Nodes, k.Pods = 0, 0
		} else {
			k.Services = 0
		}
		if keep != nil {
			k = r.Key()
			keep(&k)
		}
		i := slices.IndexFunc(out, func(f facet) bool { return f.key == k })
		if i < 0 {
			i, out = len(out), append(out, facet{block: block{work: b.work, clock: b.clock, unit: b.unit}, key: k})
		}
		out[i].rows = append(out[i].rows, r)
	}
	return out
}

type facet struct {
	block
	key measure.Key
}

// proxy of the facet's rows, when it is one.
func (f *facet) proxy() string {
	if slices.ContainsFunc(f.rows, func(r *measure.Row) bool { return r.Proxy != f.rows[0].Proxy }) {
		return ""
	}
	return f.rows[0].Proxy
}

// words in which the facet differs from others.
func (p *plotter) facetWords(f *facet) string {
	return p.words(&measure.Row{Proxy: f.proxy(), Services: f.key.Services, Endpoints: f.key.Endpoints, Through: f.key.Through, Where: f.key.Where, Nodes: f.key.Nodes, Pods: f.key.Pods})
}

func joined(title, words string) string {
	if words == "" {
		return title
	}
	return title + ", " + words
}

// numbers are a figure's rows as a table.
func (p *plotter) numbers(b *block) *Grid {
	return p.grid(b)
}

// isTime: a clock, and not how long a processor was busy.
func isTime(b *block) bool { return b.unit == measure.Seconds && !isCPU(b) }

func isCPU(b *block) bool { return strings.Contains(b.clock, "CPU") || strings.Contains(b.work, "CPU") }

func isCourse(b *block) bool {
	return slices.ContainsFunc(b.rows, func(r *measure.Row) bool { return len(r.At) > 1 })
}

func sampled(rows []*measure.Row) bool {
	return slices.ContainsFunc(rows, func(r *measure.Row) bool { return len(r.Samples) > 0 })
}

// curves: a section for each clock, in it a plot for each work: medians over the size, whiskers up to p95. Where there is one
// size only, its samples.
func (p *plotter) curves() (out []section) {
	var clocks []string
	for _, b := range p.blocks {
		if isTime(b) && !isCourse(b) && !slices.Contains(clocks, b.clock) {
			clocks = append(clocks, b.clock)
		}
	}
	for _, clock := range clocks {
		var blocks []*block
		var rows []*measure.Row
		var values []float64
		for _, b := range p.blocks {
			if isTime(b) && !isCourse(b) && b.clock == clock && sampled(b.rows) {
				blocks, rows = append(blocks, b), append(rows, b.rows...)
			}
		}
		if len(rows) == 0 {
			continue
		}
		for _, r := range rows {
			if s := measure.Summarize(r.Samples); s != nil {
				values = append(values, s.Median, s.P95)
			}
		}
		sizes := p.sizes(rows)
		s := section{Title: upper(clock), Better: Better(measure.Seconds), Legend: p.legend(rows)}
		if clock == "" {
			s.Title = "Time"
		}
		if len(sizes) < 2 {
			s.About = "The line is the median, the box holds half of the samples, its whisker reaches from p5 to p99, the last mark is the maximum; few samples are shown each. The axis is logarithmic, and the same in all plots of this part."
			values = nil
			for _, r := range rows {
				values = append(values, r.Samples...)
			}
			for _, b := range blocks {
				s.Figures = append(s.Figures, p.samples(b, logAxis(b.unit, values)))
			}
			out = append(out, s)
			continue
		}
		_, over := p.size(rows[0])
		s.About = "Median over the number of " + over + ", with a whisker up to p95; at the right the last median. A flat line is one that does not care for size. Both axes are logarithmic, and the same in all plots of this part."
		y := logAxis(measure.Seconds, values)
		for _, b := range blocks {
			for _, f := range p.facets(b, nil) {
				if sampled(f.rows) {
					s.Figures = append(s.Figures, p.curve(&f, valueAxis(sizes), y, over))
				}
			}
		}
		out = append(out, s)
	}
	return out
}

func (p *plotter) curve(f *facet, x, y axis, over string) figure {
	plot := linePlot{x: x, y: y, xTitle: over}
	for _, name := range p.names {
		s := series{name: name, style: p.style(name)}
		for _, r := range f.rows {
			if sum := measure.Summarize(r.Samples); sum != nil && p.name(r) == name {
				size, _ := p.size(r)
				s.points = append(s.points, point{size, sum.Median, sum.P95})
				s.end = Human(f.unit, sum.Median)
			}
		}
		if len(s.points) > 0 {
			plot.lines = append(plot.lines, s)
		}
	}
	head := joined(f.work, p.facetWords(f))
	return figure{head, plot.draw(p.id(), Title(head, f.clock)+" (less is better)", "Median time over the number of "+over+", one line a proxy. The numbers are in the table below."), p.numbers(&f.block)}
}

// samples of one block, a strip for each row.
func (p *plotter) samples(b *block, x axis) figure {
	plot := stripPlot{axis: x}
	p.strip(&plot, b, nil)
	return figure{b.work, plot.draw(p.id(), b.title()+" ("+Better(b.unit)+")", "Spread of the samples, one strip a row of the table below."), p.numbers(b)}
}

// strip adds a strip for each row; the heading is of what the figure's title does not say.
func (p *plotter) strip(plot *stripPlot, b *block, heading func(*measure.Row) string) {
	for _, r := range b.rows {
		said := Human(b.unit, measure.Median(r.Samples))
		if ratio := Times(p.ratio(b, r)); ratio != "" && len(p.proxies) > 1 {
			said += "  " + ratio
		}
		s := strip{name: p.name(r), style: p.style(p.name(r)), samples: r.Samples, said: said}
		if heading != nil {
			s.heading = heading(r)
		}
		plot.strips = append(plot.strips, s)
	}
}

// courses: latency over time, where it was measured with a time.
func (p *plotter) courses() []section {
	s := section{Title: "Over time", Better: Better(measure.Seconds), About: "Latency of each change by the time that it was made. Flat and low is better: a line that rises is a queue. At the right the median. The vertical axis is logarithmic, and the same in all plots of this part."}
	var facets []facet
	var values []float64
	var rows []*measure.Row
	for _, b := range p.blocks {
		if !isTime(b) || !isCourse(b) {
			continue
		}
		for _, f := range p.facets(b, func(k *measure.Key) { k.Proxy = "" }) {
			facets = append(facets, f)
			for _, r := range f.rows {
				values, rows = append(values, r.Samples...), append(rows, r)
			}
		}
	}
	y := logAxis(measure.Seconds, values)
	for _, f := range facets {
		var ends []float64
		plot := linePlot{y: y, xTitle: "seconds since it began"}
		for _, r := range f.rows {
			n := min(len(r.At), len(r.Samples))
			if n == 0 {
				continue
			}
			line := series{name: p.name(r), style: p.style(p.name(r)), end: Human(f.unit, measure.Median(r.Samples))}
			for i := range n {
				line.points = append(line.points, point{r.At[i], r.Samples[i], 0})
			}
			ends = append(ends, r.At[n-1])
			line.points = thin(line.points, 200)
			plot.lines = append(plot.lines, line)
		}
		plot.x = linearAxis(measure.Count, ends)
		head := joined(Title(f.work, f.clock), p.facetWords(&f))
		s.Figures = append(s.Figures, figure{head, plot.draw(p.id(), head+" (less is better)", "Latency over time, one line a proxy. The numbers are in the table below."), p.numbers(&f.block)})
	}
	if len(facets) == 0 {
		return nil
	}
	s.Legend = p.legend(rows)
	return []section{s}
}

// bars: what is not a time: memory, processor, counts.
func (p *plotter) bars() []section {
	s := section{Title: "Memory, processor and counts", Better: Better(measure.Bytes), About: "Medians, from zero; thin lines are samples."}
	var rows []*measure.Row
	for _, b := range p.blocks {
		if isTime(b) || !sampled(b.rows) {
			continue
		}
		s.Figures = append(s.Figures, p.barsOf(b))
		rows = append(rows, b.rows...)
	}
	if len(rows) == 0 {
		return nil
	}
	s.Legend = p.legend(rows)
	return []section{s}
}

func (p *plotter) barsOf(b *block) figure {
	head := b.title()
	var values []float64
	for _, r := range b.rows {
		values = append(values, r.Samples...)
	}
	plot := stripPlot{axis: linearAxis(b.unit, values), bars: true}
	rows := slices.Clone(b.rows)
	slices.SortStableFunc(rows, func(a, b *measure.Row) int { return cmp.Compare(a.Pods, b.Pods) })
	p.strip(&plot, &block{b.work, b.clock, b.unit, rows}, func(r *measure.Row) string {
		without := *r
		without.Nodes = 0 // in the names
		return p.words(&without)
	})
	if b.unit.HigherIsBetter() {
		head += " (more is better)"
	}
	return figure{head, plot.draw(p.id(), fmt.Sprintf("%s (%s)", Title(b.work, b.clock), Better(b.unit)), "Medians as bars, one for each row of the table below."), p.numbers(b)}
}

// upper makes the first letter a capital.
func upper(text string) string {
	if text == "" || text[0] < 'a' || text[0] > 'z' {
		return text
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
