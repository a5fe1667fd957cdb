package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"svclab/proxycore/cluster"
	"svclab/sim/naming"
	"svclab/sim/proxies"
	"svclab/sim/ruleset"
	"svclab/sim/stage"
)

// rulesFlags are what `svclab rules` was asked for.
type rulesFlags struct {
	stageFlags
	wants
	step   int
	format string
}

// wants are the nodes and Service ports that are meant.
type wants struct {
	nodes, services []string
}

func (w *wants) flags(c *cobra.Command) {
	c.Flags().StringSliceVar(&w.nodes, "node", nil, "only this node; may be repeated")
	c.Flags().StringSliceVar(&w.services, "service", nil, "only this Service, or one port of it: myservice, shop/front, myservice:80, shop/front:http; may be repeated")
}

func rulesCommand() *cobra.Command {
	f := &rulesFlags{format: "text"}
	c := &cobra.Command{
		Use:   "rules FILE",
		Short: "Show the kernel's rules of one Service, sorted and in words",
		Long: `Show what the proxy on each node has programmed in the kernel, by Service: for each of its fronts the way of a packet, which
rules and elements it meets and what they do, and which Service, port, EndpointSlice, Pod and line of the file they stand for. FILE
is a scenario, or the name of a bundled one; it is played up to --step, without its flows.

Of the rules that every Service meets, only those on the way of the Services asked for are shown. A line that is not recognized is
shown as such, never left out, and what is not shown is counted.`,
		Example: `  svclab rules myservice --service myservice --node node-1
  svclab rules scenarios/basics/myservice.yaml --proxy kube-proxy/iptables --service myservice:80
  svclab rules external-local --step 8 -o json`,
		RunE: func(c *cobra.Command, args []string) error { return f.main(c.Context(), args) },
	}
	f.stageFlags.flags(c)
	f.wants.flags(c)
	c.Flags().IntVar(&f.step, "step", 0, "the state after so many steps; 0 is the start")
	formats := []string{"text", "json"}
	c.Flags().VarP(choice{&f.format, formats}, "output", "o", "format: "+strings.Join(formats, ", "))
	complete(c, "output", formats)
	return c
}

// rulesOutput is what `svclab rules -o json` prints.
type rulesOutput struct {
	SchemaVersion int          `json:"schemaVersion"`
	File          string       `json:"file"`
	Step          int          `json:"step"`
	State         string       `json:"state"` // in words
	Proxies       []proxyRules `json:"proxies"`
}

type proxyRules struct {
	Proxy string         `json:"proxy"`
	Nodes []ruleset.Node `json:"nodes"`
}

func (f *rulesFlags) main(ctx context.Context, args []string) error {
	if err := f.one(args); err != nil {
		return err
	}
	if err := f.checkStep(f.step); err != nil {
		return err
	}
	if err := f.check(&f.stageFlags, f.step); err != nil {
		return err
	}
	out := rulesOutput{SchemaVersion: 1, File: f.scenario.File, Step: f.step, State: stage.StateText(f.scenario, f.step)}
	first := true
	err := f.each(ctx, func(ctx context.Context, p proxies.Proxy, s *stage.Stage) error {
		if err := s.Advance(ctx, f.step); err != nil {
			return err
		}
		nodes, err := s.Rules(ctx, f.nodes, f.wanted())
		if err != nil {
			return err
		}
		out.Proxies = append(out.Proxies, proxyRules{p.Name, nodes})
		for _, n := range nodes {
			if f.format != "text" {
				break
			}
			if !first {
				fmt.Println()
			}
			first = false
			if err := ruleset.Text(os.Stdout, n, p.Name+", "+out.State); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || f.format == "text" {
		return err
	}
	e := json.NewEncoder(os.Stdout)
	e.SetIndent("", "  ")
	return e.Encode(out)
}

// check refuses nodes and Services that are not there in the states after some steps.
func (w *wants) check(f *stageFlags, steps ...int) error {
	played, err := f.played()
	if err != nil {
		return err
	}
	var nodes []string
	for _, n := range played.Topology.Nodes {
		nodes = append(nodes, n.Name)
	}
	for i, n := range w.nodes {
		w.nodes[i] = strings.TrimPrefix(n, "node/")
		if !slices.Contains(nodes, w.nodes[i]) {
			return exitError{exitUsage, fmt.Errorf("there is no node %s; there are %s", w.nodes[i], strings.Join(nodes, ", "))}
		}
	}
	var ports []*naming.Port
	for _, s := range steps {
		ports = append(ports, naming.New(naming.Options{Proxy: f.chosen[0].Name, State: played.States[s]}).Ports()...)
	}
	for _, text := range w.services {
		if err := meant(text, ports); err != nil {
			return exitError{exitUsage, err}
		}
	}
	return nil
}

// meant is nil when some Service port has been meant.
func meant(text string, ports []*naming.Port) error {
	var names, numbers []string
	key, _ := serviceKey(text)
	for _, p := range ports {
		if fits(text, p) {
			return nil
		}
		if name := strings.TrimPrefix(p.Service.String(), "default/"); !slices.Contains(names, name) {
			names = append(names, name)
		}
		if word := portWord(p); p.Service == key && !slices.Contains(numbers, word) {
			numbers = append(numbers, word)
		}
	}
	switch {
	case len(names) == 0:
		return fmt.Errorf("there is no service %s, and no other either", text)
	case len(numbers) > 0:
		name, port, _ := strings.Cut(text, ":")
		return fmt.Errorf("service %s has no port %s; it has %s", name, port, strings.Join(numbers, ", "))
	}
	return fmt.Errorf("there is no service %s; there are %s", text, strings.Join(names, ", "))
}

func portWord(p *naming.Port) string {
	number := strconv.Itoa(int(p.Number)) + "/" + strings.ToLower(p.Proto.String())
	if p.Name == "" {
		return number
	}
	return p.Name + " (" + number + ")"
}

// serviceKey reads "[service/][NAMESPACE/]NAME[:PORT]".
func serviceKey(text string) (key cluster.Key, port string) {
	text, port, _ = strings.Cut(text, ":")
	for _, kind := range []string{"service/", "services/", "svc/"} {
		text = strings.TrimPrefix(text, kind)
	}
	namespace, name, ok := strings.Cut(text, "/")
	if !ok {
		namespace, name = "default", text
	}
	return cluster.Key{Namespace: namespace, Name: name}, port
}

// fits: the port is meant by "myservice", "shop/front", "front:http", "front:80", "dns:53/udp".
func fits(text string, p *naming.Port) bool {
	key, port := serviceKey(text)
	number, proto, _ := strings.Cut(port, "/")
	return p.Service == key && (port == "" || (number == p.Name || number == strconv.Itoa(int(p.Number))) && (proto == "" || strings.EqualFold(proto, p.Proto.String())))
}

// wanted says which ports are meant; nil: all.
func (w *wants) wanted() func(*naming.Port) bool {
	if len(w.services) == 0 {
		return nil
	}
	return func(p *naming.Port) bool {
		return slices.ContainsFunc(w.services, func(text string) bool { return fits(text, p) })
	}
}
