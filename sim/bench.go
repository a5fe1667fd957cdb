package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"svclab/nsnet/sandbox"
	"svclab/reports/measure"
)

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure what a service proxy costs: rule-sync time, the data path, the lab itself",
		Args:  cobra.ArbitraryArgs,
		RunE:  oneOf,
	}
	for _, sub := range []*cobra.Command{benchDatapathCommand()} {
		sub.PreRunE = fromEnvironment
		c.AddCommand(sub)
	}
	return c
}

// benchFlags are what all benchmarks take.
type benchFlags struct {
	jsonFile string
	seed     uint64
	quiet    bool

	began time.Time
}

func (f *benchFlags) flags(c *cobra.Command) {
	fl := c.Flags()
	fl.StringVar(&f.jsonFile, "json-file", "", "also write all samples as JSON to this file")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of the order in which things are measured (default: from the clock; it is in the results)")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no progress on standard error")
}

// enter makes the sandbox, in which the program starts anew, and comes here a second time: all input has been checked by then.
// It returns an empty run.
func (f *benchFlags) enter(kind measure.Kind) (*measure.Run, error) {
	rememberOuter()
	if err := sandbox.Enter(sandbox.Options{}); err != nil {
		return nil, exitError{exitNothing, err}
	}
	f.began = time.Now()
	if f.seed == 0 {
		f.seed = uint64(f.began.UnixNano()) % 1_000_000_000
	}
	r := &measure.Run{Kind: kind, Version: thisVersion().Version, Started: f.began, Seed: f.seed, Machine: measure.ThisMachine()}
	r.Machine.Root = sandbox.RealRoot()
	return r, nil
}

// measured runs a benchmark and writes what it has found, also when it was stopped on the way.
func (f *benchFlags) measured(ctx context.Context, r *measure.Run, run func(context.Context, *measure.Run) error) error {
	err := run(ctx, r)
	r.Took = time.Since(f.began).Seconds()
	if e := f.write(r); err == nil {
		err = e
	}
	return err
}

func (f *benchFlags) write(r *measure.Run) error {
	if f.jsonFile == "" {
		return r.Write(os.Stdout)
	}
	return writeFile(f.jsonFile, r.Write)
}

// writeFile writes a file whole, or says which could not be.
func writeFile(path string, write func(io.Writer) error) error {
	out, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := write(out); err != nil {
		out.Close()
		return fmt.Errorf("write %s: %w", path, err)
	}
	return out.Close()
}
