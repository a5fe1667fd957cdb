package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"svclab/nsnet/sandbox"
	"svclab/reports/verdict"
	"svclab/scenarios"
	"svclab/sim/known"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
)

// runFlags are what `svclab run` was asked for.
type runFlags struct {
	inputs
	selection
	output
	proxies     []string
	foreign     foreignFlags
	count       int
	parallel    int
	seed        uint64
	timeout     time.Duration
	failFast    bool
	expand      bool
	dual        bool
	failOnSkip  bool
	pauseOnFail bool
	keep        bool
	repeat      int
	flows       int
	announce    bool
	pcap        string

	loaded []*scenario.Scenario
	chosen []testCase
	known  *known.List
	phases phases
}

// newRun is what a run is by default.
func newRun() *runFlags {
	return &runFlags{count: 1, parallel: min(3*runtime.NumCPU(), 24)} // most of a run is waiting
}

// cards are the flags that say which cases are played, on what, and how fast.
func (f *runFlags) cards(c *cobra.Command) {
	f.foreign.flags(c)
	fl := c.Flags()
	fl.Var(&f.selection.run, "run", "only the cases whose name SCENARIO/FAMILY/PROXY matches this regular expression")
	fl.Var(&f.skip, "skip", "not the cases whose name matches this regular expression")
	fl.VarP(&f.labels, "selector", "l", "only scenarios whose labels match, as in kubectl: area=basics,!slow")
	fl.Var(&f.shard, "shard", "only the i-th of n parts of the cases, which are told apart by a hash of the name")
	fl.Var(positive{&f.parallel, 0}, "parallel", "how many cases to run at once")
	fl.Uint64Var(&f.seed, "seed", 0, "seed of all chance in the lab itself (default: from the clock; it is printed)")
	fl.DurationVar(&f.timeout, "timeout", 10*time.Minute, "time limit of the whole run (exit code 124); 0 is none")
}

func runCommand() *cobra.Command {
	f := newRun()
	c := &cobra.Command{
		Use:   "run [FILE | FOLDER | GLOB | NAME]...",
		Short: "Run scenarios with real packets and judge every flow",
		Long: `Run scenarios, each in IPv4 and in IPv6, on every proxy asked for. A scenario is a file, or the name of a
bundled one ("svclab list scenarios"); of a folder, all *.yaml, *.yml and *.json are taken; - is standard input;
none given means all bundled ones.

Each flag has an environment variable: SVCLAB_REPORT_DIR for --report-dir. A flag that is written beats it.
SVCLAB_REQUIRE=userns,nftables turns a skip for lack of such a power into a broken case.`,
		Example: `  svclab run
  svclab run scenarios/basics/myservice.yaml -v
  svclab run myservice --run /ipv6/ --count 50
  kubectl get svc,pods,nodes -o yaml | svclab run -f -
  svclab run -R my/scenarios --shard 1/3 --junit-file junit.xml
  svclab run myservice --proxy nftables~no-masquerade     # a proxy spoilt on purpose: see how it is caught
  svclab run myservice --proxy kube-proxy/nftables        # the real one, built by ./run.sh kube-proxy
  svclab run myservice --proxy exec:my-proxy.yaml         # any other: the file says how to run it`,
		RunE: func(cmd *cobra.Command, args []string) error {
			pause := f.pauseOnFail || f.keep
			if pause && !cmd.Flags().Changed("parallel") {
				f.parallel = 1
			}
			if pause && !cmd.Flags().Changed("timeout") {
				f.timeout = 0 // who looks around is in no hurry
			}
			return f.main(cmd.Context(), args)
		},
	}
	f.inputs.flags(c)
	f.output.flags(c)
	f.cards(c)
	fl := c.Flags()
	fl.StringSliceVar(&f.proxies, "proxy", nil, "proxies to run: see svclab list proxies (default: svclab's own)")
	fl.Var(positive{&f.count, 0}, "count", "how often to run everything")
	fl.BoolVar(&f.dual, "dual", false, "run both families of a scenario in one dual-stack lab: a case is then SCENARIO/dual/PROXY")
	fl.BoolVar(&f.expand, "expand", false, "go through each scenario's states in other ways too: reversed, twice, with empties, squashed, restarted")
	fl.BoolVar(&f.failFast, "fail-fast", false, "stop after the first case that does not pass")
	fl.BoolVar(&f.failOnSkip, "fail-on-skip", false, "exit with 1 when a case was skipped")
	fl.BoolVar(&f.pauseOnFail, "pause-on-fail", false, "keep the lab of a case that does not pass until Enter is pressed, and tell how to enter it")
	fl.BoolVar(&f.keep, "keep", false, "keep the lab of each case until Enter is pressed or the run is interrupted, and tell how to enter it")
	fl.StringVar(&f.pcap, "pcap", "", "write every packet of each case to a file in this folder, as pcapng, with an interface for each device")
	fl.IntVar(&f.repeat, "repeat", 0, "override repeat: of every change under flows")
	fl.IntVar(&f.flows, "flows", 0, "override flows: of every probe under a change")
	fl.BoolVar(&f.announce, "phases", false, "announce the lab's phases on standard error")
	complete(c, "proxy", append(proxies.Names(), spoilt()...))
	return c
}

