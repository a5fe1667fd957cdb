package behaviours

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
)

// Formats are the words that Write takes.
var Formats = []string{"table", "json", "markdown"}

// Write prints the table in one of the Formats.
func Write(w io.Writer, format string, t *Table) error {
	switch format {
	case "table":
		return t.table(w)
	case "json":
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(t)
	case "markdown":
		return t.markdown(w)
	}
	return fmt.Errorf("write behaviours: no format %q", format)
}

// mark is the state, or why it is that.
func (r *Row) mark() string {
	if r.State == Unjudged {
		return "-"
	}
	return string(r.State)
}

func (r *Row) column(name string) string {
	if o, ok := r.Proxies[name]; ok && o != NotRun {
		return string(o)
	}
	return "-"
}

func (t *Table) table(w io.Writer) error {
	tw := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	head := "ROW\tSTATE"
	for _, c := range t.Columns {
		head += "\t" + strings.ToUpper(c.Name)
	}
	fmt.Fprintln(tw, head+"\tSCENARIOS\tMUTANTS\tBEHAVIOUR")
	for i := range t.Rows {
		r := &t.Rows[i]
		line := r.ID + "\t" + r.mark()
		for _, c := range t.Columns {
			line += "\t" + r.column(c.Name)
		}
		line += "\t" + orDash(r.Scenarios) + "\t" + orDash(r.Mutants) + "\t" + r.Text
		if r.Reason != "" {
			line += " NOT JUDGED: " + r.Reason
		}
		fmt.Fprintln(tw, line)
	}
	if err := tw.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "\n%s\n", t.Summary())
	return err
}

func orDash(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ",")
}

// Summary is the last line: rows judged in total, and on each proxy.
func (t *Table) Summary() string {
	text := fmt.Sprintf("%d of %d rows judged by packets, %d in dumps only, %d not", t.Judged, len(t.Rows), t.DumpOnly, t.Unjudged)
	if t.Report == "" {
		return text
	}
	text += "; by " + t.Report + ":"
	for i, c := range t.Columns {
		if i > 0 {
			text += ","
		}
		text += fmt.Sprintf(" %s %d", c.Name, c.Judged)
		var rest []string
		if c.Known > 0 {
			rest = append(rest, fmt.Sprintf("%d known", c.Known))
		}
		if c.Fail > 0 {
			rest = append(rest, fmt.Sprintf("%d fail", c.Fail))
		}
		if len(rest) > 0 {
			text += " (" + strings.Join(rest, ", ") + ")"
		}
	}
	return text
}

func (t *Table) markdown(w io.Writer) error {
	var b strings.Builder
	b.WriteString("| row | behaviour | state |")
	rule := "|---|---|---|"
	for _, c := range t.Columns {
		b.WriteString(" " + c.Name + " |")
		rule += "---|"
	}
	b.WriteString(" scenarios | mutants |\n" + rule + "---|---|\n")
	for i := range t.Rows {
		r := &t.Rows[i]
		state := string(r.State)
		if r.Reason != "" {
			state += ": " + r.Reason
		}
		fmt.Fprintf(&b, "| %s | %s | %s |", r.ID, cell(r.Text), cell(state))
		for _, c := range t.Columns {
			b.WriteString(" " + r.column(c.Name) + " |")
		}
		fmt.Fprintf(&b, " %s | %s |\n", cell(strings.Join(r.Scenarios, ", ")), cell(strings.Join(r.Mutants, ", ")))
	}
	b.WriteString("\n" + t.Summary() + "\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }
