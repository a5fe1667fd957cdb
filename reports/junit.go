package reports

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
	"time"

	"svclab/reports/verdict"
)

// The elements and attributes that Jenkins' junit-10.xsd knows, and no others; their order is the schema's.
type (
	junitSuites struct {
		XMLName  xml.Name      `xml:"testsuites"`
		Name     string        `xml:"name,attr"`
		Tests    int           `xml:"tests,attr"`
		Failures int           `xml:"failures,attr"`
		Errors   int           `xml:"errors,attr"`
		Time     string        `xml:"time,attr"`
		Suites   []*junitSuite `xml:"testsuite"`
	}
	junitSuite struct {
		Name       string          `xml:"name,attr"`
		Tests      int             `xml:"tests,attr"`
		Failures   int             `xml:"failures,attr"`
		Errors     int             `xml:"errors,attr"`
		Skipped    int             `xml:"skipped,attr"`
		Time       string          `xml:"time,attr"`
		Timestamp  string          `xml:"timestamp,attr"`
		Properties []junitProperty `xml:"properties>property"`
		Cases      []junitCase     `xml:"testcase"`

		took time.Duration
	}
	junitProperty struct {
		Name  string `xml:"name,attr"`
		Value string `xml:"value,attr"`
	}
	junitCase struct {
		Name      string       `xml:"name,attr"`
		Classname string       `xml:"classname,attr"`
		Time      string       `xml:"time,attr"`
		Skipped   *junitResult `xml:"skipped"`
		Error     *junitResult `xml:"error"`
		Failure   *junitResult `xml:"failure"`
	}
	junitResult struct {
		Message string `xml:"message,attr"`
		Type    string `xml:"type,attr,omitempty"`
		Text    string `xml:",cdata"`
	}
)

// JUnit writes what CI systems read: a test suite for each scenario, in it a test for each family and proxy. Fail is a
// failure, Broken an error.
func JUnit(w io.Writer, r *verdict.Run) error {
	all := &junitSuites{Name: "svclab", Time: seconds(r.Took)}
	suites := map[string]*junitSuite{}
	seen := map[string]int{} // of a repeated run, how often each case came
	for i := range r.Cases {
		c := &r.Cases[i]
		s := suites[c.Scenario]
		if s == nil {
			s = &junitSuite{Name: c.Scenario, Timestamp: r.Started.UTC().Format("2006-01-02T15:04:05"), Properties: []junitProperty{
				{"seed", fmt.Sprint(r.Seed)}, {"file", c.File},
			}}
			suites[c.Scenario] = s
			all.Suites = append(all.Suites, s)
		}
		t := junitCase{Name: c.Variant + "/" + c.Proxy, Classname: c.Scenario, Time: seconds(c.Took)}
		if seen[c.ID()]++; seen[c.ID()] > 1 {
			t.Name += fmt.Sprintf(" #%d", seen[c.ID()])
		}
		switch c.Verdict {
		case verdict.Fail:
			t.Failure = &junitResult{c.Why, "Fail", printable(blameText(c))}
			s.Failures++
			all.Failures++
		case verdict.Broken:
			t.Error = &junitResult{c.Why, "Broken", printable(blameText(c))}
			s.Errors++
			all.Errors++
		case verdict.Skip:
			t.Skipped = &junitResult{Message: c.Why}
			s.Skipped++
		case verdict.Known: // JUnit has no word for it; skipped is neither red nor a success
			t.Skipped = &junitResult{Message: "failed as known: " + c.Known + ": " + c.Why}
			s.Skipped++
		}
		s.Tests++
		all.Tests++
		s.took += c.Took
		s.Time = seconds(s.took)
		s.Cases = append(s.Cases, t)
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	e := xml.NewEncoder(w)
	e.Indent("", "  ")
	if err := e.Encode(all); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}

// printable leaves out what XML cannot say; in attributes encoding/xml sees to it, in CDATA it does not.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' && r != '\t' || r == 0xfffe || r == 0xffff {
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

func seconds(d time.Duration) string { return fmt.Sprintf("%.3f", d.Seconds()) }
