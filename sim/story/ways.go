package story

import (
	"fmt"
	"strings"

	"svclab/reports/tell"
	"svclab/sim/evidence"
)

// ways tells the first packet there and the first one back, and of the others that they went the same ways.
func (b *builder) ways() {
	there, back := b.first(evidence.There), b.first(evidence.Back)
	if there == nil {
		return
	}
	b.way("THE WAY THERE", there)
	if back != nil {
		b.way("THE WAY BACK", back)
	}
	more, ruled := 0, 0
	for i := range b.e.Packets {
		p := &b.e.Packets[i]
		if p == there || p == back {
			continue
		}
		more++
		for _, w := range b.walks(p) {
			for k := range w.Hooks {
				if lastRule(&w.Hooks[k], dnatRule) != nil || lastRule(&w.Hooks[k], snatRule) != nil {
					ruled++
				}
			}
		}
	}
	switch {
	case more == 0:
	case ruled == 0 && b.dnat != nil:
		b.s.More = fmt.Sprintf("%s followed. No rule that translates was asked for any of them: the memory below was enough.", count(more, "more packet"))
	case ruled == 0:
		b.s.More = fmt.Sprintf("%s followed.", count(more, "more packet"))
	case there.End.Fate != evidence.Delivered:
		b.s.More = fmt.Sprintf("%s followed, sent again since no answer came.", count(more, "more packet"))
	default:
		b.s.More = fmt.Sprintf("%s followed; %d times a rule that translates was asked.", count(more, "more packet"), ruled)
	}
	if b.s.More != "" {
		b.s.More = strings.ToUpper(b.s.More[:1]) + b.s.More[1:]
	}
}

// wayUnderWay is one packet's.
type wayUnderWay struct {
	*tell.Way
	b      *builder
	packet *evidence.Packet
}

func (b *builder) way(name string, p *evidence.Packet) {
	what := p.What
	if p.ID != 0 {
		what += fmt.Sprintf(", IP id %d", p.ID)
	}
	if p.Seq != 0 {
		what += fmt.Sprintf(", seq %d", p.Seq)
	}
	if p.Way == evidence.There {
		what = "the first packet: " + what
	}
	b.s.Ways = append(b.s.Ways, tell.Way{Name: name, Packet: what, Steps: []tell.Step{}})
	w := &wayUnderWay{&b.s.Ways[len(b.s.Ways)-1], b, p}
	for i := 0; i < len(p.Hops); i++ {
		h := &p.Hops[i]
		switch {
		case h.Walk != nil:
			w.walk(&b.e.Walks[*h.Walk])
		case h.Site == "underlay" && i+1 < len(p.Hops) && p.Hops[i+1].Site == "underlay" && p.Hops[i+1].Device != "":
			w.device(h, p.Hops[i+1].Device)
			i++
		default:
			w.device(h, "")
		}
	}
	w.end()
}

func (w *wayUnderWay) step(s tell.Step) *tell.Step {
	if s.Mark == tell.Plain {
		w.b.steps++
		s.Number = w.b.steps
	}
	w.Steps = append(w.Steps, s)
	return &w.Steps[len(w.Steps)-1]
}

// device is the packet at a device, or between two of the wire that joins nodes.
func (w *wayUnderWay) device(h *evidence.Hop, to string) {
	b := w.b
	s := w.step(tell.Step{Where: short(h.Site), At: h.Device + " in", Time: h.At, Timed: true, Source: addr(h.Src), Dest: addr(h.Dst)})
	if h.Out {
		s.At = h.Device + " out"
	}
	last := h == &w.packet.Hops[len(w.packet.Hops)-1]
	there := w.packet.Way == evidence.There
	isHost := !strings.HasPrefix(h.Site, "node/") && h.Site != "underlay" && h.Site != "sink"
	switch {
	case to != "":
		s.At = h.Device + " → " + to
		if h.Src != b.e.Flow.To && h.Dst != b.e.Flow.To && b.dnat != nil {
			s.Words = b.once("The wire between the nodes. The Service's address is never seen here.")
		}
	case h.Out && isHost:
		if r := b.route(h.Site, h.Dst.Addr().String(), ""); r != nil {
			s.What = routeText(r)
		}
		switch {
		case there && b.front != nil && b.front.Addr.IsValid():
			s.Words = b.once("The client takes the Service's address for a machine's. No machine has it: it is in no network card, only in rules. " +
				"So the packet goes where all that is not nearby goes, to the node.")
		case there:
		case b.dnat != nil && !b.isICMP() && strings.HasPrefix(h.Site, "pod/"):
			s.Words = b.once("The pod answers whom it saw. It knows nothing of the Service.")
		}
	case !h.Out && isHost && last && there:
		s.What = ttl(h)
		if b.e.Seen.Outcome == "answered" && !b.isICMP() {
			s.What = "a process listens at :" + fmt.Sprint(h.Dst.Port()) + ", " + ttl(h)
		}
	case !h.Out && isHost && last && w.packet.Way == evidence.Back:
		s.What = ttl(h)
		if b.dnat != nil && h.Src == b.e.Flow.To {
			s.Words = b.once("The answer comes from the address that the client called. It has never seen the endpoint's.")
		}
	default:
		s.What = ttl(h)
	}
}

