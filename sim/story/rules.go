package story

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"svclab/reports/tell"
	"svclab/sim/evidence"
	"svclab/sim/naming"
)

// The rules that give a packet another destination, or another source; without their comments, which may have the same words.
var (
	dnatRule  = regexp.MustCompile(`-j (DNAT|REDIRECT)\b|\bdnat (ip6? )?to\b|\bredirect\b`)
	snatRule  = regexp.MustCompile(`-j (MASQUERADE|SNAT)\b|\bmasquerade\b|\bsnat (ip6? )?to\b`)
	markRule  = regexp.MustCompile(`-j MARK\b|\bmeta mark set\b`)
	remark    = regexp.MustCompile(`(-m comment )?(--)?comment "[^"]*"`)
	manyDrawn = regexp.MustCompile(`numgen random mod ([2-9]|\d\d)`)
	leads     = regexp.MustCompile(`-[jg] (\S+)`)
)

func says(r *evidence.Rule, what *regexp.Regexp) bool {
	return r.Kind == "rule" && what.MatchString(remark.ReplaceAllString(r.Text, ""))
}

// lastRule is the last of a hook's rules that does such a thing; nil: none.
func lastRule(h *evidence.Hook, what *regexp.Regexp) *evidence.Rule {
	for i := len(h.Rules) - 1; i >= 0; i-- {
		if says(&h.Rules[i], what) {
			return &h.Rules[i]
		}
	}
	return nil
}

// leadsTo reports whether a rule sends a packet on to a chain.
func leadsTo(r *evidence.Rule, chain string) bool {
	if _, to, ok := strings.Cut(r.Verdict, " "); ok {
		return to == chain
	}
	m := leads.FindStringSubmatch(remark.ReplaceAllString(r.Text, ""))
	return m != nil && m[1] == chain
}

// path are the rules that led a packet from the kernel's hook to the rule that acted, and those that marked it on the way; how many
// others it met is counted.
func path(h *evidence.Hook, acted *evidence.Rule) (out []*evidence.Rule, others int) {
	needed := ""
	at := len(h.Rules)
	for i := range h.Rules {
		if &h.Rules[i] == acted || h.Rules[i].Handle == acted.Handle && h.Rules[i].Number == acted.Number && h.Rules[i].Chain == acted.Chain && h.Rules[i].Table == acted.Table && h.Rules[i].Kind == acted.Kind {
			at = i
			needed = acted.Chain
		}
	}
	if at == len(h.Rules) {
		return []*evidence.Rule{acted}, 0
	}
	out = append(out, &h.Rules[at])
	for i := at - 1; i >= 0; i-- {
		r := &h.Rules[i]
		switch {
		case r.Kind != "rule":
		case r.Table == acted.Table && r.Family == acted.Family && leadsTo(r, needed):
			needed = r.Chain
			out = append(out, r)
		case r.Table == acted.Table && says(r, markRule):
			out = append(out, r)
		default:
			others++
		}
	}
	slices.Reverse(out)
	return out, others
}

// place names a rule's place.
func place(r *evidence.Rule) string {
	text := "table " + r.Family + " " + r.Table + ", chain " + r.Chain
	switch {
	case r.Handle != 0:
		text += fmt.Sprintf(", handle %d", r.Handle)
	case r.Number != 0:
		text += fmt.Sprintf(", rule %d", r.Number)
	case r.Kind == "policy":
		text += ", its policy"
	}
	return text
}

// bare is a rule's text without its chain, which is told beside it.
func bare(r *evidence.Rule) string {
	switch {
	case r.Kind == "policy" && r.Text == "":
		return "policy " + r.Verdict
	case r.Text == "":
		return "(its text could not be had)"
	}
	return strings.TrimPrefix(r.Text, "-A "+r.Chain+" ")
}

// meaning is what a rule is there for; not recognized ones say so.
func (b *builder) meaning(r *evidence.Rule) naming.Meaning {
	if r.Text == "" {
		return naming.Meaning{}
	}
	return b.Index.Rule(naming.Chain{Family: r.Family, Table: r.Table, Name: r.Chain}, r.Text)
}

