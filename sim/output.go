package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"svclab/reports"
	"svclab/reports/verdict"
)

// output is where results go and how they look: data on standard output, all else on standard error.
type output struct {
	format, color       string
	dir                 string
	junitFile, jsonFile string
	verbose, quiet      bool
	noGitHub            bool
}

func (o *output) flags(c *cobra.Command) {
	o.format, o.color, o.dir = "table", "auto", "out"
	if dir := os.Getenv("ARTIFACTS"); dir != "" {
		o.dir = dir
	}
	fl := c.Flags()
	colors := []string{"auto", "always", "never"}
	fl.VarP(choice{&o.format, reports.Formats}, "output", "o", "format on standard output: "+strings.Join(reports.Formats, ", "))
	fl.Var(choice{&o.color, colors}, "color", "colours: "+strings.Join(colors, ", "))
	fl.StringVar(&o.dir, "report-dir", o.dir, "folder for reports and artifacts; empty writes none (default also: $ARTIFACTS)")
	fl.StringVar(&o.junitFile, "junit-file", "", "also write JUnit XML to this file")
	fl.StringVar(&o.jsonFile, "json-file", "", "also write JSON to this file")
	fl.BoolVarP(&o.verbose, "verbose", "v", false, "tell of each flow how one address became another, and why")
	fl.BoolVarP(&o.quiet, "quiet", "q", false, "show only cases that did not pass, and the last line")
	fl.BoolVar(&o.noGitHub, "no-github", false, "no annotations and no step summary although GITHUB_ACTIONS=true")
	c.MarkFlagsMutuallyExclusive("verbose", "quiet")
	complete(c, "output", reports.Formats)
	complete(c, "color", colors)
}

// writable makes the folder for reports, before anything is run.
func (o *output) writable() error {
	if o.dir == "" {
		return nil
	}
	if err := writableFolder(o.dir); err != nil {
		return fmt.Errorf("--report-dir: %w", err)
	}
	return nil
}

// writableFolder makes a folder where there is none, and reports why nothing can be written there.
func writableFolder(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	if err := unix.Access(dir, unix.W_OK); err != nil {
		return fmt.Errorf("%s cannot be written: %w", dir, err)
	}
	return nil
}

// show shows a case as it ends. Of a repeated run, and of a quiet one, only what did not pass is shown.
func (o *output) show(c *verdict.Case, repeated bool) {
	if o.format == "table" && (c.Verdict != verdict.Pass || !repeated && !o.quiet) {
		_ = reports.WriteCase(os.Stdout, c, reports.Options{Color: o.colored(os.Stdout), Verbose: o.verbose}) // a closed standard output must not end the run
	}
}

// report files the run, and prints what is printed at its end.
func (o *output) report(r *verdict.Run, repeated bool) error {
	switch {
	case o.format != "table":
		if err := reports.Write(os.Stdout, o.format, r, reports.Options{}); err != nil {
			return err
		}
	default:
		if repeated {
			if err := reports.Tally(os.Stdout, r); err != nil {
				return err
			}
		}
		if err := reports.WriteSummary(os.Stdout, r, reports.Options{Color: o.colored(os.Stdout)}); err != nil {
			return err
		}
	}
	for path, format := range map[string]string{o.junitFile: "junit", o.jsonFile: "json"} {
		if path != "" {
			if err := reports.File(path, format, r); err != nil {
				return err
			}
		}
	}
	if os.Getenv("GITHUB_ACTIONS") == "true" && !o.noGitHub {
		if err := reports.Annotations(os.Stderr, r); err != nil {
			return err
		}
		if path := os.Getenv("GITHUB_STEP_SUMMARY"); path != "" {
			if err := reports.StepSummary(path, r); err != nil {
				return err
			}
		}
	}
	if o.dir == "" {
		return nil
	}
	path, err := reports.Folder(o.dir, r)
	if err == nil && !o.quiet {
		fmt.Fprintf(os.Stderr, "report: %s\n", path)
	}
	return err
}

func (o *output) colored(file *os.File) bool {
	switch o.color {
	case "always":
		return true
	case "auto":
		return os.Getenv("NO_COLOR") == "" && isTerminal(file)
	}
	return false
}
