package engine

import (
	"context"
	"fmt"

	"svclab/proxycore/cluster"
	"svclab/sim/oracle"
	"svclab/sim/world"
)

// Wronged is a flow that went wrong, for whoever sends it once more to tell what happens to it.
type Wronged struct {
	Flow     world.Flow
	Target   string // as the file spells it
	Line     int    // of the step
	Step     int    // how many steps came before it
	Why      string // what was wrong
	State    *cluster.Snapshot
	Former   []*cluster.Snapshot // the case's other states: of what they had, something may be left
	Expected oracle.Answer       // while State is in force
	Again    string              // how it differs from what went wrong, in a sentence
}

// enoughStories: a case that fails in many places is not understood better by more stories than these.
const enoughStories = 4

// wronged notes the first flow of a question that went wrong. It is called while the group is locked.
func (r *run) wronged(g *group, why string) {
	if r.options.Story == nil {
		return
	}
	r.wrongsMu.Lock()
	defer r.wrongsMu.Unlock()
	if len(r.wrongs) == enoughStories {
		return
	}
	f := g.flow
	f.Session, f.Stray, f.SourcePort = "", false, 0
	state := int(r.inForce.Load())
	w := wrongedAt{Wronged{Flow: f, Target: g.text, Step: r.step, Why: why, State: r.plan.states[state]}, state}
	if r.step < len(r.scenario.Steps) {
		w.Line = r.scenario.Steps[r.step].Line
	}
	r.wrongs = append(r.wrongs, w)
}

type wrongedAt struct {
	Wronged
	state int
}

// stories sends what went wrong once more, and has it told. The case has been judged: nothing here changes its verdict.
func (r *run) stories(ctx context.Context) {
	for i, w := range r.wrongs {
		if ctx.Err() != nil {
			return
		}
		text, err := r.story(ctx, &w)
		if err != nil {
			text += fmt.Sprintf("%s\nWhat happens to it could not be told: %v\n", w.Flow, err)
		}
		if r.result.Artifacts == nil {
			r.result.Artifacts = map[string]string{}
		}
		r.result.Artifacts[fmt.Sprintf("story-%d-line-%d.txt", i+1, w.Line)] = text
	}
}

func (r *run) story(ctx context.Context, w *wrongedAt) (string, error) {
	w.Again = "this is another packet, sent after the case had failed; the one that went wrong nobody watched."
	if w.state != r.state {
		if !r.barrier {
			w.State = r.plan.states[r.state]
			w.Again += " It was sent in the case's last state, since this proxy cannot tell when it has gone back to another."
		} else {
			if err := r.apply(ctx, w.state); err != nil {
				return "", err
			}
			w.Again += " For it the state of that step was put in force again."
		}
	}
	for _, s := range r.plan.states {
		if s != w.State {
			w.Former = append(w.Former, s)
		}
	}
	w.Expected = oracle.Latest(r.history, w.Flow)
	w.Flow.Wait = impatience
	if expectsSilence(w.Expected) {
		w.Flow.Wait = silence
	}
	return r.options.Story(ctx, r.world, w.Wronged)
}
