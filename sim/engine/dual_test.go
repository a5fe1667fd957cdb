package engine_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"testing"

	"svclab/reports/verdict"
	"svclab/sim/engine"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

func both(t *testing.T, s *scenario.Scenario) *scenario.Scenario {
	t.Helper()
	d, ok := s.Dual()
	if !ok {
		t.Fatalf("%s has no dual variant", s.Name)
	}
	return d
}

// In one dual-stack lab every question is asked in both families, and a fault of one is told as that one's.
func TestDualAsksBothFamilies(t *testing.T) {
	s := both(t, story(t, "  - probe: {from: pod/client, to: [service/web:80, 10.244.1.11:80]}\n  - change: {delete: pod/web-1}\n  - probe: {from: pod/client, to: service/web:80, flows: 3}\n"))
	for _, broken := range []scenario.Family{"", scenario.IPv4, scenario.IPv6} {
		c := engine.Run(context.Background(), s, engine.Options{
			Proxy: "spoilt", Seed: 1, Senders: 1,
			Open: func(_ context.Context, topology *world.Topology, rng *rand.Rand) (world.World, error) {
				return &spoilt{Model: oracle.NewModel(topology, rng), barrier: true, send: func(f world.Flow, o world.Observation, err error) (world.Observation, error) {
					if broken != "" && f.To.Addr().Is6() == (broken == scenario.IPv6) {
						o = world.Observation{Outcome: world.Silent, At: o.At, Took: o.Took}
					}
					return o, err
				}}, nil
			},
		})
		if want := map[bool]verdict.Verdict{true: verdict.Pass, false: verdict.Fail}[broken == ""]; c.Verdict != want {
			t.Fatalf("spoilt %q: %s %s", broken, c.Verdict, c.Why)
		}
		if len(c.Steps) != 3 || len(c.Steps[0].Flows) != 4 || len(c.Steps[2].Flows) != 2 {
			t.Fatalf("spoilt %q: %+v", broken, c.Steps)
		}
		for _, step := range c.Steps {
			for _, f := range step.Flows {
				is6 := strings.HasSuffix(f.To, " (IPv6)")
				if strings.HasPrefix(f.Address, "[fd00:") != is6 || (f.Wrongs > 0) != (broken != "" && is6 == (broken == scenario.IPv6)) {
					t.Errorf("spoilt %q: %s → %s (%s): %d wrong", broken, f.From, f.To, f.Address, f.Wrongs)
				}
			}
		}
	}
}

// Every bundled scenario of one family can be played in both at once, and is as right.
func TestBundledDual(t *testing.T) {
	n := 0
	for _, s := range bundled(t) {
		if s.Family != scenario.IPv4 {
			continue
		}
		d, ok := s.Dual()
		if !ok {
			continue
		}
		n++
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			c := engine.Run(context.Background(), d, engine.Options{
				Proxy: "model", Seed: 1, Senders: 1,
				Open: func(_ context.Context, t *world.Topology, rng *rand.Rand) (world.World, error) {
					return oracle.NewModel(t, rng), nil
				},
			})
			if c.Verdict != verdict.Pass || c.Variant != "dual" {
				t.Errorf("%s: %s: %s", c.ID(), c.Verdict, c.Why)
			}
		})
	}
	if n < 20 {
		t.Errorf("%d scenarios", n)
	}
}
