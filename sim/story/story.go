// Package story tells what happened to one flow: it reads the evidence of it, maps what the kernel calls things back to Services,
// EndpointSlices, Pods and lines of the scenario file, and says each step in a sentence for who knows TCP and not Kubernetes. What
// should have happened stands beside it, from the oracle.
//
// It is pure: all that it says of the kernel is in the evidence. Where that has gaps, the story has them too, and says so.
package story

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"svclab/proxycore/cluster"
	"svclab/reports/tell"
	"svclab/sim/evidence"
	"svclab/sim/naming"
	"svclab/sim/oracle"
)

// Input is what a story is made of.
type Input struct {
	Evidence *evidence.Evidence // required
	Index    *naming.Index      // required: the names that the proxy gives, in the state in which the flow was sent
	Proxy    string             // required: its name, as given to --proxy
	Target   string             // as it was asked for: "service/myservice:80". Optional: the address stands for it
	File     string             // of the scenario. Optional
	State    string             // in words: "the state at the start". Optional
	Expected *oracle.Answer     // what should have happened; nil: nothing is judged
	Notes    []string           // what is special about how the flow was sent. Optional
}

// builder is a story under way.
type builder struct {
	Input
	e     *evidence.Evidence
	s     *tell.Story
	proto cluster.Proto
	hosts map[netip.Addr]string // who has an address: "pod/web-1"
	front *naming.Front         // that was called; nil: none
	dnat  *translation
	snat  *translation
	told  map[string]bool // sentences that need not be said twice
	steps int
}

// translation is where the first packet was given another address.
type translation struct {
	node string
	hook *evidence.Hook
	rule *evidence.Rule // that did it; nil: it could not be had
}

// Of tells the story of the evidence.
func Of(in Input) *tell.Story {
	e := in.Evidence
	b := &builder{Input: in, e: e, hosts: map[netip.Addr]string{}, told: map[string]bool{}}
	b.proto, _ = cluster.ParseProto(e.Flow.Proto)
	for _, s := range e.Sites {
		for _, a := range s.Addrs {
			if b.hosts[a] == "" {
				b.hosts[a] = s.Name
			}
		}
	}
	b.front = in.Index.FrontAt(e.Flow.To.Addr(), b.proto, e.Flow.To.Port())
	b.findTranslations()
	target := in.Target
	if target == "" {
		target = b.asked()
	}
	b.s = &tell.Story{
		SchemaVersion: 1, Title: e.Flow.From + " → " + target, Proxy: in.Proxy, File: in.File, State: in.State, Notes: in.Notes,
		Outcome: e.Seen.Outcome, Memory: []tell.Memory{}, Missing: []string{}, Facts: []tell.Fact{}, Ways: []tell.Way{},
	}
	b.s.Verdict = b.verdict()
	b.facts()
	b.ways()
	b.memory()
	b.judge()
	b.evidence()
	return b.s
}

// asked is the address that was called, as text.
func (b *builder) asked() string {
	if b.isICMP() {
		return b.e.Flow.To.Addr().String() + ", by an echo request"
	}
	return b.e.Flow.To.String() + "/" + b.e.Flow.Proto
}

// first is the first packet on a way; nil: there is none.
func (b *builder) first(way evidence.Way) *evidence.Packet {
	for i := range b.e.Packets {
		if b.e.Packets[i].Way == way {
			return &b.e.Packets[i]
		}
	}
	return nil
}

// walks are a packet's, in order.
func (b *builder) walks(p *evidence.Packet) (out []*evidence.Walk) {
	if p == nil {
		return nil
	}
	for _, h := range p.Hops {
		if h.Walk != nil {
			out = append(out, &b.e.Walks[*h.Walk])
		}
	}
	return out
}

func (b *builder) findTranslations() {
	for _, w := range b.walks(b.first(evidence.There)) {
		for i := range w.Hooks {
			h := &w.Hooks[i]
			if h.After == nil {
				continue
			}
			if h.Before.Dst != h.After.Dst && b.dnat == nil {
				b.dnat = &translation{short(w.Site), h, lastRule(h, dnatRule)}
			}
			if h.Before.Src != h.After.Src && b.snat == nil {
				b.snat = &translation{short(w.Site), h, lastRule(h, snatRule)}
			}
		}
	}
}

// who is a host's name with its kind, or the address itself.
func (b *builder) who(a netip.Addr) string {
	if name := b.hosts[a]; name != "" {
		return name
	}
	return a.String()
}

