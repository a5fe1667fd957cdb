package engine

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"svclab/reports/verdict"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/stat"
	"svclab/sim/world"
)

// A wrong answer rarely comes alone: a probe gives up after this many, and keeps the first few for the report.
const (
	enoughWrongs = 8
	keptWrongs   = 3
)

// group is all flows of one question, as they are sent and judged. It is the line of the report.
type group struct {
	question
	run      *run
	flow     world.Flow
	claim    string // scenario.Probe.Expect
	expected oracle.Answer

	impatient atomic.Bool // a flow was silent that should not be: the others need not wait as long to tell the same

	mu       sync.Mutex
	sequence []netip.AddrPort // who answered, in the order of sending when one sender sends
	answers  map[string]int
	sources  map[string]int
	told     map[string]bool // servers whose story was told
	seen     verdict.Flows
}

func newGroup(r *run, p *scenario.Probe, q question) *group {
	return &group{
		question: q, run: r, flow: r.flow(p, q), claim: p.Expect,
		answers: map[string]int{}, sources: map[string]int{}, told: map[string]bool{},
		seen: verdict.Flows{From: q.from.String(), To: q.text, Address: q.address()},
	}
}

// expect remembers what is expected while the state stays as it is, and says it in words.
func (g *group) expect(a oracle.Answer) {
	g.expected = a
	g.seen.Expect = expectation(g.run.plan, a)
	for _, w := range a.Why {
		g.seen.Because = append(g.seen.Because, w.Row+": "+w.Text)
	}
}

func expectation(p *plan, a oracle.Answer) string {
	var words []string
	for _, c := range a.Cases {
		words = append(words, p.nameOf(c.Server))
	}
	for _, o := range a.Mute {
		words = append(words, o.String())
	}
	return strings.Join(words, " or ")
}

// sendAll sends n flows over so many senders. The error is the lab's; wrong answers are filed.
func (g *group) sendAll(ctx context.Context, n, senders int) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var wait sync.WaitGroup
	for range min(senders, n) {
		wait.Go(func() {
			for next.Add(1) <= int64(n) && ctx.Err() == nil && !g.hopeless() {
				if err := g.one(ctx); err != nil {
					cancel(err)
				}
			}
		})
	}
	wait.Wait()
	return context.Cause(ctx)
}

func (g *group) hopeless() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.seen.Wrongs >= enoughWrongs
}

// one sends one flow and judges it by the states that were in force meanwhile.
func (g *group) one(ctx context.Context) error {
	o, err := g.run.send(ctx, g.flow, g.expected, g.impatient.Load())
	if err != nil {
		return err
	}
	if o.Outcome == world.Silent && len(g.expected.Cases) > 0 {
		g.impatient.Store(true)
	}
	return g.judge(ctx, o)
}

