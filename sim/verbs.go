package main

import (
	"fmt"
	"os"
	"runtime/debug"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"svclab/proxycore/mutant"
	"svclab/sim/proxies"
)

func validateCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "validate [FILE | NAME]...",
		Short: "Check scenario files without running them",
		Long:  "Check scenario files. Every mistake is told as file:line:col: what is wrong, and what would be right.",
		RunE: func(_ *cobra.Command, args []string) error {
			all, err := load(args)
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
}

func listCommand() *cobra.Command {
	c := &cobra.Command{Use: "list", Short: "List what there is: scenarios, proxies, mutants"}
	c.AddCommand(
		&cobra.Command{Use: "scenarios", Short: "The bundled scenarios", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			all, err := load(nil)
			if err != nil {
				return err
			}
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tCOVERS\tABOUT")
			for _, s := range all {
				fmt.Fprintf(w, "%s\t%s\t%s\n", s.Name, strings.Join(s.Covers, " "), strings.TrimSpace(s.About))
			}
			return w.Flush()
		}},
		&cobra.Command{Use: "proxies", Short: "The proxies, as --proxy takes them", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "NAME\tNEEDS\tABOUT")
			for _, p := range proxies.All {
				fmt.Fprintf(w, "%s\t%s\t%s\n", p.Name, strings.Join(p.Powers, " "), p.About)
			}
			return w.Flush()
		}},
		&cobra.Command{Use: "mutants", Short: "Ways to spoil a proxy, each with the scenario that must notice", Args: cobra.NoArgs, RunE: func(*cobra.Command, []string) error {
			w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
			fmt.Fprintln(w, "PROXY~MUTANT\tBREAKS\tNOTICED BY")
			for _, p := range proxies.All {
				for _, m := range mutant.Mutants {
					fmt.Fprintf(w, "%s~%s\t%s\t%s\n", p.Name, m.Name, m.Breaks, m.Scenario)
				}
			}
			return w.Flush()
		}},
	)
	return c
}

func versionCommand() *cobra.Command {
	return &cobra.Command{Use: "version", Short: "Print the version", Args: cobra.NoArgs, Run: func(*cobra.Command, []string) {
		version := "devel"
		if info, ok := debug.ReadBuildInfo(); ok {
			if info.Main.Version != "" && info.Main.Version != "(devel)" {
				version = info.Main.Version
			}
			for _, s := range info.Settings {
				if s.Key == "vcs.revision" {
					version = s.Value[:min(12, len(s.Value))]
				}
			}
			fmt.Printf("svclab %s, built with %s\n", version, info.GoVersion)
			return
		}
		fmt.Println("svclab", version)
	}}
}