func (b *builder) rule(r *evidence.Rule, acted bool) tell.Rule {
	m := b.meaning(r)
	out := tell.Rule{Where: place(r), Text: bare(r), Means: m.Words, Acted: acted}
	if !m.Known() && b.Index.Layout() != naming.Unknown && r.Kind == "rule" {
		out.Means = "not one of the rules that are known of " + b.Proxy
	}
	for i := range r.Lookups {
		l := &r.Lookups[i]
		e := b.Index.Element(naming.Set{Family: r.Family, Table: r.Table, Name: l.Set}, l.Key, l.Data)
		text := fmt.Sprintf("%s { %s }", l.Set, l.Key)
		switch {
		case !l.Found:
			text = fmt.Sprintf("%s has no element %s", l.Set, l.Key)
			e.Words = ""
		case l.Data != "":
			text = fmt.Sprintf("%s { %s : %s }", l.Set, l.Key, l.Data)
		}
		if l.Drawn {
			text += "   drawn by lot"
		}
		out.Lookups = append(out.Lookups, tell.Element{Text: text, Means: e.Words})
		if l.Found && m.Front == nil && e.Front != nil {
			m.Front, m.Ports = e.Front, e.Ports
		}
	}
	switch {
	case m.Front != nil:
		out.Objects = append(out.Objects, b.frontText(m.Front))
	case acted && len(m.Ports) == 1 && (b.front == nil || b.front.Port != m.Ports[0]):
		out.Objects = append(out.Objects, b.portText(m.Ports[0]))
	}
	if e := b.endpoint(); e != nil && acted && says(r, dnatRule) {
		out.Objects = append(out.Objects, "here: "+b.podText(e))
	}
	out.Objects = slices.DeleteFunc(out.Objects, func(text string) bool {
		if b.told["object "+text] {
			return true
		}
		b.told["object "+text] = true
		return false
	})
	return out
}

// rules are those that led to the one that acted, and what is said of the others.
func (b *builder) rules(h *evidence.Hook, acted *evidence.Rule) (out []tell.Rule, others []string) {
	list, n := path(h, acted)
	for i, r := range list {
		out = append(out, b.rule(r, i == len(list)-1))
	}
	if n > 0 {
		others = []string{upper(count(n, "other rule")) + " looked at it and let it pass."}
	}
	return out, others
}

func count(n int, what string) string {
	if n == 1 {
		return "one " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// met says which rules of a hook a packet met when none of them did anything to it.
func met(h *evidence.Hook) (n int, chains []string) {
	for _, r := range h.Rules {
		if r.Kind != "rule" {
			continue
		}
		n++
		if name := r.Table + " " + r.Chain; !slices.Contains(chains, name) {
			chains = append(chains, name)
		}
	}
	return n, chains
}

func (b *builder) portText(p *naming.Port) string {
	return fmt.Sprintf("Service %s, port %d/%s%s", p.Service, p.Number, p.Proto, where(p.Where))
}

func (b *builder) frontText(f *naming.Front) string {
	return fmt.Sprintf("%s %s of Service %s, port %d/%s%s", f.Kind, strings.TrimPrefix(f.String(), string(f.Kind)+" "), f.Port.Service, f.Port.Number, f.Port.Proto, where(f.Port.Where))
}

// podText says who an endpoint is.
func (b *builder) podText(e *naming.Endpoint) string {
	text := e.Addr.String() + " = " + e.String()
	if e.Node != "" {
		text += " on " + e.Node
	}
	return text + where(e.PodWhere)
}

// endpointText also says where it comes from.
func (b *builder) endpointText(e *naming.Endpoint) string {
	text := b.podText(e) + ", in EndpointSlice " + e.Slice.String()
	if e.SliceWhere == "" {
		return text + " (made of the Service's selector, as a cluster's controller does)"
	}
	return text + where(e.SliceWhere)
}

func where(text string) string {
	if text == "" {
		return ""
	}
	return " (" + text + ")"
}
