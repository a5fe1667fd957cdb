package drawing

import (
	"slices"
)

// layout is a sheet in the making.
type layout struct {
	*Diagram
	sheet  sheet
	narrow bool
	spots  map[string]*spot
	order  []string // of the boxes, as they were placed
	lanes  []string // IDs of the Services that lead somewhere
	laneX  []float64
	busX   float64 // the underlay's middle
}

// spot is where a box has come to be.
type spot struct {
	x, y, w, h float64
	middle     float64 // y of its wire
	kernel     float64 // x of a node's
	ports      []port
}

const (
	margin     = 14.0
	captionGap = 19.0
	columnGap  = 12.0 // between boxes of a column
	busW       = 16.0
	laneStep   = 7.0
	laneMost   = 90.0 // all lanes together
)

// LeastWidth is that of the narrowest sheet.
const LeastWidth = 320

// isNarrow is the width below which all boxes stand in one column.
const isNarrow = 720

// lay makes the sheet of that width.
func (d *Diagram) lay(width float64) *sheet {
	l := &layout{Diagram: d, narrow: width < isNarrow, spots: map[string]*spot{}}
	l.sheet.w = max(width, LeastWidth)
	for _, s := range d.of(Service) {
		if slices.ContainsFunc(d.Links, func(k Link) bool { return k.From == s.ID }) {
			l.lanes = append(l.lanes, s.ID)
		}
	}
	y := l.head(margin)
	if l.narrow {
		y = l.oneColumn(y)
	} else {
		y = l.columns(y)
	}
	l.links()
	l.wires()
	l.path()
	y = l.legend(y + 12)
	y = l.story(y)
	l.sheet.h = y + margin - 4
	return &l.sheet
}

func (l *layout) say(f font, x, y float64, words string) {
	l.sheet.texts = append(l.sheet.texts, text{"", f, x, y, "start", words})
}

// head is what it is a picture of.
func (l *layout) head(y float64) float64 {
	inner := l.sheet.w - 2*margin
	x := margin
	for _, part := range headFont.wrap(l.Title, inner) {
		l.say(headFont, margin, y+14, part)
		x = margin + headFont.width(part) + 10
		y += 21
	}
	if l.State != "" {
		if x+stateFont.width(l.State) <= margin+inner {
			l.say(stateFont, x, y-21+14, l.State)
		} else {
			y = l.prose(stateFont, y, l.State)
		}
	}
	if l.About != "" {
		y = l.prose(aboutFont, y, l.About)
	}
	return y + 8
}

// prose is text over the whole width.
func (l *layout) prose(f font, y float64, words string) float64 {
	for _, part := range f.wrap(words, l.sheet.w-2*margin) {
		l.say(f, margin, y+11, part)
		y += 16
	}
	return y
}

func (l *layout) laneWidth() float64 {
	if len(l.lanes) == 0 {
		return 0
	}
	return min(float64(len(l.lanes)-1)*laneStep, laneMost) + 16
}

// setLanes spreads the lanes over a gutter that begins at x. The first Service has the one that is nearest to the Services.
func (l *layout) setLanes(x float64) {
	step := laneStep
	if n := len(l.lanes); n > 1 {
		step = min(laneStep, laneMost/float64(n-1))
	}
	for i := range l.lanes {
		l.laneX = append(l.laneX, x+8+float64(i)*step)
	}
}

// stack places boxes below each other and returns where the last one ends.
func (l *layout) stack(boxes []*Box, x, y, w float64) float64 {
	for i, b := range boxes {
		if i > 0 {
			y += columnGap
		}
		m := l.measure(b, w)
		m.h = max(m.h, m.middle+float64(len(l.Path.stops(b.ID))-1)*markStep+markRadius+3)
		l.place(m, x, y)
		y += m.h
	}
	return y
}

// places are the nodes, and what is drawn below them.
func (l *layout) places() []*Box { return slices.Concat(l.of(Node), l.of(Address)) }

const (
	nodesCaption    = "Nodes and their pods"
	servicesCaption = "Services"
	clientsCaption  = "Outside"
	underlayCaption = "underlay"
)

// columns: Services, lanes, nodes, the underlay, clients.
func (l *layout) columns(y float64) float64 {
	services, clients, underlay := l.of(Service), l.of(Client), l.of(Underlay)
	x, right := margin, l.sheet.w-margin
	top := y + captionGap
	bottom := top
	if len(clients) > 0 {
		w := l.widest(clients, 130, 210)
		l.say(capFont, right-w, y+11, clientsCaption)
		bottom = max(bottom, l.stack(clients, right-w, top, w))
		right -= w + veth
	}
	if len(underlay) > 0 {
		l.busX = right - busW/2
		caption := l.underlayCaption()
		w := capFont.width(caption)
		l.sheet.texts = append(l.sheet.texts, text{"", capFont, min(l.busX+w/2, right+veth-12, l.sheet.w-margin), y + 11, "end", caption})
		right -= busW + 34
	}
	if len(services) > 0 {
		w := l.widest(services, 200, (right-x)*0.45)
		l.say(capFont, x, y+11, servicesCaption)
		bottom = max(bottom, l.stack(services, x, top, w))
		x += w
	}
	if len(l.lanes) > 0 {
		l.setLanes(x + 6)
		x += l.laneWidth() + 6
	} else if len(services) > 0 {
		x += 24
	}
	l.say(capFont, x, y+11, nodesCaption)
	return max(bottom, l.stack(l.places(), x, top, right-x))
}

// oneColumn: Services, nodes and clients below each other, lanes at the left and the underlay at the right of them.
func (l *layout) oneColumn(y float64) float64 {
	x, right := margin-4+l.laneWidth(), l.sheet.w-margin+4
	l.setLanes(margin - 8)
	if services := l.of(Service); len(services) > 0 {
		l.say(capFont, x, y+11, servicesCaption)
		y = l.stack(services, x, y+captionGap, right-x) + 12
	}
	if len(l.of(Underlay)) > 0 {
		l.busX = right - busW/2
		caption := l.underlayCaption()
		l.sheet.texts = append(l.sheet.texts, text{"", capFont, right, y + 11, "end", caption})
		right -= busW + veth
	}
	l.say(capFont, x, y+11, nodesCaption)
	y = l.stack(l.places(), x, y+captionGap, right-x)
	if clients := l.of(Client); len(clients) > 0 {
		y += 12
		l.say(capFont, x, y+11, clientsCaption)
		y = l.stack(clients, x, y+captionGap, right-x)
	}
	return y
}

func (l *layout) underlayCaption() string { return l.of(Underlay)[0].Title }

// widest is the width in which boxes need no more lines than they must, within bounds.
func (l *layout) widest(boxes []*Box, least, most float64) float64 {
	w := least
	for _, b := range boxes {
		name := nameFont.width(b.Title)
		if b.Note != "" {
			name += besideName + noteFont.width(b.Note)
		}
		for _, t := range b.Tags {
			name += 16 + tagFont.width(t)
		}
		column, value := 0.0, 0.0
		for _, f := range b.Facts {
			if f.Value == "" {
				w = max(w, min(factFont.width(f.Name)+2*padX, (least+most)/2))
				continue
			}
			column, value = max(column, factFont.width(f.Name)), max(value, valueFont.width(f.Value))
		}
		w = max(w, name+2*padX+1, column+value+8+2*padX+1)
	}
	return min(w, most)
}
