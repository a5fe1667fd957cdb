package drawing

import (
	"fmt"
	"slices"
	"strings"
)

// dot is a graph for Graphviz: nodes as clusters, and the path in bold.
func dot(d *Diagram) string {
	var b strings.Builder
	ids := d.short()
	fmt.Fprintf(&b, "digraph topology {\n  rankdir=LR;\n  label=%s;\n  tooltip=%s;\n  labelloc=t;\n  fontname=\"sans-serif\";\n", dotLines(d.title(), d.About), dotText(d.told()))
	b.WriteString("  node [shape=box, style=rounded, fontname=\"sans-serif\", fontsize=11];\n  edge [fontname=\"sans-serif\", fontsize=10];\n")
	node := func(indent string, box *Box, label string) {
		more := ""
		switch {
		case box.Kind == Service:
			more = ", shape=box, style=\"rounded,bold\""
			if d.Path != nil && d.Path.Asked == box.ID {
				more += ", color=\"#b3261e\""
			}
		case box.Faint:
			more = ", style=\"rounded,dotted\""
		case box.Own:
			more = ", style=\"rounded,dashed\""
		case box.Kind == Underlay || box.Kind == Node:
			more = ", style=filled, fillcolor=\"#dde3ea\""
		}
		fmt.Fprintf(&b, "%s%s [label=%s, tooltip=%s%s];\n", indent, ids[box.ID], label, dotText(d.spoken(box)), more)
	}
	for _, box := range d.of(Service) {
		node("  ", box, dotText(d.dotLabel(box)))
	}
	for _, box := range d.of(Node) {
		fmt.Fprintf(&b, "  subgraph cluster_%s {\n    label=%s;\n    style=rounded;\n", ids[box.ID], dotText(strings.TrimSpace(box.Title+" "+box.Note)))
		for _, pod := range d.in(box.ID) {
			node("    ", pod, dotText(d.dotLabel(pod)))
		}
		node("    ", box, dotLines(d.kernel(box)...))
		b.WriteString("  }\n")
	}
	for _, kind := range []Kind{Address, Underlay, Client} {
		for _, box := range d.of(kind) {
			node("  ", box, dotText(d.dotLabel(box)))
		}
	}
	for _, k := range d.Links {
		style := map[State]string{Ready: "solid", Draining: "dashed", Unused: "dotted"}[k.State]
		fmt.Fprintf(&b, "  %s -> %s [label=%s, style=%s, color=\"#0b5fc4\", fontcolor=\"#0b5fc4\"];\n", ids[k.From], ids[k.To], dotText(k.words()), style)
	}
	hops := d.hops()
	for i := range d.Boxes {
		box := &d.Boxes[i]
		if to := d.wired(box); to != "" && !slices.ContainsFunc(hops, func(h hop) bool { return h.joins(box.ID, to) }) {
			fmt.Fprintf(&b, "  %s -> %s [dir=none, color=\"#7d8590\"];\n", ids[box.ID], ids[to])
		}
	}
	for _, h := range hops {
		fmt.Fprintf(&b, "  %s -> %s [penwidth=3, color=\"#b3261e\"];\n", ids[h.from], ids[h.to])
	}
	if p := d.Path; p != nil {
		fmt.Fprintf(&b, "  way [shape=note, style=solid, label=%s];\n", dotLeft(p.lines(func(s string) string { return s })))
	}
	b.WriteString("}\n")
	return b.String()
}

func (d *Diagram) dotLabel(b *Box) string {
	lines := []string{d.numbers(b.ID) + b.Title}
	if b.Note != "" {
		lines = append(lines, b.Note)
	}
	return strings.Join(append(lines, details(b)...), "\n")
}

func dotLines(lines ...string) string {
	return dotText(strings.Join(slices.DeleteFunc(lines, func(s string) bool { return s == "" }), "\n"))
}

// dotLeft sets lines flush left, broken where they are long.
func dotLeft(lines []string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, l := range lines {
		for _, part := range proseFont.wrap(l, 480) {
			b.WriteString(dotSafe(part) + `\l`)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// dotText is a quoted string of the DOT language.
func dotText(text string) string { return `"` + strings.ReplaceAll(dotSafe(text), "\n", `\n`) + `"` }

// dotSafe: a backslash and a quote are the only letters with a meaning in a quoted string, and & begins an entity in its
// text.
func dotSafe(text string) string {
	return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "&", "&amp;", "\t", " ", "\r", " ", "\x00", "").Replace(text)
}
