// Package stage puts a lab into one state of a scenario, for those who look at what the proxies have programmed rather than test
// it. No flow is sent.
package stage

import (
	"context"
	"fmt"
	"slices"
	"time"

	"svclab/nsnet"
	"svclab/proxycore/cluster"
	"svclab/sim/engine"
	"svclab/sim/lab"
	"svclab/sim/naming"
	"svclab/sim/proxies"
	"svclab/sim/ruleset"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// Stage is an open lab, in the state after some step of its scenario.
type Stage struct {
	scenario *scenario.Scenario
	played   *engine.Played
	proxy    proxies.Proxy
	lab      *lab.Lab
	nodes    []node
	step     int // -1: no state has been applied yet
}

type node struct {
	name string
	ns   *nsnet.NS
}

// Open builds the lab of a scenario with a proxy on each node. It has no state yet: see Advance. When it fails it leaves nothing.
func Open(ctx context.Context, sc *scenario.Scenario, p proxies.Proxy) (*Stage, error) {
	played, err := engine.Play(sc, p.Mode)
	if err != nil {
		return nil, err
	}
	s := &Stage{scenario: sc, played: played, proxy: p, step: -1}
	open := p.Opener(played.Topology)
	s.lab, err = lab.Open(ctx, lab.Options{Topology: played.Topology, Proxy: func(host *world.Host, ns *nsnet.NS) (lab.NodeProxy, error) {
		s.nodes = append(s.nodes, node{host.Name, ns})
		return open(host, ns)
	}})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// Close takes the lab down.
func (s *Stage) Close() error { return s.lab.Close() }

// Advance goes through the scenario's states up to that after the step, 0 for the start, one after the other: what is programmed may
// depend on what was there before. Restarts, flushes and probes are passed over. It cannot go back.
func (s *Stage) Advance(ctx context.Context, step int) error {
	if step < s.step || step >= len(s.played.States) {
		return fmt.Errorf("from step %d to step %d of %d", s.step, step, len(s.played.States)-1)
	}
	for s.step < step {
		s.step++
		if s.step > 0 && s.played.States[s.step] == s.played.States[s.step-1] {
			continue
		}
		if err := s.lab.Apply(ctx, s.played.States[s.step]); err != nil {
			return err
		}
		if s.lab.HasBarrier() {
			if err := s.lab.Barrier(ctx); err != nil {
				return err
			}
		} else if err := s.quiet(ctx); err != nil {
			return err
		}
	}
	return s.lab.Alive()
}

// A proxy that cannot say when it has settled has when its rules have not changed for a while.
const (
	look     = 100 * time.Millisecond
	calm     = 2 * time.Second
	patience = 30 * time.Second
)

func (s *Stage) quiet(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("the rules of %s have not come to rest in %s", s.proxy.Name, patience))
	defer cancel()
	var last [][]ruleset.Line
	since := time.Now()
	for time.Since(since) < calm {
		var now [][]ruleset.Line
		for _, n := range s.nodes {
			lines, err := ruleset.Read(ctx, n.ns)
			if err != nil {
				return err
			}
			now = append(now, lines)
		}
		if !slices.EqualFunc(last, now, slices.Equal) {
			last, since = now, time.Now()
		}
		select {
		case <-time.After(look):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// Lab is what has been opened.
func (s *Stage) Lab() *lab.Lab { return s.lab }

// Played is the scenario with all its states.
func (s *Stage) Played() *engine.Played { return s.played }

// State is the state that is in force.
func (s *Stage) State() *cluster.Snapshot { return s.played.States[s.step] }

// Index has the names that the proxy gives in this state, and of what has gone since the start.
func (s *Stage) Index() *naming.Index {
	var former []*cluster.Snapshot
	for i := s.step - 1; i >= 0; i-- {
		if !slices.Contains(former, s.played.States[i]) && s.played.States[i] != s.State() {
			former = append(former, s.played.States[i])
		}
	}
	return naming.New(naming.Options{Proxy: s.proxy.Name, State: s.State(), Former: former, Where: Where(s.scenario, s.step)})
}

// Rules are what the proxies have programmed on the nodes of those names, sorted out; no names: on all. wanted are the Service ports
// that are meant, by their names as naming.Port.String has them; none: all.
func (s *Stage) Rules(ctx context.Context, nodes []string, wanted func(*naming.Port) bool) ([]ruleset.Node, error) {
	x := s.Index()
	var ports []*naming.Port
	for _, p := range x.Ports() {
		if wanted != nil && wanted(p) {
			ports = append(ports, p)
		}
	}
	var out []ruleset.Node
	for _, n := range s.nodes {
		if len(nodes) > 0 && !slices.Contains(nodes, n.name) {
			continue
		}
		lines, err := ruleset.Read(ctx, n.ns)
		if err != nil {
			return nil, fmt.Errorf("node %s: %w", n.name, err)
		}
		out = append(out, ruleset.Explain(n.name, lines, x, ports))
	}
	return out, nil
}
