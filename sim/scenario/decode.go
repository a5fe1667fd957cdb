package scenario

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// is checks that a value is a map and has no fields but these.
func (p *parser) is(v *value, what string, known ...string) bool {
	if v.kind != mapValue {
		hint := "."
		if v.kind == listValue {
			hint = ": leave out the \"- \" of its fields."
		}
		p.problem(v.Pos, "%s must be a map, not %s%s %s", what, v.what(), hint, knownWords(known))
		return false
	}
	for _, f := range v.fields {
		if !slices.Contains(known, f.key) {
			p.problem(f.Pos, "%s", unknown("field", f.key, " in "+what, known))
		}
	}
	return true
}

// text is a string field; empty when absent or wrong.
func (p *parser) text(v *value, what string) string {
	if v.absent() {
		return ""
	}
	if v.kind != stringValue {
		p.problem(v.Pos, "%s must be a string, not %s%s", what, v.what(), quoteIt(v))
		return ""
	}
	return v.text
}

// number is an integer field of at least least; 0 when absent or wrong.
func (p *parser) number(v *value, what string, least int) int {
	if v.absent() {
		return 0
	}
	n, err := strconv.Atoi(v.text)
	if v.kind != intValue || err != nil || n < least || n > 1_000_000_000 {
		p.problem(v.Pos, "%s must be a number, %d or more, not %s", what, least, strings.TrimPrefix(v.what(), "the number "))
		return 0
	}
	return n
}

// numberTo is an integer field that has an upper bound too.
func (p *parser) numberTo(v *value, what string, least, most int) int {
	n := p.number(v, what, least)
	if n > most {
		p.problem(v.Pos, "%s must be at most %d, not %d", what, most, n)
		return 0
	}
	return n
}

// duration is a field in Go's style.
func (p *parser) duration(v *value, what string) time.Duration {
	if v.absent() {
		return 0
	}
	d, err := time.ParseDuration(v.text)
	switch {
	case v.kind == intValue && err != nil:
		p.problem(v.Pos, "%s needs a unit: %ss or %sms", what, v.text, v.text)
	case v.kind != stringValue && v.kind != intValue || err != nil:
		p.problem(v.Pos, "%s must be a time such as 5s or 300ms, not %s", what, v.what())
	case d < 0:
		p.problem(v.Pos, "%s cannot be negative", what)
	default:
		return d
	}
	return 0
}

// oneOrMore is what "one, or a list of them" has.
func (p *parser) oneOrMore(v *value, what string) []*value {
	if v.absent() {
		return nil
	}
	if v.kind != listValue {
		return []*value{v}
	}
	if len(v.items) == 0 {
		p.problem(v.Pos, "%s is an empty list", what)
	}
	return v.items
}

var row = regexp.MustCompile(`^[A-Z]+-[0-9]+$`)

// scenarioDocument reads our own document.
func (p *parser) scenarioDocument(v *value) {
	s := p.scenario
	p.is(v, "a Scenario", "apiVersion", "kind", "metadata", "spec")
	if meta := v.get("metadata"); meta.absent() || meta.kind == mapValue && meta.get("name").absent() {
		p.problem(v.at("metadata"), "the Scenario has no name: write \"metadata: {name: …}\"")
	} else if p.is(meta, "metadata", "name", "labels") {
		s.Name = p.word(meta.get("name"), "metadata.name", label)
		s.Labels = p.labels(meta.get("labels"))
	}
	spec := v.get("spec")
	if spec.absent() {
		p.problem(v.Pos, "the Scenario has no spec: write \"spec: {steps: [{probe: everything}]}\"")
		return
	}
	if !p.is(spec, "spec", "about", "covers", "clients", "proxy", "mtu", "steps") {
		return
	}
	s.About = strings.TrimSpace(p.text(spec.get("about"), "about"))
	seen := map[string]bool{}
	for _, c := range p.oneOrMore(spec.get("covers"), "covers") {
		id := p.text(c, "a row in covers")
		switch {
		case id == "" && c.kind != stringValue: // reported
		case !row.MatchString(id):
			p.problem(c.Pos, "%q in covers is no row of the specification, such as CIP-1", shorten(id))
		case seen[id]:
			p.problem(c.Pos, "%s is covered twice", id)
		default:
			s.Covers = append(s.Covers, id)
		}
		seen[id] = true
	}
	if clients := spec.get("clients"); !clients.absent() {
		if clients.kind != listValue {
			p.problem(clients.Pos, "clients must be a list, not %s: write \"[{name: laptop}]\"", clients.what())
		}
		for _, c := range clients.items {
			p.client(c)
		}
	}
	s.Settings = p.settings(spec.get("proxy"))
	s.MTU = p.numberTo(spec.get("mtu"), "mtu", leastMTU, mostMTU)
	p.steps(spec)
}

// labels are what -l selects scenarios by: keys and values as Kubernetes has them.
func (p *parser) labels(v *value) map[string]string {
	if v.absent() {
		return nil
	}
	if v.kind != mapValue {
		p.problem(v.Pos, "metadata.labels must be a map, not %s: write \"{area: basics}\"", v.what())
		return nil
	}
	out := map[string]string{}
	for _, f := range v.fields {
		text := p.text(f.val, "the label "+shorten(f.key))
		if len(validation.IsQualifiedName(f.key)) > 0 {
			p.problem(f.Pos, "%q is no key of a label: write letters and digits with \"-\", \"_\" or \".\" between, at most 63, and before them perhaps a domain and \"/\"", shorten(f.key))
		}
		if len(validation.IsValidLabelValue(text)) > 0 {
			p.problem(f.val.Pos, "%q is no value of a label: write letters and digits with \"-\", \"_\" or \".\" between, at most 63", shorten(text))
		}
		out[f.key] = text
	}
	return out
}

