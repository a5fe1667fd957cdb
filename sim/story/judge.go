package story

import (
	"slices"
	"strings"

	"svclab/proxycore/cluster"
	"svclab/reports/tell"
	"svclab/sim/evidence"
	"svclab/sim/naming"
	"svclab/sim/oracle"
	"svclab/sim/world"
)

// Observation is what the client saw, as the oracle takes it.
func Observation(e *evidence.Evidence) (world.Observation, error) {
	s := &e.Seen
	outcome, err := world.ParseOutcome(s.Outcome)
	return world.Observation{Outcome: outcome, Client: e.Flow.Client, Server: s.Server, Source: s.Source, Peer: s.Peer, ICMPFrom: s.ICMPFrom, Leaked: s.Leaked, Took: s.Took}, err
}

// judge puts beside it what should have been.
func (b *builder) judge() {
	j := &b.s.Judgement
	j.Reasons = []tell.Reason{}
	if b.Expected == nil {
		j.Text = "Nobody was asked."
		return
	}
	o, err := Observation(b.e)
	if err != nil {
		j.Text = err.Error()
		return
	}
	j.Judged = true
	if wrong := b.Expected.Permits(o); wrong != nil {
		j.Text = "✗ No: " + wrong.Error() + "."
	} else {
		j.Right, j.Text = true, "✓ Yes: this is what the specification asks for."
	}
	j.Expected = b.expectation()
	for _, w := range b.Expected.Why {
		r := tell.Reason{Row: w.Row, Text: w.Text}
		if i := slices.IndexFunc(oracle.Rows, func(row oracle.Row) bool { return row.ID == w.Row }); i >= 0 {
			r.Says = oracle.Rows[i].Text
			if f := oracle.Rows[i].Freedom; f != "" {
				r.Says += " (Proxies may differ: " + f + ")"
			}
		}
		j.Reasons = append(j.Reasons, r)
	}
}

// expectation is what was permitted, in words.
func (b *builder) expectation() string {
	var parts, servers []string
	for _, c := range b.Expected.Cases {
		sees := []string{}
		for _, s := range c.Sources {
			name := s.String()
			if s == b.e.Flow.Client.Addr() {
				name = "the client's own address"
			} else if who := b.hosts[s]; who != "" {
				name += " of " + who
			}
			sees = append(sees, name)
		}
		servers = append(servers, b.who(c.Server.Addr())+", which sees "+strings.Join(sees, " or "))
	}
	if len(servers) > 0 {
		parts = append(parts, "an answer of "+strings.Join(servers, "; or of "))
	}
	for _, m := range b.Expected.Mute {
		parts = append(parts, map[world.Outcome]string{world.Refused: "refused", world.Reset: "reset", world.Unreachable: "reported unreachable", world.Denied: "denied by the client's own kernel", world.Silent: "silence"}[m])
	}
	return strings.Join(parts, "; or ") + "."
}

// whySource is the oracle's reason for the source that the server may see, as the rest of a sentence that says whether it was kept;
// empty where it has none.
func (b *builder) whySource(kept bool) string {
	if b.Expected == nil || b.dnat == nil {
		return ""
	}
	server := b.dnat.hook.After.Dst
	why := b.Expected.WhySource(server)
	if why == "" {
		return ""
	}
	for _, c := range b.Expected.Cases {
		own := slices.Contains(c.Sources, b.e.Flow.Client.Addr())
		if c.Server == server && (kept && !own || !kept && own && len(c.Sources) == 1 && !b.ownSource()) {
			return ". This should not be: " + why
		}
	}
	return ": " + why
}

// ownSource: the rewritten source has the client's own address still, with another port.
func (b *builder) ownSource() bool {
	return b.snat != nil && b.snat.hook.After.Src.Addr() == b.e.Flow.Client.Addr()
}

// endpoint is the one that was translated to; nil: it is none.
func (b *builder) endpoint() *naming.Endpoint {
	if b.dnat == nil {
		return nil
	}
	for _, e := range b.Index.Target(b.dnat.hook.After.Dst) {
		if b.front == nil || e.Port == b.front.Port {
			return e
		}
	}
	return nil
}

// endpoints is how many ready ones the Service port has, by its slices.
func (b *builder) endpoints() (n int) {
	if b.front == nil {
		return 0
	}
	for _, e := range b.front.Port.Endpoints {
		if !e.Gone && !e.Unready && e.Addr.Addr().Is6() == b.e.Flow.To.Addr().Is6() {
			n++
		}
	}
	return n
}

func (b *builder) isICMP() bool { return b.e.Flow.Proto == cluster.ICMP.String() }
