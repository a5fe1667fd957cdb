package reports

import (
	"bytes"
	"encoding/xml"
	"flag"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/reports/verdict"
)

var update = flag.Bool("update", false, "write testdata anew; read the difference before you keep it")

// nasty is what formats have to escape.
const nasty = "100% | <b>`x`</b>, a: \"b\" & *c*_d_\nline two\r\x01"

func nastyRun() *verdict.Run {
	r := redRun()
	r.Cases = append(r.Cases, verdict.Case{Scenario: "nasty", File: "a,b:c%.yaml", Variant: "ipv4", Proxy: "nftables~no-masquerade", Verdict: verdict.Fail, Why: nasty})
	return r
}

// Every format of a red run is a file in testdata that can be read.
func TestRedReports(t *testing.T) {
	for file, write := range map[string]func(io.Writer) error{
		"red.json":     func(w io.Writer) error { return Write(w, "json", nastyRun(), Options{}) },
		"red.xml":      func(w io.Writer) error { return Write(w, "junit", nastyRun(), Options{}) },
		"red.md":       func(w io.Writer) error { return Write(w, "markdown", nastyRun(), Options{}) },
		"red.name":     func(w io.Writer) error { return Write(w, "name", nastyRun(), Options{}) },
		"red.commands": func(w io.Writer) error { return Annotations(w, nastyRun()) },
		"red.tally":    func(w io.Writer) error { return Tally(w, nastyRun()) },
	} {
		t.Run(file, func(t *testing.T) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			path := filepath.Join("testdata", file)
			if *update {
				if err := os.WriteFile(path, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(b.String(), string(want)); d != "" {
				t.Errorf("(-got +want):\n%s", d)
			}
		})
	}
}

// junitSchema is what Jenkins' junit-10.xsd allows: of each element its attributes, the required ones with a "!", and its
// children.
var junitSchema = map[string]struct{ attributes, children string }{
	"testsuites": {"name time tests failures disabled errors", "testsuite"},
	"testsuite":  {"name! tests! failures errors time disabled skipped timestamp hostname id package", "properties testcase system-out system-err"},
	"properties": {"", "property"},
	"property":   {"name! value!", ""},
	"testcase":   {"name! assertions time classname status", "skipped error failure system-out system-err"},
	"skipped":    {"message type", ""},
	"error":      {"message type", ""},
	"failure":    {"message type", ""},
}

type element struct {
	XMLName  xml.Name
	Attrs    []xml.Attr `xml:",any,attr"`
	Children []element  `xml:",any"`
	Text     string     `xml:",chardata"`
}

func (e *element) attr(name string) string {
	for _, a := range e.Attrs {
		if a.Name.Local == name {
			return a.Value
		}
	}
	return ""
}

func (e *element) count(name string) (n int) {
	for i := range e.Children {
		if e.Children[i].XMLName.Local == name {
			n++
		}
		n += e.Children[i].count(name)
	}
	return n
}

func TestJUnitIsOfTheUsualForm(t *testing.T) {
	r := nastyRun()
	r.Cases = append(r.Cases, r.Cases[1]) // as --count does
	var b bytes.Buffer
	if err := JUnit(&b, r); err != nil {
		t.Fatal(err)
	}
	var root element
	if err := xml.Unmarshal(b.Bytes(), &root); err != nil {
		t.Fatal(err)
	}
	if root.XMLName.Local != "testsuites" || root.attr("tests") != strconv.Itoa(len(r.Cases)) {
		t.Errorf("%s with %s tests, want testsuites with %d", root.XMLName.Local, root.attr("tests"), len(r.Cases))
	}
	names := map[string]bool{}
	var walk func(e *element)
	walk = func(e *element) {
		form, known := junitSchema[e.XMLName.Local]
		if !known {
			t.Errorf("element %s is not of the schema", e.XMLName.Local)
		}
		for _, a := range e.Attrs {
			if !slices.Contains(strings.Fields(strings.ReplaceAll(form.attributes, "!", "")), a.Name.Local) {
				t.Errorf("%s has the attribute %s, which the schema has not", e.XMLName.Local, a.Name.Local)
			}
		}
		for _, a := range strings.Fields(form.attributes) {
			if name, required := strings.CutSuffix(a, "!"); required && e.attr(name) == "" {
				t.Errorf("%s lacks the attribute %s", e.XMLName.Local, name)
			}
		}
		for what, child := range map[string]string{"tests": "testcase", "failures": "failure", "errors": "error", "skipped": "skipped"} {
			if said := e.attr(what); said != "" && said != strconv.Itoa(e.count(child)) {
				t.Errorf("%s %s says %s=%s, and there are %d", e.XMLName.Local, e.attr("name"), what, said, e.count(child))
			}
		}
		if e.XMLName.Local == "testcase" {
			name := e.attr("classname") + "/" + e.attr("name")
			if names[name] {
				t.Errorf("testcase %s twice", name)
			}
			names[name] = true
		}
		for i := range e.Children {
			if !slices.Contains(strings.Fields(form.children), e.Children[i].XMLName.Local) {
				t.Errorf("%s in %s is not of the schema", e.Children[i].XMLName.Local, e.XMLName.Local)
			}
			walk(&e.Children[i])
		}
	}
	walk(&root)
	if !names["bad/ipv6/nftables"] || !names["bad/ipv6/nftables #2"] {
		t.Errorf("testcases %v", names)
	}
}

func TestStepSummaryAppends(t *testing.T) {
	path := filepath.Join(t.TempDir(), "summary")
	if err := os.WriteFile(path, []byte("before\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := StepSummary(path, redRun()); err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := Markdown(&want, redRun()); err != nil {
		t.Fatal(err)
	}
	if got, err := os.ReadFile(path); err != nil || string(got) != "before\n"+want.String() {
		t.Errorf("%q, %v", got, err)
	}
}

// GitHub refuses summaries of more than 1 MiB.
func TestMarkdownIsBounded(t *testing.T) {
	r := redRun()
	r.Cases[1].Steps[1].Flows[0].Because = []string{strings.Repeat("x", 400<<10)}
	for range 3 {
		r.Cases = append(r.Cases, r.Cases[1])
	}
	var b bytes.Buffer
	if err := Markdown(&b, r); err != nil {
		t.Fatal(err)
	}
	if b.Len() > 1<<20 || !strings.HasSuffix(b.String(), "\n2 more are in the report's files.\n") {
		t.Errorf("%d bytes, ending %q", b.Len(), b.String()[b.Len()-60:])
	}
}
