package reports

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"svclab/reports/verdict"
)

// Table writes what a person reads: every case with its steps, one line a question, and below a case that failed what was
// expected and why, what was seen, and the command that repeats it.
func Table(w io.Writer, r *verdict.Run, o Options) error {
	p := &printer{w: w, Options: o}
	for i := range r.Cases {
		p.Case(&r.Cases[i])
	}
	p.Summary(r)
	return p.err
}

// WriteCase writes one case, for a console that shows each as it ends.
func WriteCase(w io.Writer, c *verdict.Case, o Options) error {
	p := &printer{w: w, Options: o}
	p.Case(c)
	return p.err
}

// Tally writes of a repeated run how often each case ended how.
func Tally(w io.Writer, r *verdict.Run) error {
	var order []string
	counts := map[string]*verdict.Counts{}
	for i := range r.Cases {
		id := r.Cases[i].ID()
		if counts[id] == nil {
			counts[id] = &verdict.Counts{}
			order = append(order, id)
		}
		counts[id][r.Cases[i].Verdict]++
	}
	p := &printer{w: w}
	for _, id := range order {
		n := counts[id]
		known := ""
		if n[verdict.Known] > 0 {
			known = fmt.Sprintf(", %d failed as known", n[verdict.Known])
		}
		p.line("%-40s %d passed, %d failed, %d broken, %d skipped%s", id, n[verdict.Pass], n[verdict.Fail], n[verdict.Broken], n[verdict.Skip], known)
	}
	return p.err
}

// WriteSummary writes the last line of a run.
func WriteSummary(w io.Writer, r *verdict.Run, o Options) error {
	p := &printer{w: w, Options: o}
	p.Summary(r)
	return p.err
}

type printer struct {
	Options
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintln(p.w, strings.TrimRight(fmt.Sprintf(format, args...), " "))
	}
}

const (
	green, red, yellow, magenta, bold, dim, plain = "\x1b[32m", "\x1b[31m", "\x1b[33m", "\x1b[35m", "\x1b[1m", "\x1b[2m", "\x1b[0m"
)

func (p *printer) paint(color, text string) string {
	if !p.Color || text == "" {
		return text
	}
	return color + text + plain
}

func (p *printer) verdict(v verdict.Verdict) string {
	return p.paint(map[verdict.Verdict]string{verdict.Pass: green, verdict.Fail: red, verdict.Broken: magenta, verdict.Skip: yellow, verdict.Known: yellow}[v], strings.ToUpper(v.String()))
}

// Case writes one case.
func (p *printer) Case(c *verdict.Case) {
	p.line("%s  %s  %s", p.verdict(c.Verdict), p.paint(bold, c.Scenario), p.paint(dim, fmt.Sprintf("%s on %s, %s", c.Variant, c.Proxy, short(c.Took))))
	if c.About != "" {
		p.line("      %s", strings.TrimSpace(c.About))
	}
	widths := columns(c)
	for i := range c.Steps {
		p.step(i+1, &c.Steps[i], widths)
	}
	if c.Verdict == verdict.Pass {
		return
	}
	p.line("")
	p.blame(c)
	p.line("")
}

// blame writes of a case that did not pass why, what was expected, what was seen, and how to see it again.
func (p *printer) blame(c *verdict.Case) {
	p.line("      %s %s", p.paint(red, "WHY  "), c.Why)
	if c.Known != "" {
		p.line("      KNOWN %s", c.Known)
	}
	for i := range c.Steps {
		p.blameStep(&c.Steps[i], c.File)
	}
	if c.Rerun != "" {
		p.line("      AGAIN %s", c.Rerun)
	}
}

// blameText is what blame writes, from the margin on, for formats that put it into something else.
func blameText(c *verdict.Case) string {
	var b strings.Builder
	p := &printer{w: &b}
	p.blame(c)
	return strings.ReplaceAll(strings.TrimPrefix(b.String(), margin), "\n"+margin, "\n")
}

const margin = "      "

// columns finds the widths that line up all rows of a case.
func columns(c *verdict.Case) (w [4]int) {
	for _, s := range c.Steps {
		for _, f := range s.Flows {
			w[0] = max(w[0], utf8.RuneCountInString(f.From))
			w[1] = max(w[1], utf8.RuneCountInString(f.To))
			w[2] = max(w[2], utf8.RuneCountInString(answers(f)))
			w[3] = max(w[3], utf8.RuneCountInString(sources(f)))
		}
	}
	return w
}

func pad(s string, n int) string {
	return s + strings.Repeat(" ", max(n-utf8.RuneCountInString(s), 0))
}

