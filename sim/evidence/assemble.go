package evidence

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"svclab/nsnet/capture"
	"svclab/nsnet/counters"
	"svclab/nsnet/fib"
	"svclab/nsnet/rules"
	"svclab/proxycore/conntrack"
	"svclab/sim/lab"
	"svclab/sim/world"
)

// assemble makes the evidence of what was heard, and asks for texts, elements, routes and memories.
func (w *watch) assemble(ctx context.Context, frames []capture.Frame) error {
	s := newStitcher(w)
	for _, n := range w.nodes {
		list, err := w.heard(ctx, n)
		if err != nil {
			return err
		}
		s.walks = append(s.walks, list...)
	}
	s.take(frames)
	s.stitch()
	w.listSites()
	for _, n := range w.nodes {
		if err := w.memory(ctx, n, s); err != nil {
			return err
		}
		w.texts(ctx, n, s.of(n.site.Name))
	}
	for _, walk := range s.kept {
		w.e.Walks = append(w.e.Walks, walk.Walk)
	}
	if err := w.routes(s); err != nil {
		return err
	}
	s.ends()
	slices.SortFunc(w.e.Counters, func(a, b Counter) int { return cmp.Or(cmp.Compare(a.Site, b.Site), cmp.Compare(a.Name, b.Name)) })
	return nil
}

// heard is a node's walks, with the rules of both kinds.
func (w *watch) heard(ctx context.Context, n *watched) ([]*walking, error) {
	const incomplete = "some of the trace"
	events, lost, err := n.reader.Events()
	if err != nil {
		return nil, err
	}
	if lost {
		w.missing(n.site.Name, incomplete, "events came faster than they were read (ENOBUFS)")
	}
	w.e.Tally.Events += len(events)
	list, strays := walks(n.site.Name, deviceNames(n.site), events)
	if strays > 0 {
		w.missing(n.site.Name, incomplete, fmt.Sprintf("%d events belong to no packet that an observer has seen", strays))
	}
	if n.log == nil {
		return list, nil
	}
	logged, lost, err := n.log.Events()
	if err != nil {
		return nil, err
	}
	if lost {
		w.missing(n.site.Name, incomplete, "lines of the packet log came faster than they were read (ENOBUFS)")
	}
	w.e.Tally.Events += len(logged)
	family := "ip"
	if w.flow.To.Addr().Is6() {
		family = "ip6"
	}
	if strays := joinLog(family, list, logged); strays > 0 {
		w.missing(n.site.Name, incomplete, fmt.Sprintf("%d lines of the packet log belong to no packet that an observer has seen", strays))
	}
	return list, w.legacyTexts(ctx, n, list)
}

func deviceNames(s *lab.Site) func(uint32) string {
	return func(index uint32) string {
		if d, ok := s.Devices[int(index)]; ok {
			return d.Device
		}
		if index == 1 {
			return "lo"
		}
		return fmt.Sprint("device ", index)
	}
}

func (w *watch) listSites() {
	for _, s := range w.sites {
		site := Site{Name: s.Name, Devices: map[string]Wire{}}
		if s.Host != nil {
			site.Node, site.Addrs = s.Host.Node, slices.Concat(s.Host.Addrs, s.Host.More)
		}
		for _, d := range s.Devices {
			site.Devices[d.Device] = Wire{d.Peer, d.PeerName}
			w.e.Tally.Devices++
		}
		w.e.Sites = append(w.e.Sites, site)
	}
}

// telling counters are those that say what became of a packet; that octets came and went is no news.
var telling = regexp.MustCompile(`(?i)err|discard|drop|noroute|filter|unreach|noports|outrsts|estabresets|forw|unknownproto|abort|overflow|timeexc|toobig|delivers$`)

func (w *watch) moved(s *lab.Site, c counters.Counters) {
	for _, name := range sortedKeys(c) {
		if !telling.MatchString(name) {
			continue
		}
		w.e.Counters = append(w.e.Counters, Counter{Site: s.Name, Name: name, By: c[name]})
	}
}

// ourTable is the name of the tables that svclab's own backend on nf_tables has.
const ourTable = "svclab"

// texts finds the texts of the rules that were met, and what those that ask sets were told.
func (w *watch) texts(ctx context.Context, n *watched, list []*walking) {
	var chains []rules.Chain
	for _, walk := range list {
		for _, h := range walk.Hooks {
			for _, r := range h.Rules {
				c := rules.Chain{Family: r.Family, Table: r.Table, Name: r.Chain}
				if r.Handle != 0 && !slices.Contains(chains, c) {
					chains = append(chains, c)
				}
			}
		}
	}
	ours := func(c rules.Chain) bool { return c.Table == ourTable && (c.Family == "ip" || c.Family == "ip6") }
	texts, err := rules.Texts(ctx, n.site.NS, chains, ours)
	if err != nil {
		w.missing(n.site.Name, "the texts of some rules", err.Error())
	}
	for _, walk := range list {
		for i := range walk.Hooks {
			seen := w.seenBy(walk, i)
			for j := range walk.Hooks[i].Rules {
				r := &walk.Hooks[i].Rules[j]
				if r.Handle == 0 {
					continue
				}
				c := rules.Chain{Family: r.Family, Table: r.Table, Name: r.Chain}
				r.Text = texts[rules.Rule{Chain: c, Handle: r.Handle}]
				if r.Text == "" {
					w.missing(n.site.Name, fmt.Sprintf("the text of rule %d of %s %s %s", r.Handle, r.Family, r.Table, r.Chain), "it is there no more")
				}
				if strings.Contains(r.Text, "@") {
					w.lookups(n, c, r, seen)
				}
				seen = seen.Pass(r.Text)
			}
		}
	}
}

