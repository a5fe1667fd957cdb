package reports

import (
	"encoding/json"
	"io"

	"svclab/reports/verdict"
)

// JSON writes the whole run for machines. SchemaVersion in it changes when a reader must.
func JSON(w io.Writer, r *verdict.Run) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(r)
}
