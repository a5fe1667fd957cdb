// Package known has the known disagreements of foreign proxies with the oracle: data, not code. An entry matches one case
// on some proxies in some versions, and the exact wrong answer; whatever else is wrong stays a failure. One that does not
// show is a failure too, so that the list cannot rot.
package known

import (
	"bytes"
	"fmt"
	"path"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
	"k8s.io/apimachinery/pkg/util/version"

	"svclab/reports/verdict"
)

// Entry is one known disagreement.
type Entry struct {
	Case     string `yaml:"case"`     // "conflict" or "conflict/ipv6"
	Proxy    string `yaml:"proxy"`    // a pattern as of a shell: "kube-proxy/iptables*"
	Versions string `yaml:"versions"` // "<=v1.36.3", ">=v1.33.0 <v1.37.0"; empty: all
	Issue    string `yaml:"issue"`    // the upstream issue, or the line of upstream's source
	Why      string `yaml:"why"`      // one sentence
	Wrong    string `yaml:"wrong"`    // words that every wrong flow's reason has
	// Sometimes says why it does not always show; empty: it always does, and a pass is a failure.
	Sometimes string `yaml:"sometimes"`

	line int
}

// List is all entries of a file.
type List struct {
	file    string
	entries []Entry
}

// Parse reads a list. Its errors begin with file:line:col.
func Parse(file string, text []byte) (*List, error) {
	l := &List{file: file}
	var doc yaml.Node
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	err := yaml.Unmarshal(text, &doc)
	if err == nil {
		err = d.Decode(&l.entries)
	}
	if err != nil {
		return nil, fmt.Errorf("%s:%s:1: %s", file, lineOf(err), strings.TrimPrefix(err.Error(), "yaml: "))
	}
	for i := range l.entries {
		e := &l.entries[i]
		e.line = doc.Content[0].Content[i].Line
		if err := e.check(); err != nil {
			return nil, fmt.Errorf("%s:%d:3: %w", file, e.line, err)
		}
	}
	return l, nil
}

var line = regexp.MustCompile(`line (\d+)`)

func lineOf(err error) string {
	if m := line.FindStringSubmatch(err.Error()); m != nil {
		return m[1]
	}
	return "1"
}

func (e *Entry) check() error {
	for name, v := range map[string]string{"case": e.Case, "proxy": e.Proxy, "issue": e.Issue, "why": e.Why, "wrong": e.Wrong} {
		if v == "" {
			return fmt.Errorf("the entry has no %s", name)
		}
	}
	if _, err := path.Match(e.Proxy, ""); err != nil {
		return fmt.Errorf("proxy %q is no pattern such as kube-proxy/iptables*", e.Proxy)
	}
	_, err := within(e.Versions, "v1.36.3")
	return err
}

// within reports whether a version is in a range; the zero version is in every range.
func within(ranges, v string) (bool, error) {
	for _, part := range strings.Fields(ranges) {
		op := strings.TrimRight(part, "v.0123456789")
		bound, err := version.ParseSemantic(part[len(op):])
		if err != nil {
			return false, fmt.Errorf("versions %q: write for example \"<=v1.36.3\" or \">=v1.33.0 <v1.37.0\"", ranges)
		}
		if v == "" {
			continue
		}
		at, err := version.ParseSemantic(v)
		if err != nil {
			return false, fmt.Errorf("version %q: %w", v, err)
		}
		less, more := at.LessThan(bound), bound.LessThan(at)
		ok, known := map[string]bool{"<": less, "<=": !more, ">": more, ">=": !less, "=": !less && !more}[op]
		if !known {
			return false, fmt.Errorf("versions %q: %q is none of <, <=, >, >=, =", ranges, op)
		}
		if !ok {
			return false, nil
		}
	}
	return true, nil
}

// Judge turns a failure into a known one where an entry says so, and a pass into a failure where an entry says that it
// cannot be. base is the proxy's name without its version.
func (l *List) Judge(c *verdict.Case, base, version string) {
	var matching []Entry
	for _, e := range l.entries {
		ok, _ := path.Match(e.Proxy, base)
		in, err := within(e.Versions, version)
		if ok && in && err == nil && (e.Case == c.Scenario || e.Case == c.Scenario+"/"+c.Variant) {
			matching = append(matching, e)
		}
	}
	switch {
	case len(matching) == 0:
	case c.Verdict == verdict.Fail:
		for _, e := range matching {
			if e.explains(c) {
				c.Verdict, c.Known = verdict.Known, e.Issue+": "+e.Why
				return
			}
		}
	case c.Verdict == verdict.Pass:
		for _, e := range matching {
			if e.Sometimes == "" {
				c.Verdict = verdict.Fail
				c.Why = fmt.Sprintf("%s:%d says that this fails (%s), and it passed: has it been mended? Then bound the entry's versions", l.file, e.line, e.Issue)
			}
		}
	}
}

// explains: every wrong flow, and every failed step without one, has the entry's words.
func (e *Entry) explains(c *verdict.Case) bool {
	found := false
	for _, s := range c.Steps {
		if s.Verdict == verdict.Pass {
			continue
		}
		if s.Verdict != verdict.Fail {
			return false
		}
		wrongs := 0
		for _, f := range s.Flows {
			for _, w := range f.Wrong {
				wrongs++
				if !strings.Contains(w.Why, e.Wrong) {
					return false
				}
			}
		}
		if wrongs == 0 && !strings.Contains(s.Why, e.Wrong) {
			return false
		}
		found = true
	}
	return found
}

// Cases are the scenarios that entries name, for a test that they are there.
func (l *List) Cases() (names []string) {
	for _, e := range l.entries {
		name, _, _ := strings.Cut(e.Case, "/")
		names = append(names, name)
	}
	return names
}