// seenBy is a packet as the rules of a hook see it.
func (w *watch) seenBy(walk *walking, hook int) rules.Seen {
	p := rules.Seen{Packet: walk.before[hook]}
	if after := walk.Hooks[hook].After; after != nil {
		p.Became = after.Dst
	}
	for _, m := range w.e.Memory {
		if m.Site == walk.Site && walk.Track != nil && m.ID == walk.Track.ID {
			p.Original = m.OrigDst
		}
	}
	return p
}

func (w *watch) lookups(n *watched, c rules.Chain, r *Rule, p rules.Seen) {
	found, err := rules.Lookups(n.site.NS, c, r.Text, p)
	if err != nil {
		w.missing(n.site.Name, fmt.Sprintf("what rule %d of %s %s %s was told", r.Handle, r.Family, r.Table, r.Chain), err.Error())
	}
	for _, l := range found {
		r.Lookups = append(r.Lookups, Lookup(l))
	}
}

// memory is the entries that belong to the flow: by the ids that the trace told, else by the addresses that its packets had.
func (w *watch) memory(ctx context.Context, n *watched, s *stitcher) error {
	entries, err := w.lab.Memory(ctx, n.site.Host.Name, lab.ProtocolNumber(w.flow))
	if err != nil {
		return err
	}
	ids := map[uint32]bool{}
	for _, walk := range s.of(n.site.Name) {
		if walk.Track != nil {
			ids[walk.Track.ID] = true
		}
	}
	for _, c := range entries {
		if ids[c.ID] || s.tuples[tuple{c.OrigSrc, c.OrigDst}] && s.tuples[tuple{c.ReplySrc, c.ReplyDst}] {
			w.e.Memory = append(w.e.Memory, Connection{n.site.Name, c.ID, c.OrigSrc, c.OrigDst, c.ReplySrc, c.ReplyDst, c.Status, statusWords(c.Status)})
		}
	}
	return nil
}

func statusWords(status uint32) (words []string) {
	for _, s := range []struct {
		bit  uint32
		word string
	}{{conntrack.SeenReply, "seen reply"}, {conntrack.Assured, "assured"}, {conntrack.SourceNAT, "SNAT"}, {conntrack.DestNAT, "DNAT"}} {
		if status&s.bit != 0 {
			words = append(words, s.word)
		}
	}
	return words
}

// routes asks for every decision that a packet met: of its sender, and of each node after prerouting.
func (w *watch) routes(s *stitcher) error {
	asked := map[Route]bool{}
	ask := func(site *lab.Site, q fib.Question) error {
		key := Route{Site: site.Name, Dst: q.Dst, Src: q.Src, In: q.In, Mark: q.Mark}
		if asked[key] {
			return nil
		}
		asked[key] = true
		a, err := fib.Ask(site.NS, q)
		if err != nil {
			w.missing(site.Name, fmt.Sprintf("the route to %s", q.Dst), err.Error())
			return nil
		}
		key.Kind, key.Via, key.Out, key.Entry, key.Table, key.Error = a.Kind, a.Via, a.Out, a.Entry, a.Table, a.Error
		w.e.Routes = append(w.e.Routes, key)
		return nil
	}
	for _, p := range w.e.Packets {
		for i, h := range p.Hops {
			site := s.site(h.Site)
			if h.Walk != nil {
				walk := w.e.Walks[*h.Walk]
				first := walk.Hooks[0]
				at := first.Before
				if first.After != nil {
					at = *first.After
				}
				if first.Name == "prerouting" && first.After == nil {
					continue // it never came to the decision
				}
				in := walk.In
				if first.Name == "output" {
					in = ""
				}
				if err := ask(site, fib.Question{Dst: at.Dst.Addr(), Src: at.Src.Addr(), In: in, Mark: at.Mark}); err != nil {
					return err
				}
			} else if i == 0 && h.Out && site.Host != nil && site.Host.Kind != world.Node {
				q := fib.Question{Dst: h.Dst.Addr(), Src: h.Src.Addr()}
				if site.Host.Kind == world.Client && p.Way == There {
					q.Mark = w.lab.Mark(w.flow)
				}
				if err := ask(site, q); err != nil {
					return err
				}
			}
		}
	}
	return nil
}
