package ruleset

import (
	"cmp"
	"slices"
	"strings"

	"svclab/sim/naming"
)

// Node is the rules of one node, sorted out.
type Node struct {
	Name     string    `json:"name"`
	Services []Service `json:"services"`
	Shared   []Entry   `json:"shared"`        // what every Service meets
	Unknown  []Entry   `json:"notRecognized"` // of none of these nobody knows what it is there for
	Hidden   Hidden    `json:"notShown"`
}

// Service is one port of a Service and the lines that are there for it alone.
type Service struct {
	Service   string     `json:"service"` // "default/web"
	Port      string     `json:"port,omitempty"`
	Number    int32      `json:"number"`
	Protocol  string     `json:"protocol"`
	Where     string     `json:"where,omitempty"` // "shop.yaml:47"
	Gone      bool       `json:"gone,omitempty"`  // it is there no more
	Endpoints []Endpoint `json:"endpoints"`
	Entries   []Entry    `json:"rules"`
}

// Endpoint is one endpoint of a Service, ready or not.
type Endpoint struct {
	Address    string `json:"address"`
	Pod        string `json:"pod,omitempty"` // "default/web-1"
	PodWhere   string `json:"podWhere,omitempty"`
	Node       string `json:"node,omitempty"`
	Slice      string `json:"endpointSlice"`
	SliceWhere string `json:"endpointSliceWhere,omitempty"`
	Gone       bool   `json:"gone,omitempty"`
}

// Entry is a line and what it stands for.
type Entry struct {
	Section string `json:"section"`         // under which it is shown: a chain's rules stay together
	Part    string `json:"part"`            // what it is there for itself
	Front   string `json:"front,omitempty"` // empty: every front of the Service, or of all
	Kind    string `json:"kind,omitempty"`  // of the front
	Family  string `json:"family"`
	Table   string `json:"table"`
	Chain   string `json:"chain,omitempty"`
	Set     string `json:"set,omitempty"`
	Hook    string `json:"hook,omitempty"`
	Text    string `json:"text"`
	Words   string `json:"words,omitempty"`
	// Endpoints are the addresses of those whom it leads to, or speaks of.
	Endpoints []string `json:"endpoints,omitempty"`

	where   string
	section naming.Part
	order   int // of the front
	rank    int // of the chain or set, on a packet's way
}

// Hidden counts what is not shown, so that everything is accounted for.
type Hidden struct {
	Others int `json:"ofOtherServices"`
	Off    int `json:"onNoWayOfTheirs"` // of every Service, but not on the way of those shown
	Family int `json:"ofTheOtherFamily"`
}

// read is a line and its meaning.
type read struct {
	Line
	naming.Meaning
	chain naming.Meaning // of its chain
}

// section is where a line is shown. The order of a chain's rules means something, so that they stay together, but for those of one
// front each in a chain of all Services.
func (r read) section() naming.Part {
	switch {
	case r.Set != "" || len(r.chain.Ports) == 0 && len(r.Ports) > 0:
		return r.Part
	case r.chain.Known():
		return r.chain.Part
	case r.Hook != "":
		return naming.Entry
	}
	return r.Part
}

// Explain sorts the lines of a node by Service. wanted are the ports that are meant; none: all, and then nothing is left out but
// what is for a family in which no Service has an address.
func Explain(node string, lines []Line, x *naming.Index, wanted []*naming.Port) Node {
	n := Node{Name: node, Shared: []Entry{}, Unknown: []Entry{}, Services: []Service{}}
	all := make([]read, len(lines))
	seen := map[Line]bool{}
	for i, l := range lines {
		all[i] = read{Line: l, Meaning: l.meaning(x)}
		if l.Set == "" {
			all[i].chain = x.Chain(naming.Chain{Family: l.Family, Table: l.Table, Name: l.Chain})
		}
		if seen[l] && all[i].Known() && x.Layout() == naming.SvclabNFTables {
			all[i].Words += "; once more, as a commit may have come in between"
		}
		seen[l] = true
	}
	shown := wanted
	if len(wanted) == 0 {
		shown = x.Ports()
	}
	families, way := familiesOf(shown), waysOf(all, shown)
	own := map[*naming.Port][]Entry{}
	entry := func(r read, p *naming.Port) Entry {
		e := entryOf(r, p)
		e.rank = len(way.rank) // who is on no way comes last
		if n, on := way.rank[r.key()]; on {
			e.rank = n
		}
		return e
	}
	for _, r := range all {
		switch {
		case !r.Known():
			n.Unknown = append(n.Unknown, entry(r, nil))
		case len(r.Ports) > 0:
			mine := false
			for _, p := range shown {
				if slices.Contains(r.Ports, p) {
					own[p], mine = append(own[p], entry(r, p)), true
				}
			}
			if !mine {
				n.Hidden.Others++
			}
		case !families[r.Family]:
			n.Hidden.Family++
		case len(wanted) > 0 && (!way.has(r) || !concerns(x, r.Scope, shown)):
			n.Hidden.Off++
		default:
			n.Shared = append(n.Shared, entry(r, nil))
		}
	}
	for _, p := range shown {
		s := serviceOf(p)
		s.Entries = append(s.Entries, own[p]...)
		inOrder(s.Entries)
		if !p.Gone || len(s.Entries) > 0 {
			n.Services = append(n.Services, s)
		}
	}
	inOrder(n.Shared)
	return n
}

func serviceOf(p *naming.Port) Service {
	s := Service{
		Service: p.Service.String(), Port: p.Name, Number: p.Number, Protocol: p.Proto.String(), Where: p.Where, Gone: p.Gone,
		Endpoints: []Endpoint{}, Entries: []Entry{},
	}
	for _, e := range p.Endpoints {
		if e.Gone && !p.Gone {
			continue
		}
		end := Endpoint{Address: e.Addr.String(), Node: e.Node, Slice: e.Slice.String(), SliceWhere: e.SliceWhere, PodWhere: e.PodWhere, Gone: e.Gone}
		if e.Pod.Name != "" {
			end.Pod = e.Pod.String()
		}
		s.Endpoints = append(s.Endpoints, end)
	}
	return s
}

