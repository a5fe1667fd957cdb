package figures

import (
	"encoding/csv"
	"io"
	"strconv"

	"svclab/reports/measure"
)

// header of the CSV.
var header = []string{"kind", "work", "clock", "proxy", "services", "endpoints", "through", "where", "nodes", "pods", "unit", "index", "at", "value"}

// CSV writes one line a sample, with all its conditions (RFC 4180): what does not apply is empty, index counts from 0, at is
// in seconds, value in the unit. A row without samples has no line.
func CSV(w io.Writer, r *measure.Run) error {
	out := csv.NewWriter(w)
	out.UseCRLF = true
	if err := out.Write(header); err != nil {
		return err
	}
	for i := range r.Rows {
		row := &r.Rows[i]
		for n, v := range row.Samples {
			at := ""
			if n < len(row.At) {
				at = exact(row.At[n])
			}
			err := out.Write([]string{string(r.Kind), row.Work, row.Clock, row.Proxy, number(row.Services), row.Endpoints, row.Through, row.Where,
				number(row.Nodes), number(row.Pods), string(row.Unit), strconv.Itoa(n), at, exact(v)})
			if err != nil {
				return err
			}
		}
	}
	out.Flush()
	return out.Error()
}

func exact(v float64) string { return strconv.FormatFloat(v, 'g', -1, 64) }

// number is "" for 0: it does not apply.
func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