func ttl(h *evidence.Hop) string {
	if h.TTL == 0 {
		return ""
	}
	return fmt.Sprintf("TTL %d", h.TTL)
}

// walk is the packet's way through a node's packet filters. Where nothing was done to it, one step stands for all hooks.
func (w *wayUnderWay) walk(k *evidence.Walk) {
	changed, names := false, []string{}
	n, chains := 0, []string{}
	for i := range k.Hooks {
		h := &k.Hooks[i]
		names = append(names, h.Name)
		changed = changed || h.After == nil || h.After.Src != h.Before.Src || h.After.Dst != h.Before.Dst
		m, c := met(h)
		n += m
		chains = append(chains, c...)
	}
	if changed {
		for i := range k.Hooks {
			w.hook(k, i)
		}
		return
	}
	last := k.Hooks[len(k.Hooks)-1].After
	at := strings.Join(names, ", ")
	if len(names) > 1 {
		at = "all hooks"
	}
	s := w.step(tell.Step{Where: short(k.Site), At: at, Source: addr(last.Src), Dest: addr(last.Dst)})
	s.What = "nothing was changed" + w.tracked(k)
	switch {
	case n > 0 && w.b.dnat == nil && w.packet.Way == evidence.There:
		s.Words = append(s.Words, fmt.Sprintf("%s looked at it, and none was for %s (%s).", upper(count(n, "rule")), w.b.asked(), strings.Join(chains, ", ")))
	case n > 0:
		s.Words = append(s.Words, fmt.Sprintf("%s looked at it and let it pass.", upper(count(n, "rule"))))
	}
	if w.packet.Way == evidence.There && w.b.dnat != nil && w.b.dnat.node != short(k.Site) {
		s.Words = append(s.Words, w.b.once("For this node it is an ordinary packet to a pod: nothing is translated a second time.")...)
	}
	if r := w.routed(k, addrOf(last)); r != nil {
		w.routing(k, r)
	}
}

func upper(text string) string { return strings.ToUpper(text[:1]) + text[1:] }

func addrOf(h *evidence.Headers) string { return h.Dst.Addr().String() }

// tracked is what connection tracking knew of the packet.
func (w *wayUnderWay) tracked(k *evidence.Walk) string {
	t := k.Track
	switch {
	case t == nil:
		return ""
	case t.Related:
		return fmt.Sprintf("; conntrack: belongs to connection %d", t.ID)
	case t.Reply:
		return fmt.Sprintf("; conntrack: a reply in connection %d", t.ID)
	case t.New:
		return fmt.Sprintf("; conntrack: NEW, id %d", t.ID)
	}
	return fmt.Sprintf("; conntrack: connection %d", t.ID)
}

// route is the routing decision of a site for a destination; in is the device by which the packet came, if any.
func (b *builder) route(site, dst, in string) *evidence.Route {
	for i := range b.e.Routes {
		r := &b.e.Routes[i]
		if r.Site == site && r.Dst.String() == dst && r.In == in {
			return r
		}
	}
	return nil
}

func (w *wayUnderWay) routed(k *evidence.Walk, dst string) *evidence.Route {
	return w.b.route(k.Site, dst, k.In)
}

func (w *wayUnderWay) routing(k *evidence.Walk, r *evidence.Route) *tell.Step {
	return w.step(tell.Step{Where: short(k.Site), At: "routing", What: routeText(r)})
}

func routeText(r *evidence.Route) string {
	switch {
	case r.Error != "":
		return "no way to " + r.Dst.String() + ": " + r.Error
	case r.Kind == "local":
		return r.Dst.String() + " is an own address: delivered here"
	case r.Kind != "unicast" && r.Kind != "":
		return fmt.Sprintf("route %s is a %s", r.Entry, r.Kind)
	}
	text := "route " + r.Entry
	if r.Via.IsValid() {
		text += " via " + r.Via.String()
	}
	return text + " dev " + r.Out
}

