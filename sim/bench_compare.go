package main

import (
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"svclab/reports/change"
)

func benchCompareCommand() *cobra.Command {
	format := "table"
	o := change.Options{Alpha: 0.05, MaxRegression: 0.1}
	c := &cobra.Command{
		Use:   "compare OLD.json NEW.json",
		Short: "Tell whether two runs of a benchmark differ or only seem to",
		Long: `Compare the samples of each row that two runs of a benchmark have, as they were written with --json-file, and tell change
from noise: by the Mann-Whitney U test, its p adjusted for the number of rows (Benjamini and Hochberg). Counts that never vary
are compared as they are, and of samples taken at one go (bench datapath) the medians of each go.

A machine is not as fast today as it was yesterday, and no test on samples can know. With --ratio-to the ratio of each row to
that of another proxy in the same run is compared instead (by the logarithms of the medians, with errors after Price and
Bonett): what slows both of them is no change.

Exit codes: 0 nothing regressed · 1 a row is worse by more than --max-regression, and not by chance · 2 bad input · 3 no row
could be compared, or none has enough samples.`,
		Example: `  svclab bench compare main.json mine.json --max-regression 10%
  svclab bench compare main.json mine.json --ratio-to kube-proxy/nftables -o markdown >> "$GITHUB_STEP_SUMMARY"`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 2 {
				return errors.New("compare what with what? Two files are needed, OLD.json and NEW.json, as a benchmark writes them with --json-file")
			}
			return nil
		},
		RunE: func(_ *cobra.Command, args []string) error { return benchCompare(args[0], args[1], o, format) },
	}
	fl := c.Flags()
	fl.VarP(choice{&format, change.Formats}, "output", "o", "format on standard output: "+strings.Join(change.Formats, ", "))
	fl.Var(percentage{&o.MaxRegression}, "max-regression", "how much worse a median may become, such as 10%")
	fl.Var(chance{&o.Alpha}, "alpha", "how often chance alone may be taken for a change, of all comparisons of runs that are alike")
	fl.StringVar(&o.RatioTo, "ratio-to", "", "compare each row's ratio to the row of this proxy in the same run")
	complete(c, "output", change.Formats)
	return c
}

func benchCompare(old, new string, o change.Options, format string) error {
	was, err := readRun(old)
	if err != nil {
		return exitError{exitUsage, err}
	}
	is, err := readRun(new)
	if err != nil {
		return exitError{exitUsage, err}
	}
	result, err := change.Runs(was, is, o)
	if err != nil {
		return exitError{exitUsage, err}
	}
	if err := change.Write(os.Stdout, format, result); err != nil {
		return err
	}
	switch {
	case len(result.Rows) == 0:
		return exitError{exitNothing, errors.New("no row could be compared")}
	case !slices.ContainsFunc(result.Rows, func(r change.Row) bool { return r.Verdict != change.TooFew }):
		return exitError{exitNothing, errors.New("no row has enough samples to tell change from chance: measure more often (--n, --repeat, --rounds)")}
	case result.Regressions > 0:
		return exitError{exitFailed, nil}
	}
	return nil
}

// percentage is a flag that takes "10%", of which it makes 0.1.
type percentage struct{ to *float64 }

func (p percentage) String() string { return strconv.FormatFloat(100**p.to, 'g', -1, 64) + "%" }
func (p percentage) Type() string   { return "percent" }

func (p percentage) Set(text string) error {
	number, ok := strings.CutSuffix(text, "%")
	v, err := strconv.ParseFloat(number, 64)
	if !ok || err != nil || v < 0 || math.IsInf(v, 0) || math.IsNaN(v) {
		return errors.New("must be a percentage of at least 0%, such as 10%")
	}
	*p.to = v / 100
	return nil
}

// chance is a flag that takes a probability.
type chance struct{ to *float64 }

func (c chance) String() string { return fmt.Sprint(*c.to) }
func (c chance) Type() string   { return "probability" }

func (c chance) Set(text string) error {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v > 0 && v < 1) {
		return errors.New("must be between 0 and 1, such as 0.05")
	}
	*c.to = v
	return nil
}
