package figures

import (
	"encoding/xml"
	"fmt"
	"html/template"
	"strconv"
	"strings"
)

// All drawings are wide units wide, which is about as many pixels on a phone, and on a screen where they stand beside each
// other: so the text in them is of one size everywhere.
const wide = 360

// drawing is an SVG in the making. Colours and fonts are in the page's style sheet.
type drawing struct {
	strings.Builder
}

// svg wraps it up; the title and the description are for those who do not see it.
func (d *drawing) svg(id string, height float64, title, about string) template.HTML {
	return template.HTML(fmt.Sprintf(`<svg viewBox="0 0 %d %s" role="img" aria-labelledby="%s-t %s-d"><title id="%s-t">%s</title><desc id="%s-d">%s</desc>%s</svg>`,
		wide, coordinate(height), id, id, id, escape(title), id, escape(about), d.String()))
}

// line from one point to another, of a class.
func (d *drawing) line(class string, x1, y1, x2, y2 float64) {
	fmt.Fprintf(d, `<line class="%s" x1="%s" y1="%s" x2="%s" y2="%s"/>`, class, coordinate(x1), coordinate(y1), coordinate(x2), coordinate(y2))
}

func (d *drawing) rect(class string, x, y, w, h float64) {
	fmt.Fprintf(d, `<rect class="%s" x="%s" y="%s" width="%s" height="%s"/>`, class, coordinate(x), coordinate(y), coordinate(w), coordinate(h))
}

// text; the anchor is "start", "middle" or "end".
func (d *drawing) text(class string, x, y float64, anchor, text string) {
	fmt.Fprintf(d, `<text class="%s" x="%s" y="%s" text-anchor="%s">%s</text>`, class, coordinate(x), coordinate(y), anchor, escape(text))
}

// path through points, without filling.
func (d *drawing) path(class string, points [][2]float64) {
	var p strings.Builder
	for i, at := range points {
		p.WriteString(map[bool]string{true: "M", false: "L"}[i == 0] + coordinate(at[0]) + " " + coordinate(at[1]))
	}
	fmt.Fprintf(d, `<path class="%s" d="%s"/>`, class, p.String())
}

// mark is the sign of a series, which tells it from others without colours.
func (d *drawing) mark(s style, x, y, size float64) {
	shapes := []string{
		"M-1 0A1 1 0 1 0 1 0A1 1 0 1 0 -1 0Z",                                     // circle
		"M-.9 -.9H.9V.9H-.9Z",                                                     // square
		"M0 -1.15L1.1 .9H-1.1Z",                                                   // triangle
		"M0 -1.3L1.1 0L0 1.3L-1.1 0Z",                                             // diamond
		"M0 1.15L1.1 -.9H-1.1Z",                                                   // triangle, upside down
		"M-.4 -1.2H.4V-.4H1.2V.4H.4V1.2H-.4V.4H-1.2V-.4H-.4Z",                     // plus
		"M-1 -.6L-.6 -1L0 -.4L.6 -1L1 -.6L.4 0L1 .6L.6 1L0 .4L-.6 1L-1 .6L-.4 0Z", // cross
		"M-1.2 -.45H1.2V.45H-1.2Z",                                                // bar: direct
	}
	shape := shapes[s.number()]
	fmt.Fprintf(d, `<path class="mark %s" transform="translate(%s %s) scale(%s)" d="%s"/>`, s, coordinate(x), coordinate(y), coordinate(size), shape)
}

// style is the class of a series: s0 to s6, and sd for direct.
type style string

const styles = 7

func (s style) number() int {
	n, err := strconv.Atoi(strings.TrimPrefix(string(s), "s"))
	if err != nil {
		return styles
	}
	return n
}

func coordinate(v float64) string {
	return strings.TrimSuffix(strings.TrimSuffix(strconv.FormatFloat(v, 'f', 1, 64), "0"), ".")
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a builder takes all
	return b.String()
}

// short is a text of at most n runes.
func short(text string, n int) string {
	if r := []rune(text); len(r) > n {
		return string(r[:n-1]) + "…"
	}
	return text
}
