package evidence

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"svclab/nsnet/capture"
	"svclab/nsnet/packet"
	"svclab/sim/lab"
	"svclab/sim/world"
)

// sighting is one frame at one device.
type sighting struct {
	site   *lab.Site
	device string
	frame  capture.Frame
	packet packet.Packet
}

// trail is one packet: all its sightings, and its walks through nodes.
type trail struct {
	key       packet.Key
	sightings []sighting
	walks     []*walking
}

// stitcher finds the packets of the flow among everything that was heard. One packet is known on all wires by its key. It belongs
// to the flow if it has the client's address and the one called at its two ends; what these were translated to is learned from the
// packets themselves, until nothing new is learned.
type stitcher struct {
	w         *watch
	walks     []*walking // of all nodes, in order
	kept      []*walking // those of the flow
	sightings []sighting
	tuples    map[tuple]bool // the ends that packets of the flow have somewhere, both ways
}

func newStitcher(w *watch) *stitcher {
	asked := tuple{w.self, w.flow.To}
	if w.flow.To.Port() == 0 { // an echo: its identifier stands for both ports
		asked.dst = netipPort(w.flow.To, w.self.Port())
	}
	return &stitcher{w: w, tuples: map[tuple]bool{asked: true, asked.back(): true}}
}

func (s *stitcher) site(name string) *lab.Site {
	i := slices.IndexFunc(s.w.sites, func(x *lab.Site) bool { return x.Name == name })
	return s.w.sites[i]
}

// of is the kept walks through a node.
func (s *stitcher) of(site string) (list []*walking) {
	for _, w := range s.kept {
		if w.Site == site {
			list = append(list, w)
		}
	}
	return list
}

// take reads the frames. What a bridge floods to those who do not want it is left out, but for the bridge itself.
func (s *stitcher) take(frames []capture.Frame) {
	for _, f := range frames {
		i := slices.IndexFunc(s.w.sites, func(x *lab.Site) bool { return x.NS == f.NS })
		site := s.w.sites[i]
		name := deviceNames(site)(uint32(f.Device))
		_, wired := site.Devices[f.Device]
		if f.Stray && site.Name != lab.SiteUnderlay || !wired && name != "lo" {
			continue
		}
		if p, ok := packet.FromFrame(f.Data); ok {
			s.sightings = append(s.sightings, sighting{site, name, f, p})
		}
	}
}

// belongs reports whether a packet has, somewhere, ends that packets of the flow are known to have.
func (s *stitcher) belongs(list []packet.Packet) bool {
	is := func(p *packet.Packet) bool {
		if p.Quoted != nil {
			return s.tuples[tupleOf(p.Quoted)]
		}
		return s.tuples[tupleOf(p)]
	}
	return slices.ContainsFunc(list, func(p packet.Packet) bool { return is(&p) })
}

// learn takes over the ends that a packet of the flow has.
func (s *stitcher) learn(list []packet.Packet) {
	for i := range list {
		p := &list[i]
		if p.Quoted != nil {
			p = p.Quoted
		}
		if p.IsError() {
			continue // its own ends are those of whoever complains
		}
		s.tuples[tupleOf(p)], s.tuples[tupleOf(p).back()] = true, true
	}
}

// stitch fills in the packets of the evidence, and the walks that are kept.
func (s *stitcher) stitch() {
	of := map[packet.Key][]packet.Packet{}
	for _, x := range s.sightings {
		of[x.packet.Key()] = append(of[x.packet.Key()], x.packet)
	}
	for _, w := range s.walks {
		k := w.packet.Key()
		of[k] = append(of[k], w.seen...)
	}
	mine := map[packet.Key]bool{}
	type entry struct {
		site string
		id   uint32
	}
	entries := map[entry]bool{} // of connection tracking
	for news := true; news; {
		news = false
		for k, list := range of {
			if !mine[k] && s.belongs(list) {
				mine[k], news = true, true
				s.learn(list)
			}
		}
		for _, w := range s.walks {
			if w.Track == nil {
				continue
			}
			switch k, t := w.packet.Key(), (entry{w.Site, w.Track.ID}); {
			case mine[k]:
				entries[t] = true
			case entries[t]: // an ICMP error that no device has seen
				mine[k], news = true, true
			}
		}
	}
	var trails []*trail
	for _, x := range s.sightings {
		if mine[x.packet.Key()] {
			trails = s.see(trails, x)
		}
	}
	for _, w := range s.walks {
		if mine[w.packet.Key()] {
			trails = s.pass(trails, w)
		}
	}
	s.write(trails)
}

// see adds a sighting to the last packet of its key, or begins another: nothing is seen twice at one device in one direction but
// what was sent again.
func (s *stitcher) see(trails []*trail, x sighting) []*trail {
	for _, t := range slices.Backward(trails) {
		if t.key == x.packet.Key() {
			if slices.ContainsFunc(t.sightings, func(y sighting) bool {
				return y.site == x.site && y.device == x.device && y.frame.Outgoing == x.frame.Outgoing
			}) {
				break
			}
			t.sightings = append(t.sightings, x)
			return trails
		}
	}
	return append(trails, &trail{key: x.packet.Key(), sightings: []sighting{x}})
}

