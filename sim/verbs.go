package main

import (
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

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
