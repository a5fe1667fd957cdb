package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"svclab/proxycore/mutant"
	"svclab/reports/verdict"
	"svclab/sim/behaviours"
	"svclab/sim/oracle"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
)

// listing is what `svclab list` prints: a head, and rows of as many words or lists of words.
type listing struct {
	head []string
	rows [][]any
}

func (l *listing) add(cells ...any) { l.rows = append(l.rows, cells) }

func (l *listing) print(name, format string) error {
	if format == "json" {
		objects := []map[string]any{}
		for _, r := range l.rows {
			o := map[string]any{}
			for i, h := range l.head {
				o[h] = r[i]
			}
			objects = append(objects, o)
		}
		return printJSON(map[string]any{"schemaVersion": 1, name: objects})
	}
	out := [][]string{nil}
	for _, h := range l.head {
		var spaced strings.Builder // noticedBy: NOTICED BY
		for _, c := range h {
			if c >= 'A' && c <= 'Z' {
				spaced.WriteByte(' ')
			}
			spaced.WriteRune(c)
		}
		out[0] = append(out[0], strings.ToUpper(spaced.String()))
	}
	for _, r := range l.rows {
		var line []string
		for _, c := range r {
			if words, ok := c.([]string); ok {
				c = strings.Join(words, " ")
			}
			line = append(line, fmt.Sprint(c))
		}
		out = append(out, line)
	}
	return columns(out)
}

func printJSON(v any) error {
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(v)
}

func asTableOrJSON(c *cobra.Command, format *string) {
	formats := []string{"table", "json"}
	c.Flags().VarP(choice{format, formats}, "output", "o", "format: "+strings.Join(formats, ", "))
	complete(c, "output", formats)
}

func listCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", RunE: oneOf, Short: "List what there is: scenarios, proxies, behaviours, mutants, powers"}
	list := func(name, about string, fill func() (*listing, error)) {
		format := "table"
		one := &cobra.Command{Use: name, Short: about, Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			l, err := fill()
			if err != nil {
				return err
			}
			return l.print(name, format)
		}}
		asTableOrJSON(one, &format)
		c.AddCommand(one)
	}
	list("scenarios", "The bundled scenarios", func() (*listing, error) {
		all, err := (&inputs{maxSize: scenario.MaxSize}).load(nil)
		l := &listing{head: []string{"name", "covers", "about"}}
		for _, s := range all {
			l.add(s.Name, words(s.Covers), strings.TrimSpace(s.About))
		}
		return l, err
	})
	list("proxies", "The proxies, as --proxy takes them", func() (*listing, error) {
		l := &listing{head: []string{"name", "needs", "about"}}
		for _, p := range slices.Concat(proxies.All, proxies.Processes, proxies.KubeProxies) {
			l.add(p.Name, words(p.Powers), p.About)
		}
		l.add("exec:PROFILE.yaml", words(nil), "any other program, run as the file says")
		return l, nil
	})
	c.AddCommand(behavioursCommand())
	list("mutants", "Ways to spoil a proxy, each with the scenario that must notice", func() (*listing, error) {
		l := &listing{head: []string{"name", "breaks", "noticedBy"}}
		for _, p := range proxies.All {
			for _, m := range mutant.Mutants {
				if m.Spoils(p.Name) {
					l.add(p.Name+"~"+m.Name, m.Breaks, append([]string{m.Scenario}, m.Also...))
				}
			}
		}
		return l, nil
	})
	list("powers", "What a machine must have, as SVCLAB_REQUIRE takes it (has this one it? see: svclab doctor)", func() (*listing, error) {
		l := &listing{head: []string{"name", "neededBy", "whereItIsMissing"}}
		for _, c := range cures {
			l.add(c.power, neededBy(c.power), c.cure)
		}
		return l, nil
	})
	return c
}

// words is never null in JSON.
func words(list []string) []string { return slices.Concat([]string{}, list) }

// lastReport is where a run files itself.
var lastReport = filepath.Join("out", "latest", "report.json")

func behavioursCommand() *cobra.Command {
	format, report := "table", lastReport
	c := &cobra.Command{
		Use:   "behaviours",
		Short: "The rows of the specification: which of them are judged, by what, and how each proxy did",
		Long: `The rows of the specification. A row is judged where a bundled scenario that covers it turns red in a model that breaks
it, which is tried now. The columns of the proxies say how the scenarios that judge a row ended in the last run.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			run, err := readReport(report)
			if errors.Is(err, fs.ErrNotExist) && !c.Flags().Changed("report") {
				report, err = "", nil
			}
			if err != nil {
				return exitError{exitUsage, err}
			}
			all, err := (&inputs{maxSize: scenario.MaxSize}).load(nil)
			if err != nil {
				return err
			}
			bar := newProgress(os.Stderr)
			t, err := behaviours.Compute(c.Context(), behaviours.Set{Rows: oracle.Rows, Rest: oracle.NotJudged, Scenarios: all, Mutants: oracle.Mutants},
				behaviours.Options{Progress: func(done, of int) { bar.of(done, of, "behaviours")("scenarios in mutants of the model") }})
			bar.clear()
			if err != nil {
				return err
			}
			var columns []string
			for _, p := range slices.Concat(proxies.All, proxies.Processes, proxies.KubeProxies) {
				columns = append(columns, p.Name)
			}
			t.Report = report
			t.Fill(columns, run)
			return behaviours.Write(os.Stdout, format, t)
		},
	}
	c.Flags().VarP(choice{&format, behaviours.Formats}, "output", "o", "format: "+strings.Join(behaviours.Formats, ", "))
	complete(c, "output", behaviours.Formats)
	c.Flags().StringVar(&report, "report", report, "the report.json whose verdicts fill the columns of the proxies")
	return c
}

func readReport(path string) (*verdict.Run, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("--report: %w", err)
	}
	run := &verdict.Run{}
	if err := json.Unmarshal(text, run); err != nil {
		return nil, fmt.Errorf("--report: %s: %w", path, err)
	}
	if run.SchemaVersion != 1 {
		return nil, fmt.Errorf("--report: %s: schemaVersion %d, and this svclab reads 1", path, run.SchemaVersion)
	}
	return run, nil
}
