package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"svclab/reports/measure"
	"svclab/sim/bench/labs"
	"svclab/sim/proxies"
)

// benchLabFlags are what `svclab bench lab` was asked for.
type benchLabFlags struct {
	benchFlags
	foreign foreignFlags
	proxy   string
	nodes   int
	pods    []int
	family  string
	repeat  int
}

func benchLabCommand() *cobra.Command {
	f := &benchLabFlags{proxy: "nftables", nodes: 10, pods: []int{100, 1000, 5000}, family: "dual", repeat: 5}
	c := &cobra.Command{
		Use:   "lab",
		Short: "Measure what a lab costs: nodes and pods opened, the first verdict, closed",
		Long: `Open labs of some sizes, each several times: namespaces, wires, servers for TCP and UDP in every pod, a proxy on every
node. Measure until all of it is open; from there until a state with a Service for every ten pods is in force and one
flow was judged; and until all is closed, in this process and in the kernel, which is given the time to clean up
before the next lab. Beside that, what one pod takes of memory and of open files.

Exit codes: 0 all was measured · 1 a lab or its proxy failed · 2 bad usage · 3 nothing could start · 130/143 on signals.`,
		Example: `  svclab bench lab --nodes 10 --pods 100,1000,5000 --repeat 5
  svclab bench lab --pods 1000 --family ipv6 --json-file lab.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.main(c.Context()) },
	}
	f.benchFlags.flags(c)
	f.foreign.flags(c)
	fl := c.Flags()
	fl.StringVar(&f.proxy, "proxy", f.proxy, "the proxy of every node: see svclab list proxies")
	fl.Var(positive{&f.nodes, labs.MaxNodes}, "nodes", fmt.Sprintf("how many nodes a lab has, at most %d", labs.MaxNodes))
	fl.Var(sizes{&f.pods}, "pods", fmt.Sprintf("how many pods the labs have, at most %d a node", labs.MaxPodsPerNode))
	fl.Var(choice{&f.family, labs.Families}, "family", "addresses of nodes and pods: "+strings.Join(labs.Families, ", "))
	fl.Var(positive{&f.repeat, 0}, "repeat", "how often each size is measured")
	complete(c, "proxy", append(proxies.Names(), spoilt()...))
	complete(c, "family", labs.Families)
	return c
}

// main checks all input, measures, and writes.
func (f *benchLabFlags) main(ctx context.Context) error {
	p, err := f.check()
	if err != nil {
		return exitError{exitUsage, err}
	}
	r, err := f.enter(measure.Lab)
	if err != nil {
		return err
	}
	if missing := lacks(p); len(missing) > 0 {
		return exitError{exitNothing, fmt.Errorf("%s: this machine lacks %s: %s", p.Name, missing[0].Name, missing[0].Proof)}
	}
	if err := p.Missing(); err != nil {
		return exitError{exitNothing, fmt.Errorf("%s: %w", p.Name, err)}
	}
	o := labs.Options{Proxy: p, Nodes: f.nodes, Pods: f.pods, Family: f.family, Repeat: f.repeat, Progress: f.doing}
	if err := f.measured(ctx, r, func(ctx context.Context, r *measure.Run) error { return labs.Run(ctx, o, r) }); err != nil {
		return exitError{exitFailed, err}
	}
	return nil
}

func (f *benchLabFlags) check() (p proxies.Proxy, err error) {
	for _, n := range f.pods {
		if n > f.nodes*labs.MaxPodsPerNode {
			return p, fmt.Errorf("--pods %d: must be at most %d, which is %d for each of the %d nodes", n, f.nodes*labs.MaxPodsPerNode, labs.MaxPodsPerNode, f.nodes)
		}
	}
	run, err := f.foreign.proxies(false)
	if err != nil {
		return p, err
	}
	return run.Find(f.proxy)
}
