package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"svclab/reports/measure"
	"svclab/sim/bench/datapath"
	"svclab/sim/proxies"
)

// datapathFlags are what `svclab bench datapath` was asked for.
type datapathFlags struct {
	benchFlags
	foreign   foreignFlags
	proxies   []string
	services  int
	endpoints int
	rounds    int
	samples   int
	works     []string
	budget    time.Duration
	patience  time.Duration
}

func benchDatapathCommand() *cobra.Command {
	f := &datapathFlags{services: 1000, endpoints: 1, rounds: 20, samples: 100}
	var works []string
	about := "WORKS\n"
	for _, w := range datapath.Works {
		works = append(works, w.Word)
		about += fmt.Sprintf("  %-15s %s\n", w.Word, w.About)
	}
	c := &cobra.Command{
		Use:   "datapath",
		Short: "Measure what packets pay: through the first, middle and last of N Services, beside directly",
		Long: `Measure connections, requests, datagrams and bytes from a pod to pods on its node and elsewhere: directly, and
through the first, the middle and the last of N Services. All proxies stand at the same time, each on a node of
its own, and every round measures everything once, in an order drawn anew: what disturbs the machine for a while
disturbs all alike. Read ratios to the proxy "direct", which is a node without any, and not times.

Every batch is proved: where a connection did not arrive at an endpoint of its Service there is an error and no
sample. Exit codes: 0 all was measured · 1 a proxy failed; the note of its rows says how · 2 bad usage · 3 nothing
could start · 130/143 on signals.

` + about,
		Example: `  svclab bench datapath --services 10000 --proxy nftables,kube-proxy/nftables --json-file datapath.json
  svclab bench datapath --works new-connection --endpoints 10 --budget 1m`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.main(c.Context()) },
	}
	f.benchFlags.flags(c)
	f.foreign.flags(c)
	fl := c.Flags()
	fl.StringSliceVar(&f.proxies, "proxy", nil, "proxies to measure: see svclab list proxies (default: svclab's own)")
	fl.Var(positive{&f.services, datapath.MaxServices}, "services", fmt.Sprintf("how many Services there are, from %d to %d", datapath.MinServices, datapath.MaxServices))
	fl.Var(positive{&f.endpoints, 1000}, "endpoints", "how many endpoints each Service has, at most 1000")
	fl.Var(positive{&f.rounds, 0}, "rounds", "how often everything is measured")
	fl.Var(positive{&f.samples, 1000}, "samples", "how many connections, requests, datagrams or 64 KiB are measured in a batch, at most 1000")
	fl.StringSliceVar(&f.works, "works", nil, "what to measure (default: all works)")
	fl.DurationVar(&f.budget, "budget", 0, "make fewer rounds where all would take longer than this; 0 is no limit")
	fl.DurationVar(&f.patience, "sync-limit", 5*time.Minute, "how long a proxy that is a program of its own may take until every Service answers")
	complete(c, "proxy", append(proxies.Names(), spoilt()...))
	complete(c, "works", works)
	return c
}

// main checks all input, measures, and writes.
func (f *datapathFlags) main(ctx context.Context) error {
	o, err := f.options()
	if err != nil {
		return exitError{exitUsage, err}
	}
	r, err := f.enter(measure.Datapath)
	if err != nil {
		return err
	}
	if err := f.missing(o.Proxies); err != nil {
		return exitError{exitNothing, err}
	}
	for _, p := range o.Proxies {
		if _, version, ok := p.Known(); ok && version != "" {
			r.Machine.Programs[p.Name] = version
		}
	}
	o.Progress = f.doing
	err = f.measured(ctx, r, func(ctx context.Context, r *measure.Run) error { return datapath.Run(ctx, o, r) })
	if err != nil {
		return exitError{exitFailed, err}
	}
	return nil
}

// options are what was asked for, checked.
func (f *datapathFlags) options() (o datapath.Options, err error) {
	if f.services < datapath.MinServices {
		return o, fmt.Errorf("--services %d: must be at least %d, so that each kind is at the beginning, in the middle and at the end", f.services, datapath.MinServices)
	}
	if f.budget < 0 || f.patience < 0 {
		return o, errors.New("--budget and --sync-limit must not be negative")
	}
	for _, w := range f.works {
		if !slices.ContainsFunc(datapath.Works, func(x datapath.Work) bool { return x.Word == w }) {
			var words []string
			for _, x := range datapath.Works {
				words = append(words, x.Word)
			}
			return o, fmt.Errorf("--works: there is no work %q; there are %s", w, strings.Join(words, ", "))
		}
	}
	if len(f.proxies) == 0 {
		for _, p := range proxies.All {
			f.proxies = append(f.proxies, p.Name)
		}
	}
	run, err := f.foreign.proxies(false)
	if err != nil {
		return o, err
	}
	o = datapath.Options{
		Services: f.services, Endpoints: f.endpoints, Works: f.works, Rounds: f.rounds, Samples: f.samples, Budget: f.budget, Patience: f.patience,
	}
	for _, name := range f.proxies {
		p, err := run.Find(name)
		if err != nil {
			return o, err
		}
		if slices.ContainsFunc(o.Proxies, func(x proxies.Proxy) bool { return x.Name == p.Name }) {
			return o, fmt.Errorf("--proxy: %s is there twice", p.Name)
		}
		o.Proxies = append(o.Proxies, p)
	}
	return o, nil
}

// missing says what a proxy needs and this machine has not.
func (f *datapathFlags) missing(list []proxies.Proxy) error {
	for _, p := range list {
		for _, power := range lacks(p) {
			return fmt.Errorf("%s: this machine lacks %s: %s", p.Name, power.Name, power.Proof)
		}
		if err := p.Missing(); err != nil {
			return fmt.Errorf("%s: %w", p.Name, err)
		}
	}
	return nil
}