func (g *group) judge(ctx context.Context, o world.Observation) error {
	wrong := oracle.Expect(g.run.history, g.flow, o.At, o.At.Add(o.Took)).Permits(o)
	if wrong == nil && g.claim != "" && o.Outcome.String() != g.claim {
		wrong = fmt.Errorf("%s, as the specification has it, but the file claims \"expect: %s\": one of the two is mistaken, and it is not the proxy", o.Outcome, g.claim)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.run.count()
	g.seen.Sent++
	who := o.Outcome.String()
	if o.Outcome == world.Answered {
		who = g.run.plan.nameOf(o.Server)
		g.sequence = append(g.sequence, o.Server)
		g.sources[g.sourceName(o)]++
	} else if o.Leaked {
		who += " (left by the default route)"
	}
	g.answers[who]++
	if wrong != nil {
		g.wrong(o, who, wrong.Error())
	}
	if g.run.options.Explain && !g.told[who] {
		g.told[who] = true
		return g.explain(ctx, o)
	}
	return nil
}

func (g *group) wrong(o world.Observation, who, why string) {
	g.seen.Wrongs++
	if g.seen.Wrongs == 1 {
		g.run.wronged(g, why)
	}
	if len(g.seen.Wrong) < keptWrongs {
		g.seen.Wrong = append(g.seen.Wrong, verdict.Wrong{
			Flow: fmt.Sprintf("%s → %s", o.Client, g.seen.Address), Saw: who, Why: why, At: o.At.Sub(*g.run.changed.Load()),
		})
	}
}

// sourceName says whom the server saw: the client itself, a node, or an address.
func (g *group) sourceName(o world.Observation) string {
	if o.Source.Addr() == o.Client.Addr() {
		return "kept"
	}
	if p, ok := g.run.plan.places[o.Source.Addr()]; ok {
		return p.String()
	}
	return o.Source.Addr().String()
}

// explain tells how the kernel translated the flow, and why the source became what it did.
func (g *group) explain(ctx context.Context, o world.Observation) error {
	e, ok := g.run.world.(world.Explainer)
	if !ok || o.Outcome != world.Answered {
		return nil
	}
	t, ok, err := e.Explain(ctx, g.flow, o)
	if err != nil || !ok {
		return err
	}
	g.seen.Story = append(g.seen.Story, tell(g.run.plan, t, g.expected.WhySource(o.Server), len(g.told) == 1)...)
	return nil
}

// everyone finds endpoints that should have answered some of n flows and never did.
func (g *group) everyone(n int) {
	cases := g.expected.Cases
	if g.flow.Session != "" || g.seen.Wrongs > 0 || len(cases) < 2 || g.seen.Sent < stat.FlowsToSee(1/float64(len(cases)), missed) {
		return
	}
	for _, c := range cases {
		if c.Weight > 0 && !slices.Contains(g.sequence, c.Server) {
			g.seen.Wrongs++
			g.seen.Wrong = append(g.seen.Wrong, verdict.Wrong{
				Flow: "all " + g.seen.From + " → " + g.seen.Address,
				Saw:  fmt.Sprintf("%s in none of %d flows", g.run.plan.nameOf(c.Server), n),
				Why:  fmt.Sprintf("%s never answered, though its share is %.0f %%", g.run.plan.nameOf(c.Server), 100*c.Weight),
			})
		}
	}
}

// fair judges the distribution, and that a choice does not depend on the one before.
func (g *group) fair(f *scenario.Fair) {
	cases := g.expected.Cases
	if g.seen.Wrongs > 0 || len(cases) < 2 {
		return
	}
	counts := make([]int, len(cases))
	choices := make([]int, 0, len(g.sequence))
	for _, s := range g.sequence {
		if i := slices.IndexFunc(cases, func(c oracle.Case) bool { return c.Server == s }); i >= 0 {
			counts[i]++
			choices = append(choices, i)
		}
	}
	_, p := stat.ChiSquare(counts, weights(cases))
	q := stat.Independent(choices, len(cases))
	g.seen.Fair = fmt.Sprintf("fair: p = %.2g over %d flows, which would show a bias of %.0f %% with probability %.2f; independent: p = %.2g",
		p, len(choices), 100*f.Bias, power, q)
	var why string
	switch {
	case p < falseAlarm:
		why = "unfair: " + shares(g, cases, counts)
	case q < falseAlarm:
		why = fmt.Sprintf("a choice depends on the one before (p = %.2g): not random", q)
	default:
		return
	}
	g.seen.Wrongs++
	g.seen.Wrong = append(g.seen.Wrong, verdict.Wrong{Flow: "all " + g.seen.From + " → " + g.seen.Address, Saw: fmt.Sprintf("p = %.2g", p), Why: why})
}

func shares(g *group, cases []oracle.Case, counts []int) string {
	var words []string
	total := 0
	for _, n := range counts {
		total += n
	}
	for i, c := range cases {
		words = append(words, fmt.Sprintf("%s answered %.1f %% of the flows instead of %.1f %%", g.run.plan.nameOf(c.Server), 100*float64(counts[i])/float64(max(total, 1)), 100*c.Weight))
	}
	return strings.Join(words, ", ")
}

// file closes the group and adds it to the step.
func (g *group) file(step *verdict.Step) {
	for who, n := range g.answers {
		g.seen.Answers = append(g.seen.Answers, verdict.Answer{Who: who, Count: n})
	}
	slices.SortFunc(g.seen.Answers, func(a, b verdict.Answer) int { // by name: stable and diffable
		return strings.Compare(a.Who, b.Who)
	})
	for s := range g.sources {
		g.seen.Sources = append(g.seen.Sources, s)
	}
	slices.Sort(g.seen.Sources)
	if g.seen.Sent == 0 {
		step.Verdict = verdict.Worse(step.Verdict, verdict.Broken)
		step.Why = "no flow was sent"
	}
	if g.seen.Wrongs > 0 {
		step.Verdict = verdict.Worse(step.Verdict, verdict.Fail)
		if step.Why == "" {
			step.Why = fmt.Sprintf("%s → %s: %s", g.seen.From, g.seen.To, g.seen.Wrong[0].Why)
		}
	}
	step.Flows = append(step.Flows, g.seen)
}

func (r *run) count() { r.flows.Add(1) }
