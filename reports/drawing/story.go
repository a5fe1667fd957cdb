package drawing

import (
	"slices"
	"strconv"
	"strings"
)

func number(stop int) string { return strconv.Itoa(stop + 1) }

// legend explains the signs that are in the picture, and no others.
func (l *layout) legend(y float64) float64 {
	type entry struct {
		sign func(x, y float64)
		text string
	}
	var entries []entry
	for _, state := range []State{Ready, Draining, Unused} {
		if slices.ContainsFunc(l.Links, func(k Link) bool { return k.State == state }) {
			entries = append(entries, entry{func(x, y float64) {
				l.line("link c0 "+states[state], false, point{x, y}, point{x + 14, y})
				l.sheet.beads = append(l.sheet.beads, bead{x + 14, y, "c0", state, false})
			}, "endpoint, " + state.String()})
		}
	}
	if len(l.of(Node)) > 0 {
		entries = append(entries, entry{func(x, y float64) {
			l.sheet.areas = append(l.sheet.areas, area{class: "kernel", x: x + 4, y: y - 6, w: 9, h: 12, round: 4})
		}, "a node's kernel, with the rules of its proxy"})
	}
	if slices.ContainsFunc(l.Boxes, func(b Box) bool { return b.Own }) {
		entries = append(entries, entry{func(x, y float64) {
			l.sheet.areas = append(l.sheet.areas, area{class: "pod own", x: x, y: y - 6, w: 18, h: 12, round: 4})
		}, "a pod in its node's own network"})
	}
	if slices.ContainsFunc(l.Boxes, func(b Box) bool { return b.Faint }) {
		entries = append(entries, entry{func(x, y float64) {
			l.sheet.areas = append(l.sheet.areas, area{class: "pod faint", x: x, y: y - 6, w: 18, h: 12, round: 4})
		}, "deleted or ended"})
	}
	const sign, gap, step = 26.0, 18.0, 18.0
	x, right := margin, l.sheet.w-margin
	for i, e := range entries {
		if w := sign + factFont.width(e.text); i > 0 && x+w > right {
			x, y = margin, y+step
		}
		e.sign(x, y+6)
		for j, part := range factFont.wrap(e.text, right-x-sign) {
			if j > 0 {
				y += lineStep
			}
			l.say(factFont, x+sign, y+10, part)
		}
		x += sign + factFont.width(e.text) + gap
	}
	if len(entries) == 0 {
		return y
	}
	return y + step
}

// story is the path in words.
func (l *layout) story(y float64) float64 {
	p := l.Path
	if p == nil {
		return y
	}
	y += 8
	top, x, right := y, margin+12, l.sheet.w-margin-12
	say := func(f font, x float64, words string, step float64) {
		for _, part := range f.wrap(words, right-x) {
			l.sheet.texts = append(l.sheet.texts, text{pathID, f, x, y + 11, "start", part})
			y += step
		}
	}
	y += 10
	say(headFont, x, p.Title, 21)
	if p.Verdict != "" {
		say(proseFont, x, p.Verdict, 16)
	}
	for i, s := range p.Stops {
		y += 8
		l.sheet.marks = append(l.sheet.marks, mark{x + markRadius, y + 7, number(i), s.Bad})
		say(stepFont, x+2*markRadius+9, s.Title, 17)
		for _, t := range s.Text {
			say(proseFont, x+2*markRadius+9, t, 16)
		}
	}
	for i, n := range p.Notes {
		if i == 0 {
			y += 8
		}
		say(proseFont, x, n, 16)
	}
	y += 8
	l.sheet.areas = append(l.sheet.areas, area{id: pathID, class: "panel", x: margin, y: top, w: l.sheet.w - 2*margin, h: y - top, round: 8})
	return y
}

const pathID = "\x00path" // no box is called so

// spoken is a box in words.
func (l *layout) spoken(b *Box) string { return l.Diagram.spoken(b) }

func (d *Diagram) spoken(b *Box) string {
	words := []string{strings.TrimSpace(b.Title + " " + b.Note)}
	words = append(words, b.Tags...)
	for _, f := range b.Facts {
		words = append(words, strings.TrimSpace(f.Name+" "+f.Value))
	}
	for _, k := range d.Links {
		if k.To == b.ID {
			text := "endpoint of " + k.Text + ", " + k.State.String()
			if k.Note != "" {
				text += ", " + k.Note
			}
			words = append(words, text)
		}
	}
	return strings.Join(words, "; ")
}

// told is the whole diagram in words, for those who do not see it.
func (d *Diagram) told() string {
	var out []string
	add := func(text string) {
		if text = strings.TrimRight(text, ". "); text != "" {
			out = append(out, text+".")
		}
	}
	add(d.About)
	for _, kind := range []Kind{Service, Node, Address, Client, Underlay} {
		for _, b := range d.of(kind) {
			add(d.spoken(b))
			if b.Kind == Node {
				for _, pod := range d.in(b.ID) {
					add("On " + b.Title + ": " + d.spoken(pod))
				}
			}
		}
	}
	if p := d.Path; p != nil {
		add(p.Title + ": " + p.Verdict)
		for i, s := range p.Stops {
			add(number(i) + ") " + s.Title)
			for _, t := range s.Text {
				add(t)
			}
		}
		for _, n := range p.Notes {
			add(n)
		}
	}
	return strings.Join(out, " ")
}
