package reports

import (
	"io"
	"strings"

	"svclab/reports/verdict"
)

// maxDetails bounds the details of failures in Markdown: GitHub takes summaries of at most 1 MiB.
const maxDetails = 900 << 10

// Markdown writes a table of the cases, and of each that did not pass the details, folded up.
func Markdown(w io.Writer, r *verdict.Run) error {
	p := &printer{w: w}
	p.line("## svclab: %s", summary(r))
	p.line("")
	p.line("| | scenario | family | proxy | took | why |")
	p.line("|---|---|---|---|---|---|")
	for i := range r.Cases {
		c := &r.Cases[i]
		p.line("| %s | %s | %s | %s | %s | %s |", mark(c.Verdict), cell(c.Scenario), c.Variant, cell(c.Proxy), short(c.Took), cell(strings.TrimSpace(c.Why+" "+c.Known)))
	}
	written, left := 0, 0
	for i := range r.Cases {
		c := &r.Cases[i]
		if c.Verdict == verdict.Pass || c.Verdict == verdict.Skip || c.Verdict == verdict.Known {
			continue
		}
		text := blameText(c)
		if written += len(text); written > maxDetails {
			left++
			continue
		}
		fence := "```"
		for strings.Contains(text, fence) {
			fence += "`"
		}
		p.line("")
		p.line("<details><summary>%s</summary>", cell(c.ID()))
		p.line("")
		p.line("%s\n%s%s", fence, text, fence)
		p.line("")
		p.line("</details>")
	}
	if left > 0 {
		p.line("")
		p.line("%d more are in the report's files.", left)
	}
	return p.err
}

func mark(v verdict.Verdict) string {
	return map[verdict.Verdict]string{verdict.Pass: "✅", verdict.Fail: "❌", verdict.Broken: "💥", verdict.Skip: "⏭", verdict.Known: "🔶"}[v] + " " + v.String()
}

var cellText = strings.NewReplacer("\r", "", "\n", "<br>", "&", "&amp;", "<", "&lt;", ">", "&gt;", "|", `\|`, "`", "\\`", "*", `\*`, "_", `\_`, "[", `\[`, "~", `\~`)

// cell is text that Markdown takes for nothing but text, in one line of a table.
func cell(s string) string { return cellText.Replace(s) }
