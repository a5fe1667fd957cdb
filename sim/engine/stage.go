package engine

import (
	"cmp"
	"fmt"
	"net/netip"
	"strconv"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// Stage is a scenario's variant without a world: every place that it needs, and its state after each step.
type Stage struct {
	scenario *scenario.Scenario
	plan     *plan
}

// NewStage plays a variant of a scenario, not of family Dual, through the control plane; mode is what the proxies do where the
// settings do not say.
func NewStage(sc *scenario.Scenario, mode cluster.Mode) (*Stage, error) {
	p, err := newPlan(sc, mode)
	if err != nil {
		return nil, err
	}
	return &Stage{sc, p}, nil
}

// Topology is every place, of all states.
func (s *Stage) Topology() *world.Topology { return s.plan.topology }

// after is the index of the state that is in force after so many steps.
func (s *Stage) after(steps int) int {
	if steps == 0 {
		return 0
	}
	return s.plan.after[steps-1]
}

// State is what is in force after so many steps, from 0 to their number.
func (s *Stage) State(steps int) *cluster.Snapshot { return s.plan.states[s.after(steps)] }

// Before are the states that were in force earlier than after so many steps.
func (s *Stage) Before(steps int) (out []*cluster.Snapshot) {
	for i := range steps {
		out = append(out, s.State(i))
	}
	return out
}

// History is what an oracle knows after so many steps, if no flow was sent.
func (s *Stage) History(steps int) *oracle.History {
	h := oracle.NewHistory(s.plan.topology)
	last := -1
	for i := range steps + 1 {
		if at := s.after(i); at != last {
			now := time.Unix(int64(i), 0) // any, so long as they ascend
			h.Begin(s.plan.states[at], now)
			h.Done(now)
			last = at
		}
	}
	return h
}

// Place finds who is meant.
func (s *Stage) Place(r scenario.Ref) (world.Place, error) { return s.plan.place(r) }

// Resolve finds the address that is meant by a target after so many steps.
func (s *Stage) Resolve(t scenario.Target, steps int) (netip.AddrPort, cluster.Proto, error) {
	if t.Ref.Kind == "service" {
		svc := s.State(steps).Service(cluster.Key{Namespace: t.Ref.Namespace, Name: t.Ref.Name})
		if svc == nil {
			return netip.AddrPort{}, 0, fmt.Errorf("there is no %s", refText(t.Ref))
		}
		if _, ok := ofFamily(s.scenario.Family, svc.ClusterIPs); !ok {
			return netip.AddrPort{}, 0, fmt.Errorf("%s has no ClusterIP of %s", refText(t.Ref), familyName(s.scenario.Family))
		}
		if err := namesPort(svc.Object.Spec.Ports, t); err != nil {
			return netip.AddrPort{}, 0, err
		}
	}
	return s.plan.resolve(s.scenario.Family, s.after(steps), t)
}

// namesPort: a number may be of no port of the Service, but a name must be of one.
func namesPort(ports []corev1.ServicePort, t scenario.Target) error {
	if _, err := strconv.Atoi(t.Port); err == nil || t.Echo() {
		return nil
	}
	var known []string
	for _, p := range ports {
		if p.Name == t.Port {
			return nil
		}
		known = append(known, cmp.Or(p.Name, strconv.Itoa(int(p.Port))))
	}
	return fmt.Errorf("%s has no port %q%s", refText(t.Ref), t.Port, scenario.Nearest(t.Port, known))
}

func familyName(f scenario.Family) string {
	if f == scenario.IPv6 {
		return "IPv6"
	}
	return "IPv4"
}
