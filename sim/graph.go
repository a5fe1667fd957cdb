package main

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"svclab/reports/drawing"
	"svclab/sim/engine"
	"svclab/sim/graph"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// graphFlags are what `svclab graph` is told.
type graphFlags struct {
	inputs
	format, family, proxy string
	from, to, via         string
	step, width           int
}

func graphCommand() *cobra.Command {
	var f graphFlags
	c := &cobra.Command{
		Use:   "graph FILE | NAME",
		Short: "Draw a scenario's topology, and the way that a flow takes",
		Long: `Draw a scenario: nodes with their pods, outside clients, the underlay, addresses and pod ranges; Services with
their fronts, ports, policies and endpoints. With --from and --to also the way that this flow is to take by the
oracle's word: who may answer, on which node the address is translated, whether the source is kept, and where
and why a flow ends that is refused or dropped. Nothing is run.

The SVG needs nothing else, follows light and dark, wide and narrow screens, and prints. Mermaid is what GitHub
renders in Markdown; DOT is for Graphviz.`,
		Example: `  svclab graph myservice > myservice.svg
  svclab graph myservice --from pod/client --to service/myservice:80 > way.svg
  svclab graph my.yaml --from client/laptop --to node/node-1:30080 --via node-2 -o mermaid
  svclab graph my.yaml --step 3 --family ipv6 -o dot | dot -Tpdf > after-step-3.pdf`,
		RunE: func(_ *cobra.Command, args []string) error { return f.run(args) },
	}
	f.inputs.flags(c)
	f.format, f.proxy = drawing.Formats[0], proxies.All[0].Name
	families := []string{string(scenario.IPv4), string(scenario.IPv6)}
	fl := c.Flags()
	fl.VarP(choice{&f.format, drawing.Formats}, "output", "o", "format: "+strings.Join(drawing.Formats, ", "))
	fl.Var(choice{&f.family, families}, "family", "which variant: "+strings.Join(families, ", ")+" (default: the first that the scenario has)")
	fl.StringVar(&f.from, "from", "", "who sends a flow: pod/NAME, node/NAME or client/NAME")
	fl.StringVar(&f.to, "to", "", "where to: service/NAME:PORT, pod/NAME:PORT, node/NAME:PORT or an address, as in scenario files")
	fl.StringVar(&f.via, "via", "", "the node by which a client from outside enters (default: the first)")
	fl.StringVar(&f.proxy, "proxy", f.proxy, "whose rules count where kinds of proxy differ: see svclab list proxies")
	fl.Var(number{&f.step}, "step", "draw what is there after so many steps")
	fl.Var(positive{&f.width, 4096}, "width", "lay out an SVG for that many pixels only (default: for wide and narrow screens)")
	fl.Lookup("width").DefValue = ""
	for flag, words := range map[string][]string{"output": drawing.Formats, "family": families, "proxy": proxies.Names()} {
		complete(c, flag, words)
	}
	return c
}

// number is a flag that takes a number of at least 0.
type number struct{ to *int }

func (n number) String() string { return strconv.Itoa(*n.to) }
func (n number) Type() string   { return "int" }

func (n number) Set(text string) error {
	v, err := strconv.Atoi(text)
	if err != nil || v < 0 {
		return errors.New("must be a number of at least 0")
	}
	*n.to = v
	return nil
}

func (f *graphFlags) run(args []string) error {
	if f.width > 0 && f.width < drawing.LeastWidth {
		return exitError{exitUsage, fmt.Errorf("--width %d: nothing fits in that; at least %d", f.width, drawing.LeastWidth)}
	}
	d, err := f.draw(args)
	if err != nil {
		return exitError{exitUsage, err}
	}
	if f.width > 0 && f.format != "svg" {
		return exitError{exitUsage, fmt.Errorf("--width is for -o svg; %s is laid out by whoever shows it", f.format)}
	}
	return drawing.Write(os.Stdout, d, f.format, drawing.Sheets{Width: float64(f.width)})
}

