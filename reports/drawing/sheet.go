package drawing

// sheet is a picture with places and sizes, in units of which one is a pixel where it is not scaled. It is what the SVG is
// written from, and what tests look at.
type sheet struct {
	w, h  float64
	areas []area
	lines []line
	texts []text
	marks []mark
	beads []bead
}

// area is a rectangle.
type area struct {
	id         string // of its box; empty: only decoration
	class      string
	x, y, w, h float64
	round      float64
	title      string // shown when a pointer rests there
}

// line goes through points, level or upright from each to the next.
type line struct {
	class  string
	points []point
	arrow  bool // at its end
}

type point struct{ x, y float64 }

// text begins, or with the anchor "end" ends, or with "middle" has its middle, at x; y is its base line.
type text struct {
	in     string // ID of the box that it must stay within; empty: the sheet
	font   font
	x, y   float64
	anchor string
	text   string
}

// mark is a number in a circle, or where a flow ends badly in an octagon.
type mark struct {
	x, y   float64
	number string
	bad    bool
}

const markRadius = 8.5

// bead is the end of a link, and tells the state of an endpoint.
type bead struct {
	x, y  float64
	class string
	state State
	small bool // where a link leaves its lane
}

func (t *text) left() float64 {
	switch t.anchor {
	case "end":
		return t.x - t.font.width(t.text)
	case "middle":
		return t.x - t.font.width(t.text)/2
	}
	return t.x
}
