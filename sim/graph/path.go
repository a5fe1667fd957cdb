package graph

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"svclab/reports/drawing"
	"svclab/sim/oracle"
	"svclab/sim/world"
)

// Ask is one flow, as its sender means it.
type Ask struct {
	Flow   world.Flow
	Target string // in the sender's words: "service/web:80"
}

// Path is the way that a flow is to take by the oracle's word; h has the scene's state as its last. Where nobody may answer, it
// ends where the packet does.
func (s *Scene) Path(h *oracle.History, ask Ask) (*drawing.Path, error) {
	f := ask.Flow
	from := s.Topology.Find(f.From)
	way, ok := oracle.WayOf(h, f)
	if !ok || from == nil {
		return nil, fmt.Errorf("%s is no place of the scenario", f.From)
	}
	t := &trace{Scene: s, flow: f, from: from, way: way, answer: oracle.Latest(h, f)}
	t.way.To, t.answer.Cases = slices.Clone(t.way.To), slices.Clone(t.answer.Cases) // an Answer's are shared
	t.path.Title = fmt.Sprintf("%s → %s", f.From, ask.Target)
	slices.SortStableFunc(t.way.To, func(a, b netip.AddrPort) int { return t.rank(a) - t.rank(b) })
	slices.SortStableFunc(t.answer.Cases, func(a, b oracle.Case) int { return t.rank(a.Server) - t.rank(b.Server) })
	if way.Service.Name != "" {
		t.path.Asked = serviceID(way.Service)
	}
	t.path.Verdict = t.verdict()
	t.begin(ask)
	t.middle()
	for i, to := range t.way.To {
		t.end(to, i)
	}
	if len(t.way.To) > mostStops {
		t.path.Notes = append(t.path.Notes, fmt.Sprintf("%d more endpoints are not numbered.", len(t.way.To)-mostStops))
	}
	t.notes()
	return &t.path, nil
}

// mostStops is how many endpoints are told one by one.
const mostStops = 6

// trace is a path in the making.
type trace struct {
	*Scene
	flow   world.Flow
	from   *world.Host
	way    oracle.Way
	answer oracle.Answer
	path   drawing.Path
	said   []oracle.Reason
}

func (t *trace) stop(at, title string, bad bool, text ...string) {
	text = slices.DeleteFunc(text, func(s string) bool { return s == "" })
	t.path.Stops = append(t.path.Stops, drawing.Stop{At: at, Title: title, Text: text, Bad: bad})
}

// verdict is what is expected, in a sentence.
func (t *trace) verdict() string {
	var who, fate []string
	for _, c := range t.answer.Cases {
		who = append(who, t.who(c.Server))
	}
	for _, m := range t.answer.Mute {
		fate = append(fate, m.String())
	}
	var text string
	switch {
	case len(who) > 0 && len(fate) > 0:
		text = fmt.Sprintf("Expected: answered by %s, or %s", either(who), either(fate))
	case len(who) > 0:
		text = "Expected: answered by " + either(who)
	case len(fate) > 0:
		text = "Expected: " + either(fate)
	default:
		text = "Nothing is expected"
	}
	if because := t.answer.Because(); because != "" && len(fate) > 0 {
		text += ", because " + because
	}
	return text + "."
}

// either joins alternatives: "a", "a or b", "a, b or c"; of many, the first few.
func either(words []string) string {
	if n := len(words); n > mostStops+1 {
		words = append(slices.Clone(words[:mostStops]), fmt.Sprintf("one of %d more", n-mostStops))
	}
	if n := len(words); n > 1 {
		return strings.Join(words[:n-1], ", ") + " or " + words[n-1]
	}
	return strings.Join(words, "")
}

func (t *trace) who(a netip.AddrPort) string {
	if h := t.host(a); h != nil {
		return h.String()
	}
	return a.Addr().String()
}

// host has an address; a loopback address is the sender's own.
func (t *trace) host(a netip.AddrPort) *world.Host {
	if a.Addr().IsLoopback() {
		return t.from
	}
	h, _ := t.server(a, t.flow.Proto)
	return h
}

// rank is the place of an address in the drawing, from the top.
func (t *trace) rank(a netip.AddrPort) int {
	host := t.host(a)
	if host == nil {
		return len(t.Topology.Nodes) * (len(t.Topology.Pods) + 2)
	}
	node := slices.IndexFunc(t.Topology.Nodes, func(n world.Host) bool { return n.Name == host.Node || n.Place == host.Place })
	pod := slices.IndexFunc(t.Topology.Pods, func(p world.Host) bool { return p.Place == host.Place })
	return node*(len(t.Topology.Pods)+2) + pod
}

