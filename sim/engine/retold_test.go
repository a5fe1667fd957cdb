package engine_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"svclab/reports/verdict"
	"svclab/sim/engine"
	"svclab/sim/oracle"
	"svclab/sim/world"
)

// Of each question that went wrong the first flow is told again, with its state in force and after the verdict; nothing that is told
// changes it. What passes is not told.
func TestStories(t *testing.T) {
	steps := probe + "  - change: {delete: pod/web-2}\n" + probe
	run := func(spoil func(*spoilt), tell func(w world.World, f engine.Wronged) (string, error)) verdict.Case {
		return engine.Run(t.Context(), story(t, steps), engine.Options{Proxy: "spoilt", Seed: 7, Senders: 1,
			Story: func(_ context.Context, w world.World, f engine.Wronged) (string, error) { return tell(w, f) },
			Open: func(_ context.Context, top *world.Topology, rng *rand.Rand) (world.World, error) {
				s := &spoilt{Model: oracle.NewModel(top, rng), barrier: true}
				spoil(s)
				return s, nil
			}})
	}
	told := func(c verdict.Case) (names []string) {
		for name := range c.Artifacts {
			if strings.HasPrefix(name, "story-") {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		return names
	}
	silent := func(s *spoilt) {
		s.send = func(_ world.Flow, o world.Observation, err error) (world.Observation, error) {
			o.Outcome, o.Server, o.Took = world.Silent, netip.AddrPort{}, 2*time.Second
			return o, err
		}
	}

	if c := run(func(*spoilt) {}, func(world.World, engine.Wronged) (string, error) {
		t.Error("a case that passed is told")
		return "", nil
	}); c.Verdict != verdict.Pass {
		t.Errorf("%s: %s", c.Verdict, c.Why)
	}

	var endpoints []int
	c := run(silent, func(w world.World, f engine.Wronged) (string, error) {
		o, err := w.(*spoilt).Model.Send(t.Context(), f.Flow) // the model answers by the state that is in force
		if err != nil || f.Expected.Permits(o) != nil {
			t.Errorf("line %d: %v %v", f.Line, err, f.Expected.Permits(o))
		}
		endpoints = append(endpoints, len(f.Expected.Cases))
		if f.Target != "service/web:80" || f.Why == "" || f.Again == "" || f.Flow.Wait == 0 || len(f.Former) != 1 {
			t.Errorf("%+v", f)
		}
		return "told", nil
	})
	if c.Verdict != verdict.Fail || !slices.Equal(told(c), []string{"story-1-line-6.txt", "story-2-line-8.txt"}) || !slices.Equal(endpoints, []int{2, 1}) {
		t.Errorf("%s, %q, of states with %v endpoints", c.Verdict, told(c), endpoints)
	}

	c = run(silent, func(world.World, engine.Wronged) (string, error) { return "", errors.New("no socket") })
	if want := "What happens to it could not be told: no socket"; c.Verdict != verdict.Fail || !strings.Contains(c.Artifacts["story-1-line-6.txt"], want) {
		t.Errorf("%s, %q", c.Verdict, c.Artifacts)
	}
}
