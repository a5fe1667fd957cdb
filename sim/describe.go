package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"svclab/sim/naming"
	"svclab/sim/proxies"
	"svclab/sim/ruleset"
	"svclab/sim/stage"
)

// describeFlags are what `svclab describe` was asked for.
type describeFlags struct {
	stageFlags
	step      int
	node      []string
	namespace string
	labels    selector

	objects []described
}

func describeCommand() *cobra.Command {
	f := &describeFlags{}
	c := &cobra.Command{
		Use:   "describe FILE (KIND [NAME]... | KIND/NAME...)",
		Short: "Describe objects as kubectl does, and below it what each node has programmed for them",
		Long: `Describe objects of a scenario with the labels and in the order of kubectl describe, and below it what the proxy on each node has
programmed in the kernel for them: for a Service or its Endpoints the rules of all its fronts, for a Pod those that lead to it, for a
Node a line for each Service.

KIND is service, endpoints, endpointslice, node or pod, or what kubectl takes for it: svc, ep, no, po, plurals, several with commas
between. A NAME that no object has is the beginning of names. Without a NAME all objects of the kind are described. Objects are
looked up in the namespace --namespace, "default" by default; KIND/NAMESPACE/NAME names one in another, and without a NAME and
without --namespace those of all namespaces are meant. With -f FILE the arguments are kubectl's alone.`,
		Example: `  svclab describe myservice service/myservice
  svclab describe scenarios/basics/myservice.yaml svc,ep myservice --proxy kube-proxy/nftables
  svclab describe -f my.yaml pods --namespace shop
  kubectl get svc,pods,nodes -o yaml | svclab describe -f - nodes`,
		RunE: func(c *cobra.Command, args []string) error { return f.main(c.Context(), args) },
	}
	f.stageFlags.flags(c)
	fl := c.Flags()
	fl.IntVar(&f.step, "step", 0, "the state after so many steps; 0 is the start")
	fl.StringSliceVar(&f.node, "node", nil, "only what this node has programmed; may be repeated")
	fl.StringVarP(&f.namespace, "namespace", "n", "", "the namespace of what is described")
	fl.VarP(&f.labels, "selector", "l", "only objects whose labels match, as in kubectl: app=web,!canary")
	return c
}

func (f *describeFlags) main(ctx context.Context, args []string) error {
	if len(f.files) == 0 {
		if len(args) == 0 || len(args) == 1 && isKind(args[0]) || len(args) > 1 && isKind(args[0]) && !isKind(args[1]) {
			return exitError{exitUsage, fmt.Errorf("of which scenario? Write: svclab describe FILE %s", strings.Join(slices.Concat(args, []string{"service/NAME"})[:max(len(args), 1)], " "))}
		}
		if err := f.one(args[:1]); err != nil {
			return err
		}
		args = args[1:]
	} else if err := f.one(nil); err != nil {
		return err
	}
	if err := f.checkStep(f.step); err != nil {
		return err
	}
	played, err := f.played()
	if err != nil {
		return err
	}
	w := wants{nodes: f.node}
	if err := w.check(&f.stageFlags, f.step); err != nil {
		return err
	}
	if len(args) == 0 {
		return exitError{exitUsage, errors.New("describe what? service, endpoints, endpointslice, node or pod, and a name: service/myservice")}
	}
	if f.objects, err = resolve(played.States[f.step], args, f.namespace, f.labels); err != nil {
		return exitError{exitUsage, err}
	}
	first := true
	return f.each(ctx, func(ctx context.Context, p proxies.Proxy, s *stage.Stage) error {
		if err := s.Advance(ctx, f.step); err != nil {
			return err
		}
		title := fmt.Sprintf("Programmed by %s, %s", p.Name, stage.StateText(f.scenario, f.step))
		for _, a := range f.objects {
			if !first {
				fmt.Print("\n\n")
			}
			first = false
			if err := a.describe(os.Stdout, s.State()); err != nil {
				return err
			}
			if err := f.programmed(ctx, s, a, title); err != nil {
				return err
			}
		}
		return nil
	})
}

// programmed writes what the nodes have for one object.
func (f *describeFlags) programmed(ctx context.Context, s *stage.Stage, a described, title string) error {
	nodes := f.node
	if a.kind == "node" {
		nodes = []string{a.key.Name}
		if len(f.node) > 0 && !slices.Contains(f.node, a.key.Name) {
			return nil
		}
	}
	rules, err := s.Rules(ctx, nodes, a.wants)
	if err != nil {
		return err
	}
	if a.kind == "node" {
		for _, n := range rules {
			if err := ruleset.Summary(os.Stdout, title, n); err != nil {
				return err
			}
		}
		return nil
	}
	return ruleset.Programmed(os.Stdout, title, rules, a.concerns)
}

// wants are the Service ports whose rules are looked at.
func (a described) wants(p *naming.Port) bool {
	switch a.kind {
	case "service", "endpoints":
		return p.Service == a.key
	case "endpointslice":
		return p.Service == a.service
	}
	return true
}

// concerns: a rule that says something of the object.
func (a described) concerns(e ruleset.Entry) bool {
	if a.kind == "service" {
		return true
	}
	return slices.ContainsFunc(e.Endpoints, func(at string) bool {
		return a.kind == "endpoints" || slices.Contains(a.addresses, addressOf(at))
	})
}
