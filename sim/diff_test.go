package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/reports/verdict"
)

func played(proxy string, v verdict.Verdict, steps ...verdict.Step) verdict.Case {
	return verdict.Case{Scenario: "s", Variant: "ipv4", File: "s.yaml", Proxy: proxy, Verdict: v, Steps: steps, Why: "because"}
}

func asked(who, source, wrong string) verdict.Step {
	f := verdict.Flows{From: "pod/a", To: "b", Answers: []verdict.Answer{{Who: who, Count: 3}}}
	if source != "" {
		f.Sources = []string{source}
	}
	s := verdict.Step{Line: 5, Kind: "probe", Text: "probe"}
	if wrong != "" {
		f.Wrong, f.Wrongs, s.Verdict = []verdict.Wrong{{Why: wrong}}, 1, verdict.Fail
	}
	s.Flows = []verdict.Flows{f}
	return s
}

// Who answers is chance; whether, whom it saw, and whether it was wrong, is not.
func TestCompare(t *testing.T) {
	for _, c := range []struct {
		name string
		a, b verdict.Case
		want []string // the two sides of each difference
		not  int
	}{
		{"chance", played("x", 0, asked("pod/one", "kept", "")), played("y", 0, asked("pod/two", "kept", "")), nil, 0},
		{"outcome", played("x", 0, asked("pod/one", "kept", "")), played("y", 0, asked("refused", "", "")), []string{"answered, source kept", "refused"}, 0},
		{"source", played("x", 0, asked("pod/one", "kept", "")), played("y", 0, asked("pod/one", "node/n", "")), []string{"answered, source kept", "answered, source node/n"}, 0},
		{"wrong", played("x", 0, asked("pod/one", "kept", "")), played("y", verdict.Fail, asked("pod/one", "kept", "gone")),
			[]string{"answered, source kept", "answered, source kept; wrong: gone"}, 0},
		{"both wrong", played("x", verdict.Fail, asked("pod/one", "kept", "gone 1 ms")), played("y", verdict.Fail, asked("pod/one", "kept", "gone 2 ms")), nil, 0},
		{"as known", played("x", 0, asked("pod/one", "kept", "")), played("y", verdict.Known, asked("pod/one", "kept", "gone")),
			[]string{"answered, source kept", "answered, source kept; wrong: gone"}, 0},
		{"ended early", played("x", 0, asked("pod/one", "", ""), asked("pod/one", "", "")), played("y", verdict.Fail, asked("pod/one", "", "")),
			[]string{"went on", "ended before it"}, 0},
		{"a step without flows", played("x", 0, verdict.Step{Line: 4, Text: "delete"}), played("y", verdict.Fail, verdict.Step{Line: 4, Verdict: verdict.Fail, Why: "dead"}), []string{"right", "dead"}, 0},
		{"broken", played("x", 0), played("y", verdict.Broken), nil, 1},
		{"skipped", played("x", verdict.Skip), played("y", 0), nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := compare(&verdict.Run{Cases: []verdict.Case{c.a, c.b}}, "x", "y")
			var sides []string
			for _, d := range got.Differences {
				sides = append(sides, d.Saw, d.SawToo)
			}
			if d := cmp.Diff(sides, c.want); d != "" || len(got.NotCompared) != c.not {
				t.Errorf("not compared %v; (-got +want):\n%s", got.NotCompared, d)
			}
		})
	}
	if got := compare(&verdict.Run{Cases: []verdict.Case{played("x", 0, asked("pod/one", "", ""))}}, "x", "y"); len(got.NotCompared) != 1 || got.Questions != 0 {
		t.Errorf("a case on one of the two: %+v", got)
	}
}
