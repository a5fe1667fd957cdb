package tell

import (
	"bytes"
	"fmt"
	"io"
	"strings"
)

// escaped are the characters that Markdown, or the HTML in it, would take for its own.
var escaped = strings.NewReplacer("\\", "\\\\", "|", "\\|", "*", "\\*", "_", "\\_", "`", "\\`", "<", "&lt;", ">", "&gt;", "[", "\\[", "\n", " ", "\r", " ")

func plain(text string) string { return escaped.Replace(text) }

// code is text as it stands, in a table's cell too.
func code(text string) string {
	if text == "" {
		return ""
	}
	text = strings.NewReplacer("\n", " ", "\r", " ", "|", "\\|").Replace(text)
	fence := "`"
	for strings.Contains(text, fence) {
		fence += "`"
	}
	if len(fence) > 1 {
		return fence + " " + text + " " + fence
	}
	return fence + text + fence
}

// Markdown writes the story with a table for each way, and below it the rules and sentences of its steps.
func Markdown(w io.Writer, s *Story) error {
	var b bytes.Buffer
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	line("## %s\n", plain(s.Title))
	line("%s\n", plain(strings.Join(nonEmpty("on "+s.Proxy, s.File, s.State), ", ")))
	for _, n := range s.Notes {
		line("> %s\n", plain(n))
	}
	line("**%s**\n", plain(s.Verdict))
	for _, f := range s.Facts {
		line("- **%s** %s", plain(f.Name), plain(f.Text))
	}
	for _, way := range s.Ways {
		line("\n### %s\n\n%s\n", plain(titled(way.Name)), plain(way.Packet))
		line("| # | where | at | µs | source | destination | what |\n|---:|---|---|---:|---|---|---|")
		for _, st := range way.Steps {
			when := ""
			if st.Timed {
				when = fmt.Sprintf("%.1f", float64(st.Time)/1000)
			}
			what := plain(st.What)
			if st.Mark != Plain {
				what = "**" + what + "**"
			}
			line("| %s | %s | %s | %s | %s | %s | %s |", st.sign(), plain(st.Where), plain(st.At), when, code(st.Source), code(st.Dest), what)
		}
		line("")
		for _, st := range way.Steps {
			if len(st.Rules)+len(st.Words) == 0 {
				continue
			}
			line("- **%s** %s, %s", st.sign(), plain(st.Where), plain(st.At))
			for _, t := range st.Words {
				line("  - *%s*", plain(t))
			}
			for _, r := range st.Rules {
				line("  - %s: %s", plain(r.Where), code(r.Text))
				for _, e := range r.Lookups {
					line("    - %s %s", code(e.Text), plain(e.Means))
				}
				for _, t := range append(nonEmpty(r.Means), r.Objects...) {
					line("    - %s", plain(t))
				}
			}
		}
	}
	if s.More != "" {
		line("\n%s", plain(s.More))
	}
	line("\n### Memory\n")
	if len(s.Memory) > 0 {
		line("| node | id | | original | reply |\n|---|---|---|---|---|")
	}
	for _, m := range s.Memory {
		line("| %s | %d | %s | %s | %s |", plain(m.Node), m.ID, plain(m.What), code(m.Original.String()), code(m.Reply.String()))
	}
	for _, t := range s.MemoryWords {
		line("\n%s", plain(t))
	}
	line("\n### Should it have been so?\n\n**%s**\n", plain(s.Judgement.Text))
	if s.Judgement.Expected != "" {
		line("Expected: %s\n", plain(s.Judgement.Expected))
	}
	for _, r := range s.Judgement.Reasons {
		line("- **%s** %s%s", plain(r.Row), plain(r.Text), plain(quoted(r.Says)))
	}
	line("\n### Evidence\n")
	for _, t := range s.Evidence {
		line("- %s", plain(t))
	}
	for _, t := range s.Missing {
		line("- **Missing:** %s", plain(t))
	}
	_, err := w.Write(b.Bytes())
	return err
}

func quoted(text string) string {
	if text == "" {
		return ""
	}
	return " (“" + text + "”)"
}

func nonEmpty(texts ...string) (out []string) {
	for _, t := range texts {
		if t != "" {
			out = append(out, t)
		}
	}
	return out
}

// titled is "THE WAY THERE" in ordinary letters.
func titled(name string) string {
	if name == "" {
		return ""
	}
	return name[:1] + strings.ToLower(name[1:])
}

// sign is a step's number, or what stands for it.
func (s Step) sign() string {
	switch {
	case s.Mark == Rewritten:
		return "➜"
	case s.Mark == Ended:
		return "✗"
	}
	return fmt.Sprint(s.Number)
}

// String is "10.0.0.1:2000 → 10.0.0.2:80".
func (t Tuple) String() string { return t.Source + " → " + t.Dest }
