package reports

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"

	"svclab/reports/verdict"
)

// Annotations writes GitHub's workflow commands, which put what is wrong beside the line of the scenario: an error for
// each case that failed or broke, a notice for each that was skipped.
func Annotations(w io.Writer, r *verdict.Run) error {
	p := &printer{w: w}
	for i := range r.Cases {
		c := &r.Cases[i]
		level := map[verdict.Verdict]string{verdict.Fail: "error", verdict.Broken: "error", verdict.Skip: "notice", verdict.Known: "notice"}[c.Verdict]
		if level == "" {
			continue
		}
		p.line("::%s file=%s,line=%d,title=%s::%s", level, propertyText.Replace(c.File), c.Line(), propertyText.Replace(c.ID()+": "+c.Verdict.String()), messageText.Replace(c.Why))
	}
	return p.err
}

// As actions/toolkit escapes them (packages/core/src/command.ts).
var (
	messageText  = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A")
	propertyText = strings.NewReplacer("%", "%25", "\r", "%0D", "\n", "%0A", ":", "%3A", ",", "%2C")
)

// StepSummary appends the Markdown to the file that GitHub shows on the page of the workflow's run.
func StepSummary(path string, r *verdict.Run) error {
	var b bytes.Buffer
	if err := Markdown(&b, r); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return fmt.Errorf("write step summary: %w", err)
	}
	_, err = f.Write(b.Bytes())
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}
