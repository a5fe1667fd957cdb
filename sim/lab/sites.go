package lab

import (
	"context"
	"errors"
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"

	"svclab/nsnet"
	"svclab/proxycore/conntrack"
	"svclab/sim/world"
)

// Site is a network namespace of the lab, for whoever watches packets.
type Site struct {
	Name    string       // "node/node-1", "pod/web-1", "client/laptop", "underlay", "sink"
	Host    *world.Host  // nil for the underlay and the sink; of pods in their node's namespace, that is the node
	NS      *nsnet.NS    // stays the lab's
	Devices map[int]Wire // by their index; the loopback device and bridges are not among them
}

// Wire is a device and what is at its other end.
type Wire struct {
	Device   string // "eth0"
	Peer     string // the Name of the site at the other end
	PeerName string // the device there
}

// Underlay and sink are the names of the sites that are no place.
const (
	SiteUnderlay = "underlay"
	SiteSink     = "sink"
)

// Sites are all namespaces of the lab: nodes, clients, pods, underlay, sink, and how they are wired, as the kernel says.
func (l *Lab) Sites() ([]*Site, error) {
	var sites []*Site
	add := func(name string, host *world.Host, ns *nsnet.NS) *Site {
		s := &Site{Name: name, Host: host, NS: ns, Devices: map[int]Wire{}}
		sites = append(sites, s)
		return s
	}
	of := map[string][]*Site{} // who may be wired to a node, or to the underlay
	for _, hosts := range [][]world.Host{l.topology.Nodes, l.topology.Clients, l.topology.Pods} {
		for i := range hosts {
			if h := &hosts[i]; !h.HostNetwork {
				s := add(h.Place.String(), h, l.places[h.Place].ns)
				hub := SiteUnderlay
				if h.Kind == world.Pod {
					hub = world.Place{Kind: world.Node, Name: h.Node}.String()
				}
				of[hub] = append(of[hub], s)
			}
		}
	}
	of[SiteUnderlay] = append(of[SiteUnderlay], add(SiteSink, nil, l.sink.NS()))
	add(SiteUnderlay, nil, l.segment.NS())
	for _, hub := range sites {
		if err := connect(hub, of[hub.Name]); err != nil {
			return nil, fmt.Errorf("find the wires of %s: %w", hub.Name, err)
		}
	}
	return sites, nil
}

// connect fills in the wires between a site and those around it. Each end of a veth names the other by its index there and by
// the kernel's number for the namespace, which is asked for.
func connect(hub *Site, around []*Site) error {
	if len(around) == 0 {
		return nil
	}
	h, err := hub.NS.Netlink()
	if err != nil {
		return err
	}
	links, err := listLinks(h)
	if err != nil {
		return err
	}
	numbered := map[int]*Site{}
	for _, s := range around {
		n, err := h.GetNetNsIdByFd(s.NS.FD())
		if err != nil {
			return err
		}
		numbered[n] = s
	}
	for _, link := range links {
		a := link.Attrs()
		far := numbered[a.NetNsID]
		if _, is := link.(*netlink.Veth); !is || far == nil {
			continue
		}
		there, err := far.NS.Netlink()
		if err != nil {
			return err
		}
		peer, err := there.LinkByIndex(a.ParentIndex)
		if err != nil {
			return err
		}
		hub.Devices[a.Index] = Wire{a.Name, far.Name, peer.Attrs().Name}
		far.Devices[a.ParentIndex] = Wire{peer.Attrs().Name, hub.Name, a.Name}
	}
	return nil
}

// listLinks asks again when devices came or went during the listing.
func listLinks(h *netlink.Handle) (links []netlink.Link, err error) {
	for range 10 {
		if links, err = h.LinkList(); !errors.Is(err, netlink.ErrDumpInterrupted) {
			break
		}
	}
	return links, err
}

// Claim chooses what Send would choose by itself: the client's own address and port, so that one can watch for them beforehand.
// The flow that it returns has that port. The address is the zero Addr when the place has none of that family.
func (l *Lab) Claim(f world.Flow) (world.Flow, netip.AddrPort, error) {
	p := l.places[f.From]
	if p == nil {
		return f, netip.AddrPort{}, fmt.Errorf("flow %s: the lab has no %s", f, f.From)
	}
	if f.Session != "" {
		l.mu.Lock()
		se := l.sessions[sessionKey{f.From, f.Session, f.To, f.Proto}]
		l.mu.Unlock()
		if se != nil {
			se.mu.Lock()
			defer se.mu.Unlock()
			if se.s != nil {
				return f, se.s.local, nil
			}
		}
	}
	s, err := l.newSocket(p, f)
	if err != nil {
		return f, netip.AddrPort{}, err
	}
	s.close()
	f.SourcePort = s.local.Port()
	return f, s.local, nil
}

// Memory lists what the connection tracking of a node remembers of a protocol (its number in IP headers), of all for 0.
func (l *Lab) Memory(ctx context.Context, node string, proto uint8) ([]conntrack.Entry, error) {
	l.looking.Lock()
	defer l.looking.Unlock()
	for _, n := range l.nodes {
		if n.host.Name == node {
			return n.entries(ctx, proto)
		}
	}
	return nil, fmt.Errorf("the lab has no node %s", node)
}

// ProtocolNumber is the protocol of a flow in IP headers.
func ProtocolNumber(f world.Flow) uint8 { return wireProto(f.Proto, f.To.Addr()) }

// Mark is the mark that packets of an outside client carry in its own namespace, by which it chooses the node to enter by.
func (l *Lab) Mark(f world.Flow) uint32 { return uint32(l.mark(f)) }

// Host is what the topology says of a place; nil when it has none such.
func (l *Lab) Host(p world.Place) *world.Host { return l.topology.Find(p) }