func (p *parser) client(v *value) {
	if !p.is(v, "a client", "name", "addresses") {
		return
	}
	c := Client{Pos: v.Pos, Name: p.word(v.get("name"), "a client's name", label)}
	if v.get("name").absent() {
		p.problem(v.Pos, "the client has no name")
	}
	for _, have := range p.scenario.Clients {
		if have.Name == c.Name && c.Name != "" {
			p.problem(v.at("name"), "a second client %q; the first is in line %d", c.Name, have.Line)
		}
	}
	for _, av := range p.oneOrMore(v.get("addresses"), "addresses") {
		a, err := netip.ParseAddr(p.text(av, "an address"))
		switch {
		case av.kind != stringValue: // reported
		case err != nil || a.Zone() != "" || a.Is4In6() || a.IsUnspecified() || a.IsMulticast():
			p.problem(av.Pos, "%q is not the address of a host, such as 203.0.113.7 or 2001:db8::7", shorten(av.text))
		case len(c.Addresses) > 0 && (len(c.Addresses) > 1 || c.Addresses[0].Is4() == a.Is4()):
			p.problem(av.Pos, "client %s has a second %s address; it can have one a family", c.Name, familyName(a))
		default:
			c.Addresses = append(c.Addresses, a)
		}
	}
	// A client that is not quite right is kept: that a step names it is no second mistake.
	p.scenario.Clients = append(p.scenario.Clients, c)
}

func familyName(a netip.Addr) string {
	if a.Is4() {
		return "IPv4"
	}
	return "IPv6"
}

func (p *parser) steps(spec *value) {
	v := spec.get("steps")
	switch {
	case v.absent() && slices.ContainsFunc(spec.fields, func(f field) bool { return f.key != "steps" && didYouMean(f.key, []string{"steps"}) != "" }):
		return // misspelt, and reported as the unknown field that it is
	case v.absent():
		p.problem(spec.Pos, "the scenario has no steps: write at least \"steps: [{probe: everything}]\"")
		return
	case v.kind != listValue:
		p.problem(v.Pos, "steps must be a list, not %s: start each step with \"- \"", v.what())
		return
	case len(v.items) == 0:
		p.problem(v.Pos, "the list of steps is empty: write at least \"- probe: everything\"")
		return
	}
	for i, it := range v.items {
		lost := p.lost
		p.scenario.Steps = append(p.scenario.Steps, p.step(it))
		if p.lost && !lost {
			p.lostAfter = i
		}
	}
}

// step reads one; a wrong one comes back without a kind, and holds its place.
func (p *parser) step(v *value) Step {
	s := Step{Pos: v.Pos}
	if v.kind != mapValue || len(v.fields) == 0 {
		p.problem(v.Pos, "a step is a map with one of %s, not %s", strings.Join(Kinds, ", "), v.what())
		return s
	}
	var kinds []field
	beside := false // fields of a step that stand where the step's kind does
	for _, f := range v.fields {
		switch {
		case slices.Contains(Kinds, f.key):
			kinds = append(kinds, f)
		case slices.Contains(probeFields, f.key) || slices.Contains(changeFields, f.key) || slices.Contains(restartFields, f.key):
			beside = true
			p.problem(f.Pos, "%q stands beside the step, not in it: indent it further", f.key)
		default:
			p.problem(f.Pos, "%s", unknown("step", f.key, "", Kinds))
		}
	}
	if len(kinds) > 1 {
		p.problem(kinds[1].Pos, "%q and %q in one step: start each with its own \"- \"", kinds[0].key, kinds[1].key)
		return s
	}
	if len(kinds) == 0 || beside && kinds[0].val.kind == nullValue {
		return s
	}
	before := len(p.problems)
	switch kinds[0].key {
	case "probe":
		s.Probe = p.probe(kinds[0].val)
	case "change":
		s.Change = p.change(kinds[0].val)
	case "restart":
		s.Restart = p.restart(kinds[0].val)
	case "flush":
		s.Flush = p.flush(kinds[0].val)
	case "health":
		s.Health = p.health(kinds[0].val)
	case "wait":
		s.Wait = &Wait{Pos: kinds[0].val.Pos, For: p.duration(kinds[0].val, "wait")}
	}
	if len(p.problems) > before {
		s = Step{Pos: v.Pos}
		p.lost = p.lost || kinds[0].key == "change"
	}
	return s
}

// percent reads "10%" or 0.1, more than nothing and at most the whole.
func (p *parser) percent(v *value, what string) float64 {
	text, isPercent := strings.CutSuffix(v.text, "%")
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	if isPercent {
		f /= 100
	}
	switch {
	case v.kind == boolValue || v.kind == listValue || v.kind == mapValue || v.kind == nullValue || err != nil || f != f:
		p.problem(v.Pos, "%s must be a part such as 10%% or 0.1, not %s", what, v.what())
	case f <= 0:
		p.problem(v.Pos, "%s must be more than 0", what)
	case f > 1 && !isPercent:
		p.problem(v.Pos, "%s must be at most 1, the whole, not %s: did you mean %s%%?", what, v.text, v.text)
	case f > 1:
		p.problem(v.Pos, "%s must be at most 100%%, not %s", what, v.text)
	default:
		return f
	}
	return 0
}
