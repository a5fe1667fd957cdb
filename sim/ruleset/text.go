package ruleset

import (
	"cmp"
	"fmt"
	"io"
	"strings"
)

// Text writes a node's rules for people. title is what stands beside the node's name.
func Text(w io.Writer, n Node, title string) error {
	p := &printer{w: w}
	p.line("node %s, %s", n.Name, title)
	for _, s := range n.Services {
		p.line("")
		p.service(s)
	}
	if len(n.Shared) > 0 {
		p.line("")
		p.line("What every Service meets%s", map[bool]string{true: ", as far as these do", false: ""}[n.Hidden.Off > 0])
		p.entries(n.Shared, "  ")
	}
	if len(n.Unknown) > 0 {
		p.line("")
		p.line("Not recognized: %s that nobody here can name", counted(len(n.Unknown), "line"))
		p.plain(n.Unknown, "  ")
	}
	if text := n.Hidden.String(); text != "" {
		p.line("")
		p.line("Not shown: %s", text)
	}
	return p.err
}

// String says what is not shown; empty: nothing.
func (h Hidden) String() string {
	var parts []string
	add := func(n int, what string) {
		if n > 0 {
			parts = append(parts, counted(n, "line")+what)
		}
	}
	add(h.Others, " of other Services")
	add(h.Off, " on their ways only")
	add(h.Family, " of the other family, in which no Service has an address")
	return strings.Join(parts, ", ")
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

type printer struct {
	w   io.Writer
	err error
}

func (p *printer) line(format string, args ...any) {
	if p.err == nil {
		_, p.err = fmt.Fprintf(p.w, format+"\n", args...)
	}
}

// name is "default/web:http 80/TCP".
func (s Service) name() string {
	name := s.Service
	if s.Port != "" {
		name += ":" + s.Port
	}
	return fmt.Sprintf("%s %d/%s", name, s.Number, s.Protocol)
}

// title is "service/web, port http, 80/TCP (shop.yaml:47)".
func (s Service) title() string {
	title := "service/" + strings.TrimPrefix(s.Service, "default/") + ", port "
	if s.Port != "" {
		title += s.Port + ", "
	}
	title += fmt.Sprintf("%d/%s", s.Number, s.Protocol)
	if s.Where != "" {
		title += " (" + s.Where + ")"
	}
	return title
}

func (p *printer) service(s Service) {
	title := s.title()
	if s.Gone {
		title += ": it is there no more, but rules of it are"
	}
	p.line("%s", title)
	for _, e := range s.Endpoints {
		p.line("  endpoint %s", e)
	}
	if len(s.Endpoints) == 0 {
		p.line("  no endpoint")
	}
	p.fronts(s.Entries, "  ")
	if len(s.Entries) == 0 {
		p.line("  nothing: the node has no rule for it")
	}
}

// fronts are a Service's lines, front by front.
func (p *printer) fronts(list []Entry, indent string) {
	for from, to := 0, 0; from < len(list); from = to {
		for to = from; to < len(list) && list[to].Front == list[from].Front; to++ {
		}
		p.line("%s%s%s", indent, cmp.Or(list[from].Front, "every front"), ofKind(list[from]))
		p.entries(list[from:to], indent+"  ")
	}
}

// String is "10.244.1.10:8080, pod/web-1 on node-1 (shop.yaml:20), of EndpointSlice web-abcde".
func (e Endpoint) String() string {
	text := e.Address
	if e.Pod != "" {
		text += ", pod/" + strings.TrimPrefix(e.Pod, "default/")
	}
	if e.Node != "" {
		text += " on " + e.Node
	}
	if e.PodWhere != "" {
		text += " (" + e.PodWhere + ")"
	}
	text += ", of EndpointSlice " + strings.TrimPrefix(e.Slice, "default/")
	if e.SliceWhere != "" {
		text += " (" + e.SliceWhere + ")"
	}
	if e.Gone {
		text += ": gone"
	}
	return text
}

// entries are told by section, and those of one chain or set together.
func (p *printer) entries(list []Entry, indent string) {
	section, where := "", ""
	for _, e := range list {
		if e.Section != section {
			p.line("%s%s", indent, e.Section)
			section, where = e.Section, ""
		}
		if e.where != where {
			p.line("%s  %s%s", indent, e.where, hooked(e))
			where = e.where
		}
		p.line("%s    # %s", indent, e.Words)
		p.line("%s    %s", indent, e.Text)
	}
}

// plain are lines that nobody can say anything about.
func (p *printer) plain(list []Entry, indent string) {
	where := ""
	for _, e := range list {
		if e.where != where {
			p.line("%s%s%s", indent, e.where, hooked(e))
			where = e.where
		}
		p.line("%s  %s", indent, e.Text)
	}
}

func hooked(e Entry) string {
	if e.Hook == "" {
		return ""
	}
	return " (" + e.Hook + ")"
}
