package engine

import (
	"svclab/proxycore/cluster"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// Played is a scenario gone through the control plane, with no lab.
type Played struct {
	Topology *world.Topology
	States   []*cluster.Snapshot // the state at the start, and after each step
}

// Play goes through the changes of a scenario for a kind of proxy. Nothing is built or sent: restarts, flushes and probes
// change no state.
func Play(sc *scenario.Scenario, mode cluster.Mode) (*Played, error) {
	p, err := newPlan(sc, mode)
	if err != nil {
		return nil, err
	}
	out := &Played{Topology: p.topology, States: []*cluster.Snapshot{p.states[0]}}
	last := p.states[0]
	for i := range sc.Steps {
		switch c := sc.Steps[i].Change; {
		case c == nil:
		case c.Repeat > 1 && c.Repeat%2 == 0: // made and taken back
			last = p.states[p.before[i]]
		default:
			last = p.states[p.after[i]]
		}
		out.States = append(out.States, last)
	}
	return out, nil
}

// StepText is a step as reports tell it: "delete pod/web-2".
func StepText(s *scenario.Step) string {
	switch {
	case s.Probe != nil:
		return probeText(s.Probe)
	case s.Change != nil:
		return changeText(s.Change)
	case s.Restart != nil:
		return restartText(s.Restart)
	case s.Flush != nil:
		return "flush the rules of " + nodesText(s.Flush.Nodes)
	case s.Health != nil:
		return healthText(s.Health)
	case s.Wait != nil:
		return "wait " + s.Wait.For.String()
	}
	return ""
}
