package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"svclab/reports/tell"
	"svclab/sim/engine"
	"svclab/sim/evidence"
	"svclab/sim/oracle"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
	"svclab/sim/stage"
	"svclab/sim/story"
	"svclab/sim/world"
)

// explainFlags are what `svclab explain` was asked for.
type explainFlags struct {
	stageFlags
	from, to, via, proto string
	step                 int
	format, color        string
	pcap                 string

	flow   world.Flow
	target string
	began  time.Time
}

// unsaid is the step of whoever names none.
const unsaid = -1

func explainCommand() *cobra.Command {
	f := &explainFlags{format: "text", color: "auto", step: unsaid}
	c := &cobra.Command{
		Use:   "explain FILE",
		Short: "Send one flow and tell how its address became another, hop by hop",
		Long: `Send one real flow and tell its story: where its packets were seen and with which addresses, the rule of the kernel that
rewrote, dropped or rejected them, mapped back to Service, EndpointSlice, Pod and line of the file, what connection
tracking remembers, the routes, and whether it should have been so. FILE is a scenario, or the name of a bundled one.

All of it is evidence from the kernel: captures, packet traces, connection tracking, routes. What could not be had is
named. Exit code 1 when what happened is not what the specification asks for.`,
		Example: `  svclab explain myservice
  svclab explain scenarios/basics/myservice.yaml --from client/laptop --to service/myservice:80
  svclab explain myservice --proxy kube-proxy/iptables --to service/myservice:81     # a port that it has not
  svclab explain external-local --from client/laptop --via node-1 --to node/node-1:30080 --step 3
  svclab explain myservice -o html > story.html
  svclab explain myservice --pcap out                    # and the packets, for Wireshark`,
		RunE: func(c *cobra.Command, args []string) error { return f.main(c.Context(), args) },
	}
	f.stageFlags.flags(c)
	fl := c.Flags()
	fl.StringVar(&f.from, "from", "", "who asks: pod/client, node/node-1, client/laptop (default: as the first probe has it)")
	fl.StringVar(&f.to, "to", "", "what is asked: service/myservice:80, pod/web-1:5000, node/node-1:30080, 10.96.0.10:53/udp, service/web/icmp (default: as the first probe has it)")
	fl.StringVar(&f.via, "via", "", "clients: the node by which they come in (default: the first)")
	fl.Var(choice{&f.proto, []string{"tcp", "udp", "sctp"}}, "proto", "the protocol, where --to does not say: tcp, udp, sctp (default: that of the Service's port, or tcp)")
	fl.Var(number{&f.step}, "step", "the state after so many steps; 0 is the start (default: the state of the first probe, when that is what is asked; else the start)")
	fl.Lookup("step").DefValue = ""
	fl.VarP(choice{&f.format, tell.Formats}, "output", "o", "format: "+strings.Join(tell.Formats, ", "))
	colors := []string{"auto", "always", "never"}
	fl.Var(choice{&f.color, colors}, "color", "colours: "+strings.Join(colors, ", "))
	fl.StringVar(&f.pcap, "pcap", "", "also write the packets to a file in this folder, as pcapng")
	complete(c, "output", tell.Formats)
	complete(c, "color", colors)
	return c
}

func (f *explainFlags) main(ctx context.Context, args []string) error {
	f.began = time.Now() // in the sandbox it begins anew
	if err := f.one(args); err != nil {
		return err
	}
	if len(f.chosen) != 1 {
		return exitError{exitUsage, errors.New("one flow is explained on one proxy: name one with --proxy")}
	}
	if err := f.question(); err != nil {
		return exitError{exitUsage, err}
	}
	if f.pcap != "" {
		if err := os.MkdirAll(f.pcap, 0o755); err != nil {
			return exitError{exitUsage, fmt.Errorf("--pcap: %w", err)}
		}
	}
	return f.each(ctx, func(ctx context.Context, p proxies.Proxy, s *stage.Stage) error {
		if err := s.Advance(ctx, f.step); err != nil {
			return err
		}
		return f.tell(ctx, p, s)
	})
}

