package drawing

import (
	"fmt"
	"slices"
)

// block is a box with a size, and all that is in it, relative to its corner.
type block struct {
	*Box
	w, h   float64
	areas  []area // tags
	texts  []text
	ports  []port
	pods   []*block
	podsY  []float64
	middle float64 // of its first line, where its wire is fixed
}

// port is where a link ends.
type port struct {
	link *Link
	y    float64
}

const (
	padX, padY = 9.0, 8.0
	lineStep   = 14.5 // from one line to the next
	nameStep   = 16.0
	podGap     = 7.0
	veth       = 34.0 // from a pod to its node's kernel, with room for a number and an arrow
	kernelW    = 12.0
	kernelPad  = 10.0 // from the kernel to the node's border
	besideName = 10.0
	portIndent = 6.0
)

// measure sets a box in a width, and pods in their node.
func (d *Diagram) measure(b *Box, width float64) *block {
	m := &block{Box: b, w: width}
	inner := width - 2*padX
	if b.Kind == Node {
		inner -= kernelW + kernelPad
	}
	y := m.heading(inner)
	for i := range d.Links {
		l := &d.Links[i]
		if l.To != b.ID {
			continue
		}
		words := l.Text + ", " + l.State.String()
		if l.State == Ready && l.Note != "" {
			words = l.Text + ", " + l.Note
		} else if l.Note != "" {
			words += ", " + l.Note
		} else if l.State == Ready {
			words = l.Text
		}
		m.ports = append(m.ports, port{l, y + lineStep/2 - 1})
		f := portFont
		if l.State != Ready || l.Note != "" {
			f.class = "port unused"
		}
		for _, t := range f.wrap(words, inner-portIndent) {
			m.put(f, padX+portIndent, y+10, t)
			y += lineStep
		}
	}
	y = m.facts(y, inner)
	if b.Kind == Node {
		pods := d.in(b.ID)
		for i, pod := range pods {
			if i == 0 {
				y += 4
			} else {
				y += podGap
			}
			p := d.measure(pod, width-padX-veth-kernelW-kernelPad)
			// The numbers beside it need room, too.
			p.h = max(p.h, p.middle+float64(max(1, len(d.Path.stops(pod.ID))))*markStep-markStep+markRadius+2)
			m.pods, m.podsY = append(m.pods, p), append(m.podsY, y)
			y += p.h
		}
		if n := float64(len(d.Path.stops(b.ID))); n > 0 {
			y = max(y, m.middle+(n-1)*markStep+markRadius)
		}
	}
	m.h = y + padY - 2
	return m
}

// markStep is from one number to the next, where several are at one box.
const markStep = 20.0

func (m *block) put(f font, x, y float64, s string) {
	m.texts = append(m.texts, text{m.ID, f, x, y, "start", s})
}

// heading is the title, its note at the right where there is room for both, and the tags; it returns where to go on.
func (m *block) heading(inner float64) float64 {
	y := padY
	m.middle = y + 6
	x := padX
	for i, t := range nameFont.wrap(m.Title, inner) {
		if i > 0 {
			y += nameStep
		}
		m.put(nameFont, padX, y+10, t)
		x = padX + nameFont.width(t)
	}
	right := padX + inner
	noted := m.Note == ""
	if !noted && x+besideName+noteFont.width(m.Note) <= right {
		right -= noteFont.width(m.Note)
		m.texts = append(m.texts, text{m.ID, noteFont, padX + inner, y + 10, "end", m.Note})
		right -= besideName
		noted = true
	}
	for _, tag := range m.Tags {
		for _, part := range tagFont.wrap(tag, inner-8) {
			w := tagFont.width(part) + 8
			if x+8+w > right && x > padX {
				y += nameStep
				x, right = padX-8, padX+inner
			}
			x += 8
			m.areas = append(m.areas, area{class: "pill", x: x, y: y - 0.5, w: w, h: 13, round: 6.5})
			m.put(tagFont, x+4, y+9, part)
			x += w
		}
	}
	y += nameStep
	if !noted {
		for _, part := range noteFont.wrap(m.Note, inner) {
			m.put(noteFont, padX, y+9.5, part)
			y += lineStep
		}
	}
	return y
}

// facts are names and values in two columns; where the names are long, a value may be below its name.
func (m *block) facts(y, inner float64) float64 {
	column := 0.0
	for _, f := range m.Facts {
		if w := factFont.width(f.Name); f.Value != "" && w < inner*0.45 {
			column = max(column, w)
		}
	}
	for _, f := range m.Facts {
		name, value := factFont, valueFont
		if f.Warn {
			name, value = warnFont, warnFont
		}
		if f.Value == "" {
			for _, part := range name.wrap(f.Name, inner) {
				m.put(name, padX, y+10, part)
				y += lineStep
			}
			continue
		}
		from := padX + column + 8
		if name.width(f.Name) > column {
			for _, part := range name.wrap(f.Name, inner) {
				m.put(name, padX, y+10, part)
				y += lineStep
			}
			from = padX + 10
		} else if f.Name != "" {
			m.put(name, padX, y+10, f.Name)
		}
		for _, part := range value.wrap(f.Value, padX+inner-from) {
			m.put(value, from, y+10, part)
			y += lineStep
		}
	}
	return y
}

// place puts the block on a sheet, and remembers where.
func (l *layout) place(m *block, x, y float64) {
	class := [...]string{"service", "node", "pod", "client", "", "address"}[m.Kind]
	if m.Faint {
		class += " faint"
	}
	if m.Own {
		class += " own"
	}
	if p := l.Path; p != nil && p.Asked == m.ID {
		class += " asked"
	}
	s := &l.sheet
	s.areas = append(s.areas, area{m.ID, class, x, y, m.w, m.h, 6, l.spoken(m.Box)})
	if m.Kind == Service {
		if i := slices.Index(l.lanes, m.ID); i >= 0 {
			s.areas = append(s.areas, area{class: "band " + laneClass(i), x: x + 0.5, y: y + 5, w: 3.5, h: m.h - 10, round: 1.5})
		}
	}
	for _, a := range m.areas {
		a.x, a.y = a.x+x, a.y+y
		s.areas = append(s.areas, a)
	}
	for _, t := range m.texts {
		t.x, t.y = t.x+x, t.y+y
		s.texts = append(s.texts, t)
	}
	at := &spot{x: x, y: y, w: m.w, h: m.h, middle: y + m.middle}
	for _, p := range m.ports {
		at.ports = append(at.ports, port{p.link, y + p.y})
	}
	l.spots[m.ID] = at
	l.order = append(l.order, m.ID)
	if m.Kind == Node {
		at.kernel = x + m.w - kernelPad - kernelW/2
		s.areas = append(s.areas, area{class: "kernel", x: at.kernel - kernelW/2, y: y + 5, w: kernelW, h: m.h - 10, round: 5})
		for i, p := range m.pods {
			l.place(p, x+padX, y+m.podsY[i])
		}
	}
}

func laneClass(i int) string { return fmt.Sprintf("c%d", i%colours) }

// colours of links that the style sheet has.
const colours = 6
