package drawing

import (
	"math"
	"slices"
)

// links leave a Service at its side, run along its lane, and turn off to each endpoint.
func (l *layout) links() {
	var taken []float64 // heights at which some link runs to an endpoint
	type end struct {
		port
		x float64
	}
	ends := map[string][]end{}
	for _, id := range l.order {
		for _, p := range l.spots[id].ports {
			taken = append(taken, p.y)
			ends[p.link.From] = append(ends[p.link.From], end{p, l.spots[id].x})
		}
	}
	for i, id := range l.lanes {
		service, x, class := l.spots[id], l.laneX[i], laneClass(i)
		stub := service.middle
		for y := stub; !l.narrow && y < service.y+service.h-5; y += 4 { // where no other link runs
			if !slices.ContainsFunc(taken, func(t float64) bool { return math.Abs(t-y) < 4 }) {
				stub = y
				break
			}
		}
		taken = append(taken, stub)
		side := service.x
		if !l.narrow {
			side += service.w
		}
		best, first, last := Unused, stub, stub
		for _, e := range ends[id] {
			best, first, last = min(best, e.link.State), min(first, e.y), max(last, e.y)
		}
		l.line("link "+class+" "+states[best], false, point{side, stub}, point{x, stub})
		if last > first {
			l.line("link "+class+" "+states[best], false, point{x, first}, point{x, last})
		}
		for _, e := range ends[id] {
			l.line("link "+class+" "+states[e.link.State], false, point{x, e.y}, point{e.x, e.y})
			l.sheet.beads = append(l.sheet.beads, bead{x, e.y, class, Ready, true}, bead{e.x, e.y, class, e.link.State, false})
		}
	}
}

// states are the style sheet's classes.
var states = [...]string{"ready", "draining", "unused"}

func (l *layout) line(class string, arrow bool, points ...point) {
	l.sheet.lines = append(l.sheet.lines, line{class, points, arrow})
}

// wire is level, from the box's side to its node's kernel, or to the underlay.
type wire struct{ from, to, y float64 }

func (l *layout) wire(b *Box) wire {
	s := l.spots[b.ID]
	switch {
	case b.Kind == Pod:
		return wire{s.x + s.w, l.spots[b.In].kernel, s.middle}
	case b.Kind == Node:
		return wire{s.kernel, l.busX, s.middle}
	case l.narrow:
		return wire{s.x + s.w, l.busX, s.middle}
	}
	return wire{s.x, l.busX, s.middle}
}

// wires are what packets can take.
func (l *layout) wires() {
	first, last := math.Inf(1), math.Inf(-1)
	for _, id := range l.order {
		b := l.Box(id)
		if l.wired(b) == "" {
			continue
		}
		w, class := l.wire(b), "wire"
		if b.Own {
			class += " own"
		}
		l.line(class, false, point{w.from, w.y}, point{w.to, w.y})
		if b.Kind != Pod {
			first, last = min(first, w.y), max(last, w.y)
		}
	}
	if u := l.of(Underlay); len(u) > 0 {
		const over = 16
		l.sheet.areas = append(l.sheet.areas, area{u[0].ID, "bus", l.busX - busW/2, first - over, busW, last - first + 2*over, 5, l.spoken(u[0])})
	}
}

// Where a way takes a wire, a kernel or the underlay a second time, it runs beside the first time.
const (
	besideVeth   = markStep // there is a number on it
	besideWire   = 8.0
	besideKernel = 4.0
	besideBus    = 6.0
)

// path draws the ways and the numbers on them.
func (l *layout) path() {
	if l.Path == nil {
		return
	}
	entered := map[string]float64{} // y at which a way first comes into a node
	for _, way := range l.Path.Ways {
		points := l.way(way.Through, entered)
		if len(points) < 2 {
			continue // it stays where it is
		}
		last := l.Box(way.Through[len(way.Through)-1])
		l.line("path", last.Kind == Pod || last.Kind == Client, points...)
	}
	seen := map[string]float64{}
	for i, stop := range l.Path.Stops {
		b, s := l.Box(stop.At), l.spots[stop.At]
		m := mark{number: number(i), bad: stop.Bad, y: s.middle + seen[stop.At]*markStep}
		switch {
		case b.Kind == Node:
			if y, ok := entered[b.ID]; ok {
				m.y = y + seen[stop.At]*markStep
				if m.y+markRadius > s.y+s.h {
					m.y = y - seen[stop.At]*markStep
				}
			}
			m.x = s.kernel
		case b.Kind == Client && !l.narrow:
			m.x = s.x - 20
		default:
			m.x = s.x + s.w + 20
		}
		seen[stop.At]++
		l.sheet.marks = append(l.sheet.marks, m)
	}
}

// way is the line through boxes: level along wires, upright along kernels and the underlay.
func (l *layout) way(through []string, entered map[string]float64) (points []point) {
	used := map[string]float64{}
	again := func(what string, step float64) float64 {
		used[what]++
		return (used[what] - 1) * step
	}
	// upright is the x of a box that is passed through; of one at the end of a wire there is none.
	upright := func(b *Box) (float64, bool) {
		switch b.Kind {
		case Node:
			return l.spots[b.ID].kernel + again("in "+b.ID, besideKernel), true
		case Underlay:
			return l.busX + again("in "+b.ID, besideBus), true
		}
		return 0, false
	}
	at, passes := upright(l.Box(through[0]))
	if first := l.Box(through[0]); passes && first.Kind == Node {
		entered[first.ID] = l.spots[first.ID].middle
		points = append(points, point{at, l.spots[first.ID].middle})
	}
	for i := 1; i < len(through); i++ {
		from, to := l.Box(through[i-1]), l.Box(through[i])
		outer := to
		if l.wired(from) == to.ID {
			outer = from
		}
		w := l.wire(outer)
		step := besideWire
		if outer.Kind == Pod {
			step = besideVeth
		}
		y := w.y + again("wire "+outer.ID, step)
		if !passes {
			at = w.from
		}
		points = append(points, point{at, y})
		next, on := upright(to)
		if !on {
			next = w.from
		}
		points = append(points, point{next, y})
		if _, ok := entered[to.ID]; to.Kind == Node && !ok {
			entered[to.ID] = y
		}
		at, passes = next, on
	}
	return points
}
