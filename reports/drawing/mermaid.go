package drawing

import (
	"fmt"
	"slices"
	"strings"
)

// mermaid is a flowchart as GitHub renders it: nodes as subgraphs, and the path as thick edges.
func mermaid(d *Diagram) string {
	var b strings.Builder
	ids := d.short()
	about := d.About // the boxes are text as well, so that they need not be told again
	if d.Path != nil {
		about += " " + d.Path.Verdict
	}
	b.WriteString("%%{init: {\"flowchart\": {\"wrappingWidth\": 420}}}%%\n") // 200 makes towers of the path's sentences
	fmt.Fprintf(&b, "flowchart LR\n  accTitle: %s\n  accDescr: %s\n", plain(d.title()), plain(about))
	node := func(indent string, box *Box) {
		shape := [2]string{"[", "]"}
		switch box.Kind {
		case Service:
			shape = [2]string{"([", "])"}
		case Client, Address:
			shape = [2]string{"(", ")"}
		case Underlay:
			shape = [2]string{"{{", "}}"}
		}
		class := ""
		switch {
		case box.Faint:
			class = ":::faint"
		case box.Own:
			class = ":::own"
		case d.Path != nil && d.Path.Asked == box.ID:
			class = ":::asked"
		}
		fmt.Fprintf(&b, "%s%s%s\"%s\"%s%s\n", indent, ids[box.ID], shape[0], d.label(box), shape[1], class)
	}
	for _, box := range d.of(Service) {
		node("  ", box)
	}
	for _, box := range d.of(Node) {
		fmt.Fprintf(&b, "  subgraph %s_box[\"%s\"]\n", ids[box.ID], quoted(strings.TrimSpace(box.Title+" "+box.Note)))
		for _, pod := range d.in(box.ID) {
			node("    ", pod)
		}
		fmt.Fprintf(&b, "    %s[/\"%s\"/]\n  end\n", ids[box.ID], shown(d.kernel(box)))
	}
	for _, kind := range []Kind{Address, Underlay, Client} {
		for _, box := range d.of(kind) {
			node("  ", box)
		}
	}
	edges := 0
	edge := func(from, arrow, label, to string) {
		if label != "" {
			label = fmt.Sprintf("|\"%s\"|", quoted(label))
		}
		fmt.Fprintf(&b, "  %s %s%s %s\n", ids[from], arrow, label, ids[to])
		edges++
	}
	for _, k := range d.Links {
		edge(k.From, map[bool]string{true: "-.->", false: "-.-x"}[k.State != Unused], k.words(), k.To)
	}
	hops := d.hops()
	for i := range d.Boxes {
		box := &d.Boxes[i]
		if to := d.wired(box); to != "" && !slices.ContainsFunc(hops, func(h hop) bool { return h.joins(box.ID, to) }) {
			edge(box.ID, "---", "", to)
		}
	}
	first := edges
	for _, h := range hops {
		edge(h.from, "==>", "", h.to)
	}
	if p := d.Path; p != nil {
		fmt.Fprintf(&b, "  way[\"%s\"]:::way\n", strings.Join(p.lines(quoted), "<br/>"))
		if len(hops) > 0 {
			var numbers []string
			for i := first; i < edges; i++ {
				numbers = append(numbers, fmt.Sprint(i))
			}
			fmt.Fprintf(&b, "  linkStyle %s stroke:#d1453b,stroke-width:4px\n", strings.Join(numbers, ","))
		}
		b.WriteString("  classDef way text-align:left\n  classDef asked stroke:#d1453b,stroke-width:3px\n")
	}
	b.WriteString("  classDef own stroke-dasharray:6 3\n  classDef faint stroke-dasharray:2 3,opacity:0.7\n")
	return b.String()
}

// short are IDs without any letter that has a meaning.
func (d *Diagram) short() map[string]string {
	ids, counts := map[string]string{}, map[Kind]int{}
	for _, b := range d.Boxes {
		counts[b.Kind]++
		ids[b.ID] = fmt.Sprintf("%s%d", [...]string{"service", "node", "pod", "client", "underlay", "address"}[b.Kind], counts[b.Kind])
	}
	return ids
}

// label is what is in a box, over several lines.
func (d *Diagram) label(b *Box) string {
	lines := []string{d.numbers(b.ID) + b.Title}
	if b.Note != "" {
		lines = append(lines, b.Note)
	}
	return shown(append(lines, details(b)...))
}

// details are the tags and facts of a box, each a line.
func details(b *Box) (out []string) {
	if len(b.Tags) > 0 {
		out = append(out, strings.Join(b.Tags, ", "))
	}
	for _, f := range b.Facts {
		out = append(out, strings.TrimSpace(f.Name+" "+f.Value))
	}
	return out
}

func shown(lines []string) string {
	for i := range lines {
		lines[i] = quoted(lines[i])
	}
	return strings.Join(lines, "<br/>")
}

// kernel is what is in a node besides its pods.
func (d *Diagram) kernel(b *Box) []string {
	return append([]string{d.numbers(b.ID) + "kernel, proxy's rules"}, details(b)...)
}

// numbers are those of the stops at a box: "(1) ".
func (d *Diagram) numbers(id string) (out string) {
	for _, i := range d.Path.stops(id) {
		out += "(" + number(i) + ") "
	}
	return out
}

func (k *Link) words() string {
	text := k.Text
	if k.State != Ready {
		text += ", " + k.State.String()
	}
	if k.Note != "" {
		text += ", " + k.Note
	}
	return text
}

// lines are the path's words, each made safe.
func (p *Path) lines(safe func(string) string) (out []string) {
	add := func(text string) {
		if text != "" {
			out = append(out, safe(text))
		}
	}
	add(p.Title)
	add(p.Verdict)
	for i, s := range p.Stops {
		add("(" + number(i) + ") " + s.Title)
		for _, t := range s.Text {
			add(t)
		}
	}
	for _, n := range p.Notes {
		add(n)
	}
	return out
}

// hop is from one box to the next.
type hop struct{ from, to string }

func (h hop) joins(a, b string) bool { return h == hop{a, b} || h == hop{b, a} }

// hops of all ways, each once, in the order in which they are first made.
func (d *Diagram) hops() (out []hop) {
	if d.Path == nil {
		return nil
	}
	for _, w := range d.Path.Ways {
		for i := 1; i < len(w.Through); i++ {
			if h := (hop{w.Through[i-1], w.Through[i]}); !slices.Contains(out, h) {
				out = append(out, h)
			}
		}
	}
	return out
}

// quoted is a text that may stand between double quotes in a flowchart, and is shown as it is: its entities have a # where
// HTML's have an &, and end alike.
func quoted(text string) string {
	var b strings.Builder
	for _, r := range text {
		switch {
		case r == '\n' || r == '\t':
			b.WriteByte(' ')
		case strings.ContainsRune("\"#&<>`\\", r):
			fmt.Fprintf(&b, "#%d;", r)
		case r >= ' ':
			b.WriteRune(r)
		}
	}
	return b.String()
}

// plain is a text for accTitle and accDescr, which have no quotes and go to the end of the line.
func plain(text string) string {
	return strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || strings.ContainsRune("#;{}<>\"", r) {
			return ' '
		}
		return r
	}, text)), " ")
}
