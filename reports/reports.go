// Package reports turns the vocabulary of package verdict into what people and machines read: one file per format.
package reports

import (
	"fmt"
	"io"

	"svclab/reports/verdict"
)

// Formats are the words for -o.
var Formats = []string{"table", "json", "junit", "markdown", "name"}

// Options for writers that have any.
type Options struct {
	Color   bool // the table: ANSI colours
	Verbose bool // the table: every flow's story, every reason
}

// Write writes the run in one of Formats.
func Write(w io.Writer, format string, r *verdict.Run, o Options) error {
	switch format {
	case "table":
		return Table(w, r, o)
	case "json":
		return JSON(w, r)
	case "junit":
		return JUnit(w, r)
	case "markdown":
		return Markdown(w, r)
	case "name":
		return Names(w, r)
	}
	return fmt.Errorf("format %q is none of %v", format, Formats)
}

// Names writes the name of every case, one a line.
func Names(w io.Writer, r *verdict.Run) error {
	p := &printer{w: w}
	for i := range r.Cases {
		p.line("%s", r.Cases[i].ID())
	}
	return p.err
}
