package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"svclab/reports/verdict"
	"svclab/sim/proxies"
)

// difference is one question that two proxies answer differently.
type difference struct {
	Case    string `json:"case"` // "myservice/ipv4"
	Place   string `json:"place"`
	Asked   string `json:"asked"`
	Proxy   string `json:"proxy"`
	Saw     string `json:"saw"`
	Against string `json:"against"`
	SawToo  string `json:"sawAgainst"`
}

// comparison is what `svclab diff` prints.
type comparison struct {
	SchemaVersion int          `json:"schemaVersion"`
	Proxy         string       `json:"proxy"`
	Against       string       `json:"against"`
	Cases         int          `json:"cases"`
	Questions     int          `json:"questions"`
	Differences   []difference `json:"differences"`
	NotCompared   []string     `json:"notCompared"` // cases that broke or were skipped on one of the two, and why
}

func diffCommand() *cobra.Command {
	f, rules := newRun(), &rulesDiff{}
	var proxy, against string
	format, formats := "table", []string{"table", "json"}
	c := &cobra.Command{
		Use:   "diff (--proxy ONE --against OTHER [FILE | FOLDER | GLOB | NAME]... | --rules FILE)",
		Short: "Run scenarios on two proxies, or compare rules in two states, and print only what differs",
		Long: `Run scenarios on two proxies and print what they answer differently: other outcomes, other sources, or one of them
wrongly. Which of several endpoints answers is chance, and no difference. Exit code 0 when nothing differs, 1 when something
does, 3 when nothing could be compared.

With --rules, play one scenario without its flows, and print which rules of the kernel two of its states differ in, by node and
Service, as a unified diff, with what each of them is there for; of each proxy named.`,
		Example: `  svclab diff --proxy nftables --against kube-proxy/nftables
  svclab diff --proxy kube-proxy/nftables@v1.33.13 --against kube-proxy/nftables myservice
  svclab diff --rules myservice --step 3                 # what deleting a pod changes
  svclab diff --rules external-local --step 0,8 --proxy nftables,kube-proxy/iptables --service web`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := rules.misused(cmd); err != nil {
				return err
			}
			if rules.rules {
				return rules.diffRules(cmd.Context(), f, proxy, format, args)
			}
			return f.diff(cmd.Context(), args, proxy, against, format)
		},
	}
	f.inputs.flags(c)
	f.cards(c)
	rules.flags(c)
	fl := c.Flags()
	fl.StringVar(&proxy, "proxy", "", "the one proxy: see svclab list proxies; with --rules: one or more, with commas between")
	fl.StringVar(&against, "against", "", "the other")
	fl.VarP(choice{&format, formats}, "output", "o", "format on standard output: "+strings.Join(formats, ", "))
	complete(c, "output", formats)
	complete(c, "proxy", proxies.Names())
	complete(c, "against", proxies.Names())
	return c
}

func compare(r *verdict.Run, proxy, against string) comparison {
	out := comparison{SchemaVersion: 1, Proxy: proxy, Against: against, Differences: []difference{}, NotCompared: []string{}}
	at := map[string][2]*verdict.Case{}
	var order []string
	for i := range r.Cases {
		c := &r.Cases[i]
		id := c.Scenario + "/" + c.Variant
		pair, seen := at[id]
		if !seen {
			order = append(order, id)
		}
		if c.Proxy == proxy {
			pair[0] = c
		} else {
			pair[1] = c
		}
		at[id] = pair
	}
	for _, id := range order {
		pair := at[id]
		if why := incomparable(pair); why != "" {
			out.NotCompared = append(out.NotCompared, id+": "+why)
			continue
		}
		out.Cases++
		d, n := comparePair(id, pair[0], pair[1])
		out.Questions += n
		for i := range d {
			d[i].Proxy, d[i].Against = proxy, against
		}
		out.Differences = append(out.Differences, d...)
	}
	return out
}

func incomparable(pair [2]*verdict.Case) string {
	for _, c := range pair {
		switch {
		case c == nil:
			return "it ran on one of the two only"
		case c.Verdict == verdict.Broken || c.Verdict == verdict.Skip:
			return fmt.Sprintf("%s on %s: %s", c.Verdict, c.Proxy, c.Why)
		}
	}
	return ""
}