// main checks all input, runs, and reports.
func (f *runFlags) main(ctx context.Context, args []string) error {
	switch {
	case f.pauseOnFail && (f.parallel > 1 || !isTerminal(os.Stdin) || !isTerminal(os.Stderr)):
		return exitError{exitUsage, errors.New("--pause-on-fail waits for Enter: it needs a terminal, and one case at a time")}
	case f.keep && f.parallel > 1:
		return exitError{exitUsage, errors.New("--keep keeps one lab after the other: it cannot be used with --parallel")}
	}
	ctx, stop, err := f.prepare(ctx, args)
	if err != nil {
		return err
	}
	defer stop()
	result := f.play(ctx)
	if err := f.report(result, f.count > 1); err != nil {
		return exitError{max(result.ExitCode(), 1), err}
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return exitError{exitTimeout, context.Cause(ctx)}
	}
	return f.ending(result)
}

// prepare checks all input first, on the machine; only then is a sandbox made. In the sandbox the program starts anew, and
// comes here a second time. The context ends at the time limit.
func (f *runFlags) prepare(ctx context.Context, args []string) (context.Context, context.CancelFunc, error) {
	cases, err := f.cases(args)
	switch {
	case err != nil:
		return nil, nil, exitError{exitUsage, err}
	case len(cases) == 0:
		return nil, nil, exitError{exitNothing, errors.New(f.selection.explain())}
	}
	if err := f.writable(); err != nil {
		return nil, nil, exitError{exitUsage, err}
	}
	if f.pcap != "" {
		if err := writableFolder(f.pcap); err != nil {
			return nil, nil, exitError{exitUsage, fmt.Errorf("--pcap: %w", err)}
		}
	}
	if err := knownPowers(os.Getenv("SVCLAB_REQUIRE")); err != nil {
		return nil, nil, exitError{exitUsage, err}
	}
	f.chosen = cases
	f.phases.announce = f.announce
	f.phases.enter("", "sandbox")
	rememberOuter()
	if err := sandbox.Enter(sandbox.Options{}); err != nil {
		return nil, nil, exitError{exitNothing, err}
	}
	if !f.quiet {
		warn(os.Stderr, f.loaded)
	}
	if f.seed == 0 {
		f.seed = uint64(time.Now().UnixNano()) % 1_000_000_000
	}
	if f.timeout == 0 {
		return ctx, func() {}, nil
	}
	ctx, stop := context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("time limit of %s", f.timeout))
	return ctx, stop, nil
}

// play runs the cases; at the time limit it tells where they are.
func (f *runFlags) play(ctx context.Context) *verdict.Run {
	dumped := f.phases.dumpAtTimeLimit(ctx, os.Stderr)
	defer dumped()
	return f.runAll(ctx, f.chosen)
}

// ending is how a run ends that came to its end.
func (f *runFlags) ending(r *verdict.Run) error {
	code := r.ExitCode()
	if skipped := r.Tally()[verdict.Skip]; f.failOnSkip && skipped > 0 && (code == 0 || code == exitSkipped) {
		return exitError{exitFailed, fmt.Errorf("--fail-on-skip: %d skipped", skipped)}
	}
	return exitError{code, nil}
}

func (f *runFlags) cases(args []string) ([]testCase, error) {
	names := f.proxies
	if len(names) == 0 {
		for _, p := range proxies.All {
			names = append(names, p.Name)
		}
	}
	run, err := f.foreign.proxies(f.verbose)
	if err != nil {
		return nil, err
	}
	if f.known, err = known.Parse(scenarios.KnownFile, scenarios.Known); err != nil {
		return nil, err
	}
	var chosen []proxies.Proxy
	for _, n := range names {
		p, err := run.Find(n)
		if err != nil {
			return nil, err
		}
		chosen = append(chosen, p)
	}
	if f.loaded, err = f.load(args); err != nil {
		return nil, err
	}
	var cases []testCase
	for _, s := range f.loaded {
		for _, v := range f.variants(s) {
			f.override(v)
			if v.Twin != nil {
				f.override(v.Twin)
			}
			for _, p := range chosen {
				for _, way := range f.ways() {
					if t := (testCase{way, v, p}); f.wants(t) {
						cases = append(cases, t)
					}
				}
			}
		}
	}
	return cases, nil
}

// variants are the scenario in each family, or with --dual in both at once where that can be.
func (f *runFlags) variants(s *scenario.Scenario) []*scenario.Scenario {
	if both, ok := s.Dual(); ok && f.dual {
		return []*scenario.Scenario{both}
	}
	return s.Variants()
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
