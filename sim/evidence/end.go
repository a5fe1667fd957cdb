package evidence

import (
	"net/netip"

	"svclab/sim/lab"
	"svclab/sim/world"
)

func netipPort(a netip.AddrPort, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(a.Addr(), port)
}

// ends says of each packet where it was last seen, and why it went no further.
func (s *stitcher) ends() {
	e := s.w.e
	for i := range e.Packets {
		p := &e.Packets[i]
		last := p.Hops[len(p.Hops)-1]
		p.End = End{Site: last.Site, Fate: Delivered}
		site := s.site(last.Site)
		switch {
		case last.Walk != nil:
			p.End = e.afterWalk(last.Site, &e.Walks[*last.Walk])
		case last.Site == lab.SiteSink:
			p.End.Fate = Leaked
		case last.Out:
			p.End.Fate = Vanished
		case site.Name == lab.SiteUnderlay, last.Device != "lo" && site.Host.Kind == world.Node: // no walk: it was not traced, or came no further
			p.End.Fate = Stopped
		}
	}
}

// afterWalk is the end of a packet that was seen at no device after its walk through a node's filters.
func (e *Evidence) afterWalk(site string, w *Walk) End {
	end := End{Site: site, Fate: Stopped, Rule: w.dropped()}
	switch {
	case end.Rule != nil:
		end.Fate = Dropped
		return end
	case w.delivered():
		end.Fate = Delivered
		return end
	}
	last := w.Hooks[len(w.Hooks)-1]
	at := last.Before
	if last.After != nil {
		at = *last.After
	}
	for i, r := range e.Routes {
		leadsNowhere := r.Error != "" || r.Kind == "blackhole" || r.Kind == "unreachable" || r.Kind == "prohibit"
		if r.Site == site && r.Dst == at.Dst.Addr() && leadsNowhere {
			end.Route = &e.Routes[i]
		}
	}
	return end
}
