package figures

import (
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"svclab/reports/measure"
)

//go:embed page.html
var pageText string

//go:embed page.css
var pageStyle string

//go:embed page.js
var pageScript string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{"breakable": breakable}).Parse(pageText))

// page is what page.html is filled with.
type page struct {
	Title, About string
	Run          *measure.Run
	Facts        []string
	Notes        []string
	RowNotes     []string // "[1]" is the first
	Glance       *glance
	Sections     []section
	Heads        []head
	Rows         []line
	Machine      []pair
	Flags        []pair
	Style        template.CSS
	Script       template.JS
	Policy       string
}

type pair struct{ Name, Value string }

type head struct {
	Text  string
	Right bool
}

type line struct {
	Cells []cell
}

type cell struct {
	Text  string
	Sort  string // by what it is sorted: a number
	Right bool
}

// breakable is text that may go on in the next line after a slash.
func breakable(text string) template.HTML {
	return template.HTML(strings.ReplaceAll(escape(text), "/", "/<wbr/>"))
}

// HTML writes a page with plots and all rows. It is one file, needs nothing else, and is whole without its script, which
// sorts the table. It is well-formed XML too.
func HTML(w io.Writer, r *measure.Run) error {
	v := newView(r)
	rows := v.lines() // first, so that its notes are counted from 1 on
	sum := sha256.Sum256([]byte(pageScript))
	p := page{
		Title: map[measure.Kind]string{measure.Sync: "Rule-sync time", measure.Datapath: "What a packet pays", measure.Lab: "What a lab costs"}[r.Kind],
		About: map[measure.Kind]string{
			measure.Sync:     "How long a service proxy takes until its rules are in the kernel and packets go the right way, and what it needs for that.",
			measure.Datapath: "What the rules of a service proxy cost each connection and each packet, beside the same path without any.",
			measure.Lab:      "How long a lab of fake nodes and pods takes to open, to judge a first flow, and to close.",
		}[r.Kind],
		Run: r, Facts: append(about(r), v.same...), Glance: v.glance(), Sections: v.sections(), Heads: v.heads(), Rows: rows, Notes: r.Notes, RowNotes: v.notes,
		Style: template.CSS(pageStyle), Script: template.JS(pageScript),
		Policy: "default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'",
	}
	if p.Title == "" {
		p.Title = "svclab bench " + string(r.Kind)
	}
	m := &r.Machine
	p.Machine = []pair{{"Host", m.Host}, {"Processor", fmt.Sprintf("%d × %s", m.CPUs, m.CPU)}, {"Memory", Human(measure.Bytes, float64(m.Memory))}, {"Kernel", m.Kernel}, {"System", m.System},
		{"Go", m.Go}, {"User", map[bool]string{true: "root", false: "root of a user namespace"}[m.Root]}, {"Load before", fmt.Sprintf("%.2f", m.Load)}}
	for _, of := range []map[string]string{m.Settings, m.Programs} {
		for _, k := range slices.Sorted(maps.Keys(of)) {
			p.Machine = append(p.Machine, pair{k, of[k]})
		}
	}
	p.Machine = slices.DeleteFunc(p.Machine, func(of pair) bool { return of.Value == "" })
	for _, k := range slices.Sorted(maps.Keys(r.Flags)) {
		p.Flags = append(p.Flags, pair{"--" + k, r.Flags[k]})
	}
	p.Flags = append(p.Flags, pair{"--seed", strconv.FormatUint(r.Seed, 10)})
	return pageTemplate.Execute(w, &p)
}

// Columns and Lines are for the template.
func (g *Grid) Columns() (out []head) {
	for _, c := range g.columns {
		out = append(out, head{c.head, c.right})
	}
	return out
}

// Lines are the rows, whole: a cell that repeats the one above is not left out.
func (g *Grid) Lines() (out []line) {
	for _, r := range g.rows {
		var l line
		for i, text := range r {
			l.Cells = append(l.Cells, cell{Text: text, Right: g.columns[i].right})
		}
		out = append(out, l)
	}
	return out
}

// all statistics of the table of all rows, whatever the unit.
var all = []statistic{minimum, median, p95, p99, maximum}

func (v *view) heads() (out []head) {
	out = []head{{"work", false}}
	for _, c := range v.shown {
		out = append(out, head{c.Head, c.Right})
	}
	out = append(out, head{"n", true})
	for _, s := range all {
		out = append(out, head{s.head, true})
	}
	if h := v.ratioHead(); h != "" {
		out = append(out, head{h, true})
	}
	return out
}

// lines are all rows.
func (v *view) lines() (out []line) {
	for _, b := range v.blocks {
		for _, r := range b.rows {
			l := line{[]cell{{Text: b.title()}}}
			if mark := v.notes.mark(r.Note); mark != "" {
				l.Cells[0].Text += " " + mark
			}
			for _, c := range v.shown {
				text := c.Of(r)
				of := cell{Text: text, Right: c.Right}
				if c.Right {
					of.Sort = strings.ReplaceAll(text, ",", "")
				}
				l.Cells = append(l.Cells, of)
			}
			n := strconv.Itoa(len(r.Samples))
			l.Cells = append(l.Cells, cell{thousands(n), n, true})
			summary := measure.Summarize(r.Samples)
			for _, s := range all {
				if summary == nil {
					l.Cells = append(l.Cells, cell{Text: "–", Right: true})
					continue
				}
				l.Cells = append(l.Cells, cell{Human(b.unit, s.of(summary)), exact(s.of(summary)), true})
			}
			if v.ratioHead() != "" {
				of := cell{Right: true}
				if ratio := v.ratio(b, r); !math.IsNaN(ratio) {
					of.Text, of.Sort = Times(ratio), exact(ratio)
				}
				l.Cells = append(l.Cells, of)
			}
			out = append(out, l)
		}
	}
	return out
}
