package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"svclab/sim/proxies"
	"svclab/sim/ruleset"
	"svclab/sim/scenario"
	"svclab/sim/stage"
)

// rulesDiff is what `svclab diff --rules` was asked for.
type rulesDiff struct {
	stageFlags
	wants
	rules  bool
	steps  []int
	format string
}

func (f *rulesDiff) flags(c *cobra.Command) {
	fl := c.Flags()
	fl.BoolVar(&f.rules, "rules", false, "compare the kernel's rules in two states of one scenario, by Service, instead of answers")
	fl.IntSliceVar(&f.steps, "step", nil, "with --rules: the states after these two steps, 0 is the start; one: before and after that step; none: the start and the end")
	families := []string{string(scenario.IPv4), string(scenario.IPv6), string(scenario.Dual)}
	fl.Var(choice{&f.family, families}, "family", "with --rules: the family in which the scenario is played: "+strings.Join(families, ", ")+" (default: the first that it has)")
	complete(c, "family", families)
	f.wants.flags(c)
	for _, name := range []string{"node", "service"} {
		c.Flags().Lookup(name).Usage = "with --rules: " + c.Flags().Lookup(name).Usage
	}
}

// misused: a flag of the one kind of comparison was given for the other.
func (f *rulesDiff) misused(c *cobra.Command) error {
	only := map[bool][]string{
		false: {"step", "family", "node", "service"},
		true:  {"against", "run", "skip", "selector", "shard", "parallel", "seed"},
	}[f.rules]
	for _, name := range only {
		if c.Flags().Changed(name) && f.rules {
			return exitError{exitUsage, fmt.Errorf("--rules compares two states of one scenario, and has no use for --%s", name)}
		} else if c.Flags().Changed(name) {
			return exitError{exitUsage, fmt.Errorf("--%s is for --rules only", name)}
		}
	}
	return nil
}

// rulesDiffOutput is what `svclab diff --rules -o json` prints.
type rulesDiffOutput struct {
	SchemaVersion int             `json:"schemaVersion"`
	File          string          `json:"file"`
	Steps         [2]int          `json:"steps"`
	States        [2]string       `json:"states"`
	Nodes         []nodeRulesDiff `json:"nodes"`
}

type nodeRulesDiff struct {
	Proxy   string           `json:"proxy"`
	Node    string           `json:"node"`
	Changes []ruleset.Change `json:"changes"`
}

func (f *rulesDiff) main(ctx context.Context, args []string) error {
	if err := f.one(args); err != nil {
		return err
	}
	from, to, err := f.between()
	if err != nil {
		return err
	}
	for _, s := range []int{to, from} { // the former may be the one before, which nobody wrote
		if err := f.checkStep(s); err != nil {
			return err
		}
	}
	if err := f.check(&f.stageFlags, from, to); err != nil {
		return err
	}
	states := [2]string{stage.StateText(f.scenario, from), stage.StateText(f.scenario, to)}
	out := rulesDiffOutput{SchemaVersion: 1, File: f.scenario.File, Steps: [2]int{from, to}, States: states, Nodes: []nodeRulesDiff{}}
	err = f.each(ctx, func(ctx context.Context, p proxies.Proxy, s *stage.Stage) error {
		var seen [2][]ruleset.Node
		order := []int{0, 1}
		if from > to { // the lab only goes on
			order = []int{1, 0}
		}
		for _, i := range order {
			if err := s.Advance(ctx, out.Steps[i]); err != nil {
				return err
			}
			var err error
			if seen[i], err = s.Rules(ctx, f.nodes, f.wanted()); err != nil {
				return err
			}
		}
		for i, n := range seen[0] {
			if changes := ruleset.Diff(n, seen[1][i]); len(changes) > 0 {
				out.Nodes = append(out.Nodes, nodeRulesDiff{p.Name, n.Name, changes})
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return f.print(out)
}

func (f *rulesDiff) print(out rulesDiffOutput) error {
	if f.format == "json" {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		if err := e.Encode(out); err != nil {
			return err
		}
	} else {
		for _, n := range out.Nodes {
			if err := ruleset.DiffText(os.Stdout, n.Node, n.Proxy+", "+out.States[0], n.Proxy+", "+out.States[1], n.Changes); err != nil {
				return err
			}
		}
	}
	if len(out.Nodes) > 0 {
		return exitError{exitFailed, nil}
	}
	return nil
}

// between are the two steps.
func (f *rulesDiff) between() (from, to int, err error) {
	switch n := len(f.scenario.Steps); len(f.steps) {
	case 0:
		return 0, n, nil
	case 1:
		if f.steps[0] < 1 {
			return 0, 0, exitError{exitUsage, fmt.Errorf("--step %d: before the start there is nothing; name a second step, or one from 1 to %d", f.steps[0], n)}
		}
		return f.steps[0] - 1, f.steps[0], nil
	case 2:
		return f.steps[0], f.steps[1], nil
	}
	return 0, 0, exitError{exitUsage, errors.New("--step: two states can be compared, not more")}
}

// diffRules is `svclab diff --rules`: files, foreign proxies and the time limit are those of diff.
func (f *rulesDiff) diffRules(ctx context.Context, r *runFlags, proxy, format string, args []string) error {
	f.inputs, f.foreign, f.timeout, f.format = r.inputs, r.foreign, r.timeout, format
	f.proxies = slices.DeleteFunc(strings.Split(proxy, ","), func(s string) bool { return s == "" })
	if len(f.proxies) == 0 {
		f.proxies = []string{proxies.All[0].Name}
	}
	return f.main(ctx, args)
}
