package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/sandbox"
	"svclab/reports/verdict"
	"svclab/sim/engine"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

// runAll runs the cases, as many at once as asked for, and shows each in its turn: what is printed does not tell how
// many ran at once.
func (f *runFlags) runAll(ctx context.Context, cases []testCase) *verdict.Run {
	r := &verdict.Run{SchemaVersion: 1, Seed: f.seed, Started: time.Now(), Command: os.Args}
	stop, cancel := context.WithCancel(ctx)
	defer cancel()
	bar := newProgress(os.Stderr)
	ended := make([]chan verdict.Case, f.count*len(cases))
	for i := range ended {
		ended[i] = make(chan verdict.Case, 1)
	}
	go func() {
		slots := make(chan struct{}, f.parallel)
		for i := range ended {
			slots <- struct{}{}
			if stop.Err() != nil {
				close(ended[i]) // and those after it stay silent: nobody asks beyond the first that is closed
				return
			}
			go func() {
				t, round := cases[i%len(cases)], i/len(cases)
				c := f.one(ctx, t, f.seed+uint64(round), bar.of(i+1, len(ended), t.id()))
				if f.failFast && (c.Verdict == verdict.Fail || c.Verdict == verdict.Broken) {
					cancel() // before the slot is free
				}
				ended[i] <- c
				<-slots
			}()
		}
	}()
	for i := range ended {
		c, ok := <-ended[i]
		if !ok {
			break
		}
		bar.clear()
		f.show(&c, f.count > 1)
		r.Cases = append(r.Cases, c)
	}
	bar.clear()
	r.Took = time.Since(r.Started)
	return r
}

// one runs one case, or skips it with the proof that the machine lacks a power.
func (f *runFlags) one(ctx context.Context, t testCase, seed uint64, doing func(string)) verdict.Case {
	if c, lacks := lacking(t); lacks {
		return c
	}
	defer f.phases.leave(t.id())
	phase := func(name string) { f.phases.enter(t.id(), name) }
	options := engine.Options{
		Proxy: t.proxy.Name, Mode: t.proxy.Mode, Seed: seed, Explain: f.verbose, Progress: doing,
		Story: t.story,
		Open: func(ctx context.Context, topology *world.Topology, _ *rand.Rand) (world.World, error) {
			open, stand, packets := t.proxy.Opener(topology), standing{}, recording{path: f.pcapOf(t, seed)}
			l, err := lab.Open(ctx, lab.Options{Topology: topology, Phase: phase, Leaving: packets.write, Proxy: func(node *world.Host, ns *nsnet.NS) (lab.NodeProxy, error) {
				p, err := open(node, ns)
				e := entrance{fd: ns.FD()}
				if a, ok := p.(interface{ API() string }); ok {
					e.api = a.API()
				}
				stand[node.Name] = e
				return p, err
			}})
			if err == nil {
				err = packets.begin(l)
			}
			if err != nil {
				return nil, err
			}
			if !f.pauseOnFail && !f.keep {
				return l, nil
			}
			return &pausing{l, f.keep, func() { stand.pause(ctx, t.id()) }}, nil
		},
	}
	var c verdict.Case
	if t.way == nil {
		c = engine.Run(ctx, t.scenario, options)
	} else {
		c = engine.Expand(ctx, t.scenario, *t.way, options)
	}
	if base, version, ok := t.proxy.Known(); ok {
		f.known.Judge(&c, base, version)
	}
	if c.Verdict != verdict.Pass {
		c.Rerun = fmt.Sprintf("%s run %s --proxy '%s' --run '^%s/' --seed %d", program(), t.scenario.File, t.proxy.Name, regexp.QuoteMeta(c.Scenario+"/"+c.Variant), seed)
		if t.way != nil {
			c.Rerun += " --expand"
		}
		if t.scenario.File == stdin {
			c.Rerun += " # with the same standard input"
		}
	}
	return c
}

// program is how svclab is called from here.
func program() string {
	if _, err := os.Stat("run.sh"); err == nil {
		return "./run.sh"
	}
	return os.Args[0]
}

// always are the powers that every lab needs.
var always = []string{"userns", "veth", "bridge"}

// knownPowers refuses a word in SVCLAB_REQUIRE that would guard nothing.
func knownPowers(list string) error {
	names := []string{kubeProxyPower, "tshark"} // the latter reads the captures of tests
	for _, c := range cures {
		names = append(names, c.power)
	}
	for _, word := range strings.Split(list, ",") {
		if word != "" && !slices.Contains(names, word) {
			return fmt.Errorf("SVCLAB_REQUIRE=%s: %q is no power; there are %s", list, word, strings.Join(names, ", "))
		}
	}
	return nil
}

// kubeProxyPower is what is required of a machine for the proxies kube-proxy/…, beside powers of its kernel.
const kubeProxyPower = "kube-proxy"

// lacks lists the powers that a proxy needs and this machine has not, or may not have.
func lacks(p proxies.Proxy) (out []sandbox.Power) {
	for _, power := range sandbox.Probe() {
		if power.State != sandbox.Yes && (slices.Contains(always, power.Name) || slices.Contains(p.Powers, power.Name)) {
			out = append(out, power)
		}
	}
	return out
}

// lacking tells whether the machine lacks a power that the proxy needs; a power in SVCLAB_REQUIRE makes that Broken.
func lacking(t testCase) (verdict.Case, bool) {
	c := verdict.Case{Scenario: t.scenario.Name, About: t.scenario.About, File: t.scenario.File, Variant: string(t.scenario.Family), Proxy: t.proxy.Name}
	missing := lacks(t.proxy)
	if err := t.proxy.Missing(); err != nil {
		missing = append(missing, sandbox.Power{Name: kubeProxyPower, State: sandbox.No, Proof: err.Error()})
	}
	if len(missing) == 0 {
		return c, false
	}
	required := strings.Split(os.Getenv("SVCLAB_REQUIRE"), ",")
	p := missing[0]
	c.Verdict, c.Why = verdict.Skip, fmt.Sprintf("this machine lacks %s: %s", p.Name, p.Proof)
	if p.State == sandbox.Unknown {
		c.Verdict, c.Why = verdict.Broken, fmt.Sprintf("cannot find out whether this machine has %s: %s", p.Name, p.Proof)
	} else if slices.Contains(required, p.Name) {
		c.Verdict, c.Why = verdict.Broken, fmt.Sprintf("SVCLAB_REQUIRE names %s, and this machine lacks it: %s", p.Name, p.Proof)
	}
	return c, true
}