// comparePair compares step by step, question by question. A case that ended early has fewer steps, which is a difference.
func comparePair(id string, a, b *verdict.Case) (out []difference, questions int) {
	for i := range max(len(a.Steps), len(b.Steps)) {
		if i >= len(a.Steps) || i >= len(b.Steps) {
			ended := map[bool]string{true: "ended before it", false: "went on"}
			longer := a
			if len(b.Steps) > len(a.Steps) {
				longer = b
			}
			s := longer.Steps[i]
			out = append(out, difference{Case: id, Place: fmt.Sprintf("%s:%d", longer.File, s.Line), Asked: s.Text,
				Saw: ended[i >= len(a.Steps)], SawToo: ended[i >= len(b.Steps)]})
			return out, questions + 1
		}
		x, y := a.Steps[i], b.Steps[i]
		if len(x.Flows) == 0 && len(y.Flows) == 0 && (x.Verdict == verdict.Pass) != (y.Verdict == verdict.Pass) {
			questions++
			out = append(out, difference{Case: id, Place: fmt.Sprintf("%s:%d", a.File, x.Line), Asked: x.Text, Saw: stepWord(x), SawToo: stepWord(y)})
		}
		for j := range min(len(x.Flows), len(y.Flows)) {
			questions++
			p, pWrong := kindOf(x.Flows[j], x)
			q, qWrong := kindOf(y.Flows[j], y)
			if p != q || (pWrong == "") != (qWrong == "") {
				p, q = p+pWrong, q+qWrong
				out = append(out, difference{Case: id, Place: fmt.Sprintf("%s:%d", a.File, x.Line),
					Asked: x.Flows[j].From + " → " + x.Flows[j].To, Saw: p, SawToo: q})
			}
		}
	}
	return out, questions
}

func stepWord(s verdict.Step) string {
	if s.Verdict == verdict.Pass {
		return "right"
	}
	return s.Why
}

// kindOf is what must be alike: the outcomes and whom the servers saw; and what was wrong about it, which times and chance
// are part of: that something was must be alike.
func kindOf(f verdict.Flows, s verdict.Step) (text, wrong string) {
	outcomes := map[string]bool{}
	for _, a := range f.Answers {
		if strings.Contains(a.Who, "/") {
			outcomes["answered"] = true
		} else {
			outcomes[a.Who] = true
		}
	}
	text = strings.Join(slices.Sorted(maps.Keys(outcomes)), ", ")
	if len(f.Sources) > 0 {
		text += ", source " + strings.Join(slices.Sorted(slices.Values(f.Sources)), ", ")
	}
	switch {
	case len(f.Wrong) > 0:
		wrong = "; wrong: " + f.Wrong[0].Why
	case f.Wrongs > 0:
		wrong = "; wrong"
	case s.Verdict != verdict.Pass && len(s.Flows) == 1:
		wrong = "; " + s.Why
	}
	return text, wrong
}

func (c comparison) print(format string) error {
	if format == "json" {
		e := json.NewEncoder(os.Stdout)
		e.SetIndent("", "  ")
		return e.Encode(c)
	}
	last := ""
	for _, d := range c.Differences {
		if head := d.Case; head != last {
			fmt.Printf("%s\n", head)
			last = head
		}
		fmt.Printf("  %s: %s\n    %-*s  %s\n    %-*s  %s\n", d.Place, d.Asked,
			max(len(c.Proxy), len(c.Against)), c.Proxy, d.Saw, max(len(c.Proxy), len(c.Against)), c.Against, d.SawToo)
	}
	for _, n := range c.NotCompared {
		fmt.Printf("not compared: %s\n", n)
	}
	_, err := fmt.Printf("%d questions of %d cases compared, %d differ\n", c.Questions, c.Cases, len(c.Differences))
	return err
}

// diff runs both proxies and compares.
func (f *runFlags) diff(ctx context.Context, args []string, proxy, against, format string) error {
	switch {
	case proxy == "" || against == "":
		return exitError{exitUsage, errors.New("diff needs two proxies: --proxy ONE --against OTHER")}
	case proxy == against:
		return exitError{exitUsage, fmt.Errorf("--proxy and --against are both %s: nothing can differ", proxy)}
	}
	f.proxies, f.format = []string{proxy, against}, "none" // only what differs is shown
	ctx, stop, err := f.prepare(ctx, args)
	if err != nil {
		return err
	}
	defer stop()
	result := f.play(ctx)
	c := compare(result, proxy, against)
	if err := c.print(format); err != nil {
		return err
	}
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return exitError{exitTimeout, context.Cause(ctx)}
	case c.Questions == 0:
		return exitError{exitNothing, errors.New("nothing could be compared")}
	case len(c.Differences) > 0:
		return exitError{exitFailed, nil}
	}
	return nil
}
