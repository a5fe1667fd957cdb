package engine

import (
	"context"
	"fmt"
	"slices"
	"time"

	"svclab/reports/verdict"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/stat"
	"svclab/sim/world"
)

// The statistics of design section 7: what a probe must be able to see, and how rarely it may cry wolf.
const (
	missed     = 1e-6 // chance of not seeing a stale endpoint, or of missing one that answers
	falseAlarm = 1e-6 // of a fairness check
	power      = 0.99 // of seeing the bias that is looked for
)

// probe asks every question of the step, one after the other.
func (r *run) probe(ctx context.Context, p *scenario.Probe, step *verdict.Step) error {
	questions, err := r.questions(p)
	if err != nil {
		return err
	}
	if len(questions) == 0 {
		return fmt.Errorf("the probe asks nothing: no place, or no Service")
	}
	if err := r.settle(ctx, p, questions, step); err != nil {
		return err
	}
	for _, q := range questions {
		g, err := r.ask(ctx, p, q)
		if err != nil {
			return err
		}
		g.file(step)
	}
	return nil
}

// settle repeats all questions after a change in a world that cannot tell when it has settled, until it must have.
func (r *run) settle(ctx context.Context, p *scenario.Probe, questions []question, step *verdict.Step) error {
	s := r.settling
	if s == nil {
		return nil
	}
	r.settling = nil
	for sent := 0; !s.Done(time.Now()); {
		for _, q := range questions {
			if s.Done(time.Now()) { // the one before took its time
				break
			}
			f := r.flow(p, q)
			expected := oracle.Latest(r.history, f) // before sending: a session's own answer must not be its excuse
			o, err := r.send(ctx, f, expected, false)
			if err != nil {
				return err
			}
			wrong := expected.Permits(o) != nil
			s.Saw(o.At, wrong)
			sent++
			if wrong {
				if err := pause(ctx, breath); err != nil {
					return err
				}
			}
		}
		if sent == 0 {
			break
		}
	}
	r.history.Settle(time.Now())
	if s.Wrongs() > 0 && s.Err() != nil {
		step.Notes = append(step.Notes, fmt.Sprintf("not settled: %d wrong answers, the last to what was sent %s after the change", s.Wrongs(), round(s.Settled().Sub(*r.changed.Load()))))
	} else if s.Wrongs() > 0 {
		step.Notes = append(step.Notes, fmt.Sprintf("while settling, %d wrong answers, the last to what was sent %s after the change", s.Wrongs(), round(s.Settled().Sub(*r.changed.Load()))))
	} else {
		step.Notes = append(step.Notes, "no wrong answer after the change")
	}
	if err := s.Err(); err != nil {
		return errProxy{err}
	}
	return nil
}

// breath is between a wrong answer and the next question while a proxy settles: wrong answers come at once, and without a
// pause they use up the source ports of UDP, which are not used twice, in some seconds.
const breath = 5 * time.Millisecond

func (r *run) flow(p *scenario.Probe, q question) world.Flow {
	return world.Flow{From: q.from, Session: p.Session, Via: p.Via, To: q.to, Proto: q.proto, Size: p.Size, Stray: p.Fault == scenario.OutOfWindow}
}

// send sends one flow, waiting no longer than its expectation deserves.
func (r *run) send(ctx context.Context, f world.Flow, expected oracle.Answer, impatient bool) (world.Observation, error) {
	f.Wait = patience
	if impatient {
		f.Wait = impatience
	}
	if expectsSilence(expected) {
		f.Wait = silence
	}
	landed := r.history.Sending(f, time.Now())
	defer landed()
	o, err := r.world.Send(ctx, f)
	if err == nil {
		r.history.Observe(f, o)
	}
	return o, err
}

// How long an expected answer may take, and an expected silence: the socket stays open to the end of the step, so a
// late answer is found.
const (
	patience   = 5 * time.Second
	impatience = 500 * time.Millisecond
	silence    = 300 * time.Millisecond
)

// expectsSilence: nobody may answer, and silence is permitted. What else is would come at once.
func expectsSilence(a oracle.Answer) bool {
	return len(a.Cases) == 0 && slices.Contains(a.Mute, world.Silent)
}

// ask sends as many flows as one question needs, and judges them.
func (r *run) ask(ctx context.Context, p *scenario.Probe, q question) (*group, error) {
	now := time.Now()
	g := newGroup(r, p, q)
	g.expect(oracle.Expect(r.history, g.flow, now, now))
	n := r.number(p, g)
	senders := r.options.Senders
	if p.Session != "" || p.Fair != nil {
		senders = 1 // a socket is one; and successive choices are only successive when sent so
	}
	if g.expected.Sticky {
		if p.Fair != nil {
			return nil, fmt.Errorf("the probe asks whether %s is fair, but its first answer decides the others: sessionAffinity", g.seen.To)
		}
		if err := g.sendAll(ctx, 1, 1); err != nil { // the others are judged by it
			return nil, err
		}
		return g, g.sendAll(ctx, n-1, senders)
	}
	if err := g.sendAll(ctx, n, senders); err != nil {
		return nil, err
	}
	g.everyone(n)
	if p.Fair != nil {
		g.fair(p.Fair)
	}
	return g, nil
}

// number is how many flows a question needs: as the file says; as the bias that is looked for needs; or so many that a
// stale endpoint of the largest set that this target ever had would be seen.
func (r *run) number(p *scenario.Probe, g *group) int {
	most := max(len(g.expected.Cases), r.most[g.to.String()], 2)
	r.most[g.to.String()] = most
	switch {
	case p.Flows > 0:
		return p.Flows
	case p.Session != "":
		return 1
	case p.Fair != nil && len(g.expected.Cases) > 1:
		return stat.FlowsForBias(weights(g.expected.Cases), p.Fair.Bias, falseAlarm, power)
	case expectsSilence(g.expected):
		return min(stat.FlowsToSee(1/float64(most), missed), 20)
	}
	return stat.FlowsToSee(1/float64(most), missed)
}

func weights(cases []oracle.Case) (w []float64) {
	for _, c := range cases {
		w = append(w, c.Weight)
	}
	return w
}
