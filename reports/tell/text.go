package tell

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// width is how many columns a line of text may have. A word that is longer stands alone and is not broken: it may be copied.
const width = 110

// Colours of a terminal.
const (
	bold   = "1"
	red    = "31"
	green  = "32"
	yellow = "33"
	faint  = "2"
)

// printer writes lines of text.
type printer struct {
	bytes.Buffer
	color bool
}

func (p *printer) paint(code, text string) string {
	if !p.color || text == "" || code == "" {
		return text
	}
	return "\x1b[" + code + "m" + text + "\x1b[0m"
}

// para writes words after a first prefix; the lines that follow begin with as many spaces as rest says.
func (p *printer) para(first string, rest int, text, code string) {
	lines := wrap(text, width-max(utf8.RuneCountInString(first), rest))
	for i, line := range lines {
		if i > 0 {
			first = strings.Repeat(" ", rest)
		}
		fmt.Fprintln(p, strings.TrimRight(first+p.paint(code, line), " "))
	}
}

// wrap breaks text between words; quoted texts of rules break there too.
func wrap(text string, columns int) (lines []string) {
	line, n := "", 0
	for _, w := range strings.Split(text, " ") {
		l := utf8.RuneCountInString(w)
		switch {
		case line == "":
			line, n = w, l
		case n+1+l > columns:
			lines = append(lines, line)
			line, n = w, l
		default:
			line, n = line+" "+w, n+1+l
		}
	}
	return append(lines, line)
}

// Text writes the story for a terminal, no line wider than 110 columns but for words that are.
func Text(w io.Writer, s *Story, o Options) error {
	p := &printer{color: o.Color}
	p.head(s)
	c := columnsOf(s)
	for _, way := range s.Ways {
		p.way(&way, c)
	}
	if s.More != "" {
		p.para("  ", 2, s.More, "")
	}
	p.memory(s)
	p.judgement(&s.Judgement)
	p.section("EVIDENCE", "")
	for _, e := range s.Evidence {
		p.para("  ", 2, e, "")
	}
	for _, m := range s.Missing {
		p.para("  Missing: ", 11, m, yellow)
	}
	_, err := w.Write(p.Bytes())
	return err
}

func (p *printer) head(s *Story) {
	first := s.Title + ", on " + s.Proxy
	if s.File != "" {
		first += ", " + s.File
	}
	if s.State != "" {
		first += ", " + s.State
	}
	p.para("", 2, first, faint)
	for _, n := range s.Notes {
		p.para("Note: ", 6, n, yellow)
	}
	fmt.Fprintln(p)
	code := bold
	switch {
	case s.Judgement.Judged && !s.Judgement.Right:
		code = bold + ";" + red
	case s.Judgement.Judged:
		code = bold + ";" + green
	}
	p.para("", 0, s.Verdict, code)
	widest := 0
	for _, f := range s.Facts {
		widest = max(widest, utf8.RuneCountInString(f.Name))
	}
	for _, f := range s.Facts {
		p.para("  "+pad(f.Name, widest)+"  ", widest+4, f.Text, "")
	}
}

func (p *printer) section(title, more string) {
	fmt.Fprintln(p)
	if more != "" {
		more = " (" + more + ")"
	}
	fmt.Fprintln(p, p.paint(bold, title)+more)
}

func pad(text string, n int) string {
	return text + strings.Repeat(" ", max(0, n-utf8.RuneCountInString(text)))
}

// columns are the widths of a step's columns, the same for all ways of a story.
type columns struct{ where, at, when, source, dest int }

func columnsOf(s *Story) (c columns) {
	c = columns{len("where"), 0, 0, len("source"), len("destination")}
	for _, w := range s.Ways {
		for _, st := range w.Steps {
			c.where = max(c.where, utf8.RuneCountInString(st.Where))
			c.at = max(c.at, utf8.RuneCountInString(st.At))
			if st.Timed {
				c.when = max(c.when, utf8.RuneCountInString(micros(st.Time)))
			}
			c.source = max(c.source, utf8.RuneCountInString(st.Source))
			c.dest = max(c.dest, utf8.RuneCountInString(st.Dest))
		}
	}
	return c
}

// micros is the time since the first packet was first seen.
func micros(d time.Duration) string { return fmt.Sprintf("%.1f µs", float64(d)/1000) }

