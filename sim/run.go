package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"svclab/nsnet/sandbox"
	"svclab/reports"
	"svclab/reports/verdict"
	"svclab/sim/engine"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// runFlags are what `svclab run` was asked for.
type runFlags struct {
	proxies  []string
	only     string
	count    int
	seed     uint64
	verbose  bool
	format   string
	dir      string
	timeout  time.Duration
	color    string
	failFast bool
	repeat   int
	flows    int
	phases   bool

	loaded []*scenario.Scenario
}

func runCommand() *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [FILE | NAME]...",
		Short: "Run scenarios with real packets and judge every flow",
		Long: `Run scenarios, each in IPv4 and in IPv6, on every proxy asked for. A scenario is a file, or the name of a
bundled one ("svclab list scenarios"); none given means all bundled ones.`,
		Example: `  svclab run
  svclab run scenarios/basics/myservice.yaml -v
  svclab run myservice --run /ipv6/ --count 50
  svclab run myservice --proxy nftables~no-masquerade     # a proxy spoilt on purpose: see how it is caught`,
		RunE: func(cmd *cobra.Command, args []string) error { return f.run(cmd.Context(), args) },
	}
	fl := c.Flags()
	fl.StringSliceVar(&f.proxies, "proxy", nil, "proxies to run, e.g. nftables (default: all that this machine can run)")
	fl.StringVar(&f.only, "run", "", "only the cases whose name SCENARIO/FAMILY/PROXY matches this regular expression")
	fl.IntVar(&f.count, "count", 1, "how often to run everything")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of all chance in the lab itself (default: from the clock; it is printed)")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "tell of each flow how one address became another, and why")
	fl.StringVarP(&f.format, "output", "o", "table", "format on standard output: "+strings.Join(reports.Formats, ", "))
	fl.StringVar(&f.dir, "report-dir", "out", "folder for reports and artifacts; empty writes none")
	fl.DurationVar(&f.timeout, "timeout", 10*time.Minute, "time limit of the whole run (exit code 124)")
	fl.StringVar(&f.color, "color", "auto", "colours: auto, always, never")
	fl.BoolVar(&f.failFast, "fail-fast", false, "stop after the first case that does not pass")
	fl.IntVar(&f.repeat, "repeat", 0, "override repeat: of every change under flows")
	fl.IntVar(&f.flows, "flows", 0, "override flows: of every probe under a change")
	fl.BoolVar(&f.phases, "phases", false, "announce the lab's phases on standard error")
	return c
}

// run checks all input first, on the machine; only then is a sandbox made. In the sandbox the program starts anew, and
// comes here a second time.
func (f *runFlags) run(ctx context.Context, args []string) error {
	cases, err := f.cases(args)
	if err != nil {
		return exitError{exitUsage, err}
	}
	if len(cases) == 0 {
		return exitError{exitNothing, fmt.Errorf("nothing to run: no case matches --run %q", f.only)}
	}
	f.phase("sandbox")
	if err := sandbox.Enter(sandbox.Options{}); err != nil {
		return exitError{exitNothing, err}
	}
	warn(os.Stderr, f.loaded)
	if f.seed == 0 {
		f.seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	ctx, cancel := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("time limit of %s", f.timeout))
	defer cancel()
	result := f.runAll(ctx, cases)
	if err := f.report(result); err != nil {
		return err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return exitError{exitTimeout, context.Cause(ctx)}
	}
	return exitError{result.ExitCode(), nil}
}

// testCase is one scenario variant on one proxy.
type testCase struct {
	scenario *scenario.Scenario
	proxy    proxies.Proxy
}

func (t testCase) id() string {
	return t.scenario.Name + "/" + string(t.scenario.Family) + "/" + t.proxy.Name
}

func (f *runFlags) cases(args []string) ([]testCase, error) {
	if !slices.Contains(reports.Formats, f.format) {
		return nil, fmt.Errorf("--output %q is none of %s", f.format, strings.Join(reports.Formats, ", "))
	}
	if f.count < 1 {
		return nil, fmt.Errorf("--count %d: at least 1", f.count)
	}
	only, err := regexp.Compile(f.only)
	if err != nil {
		return nil, fmt.Errorf("--run: %w", err)
	}
	names := f.proxies
	if len(names) == 0 {
		names = proxies.Names()
	}
	var chosen []proxies.Proxy
	for _, n := range names {
		p, err := proxies.Find(n)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, p)
	}
	scenarios, err := load(args)
	if err != nil {
		return nil, err
	}
	f.loaded = scenarios
	var cases []testCase
	for _, s := range scenarios {
		for _, v := range s.Variants() {
			f.override(v)
			for _, p := range chosen {
				if t := (testCase{v, p}); only.MatchString(t.id()) {
					cases = append(cases, t)
				}
			}
		}
	}
	return cases, nil
}

