package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"svclab/nsnet/sandbox"
	"svclab/reports/figures"
	"svclab/reports/measure"
)

// benchFlags are what all benchmarks take.
type benchFlags struct {
	format                      string
	jsonFile, csvFile, htmlFile string
	seed                        uint64
	quiet                       bool

	all      *pflag.FlagSet
	began    time.Time
	progress *benchProgress // nil: none
}

func (f *benchFlags) flags(c *cobra.Command) {
	f.format, f.all = "table", c.Flags()
	fl := c.Flags()
	fl.VarP(choice{&f.format, figures.Formats}, "output", "o", "format on standard output: "+strings.Join(figures.Formats, ", "))
	fl.StringVar(&f.jsonFile, "json-file", "", "also write all samples as JSON to this file")
	fl.StringVar(&f.csvFile, "csv-file", "", "also write all samples as CSV to this file")
	fl.StringVar(&f.htmlFile, "html-file", "", "also write a page with plots to this file")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of the order in which things are measured (default: from the clock; it is in the results)")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress on standard error")
	complete(c, "output", figures.Formats)
}

// files are those that results go to, by their flags.
func (f *benchFlags) files() []benchFile {
	all := []benchFile{{"json-file", f.jsonFile, "json"}, {"csv-file", f.csvFile, "csv"}, {"html-file", f.htmlFile, "html"}}
	return slices.DeleteFunc(all, func(b benchFile) bool { return b.path == "" })
}

type benchFile struct{ flag, path, format string }

// enter checks that the results can be written, makes the sandbox, in which the program starts anew, and comes here a second
// time: all other input has been checked by then. It returns a run without rows.
func (f *benchFlags) enter(kind measure.Kind) (*measure.Run, error) {
	for _, b := range f.files() {
		if err := writable(b.path); err != nil {
			return nil, exitError{exitUsage, fmt.Errorf("--%s: %w", b.flag, err)}
		}
	}
	rememberOuter()
	if err := sandbox.Enter(sandbox.Options{}); err != nil {
		return nil, exitError{exitNothing, err}
	}
	f.began = time.Now()
	if f.seed == 0 {
		f.seed = uint64(f.began.UnixNano()) % 1_000_000_000
	}
	if !f.quiet {
		f.progress = newBenchProgress(os.Stderr, time.Now)
	}
	r := &measure.Run{Kind: kind, Version: thisVersion().Version, Started: f.began, Seed: f.seed, Flags: map[string]string{}, Machine: measure.ThisMachine()}
	r.Machine.Root = sandbox.RealRoot()
	f.all.VisitAll(func(fl *pflag.Flag) {
		if text := strings.Trim(fl.Value.String(), "[]"); text != "" && !slices.Contains([]string{"help", "output", "json-file", "csv-file", "html-file", "seed", "quiet"}, fl.Name) {
			r.Flags[fl.Name] = text
		}
	})
	return r, nil
}

// doing says how far a benchmark is: done of total, in whatever it counts, and what is measured now.
func (f *benchFlags) doing(done, total float64, text string) { f.progress.doing(done, total, text) }

// measured runs a benchmark and writes what it has found, also when it was stopped on the way: the results say so.
func (f *benchFlags) measured(ctx context.Context, r *measure.Run, run func(context.Context, *measure.Run) error) error {
	err := run(ctx, r)
	f.progress.clear()
	r.Took = time.Since(f.began).Seconds()
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
		fallthrough
	case err != nil:
		r.Notes = append(r.Notes, fmt.Sprintf("not whole: %v, after %s; these are the measurements until then", err, figures.Duration(r.Took)))
		if len(r.Rows) == 0 {
			return err
		}
	}
	return errors.Join(err, f.write(r))
}

// write writes the results to every file and to standard output. A file that cannot be written does not keep the others from it.
func (f *benchFlags) write(r *measure.Run) error {
	var wrong []error
	for _, b := range f.files() {
		wrong = append(wrong, writeFile(b.path, func(w io.Writer) error { return figures.Write(w, b.format, r) }))
	}
	return errors.Join(append(wrong, figures.Write(os.Stdout, f.format, r))...)
}

// writable reports why a file cannot be written; it does not touch what is in it.
func writable(path string) error {
	_, missing := os.Lstat(path)
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	if missing != nil {
		os.Remove(path)
	}
	return out.Close()
}

// writeFile writes a file whole, or says which could not be.
func writeFile(path string, write func(io.Writer) error) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(out); err != nil {
		out.Close()
		return fmt.Errorf("write %s: %w", filepath.Base(path), err)
	}
	return out.Close()
}
