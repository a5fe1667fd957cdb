package scenario

import (
	"net/netip"
	"regexp"
	"slices"
	"strings"
)

// APIVersion is that of our own document.
const APIVersion = "svclab/v1alpha1"

// Parse reads a scenario file. The error is Problems: everything that is wrong, each with its place.
func Parse(file string, text []byte) (*Scenario, error) {
	p := &parser{
		report:   &report{file: file},
		scenario: &Scenario{File: file, Ignored: map[string]int{}},
		at:       map[any][]Pos{}, patches: map[*Change][]*value{}, had: map[netip.Addr]*located{}, homes: map[home]owned{},
	}
	docs := p.documents(text)
	if err := p.err(); err != nil && docs == nil {
		return nil, err
	}
	if len(docs) == 0 {
		p.problem(Pos{}, "the file is empty: a scenario needs at least a v1 Node, and a Service to probe")
		return nil, p.err()
	}
	for _, d := range docs {
		p.document(d)
	}
	s := p.scenario
	s.Pos = p.within(docs[0].Pos)
	if p.main == nil {
		s.Name = p.defaultName()
		s.Steps = []Step{{Pos: s.Pos, Probe: &Probe{Pos: s.Pos, Everything: true}}}
	} else {
		s.Pos = p.main.Pos
		p.scenarioDocument(p.main)
	}
	p.checkObjects()
	p.checkClients()
	p.checkSettings()
	p.checkSteps()
	if len(p.problems) > 0 {
		p.misspelt()
		return nil, p.err()
	}
	for _, l := range p.objects {
		s.Objects = append(s.Objects, l.Object)
	}
	nodesFirst(s.Objects)
	byPlace(p.warnings)
	s.Warnings = p.warnings
	return s, nil
}

// nodesFirst: a pod can only be put on a node that is there, but kubectl prints them as they were asked for.
func nodesFirst(objects []Object) {
	rank := func(o Object) int {
		if o.Ref.Kind == "node" {
			return 0
		}
		return 1
	}
	slices.SortStableFunc(objects, func(a, b Object) int { return rank(a) - rank(b) })
}

// misspelt makes problems of those warnings that look like slips: in a file that is wrong they may well be why.
func (p *parser) misspelt() {
	for _, w := range p.warnings {
		if strings.Contains(w.What, "did you mean") {
			p.problems = append(p.problems, w)
		}
	}
}

// parser is one file being read: first what each document says by itself, then whether they fit together.
type parser struct {
	*report
	scenario *Scenario
	main     *value     // the Scenario document
	objects  []*located // of the file, in its order
	inline   []*located // of steps, in their order

	// unnamed: an object could not even be named, so that what is not found might be that one.
	unnamed bool
	// lost: a change could not be read, so that what is there after that step is not known.
	lost      bool
	lostAfter int
	// patches has the text of a Change's Merge.
	patches map[*Change][]*value
	// had is who has, or had before it was deleted, a pod's address; and where that was said.
	had   map[netip.Addr]*located
	homes map[home]owned
	// at has the places of a Probe's From and a Change's Delete, which Ref has no room for.
	at map[any][]Pos
}

// located is an object and where each part of it was written.
type located struct {
	Object
	v     *value
	sound bool // it decoded; of what did not, only Ref is known
	named Pos  // where a change names it instead of writing it: its problems there are told there
}

// place is that of a part of the object.
func (l *located) place(path ...any) Pos {
	if l.named != (Pos{}) {
		return l.named
	}
	return l.v.at(path...)
}

// document takes one document, or one item of a List.
func (p *parser) document(v *value) {
	if v.kind != mapValue {
		p.unnamed = true
		p.problem(v.Pos, "a document is a map with apiVersion, kind and metadata, not %s", v.what())
		return
	}
	api, kind, ok := p.typeOf(v)
	switch {
	case !ok:
		p.unnamed = true
	case kind == "Scenario" || strings.HasPrefix(api, "svclab/"):
		p.ours(v, api, kind)
	case api == "v1" && kind == "List":
		items := v.get("items")
		if items == nil || items.kind != listValue {
			p.problem(v.Pos, "a List needs a list of items")
			return
		}
		for _, it := range items.items {
			p.document(it)
		}
	default:
		if l := p.object(v, api, kind); l != nil {
			p.objects = append(p.objects, l)
		}
	}
}

// typeOf reads apiVersion and kind.
func (p *parser) typeOf(v *value) (api, kind string, ok bool) {
	ok = true
	read := func(name, example string) string {
		f := v.get(name)
		if f != nil && f.str() != "" {
			return f.text
		}
		ok = false
		if f != nil {
			p.problem(f.Pos, "%s must be a word such as %q, not %s", name, example, f.what())
			return ""
		}
		for _, f := range v.fields {
			if didYouMean(f.key, []string{name}) != "" {
				p.problem(f.Pos, "unknown field %q: did you mean %q?", f.key, name)
				return ""
			}
		}
		p.problem(v.Pos, "the document has no %s: write for example \"%s: %s\"", name, name, example)
		return ""
	}
	api = read("apiVersion", "v1")
	kind = read("kind", "Service")
	return api, kind, ok
}

// ours takes a document of our own apiVersion.
func (p *parser) ours(v *value, api, kind string) {
	if kind != "Scenario" {
		p.problem(v.at("kind"), "%s", unknown("kind", kind, "", []string{"Scenario"}))
		return
	}
	if api != APIVersion {
		p.problem(v.at("apiVersion"), "unknown apiVersion %q of a Scenario: write %q", api, APIVersion)
	}
	if p.main != nil {
		p.problem(v.Pos, "a second Scenario; a file has one, and the first is in line %d", p.main.Line)
		return
	}
	p.main = v
}

// label is an RFC 1123 label, which is what Kubernetes takes for the names of Services and of most things.
var label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// subdomain is an RFC 1123 subdomain: labels with dots between, for Pods, Nodes and EndpointSlices.
var subdomain = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// word is a name whose form is checked.
func (p *parser) word(v *value, what string, form *regexp.Regexp) string {
	switch {
	case v.absent():
		return ""
	case v.kind != stringValue:
		p.problem(v.Pos, "%s must be a string, not %s%s", what, v.what(), quoteIt(v))
		return ""
	case len(v.text) > 253 || !form.MatchString(v.text):
		p.problem(v.Pos, "%s %q is no name: write lower-case letters, digits and \"-\", with a letter or digit at both ends", what, shorten(v.text))
		return ""
	}
	return v.text
}

// quoteIt is the remedy for a number or boolean where a string is wanted.
func quoteIt(v *value) string {
	switch v.kind {
	case intValue, floatValue, boolValue:
		return ": put it in quotes, \"" + v.text + "\""
	}
	return ""
}

var notInNames = regexp.MustCompile(`[^a-z0-9]+`)

// defaultName is the file's, made into a name.
func (p *parser) defaultName() string {
	name := strings.Trim(notInNames.ReplaceAllString(strings.ToLower(nameOfFile(p.file)), "-"), "-")
	if name == "" {
		return "scenario" // standard input is "-"
	}
	return name[:min(len(name), 63)]
}
