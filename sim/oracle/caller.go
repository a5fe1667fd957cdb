package oracle

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// caller is who calls, and by whom the address that was called is translated.
type caller struct {
	from *world.Host
	self netip.Addr // the client's address of the family in use; the zero Addr when it has none
	home string     // the client's node; of an outside client the one it enters by
	// translates is the node that rewrites the address: home, but of a NodePort the node whose address was called.
	translates string
	seen       seen // what that node takes the client for
}

// seen is what a node takes the sender of a packet for: a process of its own, a pod, or somebody from outside.
type seen uint8

const (
	stranger seen = iota
	aPod
	own
)

// calls finds out who calls. Loopback addresses are each host's own, and who calls one has it for its source as well.
func (h *History) calls(f world.Flow, from *world.Host, st *facts, by kind) caller {
	c := caller{from: from, self: from.AddrOf(f.To.Addr()), home: nodeOf(from)}
	if c.home == "" {
		c.home = h.entry(f.Via)
	}
	c.translates = c.home
	if node := h.node(f.To.Addr()); node != nil && by == byNodePort {
		c.translates = node.Name
	}
	// Who calls an address of its own shows that very address.
	if f.To.Addr().IsLoopback() || inNode(from) && h.hasAddr(nodeOf(from), f.To.Addr()) {
		c.self = f.To.Addr()
	}
	c.seen = h.takenFor(c, st)
	return c
}

func (h *History) hasAddr(node string, a netip.Addr) bool {
	n := h.node(a)
	return n != nil && n.Name == node
}

// takenFor asks the translating node's detector of local traffic (SRC-1 … SRC-4).
func (h *History) takenFor(c caller, st *facts) seen {
	local := false
	switch s := &h.settings; s.DetectLocalMode {
	case cluster.DetectBridgeInterface:
		local = h.arrivesBy(c) == s.Interface
	case cluster.DetectInterfaceNamePrefix:
		local = strings.HasPrefix(h.arrivesBy(c), s.Interface)
	default:
		r, ok := h.podRange(st, c.translates, c.self)
		local = ok && r.Contains(c.self)
	}
	switch {
	case inNode(c.from) && nodeOf(c.from) == c.translates:
		return own
	case local:
		return aPod
	}
	return stranger
}

// detects: the node has a detector at all for packets of that family. Without one nobody is known to be a pod, and
// nobody to be none (SRC-5).
func (h *History) detects(st *facts, c caller) bool {
	switch h.settings.DetectLocalMode {
	case cluster.DetectBridgeInterface, cluster.DetectInterfaceNamePrefix:
		return true
	}
	_, ok := h.podRange(st, c.translates, c.self)
	return ok
}

// podRange is what a node that looks at addresses takes for pods: of the family the first range that it was given, or
// its Node has (cmd/kube-proxy/app/server_linux.go getLocalDetectors).
func (h *History) podRange(st *facts, node string, like netip.Addr) (netip.Prefix, bool) {
	var ranges []netip.Prefix
	switch h.settings.DetectLocalMode {
	case cluster.DetectClusterCIDR:
		ranges = h.settings.ClusterCIDRs
	case cluster.DetectNodeCIDR, "":
		if n := st.state.Node(node); n != nil {
			ranges = n.PodCIDRs
		} else if host := h.places[world.Place{Kind: world.Node, Name: node}]; host != nil {
			ranges = host.PodCIDRs
		}
	}
	i := slices.IndexFunc(ranges, func(r netip.Prefix) bool { return r.Addr().Is4() == like.Is4() })
	if i < 0 {
		return netip.Prefix{}, false
	}
	return ranges[i], true
}

// arrivesBy is the interface by which the client's packets come to the translating node: a pod of it has a link of its
// own there, all others come by the wire. A process of the node itself comes by none; nothing begins with that.
func (h *History) arrivesBy(c caller) string {
	switch {
	case nodeOf(c.from) != c.translates:
		return "eth0"
	case inNode(c.from):
		return "-"
	}
	return "pod" + strconv.Itoa(h.links[c.from.Place])
}
