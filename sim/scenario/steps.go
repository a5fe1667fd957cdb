package scenario

import (
	"reflect"
	"slices"
	"strings"
)

var (
	probeFields   = []string{"from", "to", "fair", "session", "flows", "size", "fault", "rate", "expect", "via"}
	changeFields  = []string{"delete", "apply", "merge", "within", "wrongs", "repeat", "during"}
	restartFields = []string{"nodes", "down", "during"}
	flushFields   = []string{"nodes", "within", "wrongs"}
	fromKinds     = []string{"pod", "node", "client"}
	objectKinds   = []string{"pod", "service", "node", "endpointslice"}
)

// Outcomes are the words for "expect". They are those of sim/world, which the language does not import; a test of the
// engine compares the two lists.
var Outcomes = []string{"answered", "refused", "reset", "unreachable", "denied", "silent"}

// Faults are the words for "fault": what the other end does wrong.
var Faults = []string{OutOfWindow}

// OutOfWindow: over TCP, the server sends a segment far above the client's window before it answers.
const OutOfWindow = "out-of-window"

func (p *parser) probe(v *value) *Probe {
	pr := &Probe{Pos: v.Pos}
	if v.kind == stringValue {
		if pr.Everything = v.text == "everything"; !pr.Everything {
			p.problem(v.Pos, "a probe is the word \"everything\" or a map with from and to, not %q%s", shorten(v.text), didYouMean(v.text, []string{"everything"}))
		}
		return pr
	}
	if v.kind != mapValue && v.kind != listValue {
		p.problem(v.Pos, "a probe is the word \"everything\" or a map with from and to, not %s", v.what())
		return pr
	}
	if !p.is(v, "a probe", probeFields...) {
		return pr
	}
	for _, f := range p.oneOrMore(v.get("from"), "from") {
		if r, ok := p.ref(f, "a sender", fromKinds); ok {
			pr.From = append(pr.From, r)
			p.at[pr] = append(p.at[pr], f.Pos)
		}
	}
	for _, t := range p.oneOrMore(v.get("to"), "to") {
		if t, ok := p.target(t); ok {
			pr.To = append(pr.To, t)
		}
	}
	// A misspelt "from" or "to" was reported as the unknown field that it is.
	misspelt := slices.ContainsFunc(v.fields, func(f field) bool { return !slices.Contains(probeFields, f.key) })
	if v.get("from").absent() && !misspelt {
		p.problem(v.Pos, "the probe comes from nowhere: add \"from: pod/…\", or write \"probe: everything\"")
	}
	if v.get("to").absent() && !misspelt {
		p.problem(v.Pos, "the probe goes nowhere: add \"to: service/…:80\", or write \"probe: everything\"")
	}
	pr.Flows = p.number(v.get("flows"), "flows", 1)
	pr.Size = p.numberTo(v.get("size"), "size", 1, mostSize)
	pr.Rate = p.number(v.get("rate"), "rate", 1)
	pr.Session = p.text(v.get("session"), "session")
	if e := v.get("expect"); !e.absent() {
		if pr.Expect = p.text(e, "expect"); e.kind == stringValue && !slices.Contains(Outcomes, pr.Expect) {
			p.problem(e.Pos, "%s", unknown("outcome", pr.Expect, "", Outcomes))
		}
	}
	if f := v.get("fault"); !f.absent() {
		if pr.Fault = p.text(f, "fault"); f.kind == stringValue && !slices.Contains(Faults, pr.Fault) {
			p.problem(f.Pos, "%s", unknown("fault", pr.Fault, "", Faults))
		}
	}
	p.fair(v, pr)
	if via := v.get("via"); !via.absent() {
		p.via(via, pr)
	}
	return pr
}

func (p *parser) fair(v *value, pr *Probe) {
	fair := v.get("fair")
	if fair.absent() {
		return
	}
	bias := fair.get("bias")
	if fair.kind == mapValue && !p.is(fair, "fair", "bias") {
		return
	}
	if bias.absent() {
		p.problem(fair.Pos, "fair needs the bias that is to be seen: write \"fair: {bias: 10%%}\"")
		return
	}
	pr.Fair = &Fair{Bias: p.percent(bias, "bias")}
	if pr.Session != "" {
		p.problem(fair.Pos, "fair and session contradict each other: flows of one session do not choose anew")
	}
	if pr.Expect != "" && pr.Expect != "answered" {
		p.problem(fair.Pos, "fair and \"expect: %s\" contradict each other: only answers can be shared fairly", pr.Expect)
	}
}

func (p *parser) via(v *value, pr *Probe) {
	text := strings.TrimPrefix(p.text(v, "via"), "node/")
	if v.kind == stringValue && !subdomain.MatchString(text) {
		p.problem(v.Pos, "via must be the name of a node, not %q", shorten(v.text))
		return
	}
	pr.Via = text
	p.at[via{pr}] = []Pos{v.Pos}
	for _, r := range pr.From {
		if r.Kind != "client" {
			p.problem(v.Pos, "via is for clients, which enter by some node; %s is inside already", r)
			return
		}
	}
}

