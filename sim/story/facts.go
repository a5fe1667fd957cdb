package story

import (
	"fmt"
	"net/netip"
	"strings"

	"svclab/reports/tell"
	"svclab/sim/evidence"
	"svclab/sim/naming"
)

// verdict is the first thing that is said.
func (b *builder) verdict() string {
	seen := &b.e.Seen
	p := b.first(evidence.There)
	switch seen.Outcome {
	case "answered":
		text := fmt.Sprintf("ANSWERED by %s in %s.", b.who(seen.Server.Addr()), took(seen.Took))
		switch {
		case seen.Source == seen.Peer || !seen.Source.IsValid() || seen.Server.Port() == 0:
			return text
		case seen.Source == b.e.Flow.Client:
			return text + " It saw the client's own address, " + addr(seen.Source) + "."
		case seen.Source.Addr() == b.e.Flow.Client.Addr():
			return text + " It saw the client's own address with another port, " + addr(seen.Source) + "."
		}
		return text + fmt.Sprintf(" It saw %s, an address of %s, in place of the client's.", addr(seen.Source), b.who(seen.Source.Addr()))
	case "refused":
		by := ""
		if seen.ICMPFrom.IsValid() {
			by = " by " + b.who(seen.ICMPFrom)
		}
		return "REFUSED" + by + b.ended(p) + " The client was told at once, by ICMP: port unreachable."
	case "reset":
		if p != nil && p.End.Fate == evidence.Delivered {
			return fmt.Sprintf("RESET by %s: it was reached, nobody listens there, and its kernel said so.", p.End.Site)
		}
		return "RESET" + b.ended(p)
	case "unreachable":
		return "UNREACHABLE" + b.ended(p) + " The client was told so by ICMP."
	case "denied":
		return "DENIED" + b.ended(p) + " The client's own kernel would not send it (EPERM)."
	}
	return fmt.Sprintf("NO ANSWER in %s", took(seen.Took)) + b.ended(p)
}

// ended says where the first packet ended, as the rest of the verdict.
func (b *builder) ended(p *evidence.Packet) string {
	if p == nil {
		return ": no packet was seen at all."
	}
	site := p.End.Site
	switch p.End.Fate {
	case evidence.Dropped:
		if b.rejects(p.End.Rule) {
			return fmt.Sprintf(": a rule on %s rejected the packet.", short(site))
		}
		return fmt.Sprintf(": a rule on %s dropped the packet, and told nobody.", short(site))
	case evidence.Leaked:
		return fmt.Sprintf(": no rule was for it, and %s sent it out by its default route, where nobody has that address.", b.lastNode(p))
	case evidence.Stopped:
		if r := p.End.Route; r != nil {
			return fmt.Sprintf(": %s has no way to %s.", short(site), r.Dst)
		}
		return fmt.Sprintf(": the packet came into %s and not out again, and no rule dropped it.", site)
	case evidence.Vanished:
		return fmt.Sprintf(": the packet left %s and arrived nowhere.", site)
	}
	if b.e.Seen.Outcome == "silent" {
		if back := b.first(evidence.Back); back != nil && back.End.Fate != evidence.Delivered {
			return fmt.Sprintf(": the packet reached %s, but its answer did not come back; it ended at %s.", site, short(back.End.Site))
		}
		if from := b.stranger(); from.IsValid() {
			return fmt.Sprintf(": the packet reached %s, but its answer came back from %s, whom the client had never called, and was refused as a stranger's.", site, from)
		}
		return fmt.Sprintf(": the packet reached %s, which said nothing.", site)
	}
	return "."
}

// stranger is the address from which an answer came back that is not the one that was called; else not valid.
func (b *builder) stranger() (from netip.AddrPort) {
	back := b.first(evidence.Back)
	if back == nil || back.End.Fate != evidence.Delivered || strings.HasPrefix(back.What, "ICMP") {
		return from
	}
	for _, h := range back.Hops {
		if h.Walk == nil {
			from = h.Src
		}
	}
	if from == b.e.Flow.To {
		return netip.AddrPort{}
	}
	return from
}

func (b *builder) rejects(r *evidence.Rule) bool {
	return r != nil && (strings.Contains(r.Text, "reject") || strings.Contains(r.Text, "REJECT"))
}

// lastNode is the last node that the packet came through.
func (b *builder) lastNode(p *evidence.Packet) string {
	for i := len(p.Hops) - 1; i >= 0; i-- {
		if strings.HasPrefix(p.Hops[i].Site, "node/") {
			return short(p.Hops[i].Site)
		}
	}
	return p.End.Site
}