func (f *graphFlags) draw(args []string) (*drawing.Diagram, error) {
	if len(args)+len(f.files) == 0 {
		return nil, errors.New("graph of what? Name a scenario file, or a bundled scenario (see: svclab list scenarios)")
	}
	all, err := f.load(args)
	if err != nil {
		return nil, err
	}
	if len(all) != 1 {
		return nil, fmt.Errorf("graph draws one scenario, and these are %d", len(all))
	}
	if (f.from == "") != (f.to == "") {
		return nil, errors.New("a flow has two ends: give --from and --to, or neither")
	}
	if f.via != "" && !strings.HasPrefix(f.from, "client/") {
		return nil, errors.New("--via is by which node a client from outside enters: --from must be a client/NAME")
	}
	warn(os.Stderr, all)
	sc, err := f.variant(all[0])
	if err != nil {
		return nil, err
	}
	if f.step > len(sc.Steps) {
		return nil, fmt.Errorf("--step %d: %s has %d steps", f.step, sc.File, len(sc.Steps))
	}
	proxy, err := proxies.Foreign{}.Find(f.proxy)
	if err != nil {
		return nil, err
	}
	stage, err := engine.NewStage(sc, proxy.Mode)
	if err != nil {
		return nil, err
	}
	scene := &graph.Scene{
		Name: sc.Name, About: sc.About, Moment: moment(sc, f.step), Topology: stage.Topology(),
		State: stage.State(f.step), Before: stage.Before(f.step), IPv6: sc.Family == scenario.IPv6,
	}
	d := scene.Diagram()
	if f.from != "" {
		ask, err := f.ask(stage, scene)
		if err != nil {
			return nil, err
		}
		if d.Path, err = scene.Path(stage.History(f.step), ask); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// variant of the family that was asked for.
func (f *graphFlags) variant(sc *scenario.Scenario) (*scenario.Scenario, error) {
	variants := sc.Variants()
	if f.family == "" {
		return variants[0], nil
	}
	for _, v := range variants {
		if string(v.Family) == f.family {
			return v, nil
		}
	}
	return nil, fmt.Errorf("--family %s: %s has addresses of %s only", f.family, sc.File, variants[0].Family)
}

// moment is what the picture is of.
func moment(sc *scenario.Scenario, step int) string {
	family := map[scenario.Family]string{scenario.IPv4: "IPv4", scenario.IPv6: "IPv6"}[sc.Family]
	if step == 0 {
		return family + ", at the start"
	}
	return fmt.Sprintf("%s, after step %d of %d (line %d)", family, step, len(sc.Steps), sc.Steps[step-1].Line)
}

// ask is the flow that was asked for.
func (f *graphFlags) ask(stage *engine.Stage, scene *graph.Scene) (ask graph.Ask, err error) {
	from, err := scenario.ParseSender(f.from)
	if err != nil {
		return ask, fmt.Errorf("--from: %w", err)
	}
	place, err := stage.Place(from)
	if err != nil || !slices.Contains(scene.Places(), place.String()) {
		return ask, fmt.Errorf("--from: there is no %s%s", from, scenario.Nearest(from.String(), scene.Places()))
	}
	to, err := scenario.ParseTarget(f.to)
	if err != nil {
		return ask, fmt.Errorf("--to: %w", err)
	}
	if !to.Addr.IsValid() {
		var known []string
		for _, n := range scene.Goals() {
			if strings.HasPrefix(n, to.Ref.Kind+"/") {
				known = append(known, n)
			}
		}
		if !slices.Contains(known, to.Ref.String()) {
			return ask, fmt.Errorf("--to: there is no %s%s", to.Ref, scenario.Nearest(to.Ref.String(), known))
		}
	}
	addr, proto, err := stage.Resolve(to, f.step)
	if err != nil {
		return ask, fmt.Errorf("--to: %w", err)
	}
	via := strings.TrimPrefix(f.via, "node/")
	if via != "" {
		var nodes []string
		for i := range stage.Topology().Nodes {
			nodes = append(nodes, stage.Topology().Nodes[i].Name)
		}
		if !slices.Contains(nodes, via) {
			return ask, fmt.Errorf("--via: there is no node %s%s", via, scenario.Nearest(via, nodes))
		}
	}
	return graph.Ask{Flow: world.Flow{From: place, To: addr, Proto: proto, Via: via}, Target: to.String()}, nil
}
