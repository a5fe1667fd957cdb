package stage

import (
	"fmt"
	"path/filepath"

	"svclab/proxycore/cluster"
	"svclab/sim/engine"
	"svclab/sim/scenario"
)

// Where says where each object was last written, as it is after a step of the scenario: "shop.yaml:47"; and that a step has patched
// it since: "shop.yaml:47, patched in line 12". Of what nobody wrote, it says nothing.
func Where(sc *scenario.Scenario, step int) func(kind string, key cluster.Key) string {
	at, patched := map[scenario.Ref]int{}, map[scenario.Ref]int{}
	for _, o := range sc.Objects {
		at[o.Ref] = o.Line
	}
	for i := range min(step, len(sc.Steps)) {
		c := sc.Steps[i].Change
		if c == nil || c.Repeat > 1 && c.Repeat%2 == 0 {
			continue
		}
		for _, o := range c.Apply {
			at[o.Ref] = o.Line
			delete(patched, o.Ref)
		}
		for _, m := range c.Merge {
			patched[m.Ref] = m.Line
		}
	}
	file := filepath.Base(sc.File)
	return func(kind string, key cluster.Key) string {
		ref := scenario.Ref{Kind: kind, Namespace: key.Namespace, Name: key.Name}
		line, ok := at[ref]
		if !ok {
			return ""
		}
		text := fmt.Sprintf("%s:%d", file, line)
		if by, is := patched[ref]; is {
			text += fmt.Sprintf(", patched in line %d", by)
		}
		return text
	}
}

// StateText is what a state is called: "the state at the start", "after step 2, delete pod/web-2 (line 9)".
func StateText(sc *scenario.Scenario, step int) string {
	if step == 0 {
		return "the state at the start"
	}
	s := &sc.Steps[step-1]
	return fmt.Sprintf("after step %d, %s (line %d)", step, engine.StepText(s), s.Line)
}
