package change

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"

	"svclab/reports/figures"
	"svclab/reports/measure"
)

// Formats are the words for -o.
var Formats = []string{"table", "json", "markdown"}

// Write writes the comparison in one of Formats.
func Write(w io.Writer, format string, c *Comparison) error {
	switch format {
	case "table":
		_, err := io.WriteString(w, c.table())
		return err
	case "markdown":
		_, err := io.WriteString(w, c.markdown())
		return err
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", " ")
		return e.Encode(c)
	}
	return fmt.Errorf("format %q is none of %v", format, Formats)
}

// part is a table: the rows of one work and clock, or the means.
type part struct {
	title string
	heads []partHead
	cells [][]string
}

type partHead struct {
	text        string
	right, once bool
}

// parts of the comparison.
func (c *Comparison) parts() (out []part) {
	var conditions []*measure.Row
	for i := range c.Rows {
		conditions = append(conditions, &c.Rows[i].Conditions)
	}
	shown, _ := figures.Conditions(conditions)
	for i := range c.Rows {
		r := &c.Rows[i]
		what := "less is better"
		if r.Conditions.Unit.HigherIsBetter() {
			what = "more is better"
		}
		if c.RatioTo != "" {
			what = "of " + c.RatioTo + ", " + what
		}
		title := fmt.Sprintf("%s (%s)", figures.Title(r.Conditions.Work, r.Conditions.Clock), what)
		at := slices.IndexFunc(out, func(p part) bool { return p.title == title })
		if at < 0 {
			p := part{title: title}
			for _, s := range shown {
				p.heads = append(p.heads, partHead{s.Head, s.Right, s.Head != "proxy"})
			}
			for _, h := range []string{"old", "", "new", "", "change", "p", "n"} {
				p.heads = append(p.heads, partHead{text: h, right: true})
			}
			p.heads = append(p.heads, partHead{})
			at, out = len(out), append(out, p)
		}
		var cells []string
		for _, s := range shown {
			cells = append(cells, s.Of(&r.Conditions))
		}
		cells = append(cells, c.value(r, r.Old), about(r.Old), c.value(r, r.New), about(r.New), percent(r.Change), r.p(), r.n(), r.said())
		out[at].cells = append(out[at].cells, cells)
	}
	if len(c.Means) > 0 {
		p := part{title: "geometric mean of the changes", heads: []partHead{{"work", false, true}, {"proxy", false, false}, {"change", true, false}, {"rows", true, false}}}
		for _, m := range c.Means {
			work := m.Work
			if slices.ContainsFunc(c.Means, func(o Mean) bool { return o.Work == m.Work && o.Unit != m.Unit }) {
				work += ", in " + string(m.Unit)
			}
			p.cells = append(p.cells, []string{work, m.Proxy, percent(&m.Change), fmt.Sprint(m.Rows)})
		}
		out = append(out, p)
	}
	return out
}

func (c *Comparison) value(r *Row, s Side) string {
	if c.RatioTo != "" {
		return figures.Times(s.Median)
	}
	return figures.Human(r.Conditions.Unit, s.Median)
}

// about is how far the confidence interval reaches from the median: "±3%".
func about(s Side) string {
	if s.Low == nil || s.Median == 0 {
		return ""
	}
	return fmt.Sprintf("±%.0f%%", 100*math.Max(1-*s.Low/s.Median, *s.High/s.Median-1))
}

func percent(change *float64) string {
	switch {
	case change == nil:
		return "from 0"
	case *change >= 9.995:
		return fmt.Sprintf("+%.0f×", *change+1)
	}
	return fmt.Sprintf("%+.1f%%", 100**change)
}

func (r *Row) p() string {
	switch {
	case r.Verdict == TooFew:
		return "–"
	case r.Exact:
		return "exact"
	}
	if r.P < 0.001 {
		return "<0.001"
	}
	return fmt.Sprintf("%.3f", r.P)
}

func (r *Row) n() string {
	if r.Old.N == r.New.N {
		return fmt.Sprint(r.Old.N)
	}
	return fmt.Sprintf("%d+%d", r.Old.N, r.New.N)
}

func (r *Row) said() string {
	if r.Note != "" {
		return string(r.Verdict) + ": " + r.Note
	}
	return string(r.Verdict)
}

// ending is the last line.
func (c *Comparison) ending() string {
	n := map[Verdict]int{}
	for _, r := range c.Rows {
		n[r.Verdict]++
	}
	return fmt.Sprintf("%d rows compared: %d better, %d worse, %d of them by more than %.3g %%; %d not told from noise, %d with too few samples (alpha %g)",
		len(c.Rows), n[Improved], n[Worsened]+n[Regressed], n[Regressed], 100*c.MaxRegression, n[Same], n[TooFew], c.Alpha)
}

// lists are what was not compared.
func (c *Comparison) lists() (out []string) {
	for _, of := range []struct {
		head  string
		lines []string
	}{{"warning", c.Warnings}, {"only in OLD", c.OnlyOld}, {"only in NEW", c.OnlyNew}, {"not compared", c.NotCompared}} {
		for _, l := range of.lines {
			out = append(out, of.head+": "+l)
		}
	}
	return out
}

func (c *Comparison) table() string {
	var out strings.Builder
	for _, p := range c.parts() {
		var g figures.Grid
		for _, h := range p.heads {
			g.Column(h.text, h.right, h.once)
		}
		for _, cells := range p.cells {
			g.Row(cells...)
		}
		out.WriteString(p.title + "\n" + g.String() + "\n")
	}
	for _, l := range c.lists() {
		out.WriteString(l + "\n")
	}
	return out.String() + c.ending() + "\n"
}

var markdownText = strings.NewReplacer("\r", "", "\n", " ", "&", "&amp;", "<", "&lt;", ">", "&gt;", "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "~", `\~`)

func (c *Comparison) markdown() string {
	var out strings.Builder
	fmt.Fprintf(&out, "## svclab bench compare: %s\n", markdownText.Replace(c.ending()))
	row := func(cells []string) {
		for _, t := range cells {
			out.WriteString("| " + markdownText.Replace(t) + " ")
		}
		out.WriteString("|\n")
	}
	for _, p := range c.parts() {
		fmt.Fprintf(&out, "\n### %s\n\n", markdownText.Replace(p.title))
		var heads, rule []string
		for _, h := range p.heads {
			heads = append(heads, h.text)
			rule = append(rule, map[bool]string{true: "--:", false: ":--"}[h.right])
		}
		row(heads)
		out.WriteString("|" + strings.Join(rule, "|") + "|\n")
		for _, cells := range p.cells {
			row(cells)
		}
	}
	if lists := c.lists(); len(lists) > 0 {
		out.WriteString("\n")
		for _, l := range lists {
			out.WriteString("- " + markdownText.Replace(l) + "\n")
		}
	}
	return out.String()
}