// question finds out who asks whom, in which state.
func (f *explainFlags) question() error {
	first, at := firstProbe(f.scenario)
	if f.step == unsaid {
		f.step = 0
		if f.to == "" && f.from == "" && first != nil {
			f.step = at
		}
	}
	if err := f.checkStep(f.step); err != nil {
		return err
	}
	asking, err := engine.NewStage(f.scenario, f.chosen[0].Mode)
	if err != nil {
		return err
	}
	var from scenario.Ref
	switch {
	case f.from != "":
		if from, err = scenario.ParseSender(f.from); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
	case first != nil && len(first.From) > 0:
		from = first.From[0]
		if f.via == "" {
			f.via = first.Via
		}
	default:
		return errors.New("who asks? The scenario's first probe does not say: name one with --from, such as --from pod/client")
	}
	var to scenario.Target
	switch {
	case f.to != "":
		if to, err = scenario.ParseTarget(f.to); err != nil {
			return fmt.Errorf("--to: %w", err)
		}
	case first != nil && len(first.To) > 0:
		to = first.To[0]
	default:
		return errors.New("what is asked? The scenario's first probe does not say: name it with --to, such as --to service/web:80")
	}
	if to.Proto == "" && f.proto != "" {
		to.Proto = strings.ToUpper(f.proto)
	}
	if err := f.there(asking, from, to); err != nil {
		return err
	}
	if f.flow.From, err = asking.Place(from); err != nil {
		return fmt.Errorf("--from: %w", err)
	}
	if f.flow.To, f.flow.Proto, err = asking.Resolve(to, f.step); err != nil {
		return fmt.Errorf("--to: %w", err)
	}
	f.target, f.flow.Via = to.String(), f.via
	if f.via != "" && f.flow.From.Kind != world.Client {
		return fmt.Errorf("--via %s: only a client from outside comes in by a node, and %s does not", f.via, f.flow.From)
	}
	return nil
}

// firstProbe is the first one that names who asks whom, and how many steps come before it.
func firstProbe(s *scenario.Scenario) (*scenario.Probe, int) {
	for i := range s.Steps {
		if p := s.Steps[i].Probe; p != nil && !p.Everything {
			return p, i
		}
	}
	return nil, 0
}

// there refuses names that are not there, with those that are.
func (f *explainFlags) there(asking *engine.Stage, from scenario.Ref, to scenario.Target) error {
	var places, nodes, services []string
	t := asking.Topology()
	for _, hosts := range [][]world.Host{t.Pods, t.Nodes, t.Clients} {
		for _, h := range hosts {
			places = append(places, h.String())
			if h.Kind == world.Node {
				nodes = append(nodes, h.Name)
			}
		}
	}
	for s := range asking.State(f.step).Services() {
		services = append(services, scenario.Ref{Kind: "service", Namespace: s.Namespace, Name: s.Name}.String())
	}
	known := func(flag, name string, there []string) error {
		if name == "" || slices.Contains(there, name) {
			return nil
		}
		return fmt.Errorf("%s: there is no %s%s", flag, name, scenario.Nearest(name, there))
	}
	f.via = strings.TrimPrefix(f.via, "node/")
	err := cmp.Or(known("--from", from.String(), places), known("--via", f.via, nodes))
	switch to.Ref.Kind {
	case "service":
		err = cmp.Or(err, known("--to", to.Ref.String(), services))
	case "pod", "node":
		err = cmp.Or(err, known("--to", to.Ref.String(), places))
	}
	return err
}

// tell sends the flow, collects the evidence, and writes the story.
func (f *explainFlags) tell(ctx context.Context, p proxies.Proxy, s *stage.Stage) error {
	flow := f.flow
	h := oracle.NewHistory(s.Played().Topology)
	now := time.Now()
	h.Begin(s.State(), now)
	h.Done(now)
	expected := oracle.Expect(h, flow, now, now)
	flow.Wait = explainPatience
	if len(expected.Cases) == 0 {
		flow.Wait = explainSilence
	}
	e, err := evidence.Collect(ctx, s.Lab(), flow)
	if err != nil {
		return err
	}
	t := story.Of(story.Input{
		Evidence: e, Index: s.Index(), Proxy: p.Name, Target: f.target, File: f.scenario.File, State: stage.StateText(f.scenario, f.step), Expected: &expected,
	})
	if f.pcap != "" {
		if err := writePcap(filepath.Join(f.pcap, "explain.pcapng"), e); err != nil {
			return err
		}
	}
	fmt.Fprintf(os.Stderr, "explained in %d ms, the lab included\n", time.Since(f.began).Milliseconds())
	out := output{color: f.color}
	w := bufio.NewWriter(os.Stdout)
	if err := errors.Join(tell.Write(w, f.format, t, tell.Options{Color: out.colored(os.Stdout)}), w.Flush()); err != nil {
		return err
	}
	if t.Judgement.Judged && !t.Judgement.Right {
		return exitError{exitFailed, nil}
	}
	return nil
}

// How long an answer may take that is expected, and one that is not.
const (
	explainPatience = time.Second
	explainSilence  = 300 * time.Millisecond
)

func writePcap(path string, e *evidence.Evidence) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(e.WritePcapng(file), file.Close()); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	fmt.Fprintf(os.Stderr, "packets: %s\n", path)
	return nil
}
