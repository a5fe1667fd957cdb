package evidence

import (
	"fmt"
	"net/netip"
	"strings"

	"svclab/nsnet/nftrace"
	"svclab/nsnet/packet"
)

// walking is a walk under construction.
type walking struct {
	Walk
	packet packet.Packet   // as it came
	seen   []packet.Packet // at every base chain
	before []packet.Packet // at the beginning of each hook, as Hooks
	last   int             // position of the last observer that saw it
}

// positions are the observers in the order in which one packet passes them, and their hooks. A packet that is delivered to the
// node meets input, one that goes on forward and postrouting, one of the node's own output and postrouting.
var positions = map[string]struct {
	position int
	hook     string
	end      bool
}{
	"pre-first": {0, "prerouting", false}, "pre-tracked": {1, "prerouting", false}, "pre-last": {2, "prerouting", true},
	"in-first": {3, "input", false}, "in-last": {4, "input", true},
	"fwd-first": {3, "forward", false}, "fwd-last": {4, "forward", true},
	"out-first": {0, "output", false}, "out-tracked": {1, "output", false}, "out-last": {2, "output", true},
	"post-first": {5, "postrouting", false}, "post-last": {6, "postrouting", true},
}

// walks sorts the events of a node into walks. Events of two packets may be mixed (a rule that rejects reports after the ICMP error
// that it has sent), so they are told apart by the trace's id; and an id is used again for later packets, so a walk ends where an
// observer that stands no later than the last one sees a packet of that id.
func walks(site string, devices func(uint32) string, events []nftrace.Event) (list []*walking, strays int) {
	open := map[uint32]*walking{}
	for _, e := range events {
		w := open[e.ID]
		ours := e.Table == nftrace.Table && e.Family == "inet"
		at := positions[e.Chain]
		p, whole := packet.FromHeaders(e.Network, e.Transport)
		if ours && whole && (w == nil || at.position <= w.last) {
			w = &walking{Walk: Walk{Site: site}, packet: p, last: -1}
			open[e.ID] = w
			list = append(list, w)
		}
		if w == nil {
			strays++
			continue
		}
		if whole {
			w.seen = append(w.seen, p)
			if e.In != 0 {
				w.In = devices(e.In)
			}
			if e.Out != 0 {
				w.Out = devices(e.Out)
			}
		}
		if e.Track != nil {
			w.Track = &Track{e.Track.ID, e.Track.Reply, e.Track.New, e.Track.Related, e.Track.Status}
		}
		switch {
		case ours && whole:
			w.observed(e, at.position, at.hook, at.end, p)
		case !ours:
			w.met(e)
		}
	}
	return list, strays
}

// observed takes down what one of our observers saw.
func (w *walking) observed(e nftrace.Event, position int, hook string, end bool, p packet.Packet) {
	w.last = position
	h := Headers{p.Src, p.Dst, p.TTL, e.Mark}
	if n := len(w.Hooks); n == 0 || w.Hooks[n-1].Name != hook {
		w.Hooks = append(w.Hooks, Hook{Name: hook, Before: h})
		w.before = append(w.before, p)
	}
	if end {
		w.Hooks[len(w.Hooks)-1].After = &h
	}
}

// met takes down a step through somebody's rules. The kernel makes an event without a handle at the end of each chain's rules.
func (w *walking) met(e nftrace.Event) {
	if len(w.Hooks) == 0 || e.Kind == nftrace.Rule && e.Handle == 0 {
		return
	}
	h := &w.Hooks[len(w.Hooks)-1]
	h.Rules = append(h.Rules, Rule{Family: e.Family, Table: e.Table, Chain: e.Chain, Kind: e.Kind.String(), Handle: e.Handle, Verdict: e.Verdict})
}

// dropped is the rule, or policy, that ended the walk.
func (w *Walk) dropped() *Rule {
	for i := range w.Hooks {
		for j := range w.Hooks[i].Rules {
			r := &w.Hooks[i].Rules[j]
			if r.Verdict == "drop" || strings.Contains(r.Text, "-j REJECT") || strings.HasSuffix(r.Text, "-j DROP") {
				return r
			}
		}
	}
	return nil
}

// delivered reports whether the packet came to a process of the node.
func (w *Walk) delivered() bool {
	n := len(w.Hooks)
	return n > 0 && w.Hooks[n-1].Name == "input" && w.Hooks[n-1].After != nil
}

// hookNames are the hooks as ip_tables numbers them (enum nf_inet_hooks).
var hookNames = [...]string{"prerouting", "input", "forward", "output", "postrouting"}

// tuple is the two ends of a packet.
type tuple struct{ src, dst netip.AddrPort }

func tupleOf(p *packet.Packet) tuple { return tuple{p.Src, p.Dst} }

func (t tuple) back() tuple { return tuple{t.dst, t.src} }

func (t tuple) String() string { return fmt.Sprintf("%v > %v", t.src, t.dst) }
