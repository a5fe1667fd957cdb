package scenario

import "slices"

var (
	healthFields = []string{"of", "from", "nodes", "expect"}
	claimFields  = []string{"status", "localEndpoints"}
)

// Health asks nodes at the health-check port of a Service, as its load balancer does.
type Health struct {
	Pos
	Of     Ref      // a Service
	From   []Ref    // pod, node or client
	Nodes  []string // who is asked; empty: all
	Expect *Claim   // the author's own claim; nil: whatever the oracle says
}

// Claim is what every node that is asked is said to answer.
type Claim struct {
	Status         int  // of HTTP; 0: nothing is said of it
	LocalEndpoints *int // nil: nothing is said of them
}

// health reads "health: {of: service/web, from: client/lb, nodes: node-1}".
func (p *parser) health(v *value) *Health {
	h := &Health{Pos: v.Pos}
	if !p.is(v, "a health check", healthFields...) {
		return h
	}
	misspelt := slices.ContainsFunc(v.fields, func(f field) bool { return !slices.Contains(healthFields, f.key) })
	if of := v.get("of"); !of.absent() {
		h.Of, _ = p.ref(of, "what is checked", []string{"service"})
		p.at[ofHealth{h}] = []Pos{of.Pos}
	} else if !misspelt {
		p.problem(v.Pos, "the health check is of nothing: add \"of: service/…\"")
	}
	for _, f := range p.oneOrMore(v.get("from"), "from") {
		if r, ok := p.ref(f, "a sender", fromKinds); ok {
			h.From = append(h.From, r)
			p.at[fromHealth{h}] = append(p.at[fromHealth{h}], f.Pos)
		}
	}
	if v.get("from").absent() && !misspelt {
		p.problem(v.Pos, "the health check comes from nowhere: add \"from: client/…\"")
	}
	h.Nodes = p.nodes(v.get("nodes"), h)
	if e := v.get("expect"); !e.absent() && p.is(e, "expect", claimFields...) {
		h.Expect = &Claim{}
		if s := e.get("status"); !s.absent() {
			h.Expect.Status = p.numberTo(s, "status", 100, 599)
		}
		if n := e.get("localEndpoints"); !n.absent() {
			count := p.number(n, "localEndpoints", 0)
			h.Expect.LocalEndpoints = &count
		}
	}
	return h
}

// ofHealth and fromHealth are keys of parser.at: where the Service and the senders of a health check are written.
type (
	ofHealth   struct{ *Health }
	fromHealth struct{ *Health }
)

func (p *parser) checkHealth(h *Health, now *there) {
	for _, at := range p.at[ofHealth{h}] {
		if !p.missing(at, h.Of, now) {
			p.checkHealthPort(at, h.Of)
		}
	}
	p.checkFrom(h.From, p.at[fromHealth{h}], now)
	p.checkNodes(h, h.Nodes, now)
}
