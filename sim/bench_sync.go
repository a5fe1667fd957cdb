package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"svclab/reports/measure"
	"svclab/sim/bench/load"
	"svclab/sim/bench/rulesync"
	"svclab/sim/proxies"
)

// syncFlags are what `svclab bench sync` was asked for.
type syncFlags struct {
	benchFlags
	foreign   foreignFlags
	services  []string
	endpoints string
	like      string
	proxies   []string
	inProcess bool
	budget    time.Duration
	n, repeat int
	churn     float64
	churnFor  time.Duration
}

// defaultSync are the proxies that are measured where none is named, as far as they are there.
var defaultSync = []string{"nftables", "kube-proxy/nftables", "kube-proxy/iptables-legacy"}

func benchSyncCommand() *cobra.Command {
	f := &syncFlags{n: 10, repeat: 5}
	c := &cobra.Command{
		Use:   "sync",
		Short: "Measure how long a change takes until its first correct packet, at any number of Services",
		Long: `Measure how long Service proxies take to put changes in force: first sync from an empty kernel, restart over a full one,
an endpoint replaced, added, removed, a Service added, removed, 100 Services at once, a rolling update, steady churn.

Each has several clocks: "first correct packet", from the write at the API server until a new connection is answered as it could
not have been before; "commit", until the kernel has taken those rules; "own metric", what the proxy says. Beside them stand
memory, processor time, rules and elements. Every proxy is a process of its own and is fed by the same API server; ours is
"svclab proxy". Proxies and sizes are taken in random order.`,
		Example: `  svclab bench sync --services 1000,10000 --proxy nftables,kube-proxy/nftables,kube-proxy/iptables-legacy --budget 10m
  svclab bench sync --services 5000 --endpoints zipf --json-file sync.json
  kubectl get services,endpointslices -A -o json > dump.json; svclab bench sync --like dump.json`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error { return f.main(c.Context(), c) },
	}
	f.benchFlags.flags(c)
	f.foreign.flags(c)
	fl := c.Flags()
	fl.StringSliceVar(&f.services, "services", []string{"1000", "10000"}, "numbers of Services in the cluster")
	fl.StringVar(&f.endpoints, "endpoints", "10", "how many endpoints each Service has; zipf: the i-th Service has a thousand divided by i")
	fl.StringVar(&f.like, "like", "", "instead of --services and --endpoints a file: what kubectl get services,endpointslices -A -o yaml (or json) printed of a cluster whose shape is taken")
	fl.StringSliceVar(&f.proxies, "proxy", defaultSync, "proxies to measure: see svclab list proxies")
	fl.BoolVar(&f.inProcess, "in-process", false, "run svclab's own proxies in this process, without an API server: what the core alone takes")
	fl.DurationVar(&f.budget, "budget", 10*time.Minute, "how long all of it may take, more or less: less is repeated when time is short, and it says so")
	fl.Var(positive{&f.n, 100000}, "n", "how often each of the five kinds of change is measured, at most")
	fl.Var(positive{&f.repeat, 1000}, "repeat", "how often everything else is measured, at most")
	fl.Float64Var(&f.churn, "churn", 20, "endpoints replaced a second, of the steady churn")
	fl.DurationVar(&f.churnFor, "churn-for", 10*time.Second, "how long the churn lasts")
	complete(c, "proxy", proxies.Names())
	return c
}

// main checks all input, enters the sandbox, measures and writes.
func (f *syncFlags) main(ctx context.Context, c *cobra.Command) error {
	o, notes, err := f.options(c)
	if err != nil {
		return exitError{exitUsage, err}
	}
	run, err := f.enter(measure.Sync)
	if err != nil {
		return err
	}
	run.Notes = append(run.Notes, notes...)
	o.Say = f.doing
	var failed []string
	err = f.measured(ctx, run, func(ctx context.Context, run *measure.Run) (err error) {
		failed, err = rulesync.Run(ctx, run, o)
		return err
	})
	switch {
	case ctx.Err() != nil:
		return exitError{exitFailed, err} // main says which signal it was
	case err != nil:
		return exitError{exitBroken, err}
	case len(failed) > 0:
		return exitError{exitFailed, errors.New(strings.Join(failed, "\n"))}
	}
	return nil
}

// options says all that is wrong with what was asked for.
func (f *syncFlags) options(c *cobra.Command) (o rulesync.Options, notes []string, err error) {
	o = rulesync.Options{N: f.n, Repeat: f.repeat, Churn: f.churn, ChurnFor: f.churnFor, Budget: f.budget}
	switch {
	case f.budget <= 0:
		return o, nil, fmt.Errorf("--budget %s: must be more than nothing, such as 10m", f.budget)
	case !(f.churn > 0 && f.churn <= 10000): // nor not a number
		return o, nil, fmt.Errorf("--churn %g: must be a number of changes a second, above 0 and up to 10000", f.churn)
	case f.churnFor <= 0:
		return o, nil, fmt.Errorf("--churn-for %s: must be more than nothing, such as 10s", f.churnFor)
	}
	if err := f.sizes(c, &o); err != nil {
		return o, nil, err
	}
	o.Proxies, notes, err = f.contestants(c)
	if err != nil {
		return o, nil, err
	}
	greedy := slices.ContainsFunc(o.Proxies, func(c rulesync.Contestant) bool { _, _, foreign := c.Proxy.Known(); return foreign })
	for _, n := range o.Sizes {
		if need, have := memoryFor(o.Shape(n), greedy), rulesync.MemoryAvailable(); have > 0 && need > have {
			return o, nil, fmt.Errorf("%d Services with %s endpoints need about %.1f GB of memory, and the machine has %.1f GB left: ask for fewer", n, o.Endpoints, gigabytes(need), gigabytes(have))
		}
	}
	return o, notes, nil
}

