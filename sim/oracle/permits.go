package oracle

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"svclab/sim/world"
)

// Permits returns nil, or what is wrong with an observation: what was seen, what was permitted, and why.
func (a Answer) Permits(o world.Observation) error {
	if o.Outcome != world.Answered {
		if slices.Contains(a.Mute, o.Outcome) {
			return nil
		}
		return errors.New(a.saw(o) + ", but " + a.should())
	}
	for _, c := range a.Cases {
		if c.Server != o.Server {
			continue
		}
		if src := o.Source.Addr(); !slices.Contains(c.Sources, src) && !(c.onLink && src.IsLinkLocalUnicast() && src.Is4() == o.Server.Addr().Is4()) {
			return errors.New(a.wrongSource(c, src))
		}
		if o.Peer.IsValid() && o.Peer != a.asked.flow.To {
			return fmt.Errorf("%s, but the answer came from %s: the client should see only the address it called, %s",
				a.saw(o), o.Peer, a.asked.flow.To)
		}
		return nil
	}
	if h := a.asked.history; h != nil {
		h.mu.Lock()
		defer h.mu.Unlock()
		if stranger := h.stranger(a.asked, o.Server); stranger != "" {
			return fmt.Errorf("%s, which is %s; %s", a.saw(o), stranger, a.should())
		}
	}
	return errors.New(a.saw(o) + ", but " + a.should())
}

// saw says what was seen: "answered by pod/web-2 (10.34.89.157:5000)".
func (a Answer) saw(o world.Observation) string {
	h := a.asked.history
	switch o.Outcome {
	case world.Answered:
		if p, _ := h.serverAt(o.Server, a.asked.flow.Proto); p == nil {
			return fmt.Sprintf("answered by %s (nobody has that address)", o.Server)
		}
		return fmt.Sprintf("answered by %s (%s)", h.who(o.Server, a.asked.flow.Proto), o.Server)
	case world.Reset:
		return "reset"
	case world.Denied:
		return "denied by the client's own kernel (EPERM)"
	case world.Silent:
		if o.Leaked {
			return "silent for " + seconds(o.Took) + " (the packet left its node by the default route)"
		}
		return "silent for " + seconds(o.Took)
	}
	by := " by ICMP"
	if o.ICMPFrom.IsValid() {
		by = " by ICMP from " + o.ICMPFrom.String()
		if p, _ := h.serverAt(netip.AddrPortFrom(o.ICMPFrom, 0), 0); p != nil {
			by += " (" + p.String() + ")"
		}
	}
	if o.Outcome == world.Refused {
		return "refused" + by
	}
	return "reported unreachable" + by
}

// should says what was permitted: "pod/web-1 or pod/web-2 should have answered".
func (a Answer) should() string {
	var servers, fates []string
	for _, c := range a.Cases {
		servers = append(servers, a.asked.history.who(c.Server, a.asked.flow.Proto))
	}
	for _, m := range a.Mute {
		fates = append(fates, [...]string{
			world.Refused: "been refused", world.Reset: "been reset", world.Unreachable: "been reported unreachable",
			world.Denied: "been denied (EPERM)", world.Silent: "met silence"}[m])
	}
	var parts []string
	if len(servers) > 0 {
		parts = append(parts, either(servers)+" should have answered")
	}
	if len(fates) > 0 {
		subject := ""
		if len(servers) > 0 {
			subject = "or it "
		}
		parts = append(parts, subject+"should have "+either(fates))
	}
	text := strings.Join(parts, ", ")
	if text == "" {
		text = "nothing can be expected"
	}
	if a.because != "" {
		text += ": " + a.because
	}
	return text
}

func (a Answer) wrongSource(c Case, saw netip.Addr) string {
	h := a.asked.history
	words := make([]string, len(c.Sources))
	for i, s := range c.Sources {
		words[i] = h.whose(s)
	}
	return fmt.Sprintf("%s saw %s, but should have seen %s: %s",
		h.who(c.Server, a.asked.flow.Proto), h.whose(saw), either(words), c.why)
}

// stranger says what a server is to the Service that was called, when it is none of those who may answer; empty when
// there is nothing special to it.
func (h *History) stranger(q asked, server netip.AddrPort) string {
	place := h.places[q.flow.From]
	if place == nil {
		return ""
	}
	front := h.last.look(h, place, q.flow.To, q.flow.Proto).front
	if front != nil {
		for _, e := range front.all {
			switch {
			case e.AddrPort != server:
			case has(front.usable(), server):
				return ""
			case e.terminating && e.serving:
				return "a terminating endpoint of " + front.name + ", which has ready ones"
			default:
				return "an endpoint of " + front.name + " that is not ready"
			}
		}
	}
	for i := len(h.spans) - 1; i >= 0; i-- {
		s := h.spans[i]
		if was := s.facts.look(h, place, q.flow.To, q.flow.Proto).front; was != nil && has(was.usable(), server) {
			if s.end.IsZero() || s.end.After(q.at) || q.at.IsZero() {
				return "no endpoint of " + was.name + " any more"
			}
			return fmt.Sprintf("no endpoint of %s any more (removed %s before)", was.name, seconds(q.at.Sub(s.end)))
		}
	}
	if front != nil {
		return "no endpoint of " + front.name
	}
	return ""
}
