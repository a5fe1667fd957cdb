package main

import (
	"github.com/spf13/cobra"
)

func benchCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure what a service proxy costs: rule-sync time, the data path, the lab itself",
		Args:  cobra.ArbitraryArgs,
		RunE:  oneOf,
	}
	for _, sub := range []*cobra.Command{
		benchSyncCommand(),
		benchDatapathCommand(),
		benchLabCommand(),
		benchShowCommand(),
		benchCompareCommand(),
	} {
		sub.PreRunE = fromEnvironment
		c.AddCommand(sub)
	}
	return c
}
