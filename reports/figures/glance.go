package figures

import (
	"math"
	"slices"
	"strings"

	"svclab/reports/measure"
)

// glance is the run in one small table: at its largest size, through its last Service, of each work the first clock, the
// medians of all proxies beside each other.
type glance struct {
	Title   string
	About   string
	Proxies []string
	Rows    []glanceRow
}

type glanceRow struct {
	Work, Better string
	Cells        []glanceCell
}

type glanceCell struct {
	Value, Ratio string
	Best         bool
}

// glance is nil when there is nothing to put beside each other.
func (v *view) glance() *glance {
	g := &glance{Proxies: v.proxies, Title: "Medians", About: "Each beside its ratio to " + v.to() + "; bold is the best of the proxies."}
	var works, clocks []string
	for _, b := range v.blocks {
		if slices.Contains(works, b.work) || isCPU(b) || !sampled(b.rows) {
			continue
		}
		works = append(works, b.work)
		largest := b.rows[len(b.rows)-1] // of those in order the last
		for _, r := range b.rows {
			if r.Services > largest.Services || r.Services == largest.Services && slices.Index(throughs, r.Through) > slices.Index(throughs, largest.Through) {
				largest = r
			}
		}
		if words := v.words(&measure.Row{Services: largest.Services, Endpoints: largest.Endpoints, Through: largest.Through, Nodes: largest.Nodes, Pods: largest.Pods}); words != "" && len(works) == 1 {
			g.Title += ": " + words
		}
		clocks = append(clocks, b.clock)
		var places []string
		for _, r := range b.rows {
			if !slices.Contains(places, r.Where) {
				places = append(places, r.Where)
			}
		}
		for _, where := range places {
			like := *largest
			like.Where = where
			g.add(v, b, &like, joined(b.title(), where))
		}
	}
	if len(v.proxies) < 2 {
		return nil
	}
	if clocks = slices.Compact(clocks); len(clocks) == 1 && clocks[0] != "" {
		g.Title = upper(clocks[0]) + ", " + strings.ToLower(g.Title[:1]) + g.Title[1:]
		for i := range g.Rows {
			g.Rows[i].Work = strings.Replace(g.Rows[i].Work, ": "+clocks[0], "", 1)
		}
	}
	return g
}

func (g *glance) add(v *view, b *block, like *measure.Row, work string) {
	row := glanceRow{Work: work, Better: Better(b.unit), Cells: make([]glanceCell, len(v.proxies))}
	best, at := math.NaN(), -1
	for i, proxy := range v.proxies {
		for _, r := range b.rows {
			m := measure.Median(r.Samples)
			if r.Proxy != proxy || math.IsNaN(m) || r.Through != like.Through && proxy != direct || !comparable(r, like, map[bool]string{true: direct}[proxy == direct]) {
				continue
			}
			row.Cells[i] = glanceCell{Value: Human(b.unit, m)}
			if proxy != v.reference {
				row.Cells[i].Ratio = Times(v.ratio(b, r))
			}
			if proxy != direct && (math.IsNaN(best) || b.unit.HigherIsBetter() == (m > best)) {
				best, at = m, i
			}
		}
	}
	if at >= 0 {
		row.Cells[at].Best = true
		g.Rows = append(g.Rows, row)
	}
}
