// Package drawing draws the topology of a lab and the way of one flow through it, from a plain Diagram, as SVG, Mermaid or
// DOT. It is pure: the same Diagram gives the same bytes, and nobody else is asked. What is in a Diagram is for others to
// say: sim/graph fills it with what a scenario has and the oracle expects.
package drawing

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// Formats that Write knows, the default first.
var Formats = []string{"svg", "mermaid", "dot"}

// Diagram is a picture before it has places and sizes. Boxes, and Links from one box, are drawn in their order.
type Diagram struct {
	Title string // of what: a scenario's name
	State string // of which variant and moment
	About string // one sentence; optional
	Boxes []Box
	Links []Link
	Path  *Path // optional
}

// Kind is what a box stands for, which decides where it is drawn and what it is wired to.
type Kind uint8

// A Service is no place: it is only linked to. A Node has Pods in it; each pod is wired to its node, and each node and each
// Client to the Underlay. An Address is an endpoint that nobody has.
const (
	Service Kind = iota
	Node
	Pod
	Client
	Underlay
	Address
)

// Box is one thing with a name.
type Box struct {
	ID    string // "pod/web-1"; no two are the same
	Kind  Kind
	In    string // pods: the ID of their node
	Title string
	Note  string   // what it is found at: an address; optional
	Tags  []string // what is special to it, in a word or two
	Facts []Fact
	Faint bool // it is not there any more
	Own   bool // pods: without a network of their own, in that of their node
	Loose bool // without a wire
}

// Fact is a line of a box.
type Fact struct {
	Name, Value string
	Warn        bool // the reader should not miss it
}

// State is what a proxy makes of an endpoint.
type State uint8

// Ready endpoints are used; Draining ones terminate and still serve, so they are used where there are no others; Unused are
// neither.
const (
	Ready State = iota
	Draining
	Unused
)

// String is what is written beside an endpoint.
func (s State) String() string {
	return [...]string{"ready", "terminating, still serves", "not ready"}[s]
}

// Link is an endpoint: a Service leads to a box.
type Link struct {
	From, To string // IDs
	Text     string // the ports: "web:80 → 8080/TCP"
	State    State
	Note     string // what else is to be known: "nobody listens"; optional
}

// Path is the way of a flow.
type Path struct {
	Title   string // "pod/client → service/web:80"
	Verdict string // how it ends
	Asked   string // the ID of the Service that is called; optional
	Stops   []Stop
	Ways    []Way    // the same up to where they part
	Notes   []string // what is to be known besides
}

// Stop is a place on the way where something happens. It is numbered from 1, in the order of Stops.
type Stop struct {
	At    string // ID of a node, pod or client
	Title string
	Text  []string
	Bad   bool // here the flow ends without an answer
}

// Way is one that packets take: IDs of a node, pod, client or the underlay, each wired to the one before.
type Way struct{ Through []string }

// Write draws it in one of Formats; sheets are for SVG.
func Write(w io.Writer, d *Diagram, format string, sheets Sheets) error {
	if err := d.check(); err != nil {
		return err
	}
	var text string
	switch format {
	case "svg":
		text = SVG(d, sheets)
	case "mermaid":
		text = mermaid(d)
	case "dot":
		text = dot(d)
	default:
		return fmt.Errorf("draw: unknown format %q; there are %s", format, strings.Join(Formats, ", "))
	}
	_, err := io.WriteString(w, text)
	return err
}

// Box returns the box of that ID, nil when there is none.
func (d *Diagram) Box(id string) *Box {
	for i := range d.Boxes {
		if d.Boxes[i].ID == id {
			return &d.Boxes[i]
		}
	}
	return nil
}

func (d *Diagram) of(kind Kind) (out []*Box) {
	for i := range d.Boxes {
		if d.Boxes[i].Kind == kind {
			out = append(out, &d.Boxes[i])
		}
	}
	return out
}

func (d *Diagram) in(node string) (out []*Box) {
	for _, b := range d.of(Pod) {
		if b.In == node {
			out = append(out, b)
		}
	}
	return out
}

// wired is the box at the other end of a box's wire, towards the middle; "" for what has none.
func (d *Diagram) wired(b *Box) string {
	switch {
	case b.Loose:
	case b.Kind == Pod:
		return b.In
	case b.Kind == Node || b.Kind == Client:
		if u := d.of(Underlay); len(u) > 0 {
			return u[0].ID
		}
	}
	return ""
}

// check finds what no drawing could be made of.
func (d *Diagram) check() error {
	seen := map[string]bool{}
	for i := range d.Boxes {
		b := &d.Boxes[i]
		if seen[b.ID] {
			return fmt.Errorf("draw: there are two boxes %q", b.ID)
		}
		seen[b.ID] = true
		if node := d.Box(b.In); b.Kind == Pod && (node == nil || node.Kind != Node) {
			return fmt.Errorf("draw: %s is in no node", b.ID)
		}
	}
	if len(d.of(Underlay)) > 1 {
		return fmt.Errorf("draw: there are %d underlays", len(d.of(Underlay)))
	}
	for _, l := range d.Links {
		from, to := d.Box(l.From), d.Box(l.To)
		if from == nil || from.Kind != Service || to == nil || !slices.Contains([]Kind{Pod, Node, Client, Address}, to.Kind) {
			return fmt.Errorf("draw: a link from %q to %q; it is from a Service to a place", l.From, l.To)
		}
	}
	if d.Path == nil {
		return nil
	}
	for _, s := range d.Path.Stops {
		if b := d.Box(s.At); b == nil || b.Kind != Pod && b.Kind != Node && b.Kind != Client {
			return fmt.Errorf("draw: a stop at %q, which is no node, pod or client", s.At)
		}
	}
	for _, w := range d.Path.Ways {
		if len(w.Through) == 0 {
			return fmt.Errorf("draw: a way without any place")
		}
		for i, id := range w.Through {
			b := d.Box(id)
			if b == nil {
				return fmt.Errorf("draw: a way through %q, which is not there", id)
			}
			if b.Kind == Service || b.Kind == Address {
				return fmt.Errorf("draw: a way through %s, which is no place", id)
			}
			if i > 0 {
				if before := d.Box(w.Through[i-1]); d.wired(b) != before.ID && d.wired(before) != b.ID {
					return fmt.Errorf("draw: a way from %s to %s, between which there is no wire", before.ID, b.ID)
				}
			}
		}
	}
	return nil
}

// stops are the numbers of those at a box.
func (p *Path) stops(id string) (out []int) {
	if p != nil {
		for i := range p.Stops {
			if p.Stops[i].At == id {
				out = append(out, i)
			}
		}
	}
	return out
}
