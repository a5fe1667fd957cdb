package drawing

import "fmt"

// Flaws are what is wrong with the layout of a diagram in a width: boxes, texts and numbers that overlap or leave the box
// that they belong to, and lines through a text or a box. There should be none, whatever is drawn; it is for tests.
func Flaws(d *Diagram, width float64) []string { return d.lay(width).flaws(d) }

func (s *sheet) flaws(d *Diagram) (out []string) {
	flaw := func(format string, args ...any) { out = append(out, fmt.Sprintf(format, args...)) }
	boxes := map[string]frame{}
	var kernels []frame
	for _, a := range s.areas {
		f := frame{a.x, a.y, a.x + a.w, a.y + a.h}
		if !f.within(frame{0, 0, s.w, s.h}) {
			flaw("%s %q leaves the sheet", a.class, a.id)
		}
		if a.id != "" {
			boxes[a.id] = f
		} else if a.class == "kernel" {
			kernels = append(kernels, f)
		}
	}
	holds := func(outer, inner string) bool {
		b := d.Box(inner)
		return b != nil && b.In == outer
	}
	for a, f := range boxes {
		for b, g := range boxes {
			switch {
			case holds(a, b) && !g.within(f):
				flaw("%s leaves %s", b, a)
			case a < b && !holds(a, b) && !holds(b, a) && f.meets(g):
				flaw("%s and %s overlap", a, b)
			}
		}
	}
	solid := func(id string) bool { // nothing may run through it
		b := d.Box(id)
		return id == pathID || b != nil && b.Kind != Node && b.Kind != Underlay
	}
	var texts []frame
	for i := range s.texts {
		t := &s.texts[i]
		f := frame{t.left(), t.y - 0.76*t.font.size, t.left() + t.font.width(t.text), t.y + 0.2*t.font.size}
		home, ok := boxes[t.in]
		if !ok {
			home = frame{0, 0, s.w, s.h}
		}
		if !f.within(home) {
			flaw("%q leaves %q", t.text, t.in)
		}
		for id, b := range boxes {
			if id != t.in && !holds(id, t.in) && f.meets(b) {
				if box := d.Box(id); box == nil || box.Kind != Node || t.in == "" {
					flaw("%q is over %q", t.text, id)
				}
			}
		}
		for _, k := range kernels {
			if f.meets(k) {
				flaw("%q is over a kernel", t.text)
			}
		}
		for j, g := range texts {
			if f.meets(g) {
				flaw("%q and %q overlap", t.text, s.texts[j].text)
			}
		}
		texts = append(texts, f)
	}
	var marks []frame
	for _, m := range s.marks {
		f := frame{m.x - markRadius, m.y - markRadius, m.x + markRadius, m.y + markRadius}
		for i, g := range texts {
			if f.meets(g) {
				flaw("number %s is over %q", m.number, s.texts[i].text)
			}
		}
		for _, g := range marks {
			if f.meets(g) {
				flaw("number %s is over another", m.number)
			}
		}
		for id, b := range boxes {
			if id != pathID && solid(id) && f.meets(b) {
				flaw("number %s is over %s", m.number, id)
			}
		}
		if !f.within(frame{0, 0, s.w, s.h}) {
			flaw("number %s leaves the sheet", m.number)
		}
		marks = append(marks, f)
	}
	for _, l := range s.lines {
		for i := 1; i < len(l.points); i++ {
			a, b := l.points[i-1], l.points[i]
			f := frame{min(a.x, b.x), min(a.y, b.y), max(a.x, b.x), max(a.y, b.y)}
			if a.x != b.x && a.y != b.y {
				flaw("a %s is askew", l.class)
			}
			if !f.within(frame{0, 0, s.w, s.h}) {
				flaw("a %s leaves the sheet", l.class)
			}
			for j, g := range texts {
				if f.meets(g) {
					flaw("a %s runs through %q", l.class, s.texts[j].text)
				}
			}
			for id, g := range boxes {
				if solid(id) && f.meets(g.less(1)) {
					flaw("a %s runs through %s", l.class, id)
				}
			}
		}
	}
	return out
}

// frame is from one corner to the other.
type frame struct{ x1, y1, x2, y2 float64 }

func (f frame) within(o frame) bool {
	return f.x1 >= o.x1 && f.y1 >= o.y1 && f.x2 <= o.x2 && f.y2 <= o.y2
}

// meets: they have more than an edge in common; a line has no breadth and meets what it runs through.
func (f frame) meets(o frame) bool {
	return f.x1 < o.x2 && o.x1 < f.x2 && f.y1 < o.y2 && o.y1 < f.y2
}

func (f frame) less(by float64) frame { return frame{f.x1 + by, f.y1 + by, f.x2 - by, f.y2 - by} }