// text of an address; an echo has no port.
func (t *trace) text(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

// self is the sender's address.
func (t *trace) self() netip.Addr {
	if t.flow.To.Addr().IsLoopback() {
		return t.flow.To.Addr()
	}
	return t.from.AddrOf(t.flow.To.Addr())
}

func (t *trace) begin(ask Ask) {
	title := fmt.Sprintf("%s calls %s", t.flow.From, ask.Target)
	if !t.self().IsValid() {
		t.stop(t.flow.From.String(), title, true, t.reasons(nil)...)
		return
	}
	t.stop(t.flow.From.String(), title, false, fmt.Sprintf("%s → %s/%s", t.self(), t.text(t.flow.To), t.flow.Proto))
}

// translates is the node at which the address is rewritten, or if nobody does that, at which packets come in.
func (t *trace) translates() string {
	if t.way.Translates != "" {
		return t.way.Translates
	}
	return t.way.Home
}

// middle is what happens on the node that translates, or that finds nothing to lead to.
func (t *trace) middle() {
	if !t.self().IsValid() {
		t.path.Ways = []drawing.Way{{Through: []string{t.flow.From.String()}}}
		return
	}
	if len(t.way.To) == 0 {
		t.path.Ways = append(t.path.Ways, drawing.Way{Through: t.inward(t.translates())})
		node := nodeID(t.translates())
		t.stop(node, node+" "+t.fate(), true, t.reasons(nil)...)
		return
	}
	if t.way.Translates == "" {
		return
	}
	var to []string
	for _, a := range t.way.To {
		to = append(to, fmt.Sprintf("%s (%s)", t.text(a), t.who(a)))
	}
	node := nodeID(t.way.Translates)
	text := []string{fmt.Sprintf("The destination %s becomes %s: DNAT, in the kernel's nf_nat, by a rule of this node's proxy.", t.text(t.flow.To), either(to))}
	later := t.sources()
	if because := t.answer.Because(); len(t.answer.Cases) < len(t.way.To) { // told where the flow ends
		later = append(later, because)
	}
	text = append(text, t.reasons(later)...)
	for _, why := range t.sources() {
		text = append(text, t.source(why))
	}
	t.stop(node, node+" translates the address", false, text...)
}

// fate is what a node does to a flow that goes no further.
func (t *trace) fate() string {
	if len(t.answer.Mute) == 0 {
		return "ends it"
	}
	said := map[world.Outcome]string{world.Refused: "refuses it", world.Denied: "does not let it out", world.Unreachable: "has no way for it", world.Reset: "resets it"}
	if text, ok := said[t.answer.Mute[0]]; ok {
		return text
	}
	if t.way.Translates == "" {
		return "has nothing to do with it, and it gets lost"
	}
	return "drops it"
}

// sources are the reasons for what endpoints see as source.
func (t *trace) sources() (out []string) {
	for _, c := range t.answer.Cases {
		if why := t.answer.WhySource(c.Server); why != "" && !slices.Contains(out, why) {
			out = append(out, why)
		}
	}
	return out
}

// reasons are the oracle's, but for some.
func (t *trace) reasons(without []string) (out []string) {
	for _, r := range t.answer.Why {
		if !slices.Contains(without, r.Text) && !slices.Contains(t.said, r) {
			t.said = append(t.said, r)
			out = append(out, r.Row+": "+r.Text+".")
		}
	}
	return out
}

// source says what becomes of the source, for whom, and why.
func (t *trace) source(why string) string {
	var who []string
	var sources []netip.Addr
	for _, c := range t.answer.Cases {
		if t.answer.WhySource(c.Server) == why {
			who, sources = append(who, t.who(c.Server)), c.Sources
		}
	}
	to := ""
	if len(who) < len(t.answer.Cases) {
		to = " to " + either(who)
	}
	text := "The source " + t.self().String() + " is kept" + to
	if !slices.Contains(sources, t.self()) {
		text = fmt.Sprintf("The source%s becomes %s: SNAT (masquerade), by the same node", to, either(texts(sources)))
	}
	var rows []string
	for _, r := range t.answer.Why {
		if r.Text == why {
			rows, t.said = append(rows, r.Row), append(t.said, r)
		}
	}
	return fmt.Sprintf("%s. %s: %s.", text, strings.Join(rows, ", "), why)
}

func texts(addrs []netip.Addr) (out []string) {
	for _, a := range addrs {
		out = append(out, a.String())
	}
	return out
}

// end is one of those that the flow may be led to.
func (t *trace) end(to netip.AddrPort, i int) {
	host := t.host(to)
	t.path.Ways = append(t.path.Ways, drawing.Way{Through: t.through(host)})
	at := slices.IndexFunc(t.answer.Cases, func(c oracle.Case) bool { return c.Server == to })
	if i >= mostStops && at >= 0 {
		return
	}
	if host == nil {
		node := nodeID(t.translates())
		t.stop(node, "nobody has "+to.Addr().String(), true, append(t.reasons(t.sources()), "The packet leaves the node, and is lost.")...)
		return
	}
	if at < 0 {
		t.stop(host.String(), t.deaf(host), true, t.reasons(t.sources())...)
		return
	}
	c := &t.answer.Cases[at]
	sees := c.Sources
	what := "the sender's own address"
	if slices.Contains(sees, t.self()) {
		sees = []netip.Addr{t.self()}
	} else {
		what = "an address of " + nodeID(t.translates())
	}
	share := ""
	if len(t.way.To) > 1 {
		share = fmt.Sprintf(" It gets %.3g %% of new flows.", 100*c.Weight)
	}
	text := fmt.Sprintf("It is %s, and sees %s, %s.%s", t.text(to), either(texts(sees)), what, share)
	if t.flow.To.Addr().IsLoopback() {
		text = "It is asked by itself." + share
	}
	t.stop(host.String(), host.String()+" answers", false, append([]string{text}, t.reasons(nil)...)...)
}

// deaf is what an endpoint does that does not answer.
func (t *trace) deaf(host *world.Host) string {
	for _, m := range t.answer.Mute {
		switch m {
		case world.Reset:
			return host.String() + " resets it: nobody listens there"
		case world.Refused:
			return host.String() + " refuses it: nobody listens there"
		}
	}
	return "no answer of " + host.String() + " comes back"
}

func (t *trace) notes() {
	note := func(format string, args ...any) { t.path.Notes = append(t.path.Notes, fmt.Sprintf(format, args...)) }
	if t.way.Translates != "" && len(t.answer.Cases) > 0 {
		note("Answers come back through %s. There the entry of connection tracking (nf_conntrack) puts %s back in the place of the endpoint: no rule is asked again.", nodeID(t.way.Translates), t.text(t.flow.To))
	}
	if t.answer.Sticky {
		note("The Service has session affinity: whoever answers first answers this client's next flows too.")
	}
}

// inward is the way from the sender to the kernel of a node.
func (t *trace) inward(node string) []string {
	home := nodeID(t.way.Home)
	var through []string
	switch t.from.Kind {
	case world.Pod:
		through = []string{t.flow.From.String(), home}
	case world.Client:
		through = []string{t.flow.From.String(), underlayID}
		// A client reaches a node's own address at once, unless it was told by whom to enter.
		if t.flow.Via == "" && t.isOf(node) {
			return append(through, nodeID(node))
		}
		through = append(through, home)
	default:
		through = []string{home}
	}
	return t.on(through, node)
}

// isOf: the address that is called is that node's own.
func (t *trace) isOf(node string) bool {
	h := t.Topology.Find(world.Place{Kind: world.Node, Name: node})
	return h != nil && h.Has(t.flow.To.Addr())
}

// on goes from the node where the way ends to another.
func (t *trace) on(through []string, node string) []string {
	if through[len(through)-1] == nodeID(node) {
		return through
	}
	return append(through, underlayID, nodeID(node))
}

// through is the whole way to a host; nil is nobody.
func (t *trace) through(host *world.Host) []string {
	near := t.translates()
	if t.way.Translates == "" && host != nil && host.Kind == world.Node {
		near = host.Name
	}
	if t.flow.To.Addr().IsLoopback() && host == t.from && t.way.Translates == "" {
		return []string{t.flow.From.String()}
	}
	if t.from == host && t.way.Translates == "" { // its own address
		return []string{t.flow.From.String()}
	}
	through := t.inward(near)
	switch {
	case host == nil:
		return through
	case host.Kind == world.Node:
		return t.on(through, host.Name)
	case host.Kind == world.Client:
		return append(through, underlayID, host.String())
	}
	return append(t.on(through, host.Node), host.String())
}
