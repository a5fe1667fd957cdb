package engine_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/reports/verdict"
	"svclab/sim/engine"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

const objects = `
---
{apiVersion: v1, kind: Node, metadata: {name: n1}}
---
{apiVersion: v1, kind: Pod, metadata: {name: client}, spec: {containers: [{name: c}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-1, labels: {app: web}}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web-2, labels: {app: web}}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
`

// story parses a scenario whose steps are given, in IPv4.
func story(t *testing.T, steps string) *scenario.Scenario {
	t.Helper()
	text := "apiVersion: svclab/v1alpha1\nkind: Scenario\nmetadata: {name: story}\nspec:\n  steps:\n" + steps + objects
	s, err := scenario.Parse("story.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s.Variants()[0]
}

// spoilt is the model, with what a test puts in its way. It has no barrier unless it is told so.
type spoilt struct {
	*oracle.Model
	barrier bool
	send    func(f world.Flow, o world.Observation, err error) (world.Observation, error)
	apply   func(ctx context.Context, s *cluster.Snapshot) error
	late    []world.LateAnswer
	check   error
}

func (s *spoilt) HasBarrier() bool            { return s.barrier }
func (s *spoilt) Check(context.Context) error { return s.check }
func (s *spoilt) Late() []world.LateAnswer    { l := s.late; s.late = nil; return l }
func (s *spoilt) Apply(ctx context.Context, c *cluster.Snapshot) error {
	if s.apply != nil {
		return s.apply(ctx, c)
	}
	return s.Model.Apply(ctx, c)
}
func (s *spoilt) Send(ctx context.Context, f world.Flow) (world.Observation, error) {
	o, err := s.Model.Send(ctx, f)
	if s.send != nil {
		return s.send(f, o, err)
	}
	return o, err
}

func runIn(t *testing.T, sc *scenario.Scenario, spoil func(*spoilt)) verdict.Case {
	t.Helper()
	return engine.Run(t.Context(), sc, engine.Options{Proxy: "spoilt", Seed: 7, Senders: 1,
		Open: func(_ context.Context, top *world.Topology, rng *rand.Rand) (world.World, error) {
			s := &spoilt{Model: oracle.NewModel(top, rng), barrier: true}
			spoil(s)
			return s, nil
		}})
}

const probe = "  - probe: {from: pod/client, to: service/web:80}\n"

func TestVerdicts(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps string
		spoil func(*spoilt)
		want  verdict.Verdict
		why   string
	}{
		{"the model passes", probe, func(*spoilt) {}, verdict.Pass, ""},
		{"a wrong answer fails", probe, func(s *spoilt) {
			s.send = func(_ world.Flow, o world.Observation, err error) (world.Observation, error) {
				o.Outcome, o.Server, o.Took = world.Silent, netip.AddrPort{}, 2*time.Second
				return o, err
			}
		}, verdict.Fail, "line 6: pod/client → service/web:80: silent for 2 s, but pod/web-1 or pod/web-2 should have answered"},
		{"an endpoint that never answers fails", probe, func(s *spoilt) {
			s.send = func(_ world.Flow, o world.Observation, err error) (world.Observation, error) {
				o.Server = netip.MustParseAddrPort("10.244.1.11:80")
				return o, err
			}
		}, verdict.Fail, "line 6: pod/client → service/web:80: pod/web-2 never answered, though its share is 50 %"},
		{"the file's own claim fails", "  - probe: {from: pod/client, to: service/web:80, expect: refused}\n", func(*spoilt) {},
			verdict.Fail, "line 6: pod/client → service/web:80: answered, as the specification has it, but the file claims \"expect: refused\": one of the two is mistaken, and it is not the proxy"},
		{"a broken world is broken, not wrong", probe, func(s *spoilt) {
			s.send = func(_ world.Flow, o world.Observation, _ error) (world.Observation, error) {
				return o, errors.New("the wire is cut")
			}
		}, verdict.Broken, "line 6: the wire is cut"},
		{"a proxy that cannot apply fails", probe, func(s *spoilt) {
			s.apply = func(context.Context, *cluster.Snapshot) error { return errors.New("program node n1: no") }
		}, verdict.Fail, "line 1: program node n1: no"},
		{"a late answer fails", probe, func(s *spoilt) {
			s.late = []world.LateAnswer{{Flow: world.Flow{From: world.Place{Name: "client"}, To: netip.MustParseAddrPort("10.96.0.10:80"), Proto: cluster.TCP},
				Seen: world.Observation{Server: netip.MustParseAddrPort("10.244.1.11:80"), Took: 2 * time.Second}}}
		}, verdict.Fail, "line 6: pod/client → 10.96.0.10:80/TCP: pod/web-1 answered 2s after the flow was called silent"},
		{"a check that fails", probe, func(s *spoilt) { s.check = errors.New("slot 3 is empty") }, verdict.Fail, "line 1: slot 3 is empty"},
		{"nothing judged is broken", "  - change: {delete: pod/web-2}\n", func(*spoilt) {}, verdict.Broken,
			"line 1: no flow was judged: a scenario must probe something"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := runIn(t, story(t, tt.steps), tt.spoil)
			if c.Verdict != tt.want || c.Why != tt.why {
				t.Errorf("%s: %q\nwant %s: %q", c.Verdict, c.Why, tt.want, tt.why)
			}
		})
	}
}

