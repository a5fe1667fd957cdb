package main

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"svclab/reports/tell"
	"svclab/sim/engine"
	"svclab/sim/evidence"
	"svclab/sim/lab"
	"svclab/sim/naming"
	"svclab/sim/stage"
	"svclab/sim/story"
	"svclab/sim/world"
)

// storyTime bounds what one story may cost a failed case.
const storyTime = 20 * time.Second

// story sends a flow that went wrong once more, and tells what happens to it.
func (t testCase) story(ctx context.Context, w world.World, f engine.Wronged) (string, error) {
	ctx, stop := context.WithTimeout(ctx, storyTime)
	defer stop()
	var l *lab.Lab
	switch w := w.(type) {
	case *lab.Lab:
		l = w
	case *pausing:
		l = w.Lab
	default:
		return "", fmt.Errorf("a %T cannot be watched", w)
	}
	e, err := evidence.Collect(ctx, l, f.Flow)
	if err != nil {
		return "", err
	}
	s := story.Of(story.Input{
		Evidence: e, Proxy: t.proxy.Name, Target: f.Target, File: t.scenario.File, State: fmt.Sprintf("as in line %d", f.Line), Expected: &f.Expected,
		Notes: []string{f.Again, "What had gone wrong: " + f.Why + "."},
		Index: naming.New(naming.Options{Proxy: t.proxy.Name, State: f.State, Former: f.Former, Where: stage.Where(t.scenario, f.Step)}),
	})
	var b bytes.Buffer
	err = tell.Write(&b, "text", s, tell.Options{})
	return b.String(), err
}
