package ruleset

import (
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"svclab/sim/naming"
)

// Programmed writes what some nodes have for one object, without what every Service meets: the lines of their Services that keep
// wants. title begins it.
func Programmed(w io.Writer, title string, nodes []Node, keep func(Entry) bool) error {
	p := &printer{w: w}
	p.line("\n%s:", title)
	for _, n := range nodes {
		p.line("  node %s", n.Name)
		nothing := true
		for _, s := range n.Services {
			var kept []Entry
			for _, e := range s.Entries {
				if keep(e) {
					kept = append(kept, e)
				}
			}
			if len(kept) == 0 {
				continue
			}
			nothing = false
			p.line("    %s", s.title())
			p.fronts(kept, "      ")
		}
		if nothing {
			p.line("    nothing")
		}
		if len(n.Unknown) > 0 {
			p.line("    and %s that nobody here can name: svclab rules shows them", counted(len(n.Unknown), "line"))
		}
	}
	return p.err
}

// Summary writes what a node has for each Service in a line: its fronts, and whom they lead to.
func Summary(w io.Writer, title string, n Node) error {
	total := len(n.Shared) + len(n.Unknown) + n.Hidden.Others + n.Hidden.Off + n.Hidden.Family
	for _, s := range n.Services {
		total += len(s.Entries)
	}
	p := &printer{w: w}
	p.line("\n%s: %d rules and elements, %d of them not recognized", title, total, len(n.Unknown))
	if p.err != nil {
		return p.err
	}
	tabs := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	p.w = tabs
	p.line("  Service\tPort\tFronts\tEndpoints")
	p.line("  -------\t----\t------\t---------")
	for _, s := range n.Services {
		port := strings.TrimPrefix(s.name(), s.Service)
		p.line("  %s\t%s\t%s\t%s", s.Service, strings.TrimLeft(port, ": "), orNone(s.programmedFronts()), orNone(s.programmedEndpoints()))
	}
	if p.err != nil {
		return p.err
	}
	return tabs.Flush()
}

func orNone(list []string) string {
	if len(list) == 0 {
		return "<none>"
	}
	return strings.Join(list, ", ")
}

// programmedFronts are those that the node knows.
func (s Service) programmedFronts() (out []string) {
	for _, e := range s.Entries {
		if e.Front != "" && !slices.Contains(out, e.Front) {
			out = append(out, e.Front)
		}
	}
	return out
}

// programmedEndpoints are those to which the node translates; or that it refuses or drops.
func (s Service) programmedEndpoints() (out []string) {
	add := func(text string) {
		if !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	refused := false
	for _, e := range s.Entries {
		if e.Part != naming.Masquerade.String() {
			for _, a := range e.Endpoints {
				add(a)
			}
		}
		refused = refused || e.Part == naming.Refuse.String() || strings.HasSuffix(e.Words, "chain refuse") || strings.HasSuffix(e.Words, "chain ignore")
	}
	slices.Sort(out)
	if refused {
		out = append(out, "some or all is refused or dropped")
	}
	return out
}