// lagging applies a state that long after it was told, as a proxy without a barrier does.
func lagging(delay time.Duration) func(*spoilt) {
	return func(s *spoilt) {
		s.barrier = false
		first := true
		s.apply = func(ctx context.Context, c *cluster.Snapshot) error {
			if first {
				first = false
				return s.Model.Apply(ctx, c)
			}
			time.AfterFunc(delay, func() { _ = s.Model.Apply(context.Background(), c) })
			return nil
		}
	}
}

// Settling is measured: flows are repeated until `within` has passed, and wrong answers before are counted.
func TestSettlingWithoutBarrier(t *testing.T) {
	change := func(within string) string {
		return probe + "  - change: {delete: pod/web-2, within: " + within + "}\n" + probe
	}
	c := runIn(t, story(t, change("400ms")), lagging(100*time.Millisecond))
	if c.Verdict != verdict.Pass {
		t.Fatalf("%s: %s", c.Verdict, c.Why)
	}
	note := strings.Join(c.Steps[2].Notes, " ")
	if !strings.Contains(note, "while settling, ") || !strings.Contains(note, " wrong answers, the last to what was sent ") {
		t.Errorf("note %q does not say when it settled", note)
	}
	c = runIn(t, story(t, change("50ms")), lagging(500*time.Millisecond))
	if c.Verdict != verdict.Fail || !strings.Contains(c.Why, "which is no endpoint of default/web:80 any more") && !strings.Contains(c.Why, "within") {
		t.Errorf("a proxy that is late: %s: %s", c.Verdict, c.Why)
	}
	c = runIn(t, story(t, probe+"  - change: {delete: pod/web-2, within: 400ms, wrongs: 0}\n"+probe), lagging(100*time.Millisecond))
	if c.Verdict != verdict.Fail || !strings.Contains(c.Why, "at most 0 are tolerated") {
		t.Errorf("wrongs: 0: %s: %s", c.Verdict, c.Why)
	}
}

// Changes are made and taken back as often as the file says, under as many flows as it says, and each flow is judged by
// the states that were in force meanwhile.
func TestChangesUnderFlows(t *testing.T) {
	var mu sync.Mutex
	applied := 0
	steps := "  - change: {delete: pod/web-2, repeat: 30, during: {probe: {from: pod/client, to: service/web:80, flows: 600}}}\n" + probe
	c := runIn(t, story(t, steps), func(s *spoilt) {
		s.apply = func(ctx context.Context, c *cluster.Snapshot) error {
			mu.Lock()
			applied++
			mu.Unlock()
			return s.Model.Apply(ctx, c)
		}
	})
	if c.Verdict != verdict.Pass || applied != 31 || c.Steps[0].Flows[0].Sent < 600 {
		t.Errorf("%s: %s: %d states applied, %d flows; want 31 and at least 600", c.Verdict, c.Why, applied, c.Steps[0].Flows[0].Sent)
	}
	if got := c.Steps[1].Flows[0].Answers; len(got) != 2 {
		t.Errorf("after an even number of changes both pods answer: %v", got)
	}
}

// The parser refuses such a file with its line; whoever makes a Scenario otherwise hears of it here.
func TestPlansThatCannotBe(t *testing.T) {
	const same = "10.244.1.99"
	s := story(t, "  - change: {delete: pod/web-2, apply: {apiVersion: v1, kind: Pod, metadata: {name: web-3}, spec: {containers: []}, status: {podIP: "+same+"}}}\n"+probe)
	for _, o := range s.Objects {
		if o.Ref.Name == "web-2" {
			o.Object.(*corev1.Pod).Status.PodIP = same
		}
	}
	c := runIn(t, s, func(*spoilt) {})
	want := "story.yaml: pod/web-2 and pod/web-3 have the same address 10.244.1.99; a deleted pod stays alive in the lab, so give the later one another"
	if c.Verdict != verdict.Broken || c.Why != want {
		t.Errorf("%s: %q\nwant %q", c.Verdict, c.Why, want)
	}
}

// The words for "expect" are those of the worlds.
func TestOutcomesHaveTheSameWords(t *testing.T) {
	for i, w := range scenario.Outcomes {
		if o, err := world.ParseOutcome(w); err != nil || int(o) != i {
			t.Errorf("%q: %v, %v", w, o, err)
		}
	}
	if got := world.Silent.String(); got != scenario.Outcomes[len(scenario.Outcomes)-1] {
		t.Errorf("the last outcome is %q", got)
	}
}
