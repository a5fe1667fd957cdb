package drawing

import (
	_ "embed"
	"encoding/xml"
	"fmt"
	"math"
	"strconv"
	"strings"
)

//go:embed style.css
var style string

// Sheets say how an SVG is laid out. The zero value is for every screen.
type Sheets struct {
	// Width lays it out once, for that many pixels, LeastWidth at least. 0: twice, for a wide and for a narrow screen, of which the reader's
	// picks one.
	Width float64
	// ID begins the ids in it; two drawings in one page need different ones. Empty: "drawing".
	ID string
}

// The two widths of a drawing for every screen, and the largest that it is blown up to.
const (
	wideSheet   = 960.0
	narrowSheet = 390.0
	mostWidth   = 1180.0
	switchWidth = 640 // pixels of the screen
)

// SVG is one file with nothing from elsewhere: no fonts, no script. It follows the reader's light or dark colours, is black on
// white in print, and tells itself in words in its description. The Diagram must be one that Write would take.
func SVG(d *Diagram, o Sheets) string {
	id := o.ID
	if id == "" {
		id = "drawing"
	}
	var b strings.Builder
	width := o.Width
	if width == 0 {
		width = wideSheet
	}
	wide := d.lay(width)
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" class="svclab-drawing" id="%s" width="%s" height="%s" viewBox="0 0 %s %s" preserveAspectRatio="xMidYMin meet" role="img" aria-labelledby="%s-title %s-desc">`,
		escape(id), coordinate(wide.w), coordinate(wide.h), coordinate(wide.w), coordinate(wide.h), escape(id), escape(id))
	fmt.Fprintf(&b, "\n<title id=\"%s-title\">%s</title>\n<desc id=\"%s-desc\">%s</desc>\n", escape(id), escape(d.title()), escape(id), escape(d.told()))
	b.WriteString("<style>\n" + style)
	if o.Width > 0 {
		b.WriteString("</style>\n")
		b.WriteString(wide.svg())
		b.WriteString("</svg>\n")
		return b.String()
	}
	narrow := d.lay(narrowSheet)
	// A page that shows the file as an image gives it a frame of the wide sheet's shape. A narrow one that is no higher than
	// that is such a frame, and keeps the wide sheet, small as it is: the narrow one would be cut off.
	shape := math.Floor(min(wide.w/wide.h, 1)*95) / 100
	fmt.Fprintf(&b, "#%s{width:100%%;max-width:%spx;height:auto}\n", escape(id), coordinate(mostWidth))
	fmt.Fprintf(&b, "@media screen and (max-width:%dpx) and (max-aspect-ratio:%s){#%s{aspect-ratio:%s/%s}#%s>.wide{display:none}#%s>.narrow{display:inline}}\n",
		switchWidth, strconv.FormatFloat(shape, 'f', 2, 64), escape(id), coordinate(narrow.w), coordinate(narrow.h), escape(id), escape(id))
	b.WriteString("</style>\n")
	fmt.Fprintf(&b, "<g class=\"wide\">\n%s</g>\n", wide.svg())
	// The attribute, and not the style sheet, hides it: so it is hidden too for readers that know no style sheets.
	fmt.Fprintf(&b, "<svg class=\"narrow\" display=\"none\" x=\"0\" y=\"0\" width=\"%s\" height=\"%s\" viewBox=\"0 0 %s %s\">\n%s</svg>\n</svg>\n",
		coordinate(wide.w), coordinate(narrow.h*wide.w/narrow.w), coordinate(narrow.w), coordinate(narrow.h), narrow.svg())
	return b.String()
}

func (d *Diagram) title() string {
	text := d.Title
	if d.State != "" {
		text += ", " + d.State
	}
	if d.Path != nil {
		text += ": " + d.Path.Title
	}
	return text
}