// via is the key of a probe's via in parser.at.
type via struct{ *Probe }

func (p *parser) change(v *value) *Change {
	c := &Change{Pos: v.Pos}
	if !p.is(v, "a change", changeFields...) {
		return c
	}
	for _, d := range p.oneOrMore(v.get("delete"), "delete") {
		if r, ok := p.ref(d, "what is deleted", objectKinds); ok {
			c.Delete = append(c.Delete, r)
			p.at[c] = append(p.at[c], d.Pos)
		}
	}
	for _, a := range p.oneOrMore(v.get("apply"), "apply") {
		p.apply(a, c)
	}
	nodesFirst(c.Apply)
	if m := v.get("merge"); !m.absent() {
		p.merge(m, c)
	}
	misspelt := slices.ContainsFunc(v.fields, func(f field) bool { return !slices.Contains(changeFields, f.key) })
	if v.get("delete").absent() && v.get("apply").absent() && v.get("merge").absent() && !misspelt {
		p.problem(v.Pos, "the change changes nothing: it needs at least one of delete, apply, merge")
	}
	c.Within = p.duration(v.get("within"), "within")
	if w := v.get("wrongs"); !w.absent() {
		n := p.number(w, "wrongs", 0)
		c.Wrongs = &n
	}
	c.Repeat = p.number(v.get("repeat"), "repeat", 1)
	c.During = p.during(v.get("during"))
	return c
}

// during reads the flows that are sent while a step does something else.
func (p *parser) during(d *value) *Probe {
	if d.absent() || !p.is(d, "during", "probe") {
		return nil
	}
	pr := d.get("probe")
	if pr.absent() {
		p.problem(d.Pos, "during is empty: write \"during: {probe: {from: …, to: …}}\"")
		return nil
	}
	if fair := pr.get("fair"); !fair.absent() {
		p.problem(fair.Pos, "under a change nothing is fair, for the shares change: probe for it in a step of its own")
	}
	return p.probe(pr)
}

// apply takes an object written here, or the name of one that is written elsewhere in the file.
func (p *parser) apply(v *value, c *Change) {
	if v.kind != mapValue {
		r, ok := p.ref(v, "what is applied", objectKinds)
		if !ok {
			return
		}
		l := p.written(r)
		switch {
		case l != nil:
			c.Apply = append(c.Apply, Object{Pos: v.Pos, Ref: r, Object: l.Object.Object})
		case !p.unnamed:
			hint := p.nearest(r)
			if !strings.HasSuffix(hint, "?") {
				hint += "."
			}
			p.problem(v.Pos, "%s is nowhere in the file%s To make a new one, write the object here", r, hint)
		}
		return
	}
	api, kind, ok := p.typeOf(v)
	if !ok {
		return
	}
	before := len(p.problems)
	l := p.object(v, api, kind)
	if l != nil {
		p.inline = append(p.inline, l)
		c.Apply = append(c.Apply, l.Object)
	} else if len(p.problems) == before {
		delete(p.scenario.Ignored, api+" "+kind)
		p.problem(v.at("kind"), "the lab has no use for %s %s; it knows Service, Pod, Node and EndpointSlice", api, kind)
	}
}

// written finds an object: the file's document, or else the latest that a step wrote.
func (p *parser) written(r Ref) *located {
	for _, l := range p.objects {
		if l.Ref == r {
			return l
		}
	}
	for _, l := range slices.Backward(p.inline) {
		if l.Ref == r {
			return l
		}
	}
	return nil
}

func (p *parser) merge(v *value, c *Change) {
	if v.kind != mapValue || len(v.fields) == 0 {
		p.problem(v.Pos, "merge must be a map from an object to its patch, such as {pod/web-1: {status: …}}, not %s", v.what())
		return
	}
	for _, f := range v.fields {
		r, err := parseRef(f.key, "what is patched", objectKinds)
		if err != nil {
			p.problem(f.Pos, "%v", err)
			continue
		}
		if f.val.kind != mapValue {
			p.problem(f.val.Pos, "the patch of %s must be a map, not %s", r, f.val.what())
			continue
		}
		// A patch is written for this file, not pasted: a field that is not there is a slip, and would change nothing.
		pasted := len(p.warnings)
		p.fits(f.val, reflect.TypeOf(kindOf(r.Kind).fresh()).Elem(), "")
		p.problems = append(p.problems, p.warnings[pasted:]...)
		p.warnings = p.warnings[:pasted]
		for _, fixed := range []string{"name", "namespace"} {
			if have := f.val.get("metadata").get(fixed); have != nil {
				p.problem(have.Pos, "a patch cannot change metadata.%s: delete the object and apply another", fixed)
			}
		}
		c.Merge = append(c.Merge, Patch{Pos: f.Pos, Ref: r, JSON: f.val.json()})
		p.patches[c] = append(p.patches[c], f.val)
	}
}
