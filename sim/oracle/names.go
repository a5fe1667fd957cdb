package oracle

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

func frontName(k cluster.Key, port uint16) string { return k.String() + ":" + strconv.Itoa(int(port)) }

// nodeOf is the node whose address a place has, or behind which it is; empty for an outside client.
func nodeOf(p *world.Host) string {
	switch p.Kind {
	case world.Pod:
		return p.Node
	case world.Node:
		return p.Name
	}
	return ""
}

// inNode: it lives in a node's root network namespace.
func inNode(p *world.Host) bool { return p.Kind == world.Node || p.Kind == world.Pod && p.HostNetwork }

func listens(p *world.Host, port uint16, proto cluster.Proto) bool {
	return slices.Contains(p.Listen, world.Port{Proto: proto, Port: port})
}

// serverAt returns who would answer at an address: of several that share it the one that listens there, else the node
// itself; nil when nobody has the address.
func (h *History) serverAt(a netip.AddrPort, proto cluster.Proto) (host *world.Host, listening bool) {
	for _, p := range h.at[a.Addr()] {
		if listens(p, a.Port(), proto) {
			return p, true
		}
		if host == nil || p.Kind == world.Node {
			host = p
		}
	}
	return host, false
}

// who names the server at an address: "pod/web-1", or the address when nobody has it.
func (h *History) who(a netip.AddrPort, proto cluster.Proto) string {
	if p, _ := h.serverAt(a, proto); p != nil {
		return p.String()
	}
	return a.String()
}

// whose names an address: "pod/client's address 10.0.0.1".
func (h *History) whose(a netip.Addr) string {
	if p, _ := h.serverAt(netip.AddrPortFrom(a, 0), 0); p != nil {
		return p.String() + "'s address " + a.String()
	}
	if a.IsLinkLocalUnicast() {
		return "the link-local address " + a.String()
	}
	return "the unknown address " + a.String()
}

// either joins alternatives: "a", "a or b", "a, b or c"; of many only the first few are named.
func either(words []string) string {
	const few = 4
	if len(words) > few+1 {
		words = append(slices.Clone(words[:few]), "one of "+strconv.Itoa(len(words)-few)+" more")
	}
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func (h *History) names(pool []netip.AddrPort, proto cluster.Proto) []string {
	words := make([]string, len(pool))
	for i, a := range pool {
		words[i] = h.who(a, proto)
	}
	return words
}

// seconds prints a duration as people say it: "5 s", "1.2 s", "0.4 ms".
func seconds(d time.Duration) string {
	unit, word := time.Second, " s"
	if d < time.Second {
		unit, word = time.Millisecond, " ms"
	}
	return strconv.FormatFloat(float64(d.Round(unit/10))/float64(unit), 'f', -1, 64) + word
}