// near of a thousand endpoints are on the node that is measured.
const near = 10

func (f *syncFlags) sizes(c *cobra.Command, o *rulesync.Options) error {
	if f.like != "" {
		if c.Flags().Changed("services") || c.Flags().Changed("endpoints") {
			return errors.New("--like: the file says how many Services and endpoints there are, so --services and --endpoints cannot be used with it")
		}
		text, err := os.ReadFile(f.like)
		if err != nil {
			return fmt.Errorf("--like: %w", err)
		}
		shape, err := load.Like(text)
		if err != nil {
			return fmt.Errorf("--like %s: %w", f.like, err)
		}
		shape.Near = near
		f.services = []string{strconv.Itoa(shape.Services)}
		o.Sizes, o.Endpoints, o.Shape = []int{shape.Services}, "like "+f.like, func(int) load.Shape { return shape }
		return nil
	}
	for _, text := range f.services {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > load.MaxServices {
			return fmt.Errorf("--services %s: must be numbers from 1 to %d, such as 1000,10000", text, load.MaxServices)
		}
		if slices.Contains(o.Sizes, n) {
			return fmt.Errorf("--services: %d is there twice", n)
		}
		o.Sizes = append(o.Sizes, n)
	}
	if len(o.Sizes) == 0 {
		return errors.New("--services: must be numbers, such as 1000,10000")
	}
	each := load.Zipf(1000)
	if f.endpoints != "zipf" {
		n, err := strconv.Atoi(f.endpoints)
		if err != nil || n < 1 || n > 5000 {
			return fmt.Errorf("--endpoints %s: must be a number from 1 to 5000, or zipf", f.endpoints)
		}
		each = load.Each(n)
		if most := slices.Max(o.Sizes) * n; most > maxEndpoints {
			return fmt.Errorf("--services and --endpoints: %d endpoints are more than the lab has addresses for, which is %d", most, maxEndpoints)
		}
	}
	o.Endpoints = f.endpoints
	o.Shape = func(n int) load.Shape { return load.Shape{Services: n, Endpoints: each, Near: near} }
	return nil
}

// maxEndpoints is what load has addresses for, those that come later included.
const maxEndpoints = 2_000_000

// contestants are the proxies; those of our own as processes, where nothing else is said.
func (f *syncFlags) contestants(c *cobra.Command) (list []rulesync.Contestant, notes []string, err error) {
	how, err := f.foreign.proxies(false)
	if err != nil {
		return nil, nil, err
	}
	how.Config = withDefaults(how.Config)
	for _, name := range f.proxies {
		if slices.ContainsFunc(list, func(c rulesync.Contestant) bool { return c.Name == name }) {
			return nil, nil, fmt.Errorf("--proxy: %s is there twice", name)
		}
		full := name
		if own, err := proxies.Find(name); err == nil && !f.inProcess && !strings.Contains(name, "~") {
			full = "svclab/" + own.Name
		}
		p, err := how.Find(full)
		if err != nil {
			return nil, nil, fmt.Errorf("--proxy: %w", err)
		}
		switch missing := p.Missing(); {
		case missing == nil:
			list = append(list, rulesync.Contestant{Name: name, Proxy: p})
		case c.Flags().Changed("proxy"):
			return nil, nil, fmt.Errorf("--proxy %s: %w", name, missing)
		default:
			notes = append(notes, fmt.Sprintf("%s is left out: %v", name, missing))
		}
	}
	if len(list) == 0 {
		return nil, nil, errors.New("--proxy: name at least one, such as nftables")
	}
	return list, notes, nil
}

// withDefaults is a configuration of kube-proxy with its own defaults where a lab has others, unless the user says otherwise.
func withDefaults(config map[string]any) map[string]any {
	out := rulesync.Defaults()
	for name, v := range config {
		if fields, ok := v.(map[string]any); ok {
			if have, ok := out[name].(map[string]any); ok {
				merged := map[string]any{}
				for _, from := range []map[string]any{have, fields} {
					for k, v := range from {
						merged[k] = v
					}
				}
				out[name] = merged
				continue
			}
		}
		out[name] = v
	}
	return out
}

// memoryFor is about what a cluster of that shape takes at its most, in bytes: as objects here, on their way to the proxy, in
// the proxy, and in the kernel; measured at 50,000 with 10 and 5,000 with 250. greedy is for kube-proxy and what it starts.
func memoryFor(s load.Shape, greedy bool) int64 {
	const base = 200 << 20
	service, endpoint := int64(8<<10), int64(2<<10)
	if greedy {
		service, endpoint = 20<<10, 8<<10
	}
	total := int64(base)
	for i := range s.Services {
		total += service + int64(s.Endpoints(i))*endpoint
	}
	return total
}

func gigabytes(n int64) float64 { return float64(n) / (1 << 30) }