// svg writes the sheet, what is behind first.
func (s *sheet) svg() string {
	var b strings.Builder
	fmt.Fprintf(&b, `<rect class="paper" width="%s" height="%s"/>`+"\n", coordinate(s.w), coordinate(s.h))
	rects := func(which func(a area) bool) {
		for _, a := range s.areas {
			if !which(a) {
				continue
			}
			fmt.Fprintf(&b, `<rect class="%s" x="%s" y="%s" width="%s" height="%s" rx="%s"`, a.class, coordinate(a.x), coordinate(a.y), coordinate(a.w), coordinate(a.h), coordinate(a.round))
			if a.title == "" {
				b.WriteString("/>\n")
			} else {
				fmt.Fprintf(&b, "><title>%s</title></rect>\n", escape(a.title))
			}
		}
	}
	outer := func(a area) bool { return strings.HasPrefix(a.class, "node") || a.class == "panel" }
	kernel := func(a area) bool { return a.class == "kernel" || a.class == "bus" }
	rects(outer)
	for _, l := range s.lines {
		if !strings.HasPrefix(l.class, "path") {
			b.WriteString(l.svg(l.class))
		}
	}
	rects(kernel)
	rects(func(a area) bool { return !outer(a) && !kernel(a) })
	for _, d := range s.beads {
		b.WriteString(d.svg())
	}
	for _, class := range []string{"under", "path"} { // a rim, so that it stands out from what it crosses
		for _, l := range s.lines {
			if l.class == "path" {
				b.WriteString(l.svg(class))
			}
		}
	}
	for _, l := range s.lines {
		if l.arrow {
			b.WriteString(arrow(l.points))
		}
	}
	for _, m := range s.marks {
		b.WriteString(m.svg())
	}
	for _, t := range s.texts {
		fmt.Fprintf(&b, `<text class="%s" x="%s" y="%s"`, t.font.class, coordinate(t.x), coordinate(t.y))
		if t.anchor != "start" {
			fmt.Fprintf(&b, ` text-anchor="%s"`, t.anchor)
		}
		fmt.Fprintf(&b, ">%s</text>\n", escape(t.text))
	}
	return b.String()
}

func (l *line) svg(class string) string {
	var p strings.Builder
	for i, at := range l.points {
		p.WriteString(map[bool]string{true: "M", false: "L"}[i == 0] + coordinate(at.x) + " " + coordinate(at.y))
	}
	return fmt.Sprintf("<path class=\"%s\" d=\"%s\"/>\n", class, p.String())
}

// arrow points along the last piece of a line, to its end.
func arrow(points []point) string {
	n := len(points)
	if n < 2 {
		return ""
	}
	end, back := points[n-1], 9.0
	if points[n-2].x < end.x {
		back = -9
	}
	return fmt.Sprintf("<path class=\"head-of-path\" d=\"M%s %sL%s %sL%s %sZ\"/>\n", coordinate(end.x), coordinate(end.y),
		coordinate(end.x+back), coordinate(end.y-5), coordinate(end.x+back), coordinate(end.y+5))
}

func (d *bead) svg() string {
	x, y := coordinate(d.x), coordinate(d.y)
	switch {
	case d.small:
		return fmt.Sprintf("<circle class=\"dot full %s\" cx=\"%s\" cy=\"%s\" r=\"2\"/>\n", d.class, x, y)
	case d.state == Ready:
		return fmt.Sprintf("<circle class=\"dot full %s\" cx=\"%s\" cy=\"%s\" r=\"4\"/>\n", d.class, x, y)
	case d.state == Draining: // the left half is full
		return fmt.Sprintf("<circle class=\"dot %s\" cx=\"%s\" cy=\"%s\" r=\"4\"/>\n<path class=\"dot full %s\" d=\"M%s %sa4 4 0 0 0 0 8z\"/>\n", d.class, x, y, d.class, x, coordinate(d.y-4))
	}
	return fmt.Sprintf("<circle class=\"dot %s\" cx=\"%s\" cy=\"%s\" r=\"4\"/>\n", d.class, x, y)
}

func (m *mark) svg() string {
	shape := fmt.Sprintf("<circle class=\"mark\" cx=\"%s\" cy=\"%s\" r=\"%s\"/>", coordinate(m.x), coordinate(m.y), coordinate(markRadius))
	if m.bad {
		const r, c = markRadius + 1, (markRadius + 1) * 0.41421
		var p strings.Builder
		for i, at := range [8]point{{-c, -r}, {c, -r}, {r, -c}, {r, c}, {c, r}, {-c, r}, {-r, c}, {-r, -c}} {
			p.WriteString(map[bool]string{true: "M", false: "L"}[i == 0] + coordinate(m.x+at.x) + " " + coordinate(m.y+at.y))
		}
		shape = fmt.Sprintf("<path class=\"mark bad\" d=\"%sZ\"/>", p.String())
	}
	return shape + fmt.Sprintf("<text class=\"number\" x=\"%s\" y=\"%s\" text-anchor=\"middle\">%s</text>\n", coordinate(m.x), coordinate(m.y+4), m.number)
}

func coordinate(v float64) string {
	return strings.TrimSuffix(strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), "0"), ".")
}

// escape also leaves out what XML cannot say.
func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a builder takes all
	return b.String()
}