// pass gives a walk to the first packet of its key that came by there and has none of that kind yet. A packet of a node's own that
// never left it was seen at no device: it stands where the walk before it on that node does.
func (s *stitcher) pass(trails []*trail, w *walking) []*trail {
	after := -1
	for i, t := range trails {
		walked := slices.ContainsFunc(t.walks, func(o *walking) bool { return o.Site == w.Site && o.Hooks[0].Name == w.Hooks[0].Name })
		if t.key == w.packet.Key() && !walked {
			t.walks = append(t.walks, w)
			return trails
		}
		if slices.ContainsFunc(t.walks, func(o *walking) bool { return o.Site == w.Site }) {
			after = i
		}
	}
	return slices.Insert(trails, after+1, &trail{key: w.packet.Key(), walks: []*walking{w}})
}

// write puts trails into the evidence, in the order in which they began.
func (s *stitcher) write(trails []*trail) {
	var zero time.Time
	for _, t := range trails {
		slices.SortStableFunc(t.sightings, func(a, b sighting) int {
			return cmp.Or(a.frame.At.Compare(b.frame.At), cmp.Compare(order(a), order(b)))
		})
		if len(t.sightings) > 0 && (zero.IsZero() || t.sightings[0].frame.At.Before(zero)) {
			zero = t.sightings[0].frame.At
		}
	}
	e := s.w.e
	hops := map[[2]string]int{}
	for n, t := range trails {
		p := Packet{Way: s.way(t)}
		var what packet.Packet
		if len(t.sightings) > 0 {
			what = t.sightings[0].packet
		} else {
			what = t.walks[0].packet
		}
		p.What, p.Seq, p.ID = what.String(), what.Seq, what.ID
		for _, x := range t.sightings {
			p.Hops = append(p.Hops, Hop{Site: x.site.Name, Device: x.device, Out: x.frame.Outgoing, At: x.frame.At.Sub(zero),
				Src: x.packet.Src, Dst: x.packet.Dst, TTL: x.packet.TTL})
			s.record(hops, n, p, x)
		}
		for _, w := range t.walks {
			w.Packet = n
			i := len(s.kept)
			s.kept = append(s.kept, w)
			p.Hops = slices.Insert(p.Hops, placeOf(p.Hops, w), Hop{Site: w.Site, Walk: &i})
		}
		e.Packets = append(e.Packets, p)
	}
	slices.SortStableFunc(e.records, func(a, b capture.Record) int { return a.At.Compare(b.At) })
	e.Tally.Frames = len(e.records)
}

// order breaks a tie between two ends of one wire.
func order(x sighting) int {
	if x.frame.Outgoing {
		return 0
	}
	return 1
}

// placeOf is where a walk belongs among a packet's sightings: behind the arrival at its node, or, of a packet that the node itself
// sends, before it leaves.
func placeOf(hops []Hop, w *walking) int {
	if w.Hooks[0].Name == "output" {
		for i, h := range hops {
			if h.Site == w.Site && h.Walk == nil {
				return i
			}
		}
		return 0
	}
	for i, h := range slices.Backward(hops) {
		if h.Site == w.Site && h.Walk == nil && !h.Out {
			return i + 1
		}
	}
	return len(hops)
}

// record keeps a frame for the file of captures.
func (s *stitcher) record(hops map[[2]string]int, n int, p Packet, x sighting) {
	e := s.w.e
	k := [2]string{x.site.Name, x.device}
	if _, ok := hops[k]; !ok {
		hops[k] = len(e.hops)
		about := ""
		for _, d := range x.site.Devices {
			if d.Device == x.device {
				about = fmt.Sprintf("wired to %s %s", d.Peer, d.PeerName)
			}
		}
		e.hops = append(e.hops, capture.Hop{Name: x.site.Name + " " + x.device, About: about})
	}
	comment := fmt.Sprintf("packet %d of the flow, %s: %s, %s", n+1, p.Way, p.What, map[bool]string{true: "leaves", false: "arrives"}[x.frame.Outgoing])
	e.records = append(e.records, capture.Record{Frame: x.frame, Hop: hops[k], Number: uint64(n + 1), Comments: []string{comment}})
}

// way is there for what the client has sent, and for errors about answers.
func (s *stitcher) way(t *trail) Way {
	for _, x := range t.sightings {
		if x.packet.Src == s.w.self && x.site.Name == s.client() && x.frame.Outgoing {
			return There
		}
		if x.packet.Quoted == nil && x.packet.Dst == s.w.self || x.site.Name == s.client() && !x.frame.Outgoing {
			return Back
		}
	}
	all := slices.Concat(t.walks)
	for _, w := range all {
		for _, p := range w.seen {
			q := p
			back := false
			if q.Quoted != nil {
				q, back = *p.Quoted, true
			}
			switch {
			case q.Src == s.w.self:
				return map[bool]Way{false: There, true: Back}[back]
			case q.Dst == s.w.self:
				return map[bool]Way{false: Back, true: There}[back]
			}
		}
	}
	if len(all) > 0 && all[0].Track != nil && all[0].Track.Reply {
		return Back
	}
	return There
}

// client is the name of the site of the client.
func (s *stitcher) client() string {
	from := s.w.flow.From
	for _, x := range s.w.sites {
		if x.Name == from.String() {
			return x.Name
		}
	}
	if h := s.w.lab.Host(from); h != nil { // a pod in its node's namespace
		return world.Place{Kind: world.Node, Name: h.Node}.String()
	}
	return ""
}