func (b *builder) fact(name, text string) {
	b.s.Facts = append(b.s.Facts, tell.Fact{Name: name, Text: text})
}

// facts are the summary.
func (b *builder) facts() {
	b.fact("You asked for", b.asked()+", "+b.whatIs(b.e.Flow.To))
	if seen := &b.e.Seen; seen.Outcome == "answered" {
		b.fact("You reached", b.reached(seen.Server))
	}
	p := b.first(evidence.There)
	switch {
	case p != nil && p.End.Fate == evidence.Dropped:
		if r := p.End.Rule; r != nil {
			b.fact("By this rule", place(r)+": "+bare(r))
			b.told["acted"] = true
		}
		b.fact("Who did it", b.whoDid(short(p.End.Site), p.End.Rule, map[bool]string{true: "rejected", false: "dropped"}[b.rejects(p.End.Rule)]+" the packet"))
	case b.dnat != nil:
		did := "replaced the destination"
		if b.snat != nil && b.snat.node == b.dnat.node {
			did = "replaced the destination, and the source"
		}
		b.fact("Who did it", b.whoDid(b.dnat.node, b.dnat.rule, did))
	case p != nil:
		b.fact("Who did it", "nobody: no rule was for this destination, and its address was left as it was.")
	}
}

// whatIs says what an address and port are that were called.
func (b *builder) whatIs(to netip.AddrPort) string {
	if b.front != nil {
		return "which is the " + strings.Replace(b.frontText(b.front), " "+b.asked(), "", 1)
	}
	var with []string
	var port *naming.Port
	for _, p := range b.Index.Ports() {
		for _, f := range p.Fronts {
			if f.Addr == to.Addr() && !p.Gone {
				port = p
				with = append(with, fmt.Sprintf("%d/%s", f.Number, f.Proto))
				break
			}
		}
	}
	if port != nil {
		no := "has no such port; it has"
		if b.isICMP() {
			no = "answers no echo; it has ports"
		}
		return fmt.Sprintf("an address of Service %s, which %s %s%s", port.Service, no, strings.Join(with, ", "), where(port.Where))
	}
	if name := b.hosts[to.Addr()]; name != "" {
		return "the own address of " + name + ": no Service is meant"
	}
	return "an address that nobody here has"
}

// reached says who answered.
func (b *builder) reached(server netip.AddrPort) string {
	for _, e := range b.Index.Target(server) {
		if b.front != nil && e.Port == b.front.Port {
			return b.endpointText(e)
		}
	}
	return addr(server) + " = " + b.who(server.Addr())
}

// software names who keeps the rules, by the shape of one: nf_tables, or one of the two things behind the command iptables.
func software(r *evidence.Rule) string {
	switch {
	case r == nil:
		return "the packet filter"
	case r.Number != 0:
		return "ip_tables"
	case strings.HasPrefix(r.Text, "-A "):
		return "nf_tables, where the command iptables writes"
	}
	return "nf_tables"
}

// proxy is who wrote the rules.
func (b *builder) proxy() string {
	switch b.Index.Layout() {
	case naming.KubeNFTables, naming.KubeIPTables:
		return "kube-proxy"
	case naming.SvclabNFTables, naming.SvclabIPTables:
		return "the proxy " + b.Proxy
	}
	return b.Proxy
}

func (b *builder) whoDid(node string, r *evidence.Rule, did string) string {
	module := ""
	if strings.Contains(did, "replaced") {
		module = ", in its module nf_nat,"
	}
	text := fmt.Sprintf("The kernel of %s%s %s, because a rule says so that is kept in %s. ", node, module, did, software(r))
	if r != nil && !b.oneOfTheirs(node, r) {
		return text + "It is no rule that is known of " + b.proxy() + "."
	}
	writer := b.proxy()
	if writer != "kube-proxy" {
		writer = upper(writer)
	}
	return text + writer + " wrote that rule beforehand, and saw no packet."
}

// oneOfTheirs reports whether a rule, or one that led to it, is known to be the proxy's. Of proxies whose rules nobody knows, all are.
func (b *builder) oneOfTheirs(node string, r *evidence.Rule) bool {
	if b.Index.Layout() == naming.Unknown || b.meaning(r).Known() {
		return true
	}
	for _, w := range b.walks(b.first(evidence.There)) {
		for i := range w.Hooks {
			if short(w.Site) != node {
				continue
			}
			list, _ := path(&w.Hooks[i], r)
			for _, o := range list {
				if o != r && b.meaning(o).Known() {
					return true
				}
			}
		}
	}
	return false
}