// short is a site's name without its kind, where that is a node.
func short(site string) string { return strings.TrimPrefix(site, "node/") }

// addr is an address as a packet has it; ICMP has no ports.
func addr(a netip.AddrPort) string {
	switch {
	case !a.IsValid():
		return ""
	case a.Port() == 0:
		return a.Addr().String()
	}
	return a.String()
}

// once is a sentence the first time, and nothing afterwards.
func (b *builder) once(words string) []string {
	if b.told[words] {
		return nil
	}
	b.told[words] = true
	return []string{words}
}

// memory tells what connection tracking remembers.
func (b *builder) memory() {
	plain := 0
	for _, c := range b.e.Memory {
		what := strings.Join(c.Words, ", ")
		nat := slices.Contains(c.Words, "DNAT") || slices.Contains(c.Words, "SNAT")
		if !nat {
			plain++
			what = strings.Trim("no translation, "+what, ", ")
		}
		b.s.Memory = append(b.s.Memory, tell.Memory{
			Node: short(c.Site), ID: c.ID, What: what, NAT: nat,
			Original: tell.Tuple{Source: addr(c.OrigSrc), Dest: addr(c.OrigDst)}, Reply: tell.Tuple{Source: addr(c.ReplySrc), Dest: addr(c.ReplyDst)},
		})
	}
	switch {
	case len(b.e.Memory) == 0 && b.first(evidence.There) != nil && b.first(evidence.There).End.Fate == evidence.Dropped:
		b.s.MemoryWords = []string{"Nothing: an entry is kept once the first packet has come through, and this one did not."}
	case len(b.e.Memory) == 0:
		b.s.MemoryWords = []string{"Nothing."}
	case plain == len(b.e.Memory):
		b.s.MemoryWords = []string{"Nobody translated this connection: replies need no translation back."}
	default:
		b.s.MemoryWords = []string{"The original line says how the client's packets come in, the reply line how those of the server do. " +
			"Every later packet is translated by this entry; the rules are asked for the first packet of a connection only."}
	}
}

// evidence says what the story was made of, and what is missing.
func (b *builder) evidence() {
	t := &b.e.Tally
	b.s.Evidence = []string{
		fmt.Sprintf("%d events of packet traces · %d frames at %d devices · connection tracking · routes, asked for afterwards.", t.Events, t.Frames, t.Devices),
		fmt.Sprintf("To begin watching took %s, to ask for texts, elements and routes %s. Times of packets include the cost of watching.", took(t.Arm), took(t.Ask)),
	}
	drawn := false
	for _, w := range b.e.Walks {
		for _, h := range w.Hooks {
			for _, r := range h.Rules {
				drawn = drawn || manyDrawn.MatchString(r.Text) || slices.ContainsFunc(r.Lookups, func(l evidence.Lookup) bool { return l.Drawn })
			}
		}
	}
	if drawn {
		b.s.Missing = append(b.s.Missing, "the kernel does not record which number it draws: the slot is inferred from the packet's new destination.")
	}
	for _, m := range b.e.Missing {
		text := m.What
		if m.Site != "" {
			text = "on " + short(m.Site) + ", " + m.What
		}
		b.s.Missing = append(b.s.Missing, text+": "+m.Why+".")
	}
	for _, c := range b.e.Counters {
		if c.Text != "" {
			b.s.Evidence = append(b.s.Evidence, fmt.Sprintf("Meanwhile on %s, this rule counted %d: %s", short(c.Site), c.By, c.Text))
		}
	}
	if p := b.first(evidence.There); p != nil && (p.End.Fate == evidence.Stopped || p.End.Fate == evidence.Vanished) {
		for _, c := range b.e.Counters {
			if c.Text == "" {
				b.s.Evidence = append(b.s.Evidence, fmt.Sprintf("Meanwhile on %s, the kernel's counter %s moved by %d.", short(c.Site), c.Name, c.By))
			}
		}
	}
}

// took is a duration in words: "2.7 ms".
func took(d time.Duration) string {
	switch ms := float64(d) / float64(time.Millisecond); {
	case ms >= 1000:
		return fmt.Sprintf("%.2f s", ms/1000)
	case ms >= 10:
		return fmt.Sprintf("%.0f ms", ms)
	default:
		return fmt.Sprintf("%.1f ms", ms)
	}
}
