package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"svclab/proxycore/mutant"
	"svclab/sim/oracle"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
)

func validateCommand() *cobra.Command {
	var in inputs
	c := &cobra.Command{
		Use:   "validate [FILE | FOLDER | GLOB | NAME]...",
		Short: "Check scenario files without running them",
		Long:  "Check scenario files. Every mistake is told as file:line:col: what is wrong, and what would be right.",
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := in.load(args)
			if err != nil {
				return exitError{exitUsage, err}
			}
			warn(os.Stderr, all)
			for _, s := range all {
				var families []string
				for _, v := range s.Variants() {
					families = append(families, string(v.Family))
				}
				fmt.Printf("%s: valid, %d steps, %d objects, %s\n", s.File, len(s.Steps), len(s.Objects), strings.Join(families, " and "))
			}
			return nil
		},
	}
	in.flags(c)
	return c
}

func listCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", RunE: oneOf, Short: "List what there is: scenarios, proxies, behaviours, mutants, powers"}
	list := func(name, about string, rows func() ([][]string, error)) {
		c.AddCommand(&cobra.Command{Use: name, Short: about, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			all, err := rows()
			if err != nil {
				return err
			}
			return columns(all)
		}})
	}
	list("scenarios", "The bundled scenarios", func() ([][]string, error) {
		all, err := (&inputs{maxSize: scenario.MaxSize}).load(nil)
		rows := [][]string{{"NAME", "COVERS", "ABOUT"}}
		for _, s := range all {
			rows = append(rows, []string{s.Name, strings.Join(s.Covers, " "), strings.TrimSpace(s.About)})
		}
		return rows, err
	})
	list("proxies", "The proxies, as --proxy takes them", func() ([][]string, error) {
		rows := [][]string{{"NAME", "NEEDS", "ABOUT"}}
		for _, p := range slices.Concat(proxies.All, proxies.KubeProxies) {
			rows = append(rows, []string{p.Name, strings.Join(p.Powers, " "), p.About})
		}
		rows = append(rows, []string{"exec:PROFILE.yaml", "-", "any other program, run as the file says"})
		return rows, nil
	})
	list("behaviours", "The rows of the specification, the scenarios that are about each, and the mutants that break it", behaviours)
	list("mutants", "Ways to spoil a proxy, each with the scenario that must notice", func() ([][]string, error) {
		rows := [][]string{{"PROXY~MUTANT", "BREAKS", "NOTICED BY"}}
		for _, p := range proxies.All {
			for _, m := range mutant.Mutants {
				if name := p.Name + "~" + m.Name; m.Spoils(p.Name) {
					rows = append(rows, []string{name, m.Breaks, strings.Join(append([]string{m.Scenario}, m.Also...), " ")})
				}
			}
		}
		return rows, nil
	})
	list("powers", "What a machine must have, as SVCLAB_REQUIRE takes it (has this one it? see: svclab doctor)", func() ([][]string, error) {
		rows := [][]string{{"NAME", "NEEDED BY", "WHERE IT IS MISSING"}}
		for _, c := range cures {
			rows = append(rows, []string{c.power, neededBy(c.power), c.cure})
		}
		return rows, nil
	})
	return c
}

// behaviours are the oracle's rows: "model" stands for the model's mutants, the others are of the kernel.
func behaviours() ([][]string, error) {
	all, err := (&inputs{maxSize: scenario.MaxSize}).load(nil)
	covered, broken := map[string][]string{}, map[string][]string{}
	for _, s := range all {
		for _, row := range s.Covers {
			covered[row] = append(covered[row], s.Name)
		}
	}
	for _, m := range mutant.Mutants {
		broken[m.Breaks] = append(broken[m.Breaks], "~"+m.Name)
	}
	for _, m := range oracle.Mutants {
		for _, row := range m.Breaks {
			broken[row] = append(broken[row], "model~"+m.Name)
		}
	}
	rows := [][]string{{"ROW", "SCENARIOS", "MUTANTS", "BEHAVIOUR"}}
	for _, r := range oracle.Rows {
		rows = append(rows, []string{r.ID, orDash(covered[r.ID]), orDash(broken[r.ID]), r.Text})
	}
	return rows, err
}

func orDash(words []string) string {
	if len(words) == 0 {
		return "-"
	}
	return strings.Join(words, ",")
}

// oneOf is a command that does nothing without one of its own.
func oneOf(c *cobra.Command, args []string) error {
	var names []string
	for _, sub := range c.Commands() {
		names = append(names, sub.Name())
	}
	if len(args) == 0 {
		return exitError{exitUsage, fmt.Errorf("%s what? %s", c.CommandPath(), strings.Join(names, ", "))}
	}
	return exitError{exitUsage, fmt.Errorf("%s: unknown %q; there are %s", c.CommandPath(), args[0], strings.Join(names, ", "))}
}

func schemaCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of scenario files, for editors",
		Long: `Print the JSON Schema (2020-12) of scenario files. An editor with yaml-language-server checks and completes a file
that begins with
  # yaml-language-server: $schema=scenario.schema.json`,
		Example: "  svclab schema > scenario.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := os.Stdout.Write(scenario.JSONSchema())
			return err
		},
	}
}

// version is what `svclab version -o json` prints.
type version struct {
	SchemaVersion int    `json:"schemaVersion"`
	Version       string `json:"version"`
	Go            string `json:"go"`
	Platform      string `json:"platform"`
}

func versionCommand() *cobra.Command {
	format := "text"
	c := &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
		v := thisVersion()
		if format == "json" {
			return json.NewEncoder(os.Stdout).Encode(v)
		}
		_, err := fmt.Printf("svclab %s, built with %s\n", v.Version, v.Go)
		return err
	}}
	formats := []string{"text", "json"}
	c.Flags().VarP(choice{&format, formats}, "output", "o", "format: "+strings.Join(formats, ", "))
	complete(c, "output", formats)
	return c
}

func thisVersion() version {
	v := version{1, "devel", runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return v
	}
	if info.Main.Version != "" && info.Main.Version != "(devel)" {
		v.Version = info.Main.Version
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			v.Version = s.Value[:min(12, len(s.Value))]
		}
	}
	return v
}
