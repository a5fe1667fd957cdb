package behaviours

import (
	"slices"
	"strings"

	"svclab/reports/verdict"
)

// Outcome is how the scenarios that judge a row ended on one proxy.
type Outcome string

// Fail beats Known beats Pass; NotRun: the report has none of them.
const (
	Pass   Outcome = "pass"
	Known  Outcome = "known"
	Fail   Outcome = "fail"
	NotRun Outcome = "not run"
)

// Column counts the judged rows by how they ended on one proxy.
type Column struct {
	Name   string `json:"name"`
	Judged int    `json:"judged"` // those that were run
	Pass   int    `json:"pass"`
	Known  int    `json:"known"`
	Fail   int    `json:"fail"`
}

// Fill adds a column for each of the proxies, and for each other one that the run has but those that are spoilt on purpose.
// A nil run was never made.
func (t *Table) Fill(proxies []string, run *verdict.Run) {
	type at struct{ scenario, proxy string }
	ended := map[at]Outcome{}
	if run == nil {
		run = &verdict.Run{}
	}
	for i := range run.Cases {
		c := &run.Cases[i]
		if strings.Contains(c.Proxy, "~") || strings.Contains(c.Variant, "+") {
			continue // a mutant; an expansion, which asks other questions
		}
		if !slices.Contains(proxies, c.Proxy) {
			proxies = append(slices.Clone(proxies), c.Proxy)
		}
		key := at{c.Scenario, c.Proxy}
		ended[key] = worse(ended[key], outcome(c.Verdict))
	}
	for _, name := range proxies {
		column := Column{Name: name}
		for i := range t.Rows {
			r := &t.Rows[i]
			if r.State != Judged {
				continue
			}
			all := Outcome("")
			for _, s := range r.Scenarios {
				all = worse(all, ended[at{s, name}])
			}
			if r.Proxies == nil {
				r.Proxies = map[string]Outcome{}
			}
			r.Proxies[name] = all
			switch all {
			case Pass:
				column.Pass++
			case Known:
				column.Known++
			case Fail:
				column.Fail++
			default:
				r.Proxies[name] = NotRun
				continue
			}
			column.Judged++
		}
		t.Columns = append(t.Columns, column)
	}
}

// outcome: a lab that broke has judged nothing, and so has a case that was skipped.
func outcome(v verdict.Verdict) Outcome {
	switch v {
	case verdict.Pass:
		return Pass
	case verdict.Known:
		return Known
	case verdict.Fail:
		return Fail
	}
	return NotRun
}

func worse(a, b Outcome) Outcome {
	order := []Outcome{"", NotRun, Pass, Known, Fail}
	if slices.Index(order, b) > slices.Index(order, a) {
		return b
	}
	return a
}
