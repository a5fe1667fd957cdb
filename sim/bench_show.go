package main

import (
	"errors"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"svclab/reports/figures"
	"svclab/reports/measure"
)

func benchShowCommand() *cobra.Command {
	format := "table"
	c := &cobra.Command{
		Use:     "show RUN.json",
		Short:   "Show stored results of a benchmark as a table, a page with plots, or CSV",
		Long:    `Show the results that a benchmark has written with --json-file or -o json. "-" reads standard input.`,
		Example: `  svclab bench show sync.json -o html > sync.html`,
		Args:    oneFile,
		RunE: func(_ *cobra.Command, args []string) error {
			r, err := readRun(args[0])
			if err != nil {
				return exitError{exitUsage, err}
			}
			return figures.Write(os.Stdout, format, r)
		},
	}
	c.Flags().VarP(choice{&format, figures.Formats}, "output", "o", "format on standard output: "+strings.Join(figures.Formats, ", "))
	complete(c, "output", figures.Formats)
	return c
}

func oneFile(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("which results? One file is needed, as a benchmark writes it with --json-file")
	}
	return nil
}

// readRun reads stored results; "-" is standard input.
func readRun(path string) (*measure.Run, error) {
	in := os.Stdin
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, err
		}
		defer f.Close()
		in = f
	}
	r, err := measure.Read(in)
	if err != nil {
		return nil, inputError{errors.New(path + ": " + err.Error())}
	}
	return r, nil
}