func entryOf(r read, p *naming.Port) Entry {
	e := Entry{
		Section: r.section().String(), Part: r.Part.String(), Family: r.Family, Table: r.Table, Chain: r.Chain, Set: r.Set, Hook: r.Hook, Text: r.Text, Words: r.Words,
		where: r.Line.where(), section: r.section(),
	}
	for _, end := range r.Endpoints {
		if p == nil || end.Port == p {
			e.Endpoints = append(e.Endpoints, end.Addr.String())
		}
	}
	if p == nil {
		return e
	}
	e.order = len(p.Fronts)
	f := r.Front
	if len(r.chain.Ports) > 0 {
		f = r.chain.Front
	}
	if f == nil && r.Set != "" { // of all ports at an address, which are one front of each
		i := slices.IndexFunc(p.Fronts, func(f *naming.Front) bool { return f.Addr.IsValid() && f.Addr.String() == r.Key })
		if i >= 0 {
			f = p.Fronts[i]
		}
	}
	if f != nil {
		e.Front, e.Kind, e.order = f.String(), string(f.Kind), slices.Index(p.Fronts, f)
	}
	return e
}

// inOrder sorts by front, then as a packet meets sections, and in them chains; the rest is in the order of the lines.
func inOrder(list []Entry) {
	slices.SortStableFunc(list, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(a.order, b.order), strings.Compare(a.Front, b.Front), cmp.Compare(a.section, b.section), strings.Compare(a.Family, b.Family), cmp.Compare(a.rank, b.rank))
	})
}

// familiesOf are the families in which Services have endpoints or addresses.
func familiesOf(ports []*naming.Port) map[string]bool {
	families := map[string]bool{}
	for _, p := range ports {
		for _, f := range p.Fronts {
			if f.Addr.IsValid() {
				families[map[bool]string{true: "ip", false: "ip6"}[f.Addr.Is4()]] = true
			}
		}
	}
	if len(families) == 0 {
		families["ip"], families["ip6"] = true, true
	}
	return families
}

func concerns(x *naming.Index, s *naming.Scope, ports []*naming.Port) bool {
	return s == nil || slices.ContainsFunc(ports, func(p *naming.Port) bool {
		return slices.ContainsFunc(p.Fronts, func(f *naming.Front) bool { return x.Concerns(s, f) })
	})
}

// chainKey names a chain or a set of a node.
type chainKey struct {
	family, table, name string
	legacy              bool
}

func (l Line) key() chainKey { return chainKey{l.Family, l.Table, cmp.Or(l.Chain, l.Set), l.Legacy} }

// ways are the chains and sets on the ways of packets to some Services, in the order in which they come to them.
type ways struct {
	rank    map[chainKey]int
	numbers map[string]bool // that elements of the Services lead to
}

// waysOf goes from the kernel's own chains by rules that lead on, and by elements of the Services. What those say of numbers leads on
// by the elements of the numbers. A set is on the way of a rule that asks it.
func waysOf(all []read, ports []*naming.Port) ways {
	w := ways{map[chainKey]int{}, map[string]bool{}}
	mine := func(r read) bool {
		return slices.ContainsFunc(r.Ports, func(p *naming.Port) bool { return slices.Contains(ports, p) })
	}
	rules := map[chainKey][]read{}
	var from []read
	for _, r := range all {
		if r.Set != "" && mine(r) {
			w.numbers[r.Data] = true
		}
		rules[r.key()] = append(rules[r.key()], r)
		if r.Hook != "" || mine(r) {
			from = append(from, r)
		}
	}
	var visit func(k chainKey)
	visit = func(k chainKey) {
		if _, seen := w.rank[k]; seen {
			return
		}
		w.rank[k] = len(w.rank)
		for _, r := range rules[k] {
			if leads := len(r.Ports) == 0 && r.Set == "" || mine(r) || r.Set != "" && w.numbers[r.Key]; !leads {
				continue
			}
			for _, name := range leadsTo(r.Line) {
				visit(chainKey{k.family, k.table, name, k.legacy})
			}
		}
	}
	slices.SortStableFunc(from, func(a, b read) int {
		return cmp.Or(cmp.Compare(a.met(), b.met()), cmp.Compare(tableNumber(a.Table), tableNumber(b.Table)))
	})
	for _, r := range from {
		visit(r.key())
	}
	return w
}

// met is when packets come to a chain of the kernel's; to another, after them all.
func (r read) met() int {
	if n := r.hookNumber(); n > 0 {
		return n
	}
	return 7
}

// tableNumber is in the order of iptables's tables at one hook.
func tableNumber(table string) int {
	return slices.Index([]string{"raw", "mangle", "nat", "filter", "security"}, table)
}

// has: of a map of all Services, only the elements of numbers that are led to.
func (w ways) has(r read) bool {
	_, on := w.rank[r.key()]
	return on && (r.Set == "" || r.Data == "" || w.numbers[r.Key])
}

// leadsTo are the chains and sets that a line names.
func leadsTo(l Line) (names []string) {
	words := strings.FieldsFunc(l.Text, func(c rune) bool { return c == ' ' || c == ',' })
	for i, w := range words {
		switch {
		case (w == "goto" || w == "jump" || w == "-j" || w == "-g") && i+1 < len(words):
			names = append(names, words[i+1])
		case strings.HasPrefix(w, "@"):
			names = append(names, w[1:])
		}
	}
	return names
}
