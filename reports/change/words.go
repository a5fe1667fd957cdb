package change

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"svclab/reports/figures"
	"svclab/reports/measure"
)

// words for a row: "endpoint replaced: commit (nftables, 1,000 Services)".
func words(r *measure.Row) string {
	text := []string{r.Proxy}
	for _, of := range []struct {
		n    int
		word string
	}{{r.Nodes, "nodes"}, {r.Pods, "pods"}, {r.Services, "Services"}} {
		if of.n > 0 {
			text = append(text, figures.Human(measure.Count, float64(of.n))+" "+of.word)
		}
	}
	for _, of := range []struct{ before, what, after string }{{"", r.Endpoints, " endpoints each"}, {"through ", r.Through, ""}, {"", r.Where, ""}} {
		if of.what != "" {
			text = append(text, of.before+of.what+of.after)
		}
	}
	return fmt.Sprintf("%s (%s)", figures.Title(r.Work, r.Clock), strings.Join(text, ", "))
}

// lone are the rows of a run that the other has not: in words, those of a proxy that the other has not at all in a few.
func lone(run, other *measure.Run) []string {
	out := []string{}
	missing := map[string]int{}
	for i := range run.Rows {
		missing[run.Rows[i].Proxy]++
	}
	for i := range other.Rows {
		delete(missing, other.Rows[i].Proxy)
	}
	for i := range run.Rows {
		r := &run.Rows[i]
		switch n := missing[r.Proxy]; {
		case n > 1:
			out = append(out, fmt.Sprintf("all of proxy %s (%d rows)", r.Proxy, n))
			missing[r.Proxy] = -1
		case n >= 0 && other.Find(r.Key()) == nil:
			out = append(out, words(r))
		}
	}
	return out
}

// warnings: what differs between the machines, and what the runs say of themselves.
func warnings(old, new *measure.Run) []string {
	out := []string{}
	a, b := &old.Machine, &new.Machine
	differ := func(what string, x, y any) {
		if x != y {
			out = append(out, fmt.Sprintf("the machines differ: %s %v, then %v", what, x, y))
		}
	}
	differ("processor", a.CPU, b.CPU)
	differ("processors", a.CPUs, b.CPUs)
	if math.Abs(float64(a.Memory-b.Memory)) > 0.02*float64(max(a.Memory, b.Memory)) {
		differ("memory", figures.Human(measure.Bytes, float64(a.Memory)), figures.Human(measure.Bytes, float64(b.Memory)))
	}
	differ("kernel", a.Kernel, b.Kernel)
	differ("system", a.System, b.System)
	differ("Go", a.Go, b.Go)
	differ("real root", a.Root, b.Root)
	for _, of := range []struct{ a, b map[string]string }{{a.Settings, b.Settings}, {a.Programs, b.Programs}} {
		all := map[string]bool{}
		for k := range of.a {
			all[k] = true
		}
		for k := range of.b {
			all[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(all)) {
			differ(k, said(of.a[k]), said(of.b[k]))
		}
	}
	for _, of := range []struct {
		name string
		r    *measure.Run
	}{{"OLD", old}, {"NEW", new}} {
		if m := of.r.Machine; m.CPUs > 0 && m.Load > float64(m.CPUs)/2 {
			out = append(out, fmt.Sprintf("%s: the machine was busy before: load %.2f on %d processors", of.name, m.Load, m.CPUs))
		}
		for _, n := range of.r.Notes {
			out = append(out, of.name+": "+n)
		}
	}
	return out
}

func said(text string) string {
	if text == "" {
		return "unknown"
	}
	return text
}
