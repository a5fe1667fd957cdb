package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"svclab/nsnet/sandbox"
	"svclab/sim/engine"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
	"svclab/sim/stage"
)

// stageFlags say which state of which scenario is looked at, on which proxies.
type stageFlags struct {
	inputs
	foreign foreignFlags
	proxies []string
	family  string
	timeout time.Duration

	scenario *scenario.Scenario
	chosen   []proxies.Proxy
}

func (f *stageFlags) flags(c *cobra.Command) {
	f.inputs.flags(c)
	f.foreign.flags(c)
	f.stage(c)
	c.Flags().StringSliceVar(&f.proxies, "proxy", []string{proxies.All[0].Name}, "proxies to look at: see svclab list proxies")
	complete(c, "proxy", proxies.Names())
}

func (f *stageFlags) stage(c *cobra.Command) {
	families := []string{string(scenario.IPv4), string(scenario.IPv6), string(scenario.Dual)}
	c.Flags().Var(choice{&f.family, families}, "family", "the family in which the scenario is played: "+strings.Join(families, ", ")+" (default: the first that it has)")
	complete(c, "family", families)
	c.Flags().DurationVar(&f.timeout, "timeout", time.Minute, "time limit (exit code 124); 0 is none")
}

// one reads the one scenario that is looked at, and finds its proxies. It is called on the machine, before there is a sandbox, and
// what is wrong with the input is told there.
func (f *stageFlags) one(args []string) error {
	if len(args)+len(f.files) == 0 {
		return exitError{exitUsage, errors.New("which scenario? Name a file, or a bundled one (see: svclab list scenarios)")}
	}
	all, err := f.load(args)
	if err != nil {
		return exitError{exitUsage, err}
	}
	if len(all) != 1 {
		return exitError{exitUsage, fmt.Errorf("these are %d scenarios: one can be looked at at a time", len(all))}
	}
	variants := all[0].Variants()
	if both, ok := all[0].Dual(); ok {
		variants = append(variants, both)
	}
	var have []string
	for _, v := range variants {
		have = append(have, string(v.Family))
		if f.scenario == nil && (f.family == "" || f.family == string(v.Family)) {
			f.scenario = v
		}
	}
	if f.scenario == nil {
		return exitError{exitUsage, fmt.Errorf("--family %s: %s is played in %s only", f.family, all[0].File, strings.Join(have, " and "))}
	}
	run, err := f.foreign.proxies(false)
	if err != nil {
		return exitError{exitUsage, err}
	}
	for _, name := range f.proxies {
		p, err := run.Find(name)
		if err != nil {
			return exitError{exitUsage, err}
		}
		if base, _, _ := p.Known(); base == "kube-proxy/ipvs" {
			return exitError{exitUsage, fmt.Errorf("%s: what it programs are virtual servers of IPVS, which are not read here; name another proxy", p.Name)}
		}
		if !slices.ContainsFunc(f.chosen, func(o proxies.Proxy) bool { return o.Name == p.Name }) {
			f.chosen = append(f.chosen, p)
		}
	}
	return nil
}

// played goes through the scenario's states, for checks of what is asked for.
func (f *stageFlags) played() (*engine.Played, error) {
	p, err := engine.Play(f.scenario, f.chosen[0].Mode)
	if err != nil {
		return nil, exitError{exitUsage, err}
	}
	return p, nil
}

// checkStep refuses a step that the scenario does not have.
func (f *stageFlags) checkStep(step int) error {
	if n := len(f.scenario.Steps); step < 0 || step > n {
		return exitError{exitUsage, fmt.Errorf("--step %d: %s has steps 1 to %d, and 0 is the start", step, f.scenario.File, n)}
	}
	return nil
}

// each opens a lab with each of the proxies in turn, in a sandbox, in which the program starts anew.
func (f *stageFlags) each(ctx context.Context, look func(context.Context, proxies.Proxy, *stage.Stage) error) error {
	if err := sandbox.Enter(sandbox.Options{}); err != nil {
		return exitError{exitNothing, err}
	}
	warn(os.Stderr, []*scenario.Scenario{f.scenario})
	if f.timeout > 0 {
		var stop context.CancelFunc
		ctx, stop = context.WithTimeoutCause(ctx, f.timeout, fmt.Errorf("time limit of %s", f.timeout))
		defer stop()
	}
	for _, p := range f.chosen {
		err := f.with(ctx, p, look)
		switch {
		case errors.Is(context.Cause(ctx), context.DeadlineExceeded) || err != nil && errors.Is(ctx.Err(), context.DeadlineExceeded):
			return exitError{exitTimeout, context.Cause(ctx)}
		case err != nil && !errors.As(err, new(exitError)):
			return exitError{exitBroken, fmt.Errorf("%s: %w", p.Name, err)}
		case err != nil:
			return err
		}
	}
	return nil
}

func (f *stageFlags) with(ctx context.Context, p proxies.Proxy, look func(context.Context, proxies.Proxy, *stage.Stage) error) (err error) {
	for _, power := range lacks(p) {
		return exitError{exitNothing, fmt.Errorf("%s: this machine lacks %s: %s", p.Name, power.Name, power.Proof)}
	}
	if err := p.Missing(); err != nil {
		return exitError{exitNothing, fmt.Errorf("%s: %w", p.Name, err)}
	}
	s, err := stage.Open(ctx, f.scenario, p)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	return look(ctx, p, s)
}