func (p *printer) way(w *Way, c columns) {
	p.section(w.Name, w.Packet)
	left := 5 + c.where + 2 + c.at + 2 + c.when + 2
	fmt.Fprintln(p, p.paint(faint, strings.TrimRight(pad("  #", 5)+pad("where", left-5)+pad("source", c.source+2)+"destination", " ")))
	for _, st := range w.Steps {
		mark, code := fmt.Sprintf("%3d  ", st.Number), ""
		switch {
		case st.Mark == Rewritten:
			mark, code = "  ➜  ", yellow
		case st.Mark == Ended:
			mark, code = "  ✗  ", red
		case st.Number == 0:
			mark = "     "
		}
		when := ""
		if st.Timed {
			when = micros(st.Time)
		}
		source := pad(st.Source, c.source+2)
		if st.Source == "" && st.Dest == "" && st.What != "" && left+utf8.RuneCountInString(st.What) <= width {
			source, st.What = st.What, "" // it needs no columns of its own
		}
		line := mark + pad(st.Where, c.where+2) + pad(st.At, c.at+2) + strings.Repeat(" ", max(0, c.when-utf8.RuneCountInString(when))) + when + "  " +
			source + st.Dest
		if short := line + "  " + st.What; st.What != "" && code == "" && utf8.RuneCountInString(pad(line, left+c.source+2+c.dest)+"  "+st.What) <= width {
			line = pad(line, left+c.source+2+c.dest) + strings.TrimPrefix(short, line)
			fmt.Fprintln(p, strings.TrimRight(line, " "))
		} else {
			fmt.Fprintln(p, p.paint(code, strings.TrimRight(line, " ")))
			if st.What != "" {
				p.para("     ", 5, st.What, code)
			}
		}
		for _, words := range st.Words {
			p.para("       ", 7, words, faint)
		}
		for _, r := range st.Rules {
			p.rule(&r)
		}
	}
}

func (p *printer) rule(r *Rule) {
	code := ""
	if r.Acted {
		code = bold
	}
	if one := r.Where + ":  " + r.Text; utf8.RuneCountInString(one)+9 <= width {
		fmt.Fprintln(p, "       · "+p.paint(code, one))
	} else {
		fmt.Fprintln(p, "       · "+p.paint(code, r.Where+":"))
		p.para("           ", 11, r.Text, code)
	}
	for _, e := range r.Lookups {
		p.para("           ", 13, e.Text, "")
		if e.Means != "" {
			p.para("             = ", 15, e.Means, "")
		}
	}
	if r.Means != "" {
		p.para("         = ", 11, r.Means, "")
	}
	for _, o := range r.Objects {
		p.para("         = ", 11, o, "")
	}
}

func (p *printer) memory(s *Story) {
	p.section("MEMORY", "what connection tracking, nf_conntrack, remembers")
	for _, m := range s.Memory {
		fmt.Fprintf(p, "  %s, id %d, %s\n", m.Node, m.ID, m.What)
		if !m.NAT {
			continue
		}
		n := max(utf8.RuneCountInString(m.Original.Source), utf8.RuneCountInString(m.Reply.Source))
		to := max(utf8.RuneCountInString(m.Original.Dest), utf8.RuneCountInString(m.Reply.Dest))
		fmt.Fprintf(p, "    original  %s → %s\n", pad(m.Original.Source, n), m.Original.Dest)
		fmt.Fprintf(p, "    reply     %s → %s   ← this line is the whole secret\n", pad(m.Reply.Source, n), pad(m.Reply.Dest, to))
	}
	for _, w := range s.MemoryWords {
		p.para("  ", 2, w, "")
	}
}

func (p *printer) judgement(j *Judgement) {
	p.section("SHOULD IT HAVE BEEN SO?", "")
	code := ""
	switch {
	case j.Judged && j.Right:
		code = green
	case j.Judged:
		code = red
	}
	p.para("  ", 2, j.Text, code)
	if j.Expected != "" {
		p.para("  Expected: ", 12, j.Expected, "")
	}
	n := 0
	for _, r := range j.Reasons {
		n = max(n, len(r.Row))
	}
	for _, r := range j.Reasons {
		p.para("  "+pad(r.Row, n)+"  ", n+4, r.Text, "")
		if r.Says != "" && r.Says != r.Text {
			p.para(strings.Repeat(" ", n+4), n+4, "“"+r.Says+"”", faint)
		}
	}
}
