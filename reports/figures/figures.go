// Package figures turns a measure.Run into what people and programs read: one file a format. It judges nothing: whether two
// runs differ is for package change.
package figures

import (
	"fmt"
	"io"

	"svclab/reports/measure"
)

// Formats are the words for -o.
var Formats = []string{"table", "json", "csv", "html"}

// Write writes the run in one of Formats.
func Write(w io.Writer, format string, r *measure.Run) error {
	switch format {
	case "table":
		return Table(w, r)
	case "json":
		return r.Write(w)
	case "csv":
		return CSV(w, r)
	case "html":
		return HTML(w, r)
	}
	return fmt.Errorf("format %q is none of %v", format, Formats)
}
