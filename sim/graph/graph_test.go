package graph_test

import (
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"

	"svclab/proxycore/cluster"
	"svclab/reports/drawing"
	"svclab/scenarios"
	"svclab/sim/engine"
	"svclab/sim/graph"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// modes are the two that proxies have.
var modes = map[string]cluster.Mode{"nftables": {}, "iptables": {EveryAddress: true, Localhost: true}}

// picture is one drawing of a bundled scenario.
type picture struct {
	*drawing.Diagram
	name string
}

// bundled yields every variant of every bundled scenario at every step, without a path, and with the path of every flow that
// a probe asks for at that step.
func bundled(t *testing.T, yield func(p picture)) {
	t.Helper()
	scenarios, pictures := 0, 0
	each(t, func(sc *scenario.Scenario) {
		scenarios++
		stage, err := engine.NewStage(sc, modes["iptables"])
		if err != nil {
			t.Fatal(err)
		}
		show := func(name string, d *drawing.Diagram) {
			pictures++
			yield(picture{d, fmt.Sprintf("%s/%s/%s", sc.Name, sc.Family, name)})
		}
		for step := range len(sc.Steps) + 1 {
			scene := sceneOf(sc, stage, step)
			show(fmt.Sprint(step), scene.Diagram())
			if step == len(sc.Steps) {
				break
			}
			probe := sc.Steps[step].Probe
			if probe == nil || probe.Everything {
				continue
			}
			for _, to := range probe.To {
				for _, from := range probe.From {
					d, err := drawn(stage, scene, step, from, to, probe.Via)
					if err != nil {
						t.Fatalf("%s:%d: %s → %s: %v", sc.File, probe.Line, from, to, err)
					}
					show(fmt.Sprintf("%d/%s/%s", step, from, to), d)
				}
			}
		}
	})
	if scenarios < 150 || pictures < 1000 {
		t.Fatalf("%d pictures of %d variants: too few to be all", pictures, scenarios)
	}
}

func each(t *testing.T, do func(sc *scenario.Scenario)) {
	t.Helper()
	err := fs.WalkDir(scenarios.Files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(p) != ".yaml" || p == "known.yaml" {
			return err
		}
		text, err := fs.ReadFile(scenarios.Files, p)
		if err != nil {
			return err
		}
		sc, err := scenario.Parse(p, text)
		if err != nil {
			return err
		}
		for _, v := range sc.Variants() {
			do(v)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func sceneOf(sc *scenario.Scenario, stage *engine.Stage, step int) *graph.Scene {
	return &graph.Scene{
		Name: sc.Name, About: sc.About, Moment: fmt.Sprintf("%s, after step %d", sc.Family, step), Topology: stage.Topology(),
		State: stage.State(step), Before: stage.Before(step), IPv6: sc.Family == scenario.IPv6,
	}
}

func drawn(stage *engine.Stage, scene *graph.Scene, step int, from scenario.Ref, to scenario.Target, via string) (*drawing.Diagram, error) {
	place, err := stage.Place(from)
	if err != nil {
		return nil, err
	}
	addr, proto, err := stage.Resolve(to, step)
	if err != nil {
		return nil, err
	}
	f := world.Flow{From: place, To: addr, Proto: proto}
	if place.Kind == world.Client {
		f.Via = via
	}
	d := scene.Diagram()
	d.Path, err = scene.Path(stage.History(step), graph.Ask{Flow: f, Target: to.String()})
	return d, err
}

// In no picture of a bundled scenario do boxes overlap, or texts leave their boxes, on a wide or a narrow screen; and every
// format takes it.
func TestBundled(t *testing.T) {
	bundled(t, func(p picture) {
		for _, width := range []float64{960, 390} {
			if flaws := drawing.Flaws(p.Diagram, width); len(flaws) > 0 {
				t.Errorf("%s, %v wide: %s", p.name, width, strings.Join(flaws, "\n\t"))
			}
		}
		for _, format := range drawing.Formats[1:] { // what Flaws has laid out is the SVG
			var b strings.Builder
			if err := drawing.Write(&b, p.Diagram, format, drawing.Sheets{}); err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
		}
		if p.Path != nil {
			if err := hangsTogether(p.Path); err != nil {
				t.Errorf("%s: %v", p.name, err)
			}
		}
	})
}

// hangsTogether: a path begins with its sender, all its ways do, each ends at a stop that is told, and it says how it ends.
func hangsTogether(p *drawing.Path) error {
	if len(p.Ways) == 0 || len(p.Stops) == 0 || !strings.HasPrefix(p.Verdict, "Expected: ") {
		return fmt.Errorf("%d ways, %d stops, verdict %q", len(p.Ways), len(p.Stops), p.Verdict)
	}
	at := map[string]bool{}
	bad := false
	for _, s := range p.Stops {
		at[s.At] = true
		bad = bad || s.Bad
	}
	for _, w := range p.Ways {
		first, last := w.Through[0], w.Through[len(w.Through)-1]
		if first != p.Stops[0].At {
			return fmt.Errorf("a way begins at %s, and the first stop is at %s", first, p.Stops[0].At)
		}
		if !at[last] && len(p.Notes) < 2 {
			return fmt.Errorf("a way ends at %s, of which nothing is told", last)
		}
	}
	if answered := strings.HasPrefix(p.Verdict, "Expected: answered"); !answered && !bad {
		return fmt.Errorf("%q, and no stop is where that happens", p.Verdict)
	}
	return nil
}
