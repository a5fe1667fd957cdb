package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"svclab/proxycore/cluster"
	"svclab/reports/verdict"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// healthSettles is how long after its rules a proxy of somebody else may change what it tells load balancers; they ask
// every few seconds.
const healthSettles = time.Second

// health asks each node from each place what a load balancer would.
func (r *run) health(ctx context.Context, s *scenario.Health, step *verdict.Step) error {
	w, ok := r.world.(world.HealthChecker)
	if !ok {
		return fmt.Errorf("this world answers no health checks")
	}
	port, err := r.healthPort(s.Of)
	if err != nil {
		return err
	}
	for _, family := range r.plan.families {
		for _, ref := range s.From {
			from, err := r.plan.place(ref)
			if err != nil {
				return err
			}
			for i := range r.plan.topology.Nodes {
				node := &r.plan.topology.Nodes[i]
				if len(s.Nodes) > 0 && !slices.Contains(s.Nodes, node.Name) || r.plan.states[r.state].Node(node.Name) == nil {
					continue
				}
				addr, ok := ofFamily(family, node.Addrs)
				if !ok {
					return fmt.Errorf("%s has no address of %s", node, family)
				}
				flows, note, err := r.healthOf(ctx, w, s, node, world.HealthCheck{From: from, To: netip.AddrPortFrom(addr, port)})
				if err != nil {
					return err
				}
				fileHealth(step, flows, note)
			}
		}
	}
	if len(step.Flows) == 0 {
		return fmt.Errorf("the step asks no node: none that it names is there now")
	}
	return nil
}

func fileHealth(step *verdict.Step, flows verdict.Flows, note string) {
	if note != "" {
		step.Notes = append(step.Notes, note)
	}
	step.Flows = append(step.Flows, flows)
	if flows.Wrongs > 0 {
		step.Verdict = verdict.Fail
		if step.Why == "" {
			step.Why = fmt.Sprintf("%s → %s: %s", flows.From, flows.To, flows.Wrong[0].Why)
		}
	}
}

// healthPort is the one that the Service has, or had last: a load balancer may go on to ask.
func (r *run) healthPort(of scenario.Ref) (uint16, error) {
	key := cluster.Key{Namespace: of.Namespace, Name: of.Name}
	for i := r.state; i >= 0; i-- {
		if svc := r.plan.states[i].Service(key); svc != nil && svc.Object.Spec.HealthCheckNodePort != 0 {
			return uint16(svc.Object.Spec.HealthCheckNodePort), nil
		}
	}
	return 0, fmt.Errorf("%s has no health-check port, and had none: it is for type LoadBalancer with externalTrafficPolicy Local", refText(of))
}

// healthOf asks one node, and judges the first answer; where the world cannot say that it is the last word, the first that
// is right, or the one at the end of the time.
func (r *run) healthOf(ctx context.Context, w world.HealthChecker, s *scenario.Health, node *world.Host, c world.HealthCheck) (f verdict.Flows, note string, err error) {
	until := r.changed.Load().Add(healthSettles)
	if r.settling != nil {
		until = r.settling.Until()
	}
	for {
		now := time.Now()
		a, err := w.CheckHealth(ctx, c)
		if err != nil {
			return f, note, err
		}
		h := oracle.ExpectHealth(r.history, c, now, now.Add(a.Took))
		final := w.HealthInForce() && r.settling == nil
		if !final {
			h = oracle.LatestHealth(r.history, c)
		}
		wrong := h.Permits(a)
		if wrong != nil && !final && time.Now().Before(until) {
			note = fmt.Sprintf("%s, still %s after the change: %s", node, round(now.Sub(*r.changed.Load())), oracle.HealthText(a))
			if err := pause(ctx, breath); err != nil {
				return f, note, err
			}
			continue
		}
		r.count()
		if wrong == nil {
			wrong = contradicts(s.Expect, a)
		}
		return r.healthFlows(s, node, c, a, h, wrong), note, nil
	}
}

// contradicts: the author's claim and what is right are not the same.
func contradicts(claim *scenario.Claim, a world.HealthAnswer) error {
	if claim == nil || (claim.Status == 0 || claim.Status == a.Status) && (claim.LocalEndpoints == nil || *claim.LocalEndpoints == a.LocalEndpoints && a.Outcome == world.Answered) {
		return nil
	}
	var words []string
	if claim.Status != 0 {
		words = append(words, fmt.Sprintf("status: %d", claim.Status))
	}
	if claim.LocalEndpoints != nil {
		words = append(words, fmt.Sprintf("localEndpoints: %d", *claim.LocalEndpoints))
	}
	return fmt.Errorf("%s, as the specification has it, but the file claims %q: one of the two is mistaken, and it is not the proxy", oracle.HealthText(a), strings.Join(words, ", "))
}

func (r *run) healthFlows(s *scenario.Health, node *world.Host, c world.HealthCheck, a world.HealthAnswer, h oracle.Health, wrong error) verdict.Flows {
	f := verdict.Flows{
		From: c.From.String(), To: "health of " + refText(s.Of) + " on " + node.String() + r.suffix(c.To.Addr()), Address: c.To.String() + "/HTTP", Sent: 1,
		Answers: []verdict.Answer{{Who: oracle.HealthText(a), Count: 1}},
	}
	for i, one := range h.Cases {
		if i > 0 {
			f.Expect += " or "
		}
		f.Expect += one.String()
		f.Because = append(f.Because, one.Why.Row+": "+one.Why.Text)
	}
	if wrong != nil {
		f.Wrongs = 1
		f.Wrong = []verdict.Wrong{{Flow: c.From.String() + " → " + f.Address, Saw: oracle.HealthText(a), Why: wrong.Error(), At: a.At.Sub(*r.changed.Load())}}
	}
	return f
}

func healthText(s *scenario.Health) string {
	return "health of " + refText(s.Of) + " from " + refTexts(s.From) + " on " + nodesText(s.Nodes)
}
