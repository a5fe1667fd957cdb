package figures

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"svclab/reports/measure"
)

// Table writes what a person reads on a console: a block for each work and clock, a line for each of its rows.
func Table(w io.Writer, r *measure.Run) error {
	v := newView(r)
	var out strings.Builder
	fmt.Fprintf(&out, "svclab bench %s, %s\n", r.Kind, strings.Join(about(r), ", "))
	fmt.Fprintf(&out, "on %s\n", strings.Join(machine(&r.Machine), ", "))
	if len(v.same) > 0 {
		fmt.Fprintf(&out, "with %s\n", strings.Join(v.same, ", "))
	}
	for _, b := range v.blocks {
		fmt.Fprintf(&out, "\n%s (%s)\n", b.title(), Better(b.unit))
		out.WriteString(v.grid(b).String())
	}
	if len(r.Rows) == 0 {
		out.WriteString("\nnothing was measured\n")
	}
	if len(v.notes)+len(r.Notes) > 0 {
		out.WriteString("\n")
	}
	for i, n := range v.notes {
		fmt.Fprintf(&out, "[%d] %s\n", i+1, n)
	}
	for _, n := range r.Notes {
		fmt.Fprintf(&out, "note: %s\n", n)
	}
	_, err := io.WriteString(w, out.String())
	return err
}

// grid is the table of a block.
func (v *view) grid(b *block) *Grid {
	var g Grid
	shown := slices.DeleteFunc(slices.Clone(v.shown), func(c Column) bool { // those that the block has not
		return !slices.ContainsFunc(b.rows, func(r *measure.Row) bool { return c.Of(r) != "" })
	})
	for _, c := range shown {
		g.Column(c.Head, c.Right, c.Head != "proxy")
	}
	g.Column("n", true, false)
	statistics := v.statistics(b)
	for _, s := range statistics {
		g.Column(s.head, true, false)
	}
	ratios := v.ratioHead()
	if ratios != "" {
		g.Column(ratios, true, false)
	}
	g.Column("", false, false)
	for _, r := range b.rows {
		var cells []string
		for _, c := range shown {
			cells = append(cells, c.Of(r))
		}
		cells = append(cells, thousands(fmt.Sprint(len(r.Samples))))
		summary := measure.Summarize(r.Samples)
		for _, s := range statistics {
			value := math.NaN()
			if summary != nil {
				value = s.of(summary)
			}
			cells = append(cells, Human(b.unit, value))
		}
		if ratios != "" {
			cells = append(cells, Times(v.ratio(b, r)))
		}
		g.Row(append(cells, v.notes.mark(r.Note))...)
	}
	return &g
}

// about a run, in a few words.
func about(r *measure.Run) []string {
	return []string{r.Started.UTC().Format("2006-01-02 15:04 UTC"), "took " + Duration(r.Took), fmt.Sprintf("seed %d", r.Seed), "svclab " + r.Version}
}

// machine in a few words.
func machine(m *measure.Machine) []string {
	who := "root"
	if !m.Root {
		who = "root of a user namespace"
	}
	words := []string{fmt.Sprintf("%d × %s", m.CPUs, m.CPU), Human(measure.Bytes, float64(m.Memory)), "kernel " + m.Kernel}
	if m.System != "" {
		words = append(words, m.System)
	}
	return append(words, m.Go, who, fmt.Sprintf("load %.2f", m.Load))
}

// footnotes are notes of rows, each said once.
type footnotes []string

func (f *footnotes) mark(note string) string {
	if note == "" {
		return ""
	}
	if !slices.Contains(*f, note) {
		*f = append(*f, note)
	}
	return fmt.Sprintf("[%d]", slices.Index(*f, note)+1)
}

// Grid is a table of text, its columns as wide as their widest cell. The zero value is empty.
type Grid struct {
	columns []gridColumn
	rows    [][]string
}

type gridColumn struct {
	head        string
	right, once bool
}

// Column adds one: right aligns its cells to the right; once leaves a cell empty when all columns up to it are as in the row
// before.
func (g *Grid) Column(head string, right, once bool) {
	g.columns = append(g.columns, gridColumn{head, right, once})
}

// Row adds one, with a cell for each column.
func (g *Grid) Row(cells ...string) { g.rows = append(g.rows, cells) }

func (g *Grid) String() string {
	widths := make([]int, len(g.columns))
	heads := make([]string, len(g.columns))
	for i, c := range g.columns {
		heads[i] = c.head
		widths[i] = utf8.RuneCountInString(c.head)
		for _, r := range g.rows {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i]))
		}
	}
	var out strings.Builder
	line := func(cells []string) {
		var b strings.Builder
		for i, c := range cells {
			pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(c))
			b.WriteString("  ")
			if g.columns[i].right {
				b.WriteString(pad + c)
			} else {
				b.WriteString(c + pad)
			}
		}
		out.WriteString(strings.TrimRight(b.String(), " ") + "\n")
	}
	line(heads)
	for n, r := range g.rows {
		cells := slices.Clone(r)
		for i, c := range g.columns {
			if !c.once || n == 0 || r[i] != g.rows[n-1][i] {
				break
			}
			cells[i] = ""
		}
		line(cells)
	}
	return out.String()
}