func (p *printer) step(n int, s *verdict.Step, w [4]int) {
	mark := p.paint(green, "✓")
	if s.Verdict != verdict.Pass {
		mark = p.paint(red, "✗")
	}
	if s.Kind != "probe" {
		p.line("  %s %d %s", mark, n, s.Text)
	}
	for i, f := range s.Flows {
		lead := "     "
		if i == 0 && s.Kind == "probe" {
			lead = fmt.Sprintf("  %s %d", mark, n)
			lead += strings.Repeat(" ", max(0, 5-utf8.RuneCountInString(stripped(lead, p.Color))))
		}
		wrong := ""
		if f.Wrongs > 0 {
			wrong = p.paint(red, fmt.Sprintf("  ← %d WRONG", f.Wrongs))
		}
		source := sources(f)
		if wrong != "" {
			source = pad(source, w[3])
		}
		p.line("%s %s → %s  %s  %s%s", lead, pad(f.From, w[0]), pad(f.To, w[1]), pad(answers(f), w[2]), p.paint(dim, source), wrong)
		if f.Fair != "" {
			p.line("        %s", p.paint(dim, f.Fair))
		}
		if p.Verbose {
			for _, t := range f.Story {
				p.line("        %s", t)
			}
			for _, b := range f.Because {
				p.line("        %s", p.paint(dim, b))
			}
		}
	}
	if len(s.Flows) == 0 && s.Kind == "probe" {
		p.line("  %s %d %s", mark, n, s.Text)
	}
	for _, t := range s.Notes {
		p.line("        %s", p.paint(dim, t))
	}
}

// stripped is the text without colours, for its width.
func stripped(s string, colored bool) string {
	if !colored {
		return s
	}
	for _, c := range []string{green, red, plain} {
		s = strings.ReplaceAll(s, c, "")
	}
	return s
}

func answers(f verdict.Flows) string {
	var words []string
	for _, a := range f.Answers {
		words = append(words, fmt.Sprintf("%s %d×", a.Who, a.Count))
	}
	return strings.Join(words, ", ")
}

func sources(f verdict.Flows) string {
	switch {
	case len(f.Sources) == 0:
		return ""
	case len(f.Sources) == 1 && f.Sources[0] == "kept":
		return "source kept"
	}
	if i := slices.Index(f.Sources, "kept"); i >= 0 {
		others := slices.Delete(slices.Clone(f.Sources), i, i+1)
		return "source kept, or became " + strings.Join(others, ", ")
	}
	return "source became " + strings.Join(f.Sources, ", ")
}

// blameStep writes of a step that did not pass what was expected and why, and what was seen.
func (p *printer) blameStep(s *verdict.Step, file string) {
	if s.Verdict == verdict.Pass {
		return
	}
	p.line("      WHERE %s:%d: %s", file, s.Line, s.Text)
	if !slices.ContainsFunc(s.Flows, func(f verdict.Flows) bool { return f.Wrongs > 0 }) {
		p.line("            %s", s.Why)
	}
	for _, f := range s.Flows {
		if f.Wrongs == 0 {
			continue
		}
		p.line("      EXPECTED of %s → %s (%s): %s", f.From, f.To, f.Address, f.Expect)
		for _, b := range f.Because {
			p.line("            %s", b)
		}
		p.line("      SEEN  %d of %d flows wrong", f.Wrongs, f.Sent)
		for _, x := range f.Wrong {
			p.line("            %s: %s", x.Flow, x.Why)
		}
	}
}

// Summary writes the tally and nothing that varies but the times.
func (p *printer) Summary(r *verdict.Run) { p.line("%s", summary(r)) }

func summary(r *verdict.Run) string {
	n := r.Tally()
	flows := 0
	for _, c := range r.Cases {
		for _, s := range c.Steps {
			for _, f := range s.Flows {
				flows += f.Sent
			}
		}
	}
	words := []string{}
	for _, v := range verdict.Verdicts {
		if n[v] > 0 || v == verdict.Pass || v == verdict.Fail {
			words = append(words, fmt.Sprintf("%d %s", n[v], map[verdict.Verdict]string{verdict.Pass: "passed", verdict.Fail: "failed", verdict.Broken: "broken", verdict.Skip: "skipped", verdict.Known: "failed as known"}[v]))
		}
	}
	return fmt.Sprintf("%s  (%d flows judged in %s, seed %d)", strings.Join(words, ", "), flows, short(r.Took), r.Seed)
}

func short(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1f s", d.Seconds())
}