// override puts the large numbers of a stress run in place of the file's.
func (f *runFlags) override(s *scenario.Scenario) {
	for i := range s.Steps {
		c := s.Steps[i].Change
		if c == nil || c.During == nil {
			continue
		}
		change, during := *c, *c.During
		if f.repeat > 0 && change.Repeat > 1 {
			change.Repeat = f.repeat
		}
		if f.flows > 0 {
			during.Flows = f.flows
		}
		change.During = &during
		s.Steps[i].Change = &change
	}
}

func (f *runFlags) runAll(ctx context.Context, cases []testCase) *verdict.Run {
	out := reports.Options{Color: f.colored(os.Stdout), Verbose: f.verbose}
	r := &verdict.Run{SchemaVersion: 1, Seed: f.seed, Started: time.Now(), Command: os.Args}
	bar := newProgress(os.Stderr)
	for round := range f.count {
		for i, t := range cases {
			if ctx.Err() != nil {
				break
			}
			bar.at(round*len(cases)+i+1, f.count*len(cases), t.id())
			c := f.one(ctx, t, f.seed+uint64(round), bar)
			bar.clear()
			if f.format == "table" && (f.count == 1 || c.Verdict != verdict.Pass) {
				_ = reports.WriteCase(os.Stdout, &c, out) // a closed standard output must not end the run
			}
			r.Cases = append(r.Cases, c)
			if f.failFast && (c.Verdict == verdict.Fail || c.Verdict == verdict.Broken) {
				r.Took = time.Since(r.Started)
				return r
			}
		}
	}
	r.Took = time.Since(r.Started)
	return r
}

// one runs one case, or skips it with the proof that the machine lacks a power.
func (f *runFlags) one(ctx context.Context, t testCase, seed uint64, bar *progress) verdict.Case {
	if c, lacks := lacking(t); lacks {
		return c
	}
	c := engine.Run(ctx, t.scenario, engine.Options{
		Proxy: t.proxy.Name, Seed: seed, Explain: f.verbose, Progress: bar.doing,
		Open: func(ctx context.Context, topology *world.Topology, _ *rand.Rand) (world.World, error) {
			return lab.Open(ctx, lab.Options{Topology: topology, Proxy: t.proxy.Opener(topology), Phase: f.phase})
		},
	})
	if c.Verdict != verdict.Pass {
		c.Rerun = fmt.Sprintf("./run.sh run %s --proxy '%s' --run '^%s/%s/' --seed %d", argument(t.scenario), t.proxy.Name, t.scenario.Name, t.scenario.Family, seed)
	}
	return c
}

// lacking tells whether the machine lacks a power that the proxy needs; a power in SVCLAB_REQUIRE makes that Broken.
func lacking(t testCase) (verdict.Case, bool) {
	c := verdict.Case{Scenario: t.scenario.Name, About: t.scenario.About, File: t.scenario.File, Variant: string(t.scenario.Family), Proxy: t.proxy.Name}
	required := strings.Split(os.Getenv("SVCLAB_REQUIRE"), ",")
	for _, p := range sandbox.Probe() {
		need := p.Name == "userns" || p.Name == "veth" || p.Name == "bridge" || slices.Contains(t.proxy.Powers, p.Name)
		if !need || p.State == sandbox.Yes {
			continue
		}
		c.Verdict, c.Why = verdict.Skip, fmt.Sprintf("this machine lacks %s: %s", p.Name, p.Proof)
		if p.State == sandbox.Unknown {
			c.Verdict, c.Why = verdict.Broken, fmt.Sprintf("cannot find out whether this machine has %s: %s", p.Name, p.Proof)
		} else if slices.Contains(required, p.Name) {
			c.Verdict, c.Why = verdict.Broken, fmt.Sprintf("SVCLAB_REQUIRE names %s, and this machine lacks it: %s", p.Name, p.Proof)
		}
		return c, true
	}
	return c, false
}

// report files the run, and prints what is printed at its end.
func (f *runFlags) report(r *verdict.Run) error {
	if f.format == "json" {
		if err := reports.JSON(os.Stdout, r); err != nil {
			return err
		}
	} else {
		if f.count > 1 {
			tally(os.Stdout, r)
		}
		if err := reports.WriteSummary(os.Stdout, r, reports.Options{Color: f.colored(os.Stdout)}); err != nil {
			return err
		}
	}
	if f.dir == "" {
		return nil
	}
	path, err := reports.Folder(f.dir, r)
	if err != nil {
		return exitError{max(r.ExitCode(), 1), err}
	}
	fmt.Fprintf(os.Stderr, "report: %s\n", path)
	return nil
}

func (f *runFlags) phase(name string) {
	if f.phases {
		fmt.Fprintf(os.Stderr, "phase %s\n", name)
	}
}

func (f *runFlags) colored(file *os.File) bool {
	switch f.color {
	case "always":
		return true
	case "auto":
		return os.Getenv("NO_COLOR") == "" && isTerminal(file)
	}
	return false
}