// hook is one of a node's hooks, of a walk in which something is done.
func (w *wayUnderWay) hook(k *evidence.Walk, i int) {
	b, h := w.b, &k.Hooks[i]
	s := w.step(tell.Step{Where: short(k.Site), At: h.Name, Source: addr(h.Before.Src), Dest: addr(h.Before.Dst)})
	if i == 0 {
		s.What = strings.TrimPrefix(w.tracked(k), "; ")
		if k.Track != nil && k.Track.New && w.packet.Way == evidence.There {
			s.Words = b.once("nf_conntrack keeps a list of all connections, and this one is not in it: so the rules are asked.")
		}
	}
	switch {
	case h.After == nil && b.isLastWalk(w.packet, k) && i == len(k.Hooks)-1:
		if r := w.packet.End.Rule; r != nil { // what it did is told as the end
			rules, others := b.rules(h, r)
			s.Rules, s.Words = rules, append(s.Words, others...)
		}
		return
	case h.After == nil:
		s.What += " (its end was not seen)"
		return
	}
	dst, src := h.Before.Dst != h.After.Dst, h.Before.Src != h.After.Src
	reply := k.Track != nil && k.Track.Reply
	if !dst && !src {
		w.untouched(k, h, s)
	}
	for _, is := range []struct {
		changed bool
		rule    *evidence.Rule
		dnat    bool
	}{{dst, lastRule(h, dnatRule), true}, {src, lastRule(h, snatRule), false}} {
		if !is.changed {
			continue
		}
		if is.rule != nil {
			rules, others := b.rules(h, is.rule)
			s.Rules, s.Words = append(s.Rules, rules...), append(s.Words, others...)
		}
		after := tell.Step{Mark: tell.Rewritten, Where: short(k.Site), At: h.Name + " end", Source: addr(h.After.Src), Dest: addr(h.After.Dst)}
		switch {
		case reply && is.dnat:
			after.What = "DESTINATION REWRITTEN BACK to the client, by the entry in connection tracking alone"
			after.Words = b.once("No rule is asked for a reply: the entry knows whom the node stands in for.")
		case reply:
			after.What = "SOURCE REWRITTEN BACK to the address that was called, by the entry in connection tracking alone"
			after.Words = b.once("No rule is asked for a reply. Without this the client would get an answer from a stranger, and refuse it.")
		case is.dnat:
			after.What = "DESTINATION REWRITTEN (DNAT)"
			after.Words = b.dnatWords(is.rule)
		default:
			after.What = "SOURCE REWRITTEN (SNAT, masquerade)"
			after.Words = b.snatWords()
		}
		if is.rule == nil && !reply && k.Track != nil && k.Track.New {
			after.Words = append(after.Words, "Which rule did it could not be had.")
		}
		w.step(after)
	}
	if h.Name == "prerouting" || h.Name == "output" {
		if r := w.routed(k, addrOf(h.After)); r != nil {
			st := w.routing(k, r)
			if dst && !reply {
				st.Words = b.once("Only now the node looks for the way, and it looks for the new address.")
			}
		}
	}
}

// untouched is a hook that left the addresses as they were. After the destination was rewritten, that the source was kept is news.
func (w *wayUnderWay) untouched(k *evidence.Walk, h *evidence.Hook, s *tell.Step) {
	b := w.b
	n, chains := met(h)
	join := func(text string) { s.What = strings.TrimPrefix(s.What+"; "+text, "; ") }
	switch {
	case w.packet.Way == evidence.There && h.Name == "postrouting" && b.dnat != nil && b.dnat.node == short(k.Site) && b.snat == nil:
		join("SOURCE KEPT")
		if n > 0 {
			join(fmt.Sprintf("%s looked, none masquerades it", count(n, "rule")))
		}
		s.Words = b.keptWords()
	case n > 0 && b.dnat == nil && w.packet.Way == evidence.There && (h.Name == "prerouting" || h.Name == "output"):
		join(fmt.Sprintf("%s looked, none translates it", count(n, "rule")))
		s.Words = append(s.Words, fmt.Sprintf("They are in chains %s.", strings.Join(chains, ", ")))
	case n > 0:
		join(fmt.Sprintf("%s looked and let it pass", count(n, "rule")))
	case h.Name == "forward":
		join("no rule looked at it")
	default:
		join("nothing was changed")
	}
}

func (b *builder) isLastWalk(p *evidence.Packet, k *evidence.Walk) bool {
	list := b.walks(p)
	return len(list) > 0 && list[len(list)-1] == k
}

// end tells why a packet went no further.
func (w *wayUnderWay) end() {
	b, p := w.b, w.packet
	s := tell.Step{Mark: tell.Ended, Where: short(p.End.Site), At: "end"}
	if list := b.walks(p); len(list) > 0 && list[len(list)-1].Site == p.End.Site {
		hooks := list[len(list)-1].Hooks
		s.At = hooks[len(hooks)-1].Name
	}
	switch p.End.Fate {
	case evidence.Delivered:
		return
	case evidence.Dropped:
		s.What = "DROPPED HERE, in silence"
		if b.rejects(p.End.Rule) {
			s.What = "REJECTED HERE: the packet goes no further, and its sender is told by ICMP"
		}
		s.Words = b.droppedWords(p.End.Rule)
	case evidence.Leaked:
		s.What = "LEFT BY THE DEFAULT ROUTE: no rule was for it, and nobody out there has that address"
		s.Words = b.leakedWords()
	case evidence.Stopped:
		s.What = "STOPPED HERE: it came in and not out again, and no rule has dropped it"
		if r := p.End.Route; r != nil {
			s.What = "NO WAY FROM HERE: " + routeText(r)
		} else {
			s.Words = []string{"Why is not in the evidence; the counters that moved are at the end."}
		}
	case evidence.Vanished:
		s.What = "VANISHED: it was sent and arrived nowhere"
	}
	w.step(s)
}
