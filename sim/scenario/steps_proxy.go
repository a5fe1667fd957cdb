package scenario

import "strings"

// restart reads "restart: {nodes: node-1, down: 1s, during: {probe: …}}"; "restart: all" is every node at once.
func (p *parser) restart(v *value) *Restart {
	r := &Restart{Pos: v.Pos}
	if p.all(v, "a restart") {
		return r
	}
	if !p.is(v, "a restart", restartFields...) {
		return r
	}
	r.Nodes = p.nodes(v.get("nodes"), r)
	r.Down = p.duration(v.get("down"), "down")
	r.During = p.during(v.get("during"))
	return r
}

// flush reads "flush: {nodes: node-1, within: 3s}"; "flush: all" is every node at once.
func (p *parser) flush(v *value) *Flush {
	f := &Flush{Pos: v.Pos}
	if p.all(v, "a flush") {
		return f
	}
	if !p.is(v, "a flush", flushFields...) {
		return f
	}
	f.Nodes = p.nodes(v.get("nodes"), f)
	f.Within = p.duration(v.get("within"), "within")
	if w := v.get("wrongs"); !w.absent() {
		n := p.number(w, "wrongs", 0)
		f.Wrongs = &n
	}
	return f
}

// all reads the one word that may stand in a map's place.
func (p *parser) all(v *value, what string) bool {
	if v.kind != stringValue {
		return false
	}
	if v.text != "all" {
		p.problem(v.Pos, "%s is the word \"all\" or a map with nodes, not %q%s", what, shorten(v.text), didYouMean(v.text, []string{"all"}))
	}
	return true
}

// nodes reads names of nodes, with or without "node/"; their places are kept for the step's check.
func (p *parser) nodes(v *value, step any) (names []string) {
	for _, n := range p.oneOrMore(v, "nodes") {
		name := strings.TrimPrefix(p.text(n, "nodes"), "node/")
		if n.kind != stringValue {
			continue
		}
		if !subdomain.MatchString(name) {
			p.problem(n.Pos, "nodes must be names of nodes, not %q", shorten(n.text))
			continue
		}
		names = append(names, name)
		p.at[step] = append(p.at[step], n.Pos)
	}
	return names
}

// checkNodes: each must be there at this step.
func (p *parser) checkNodes(step any, names []string, now *there) {
	for i, n := range names {
		p.missing(p.at[step][i], Ref{Kind: "node", Name: n}, now)
	}
}
