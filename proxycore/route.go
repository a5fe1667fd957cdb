package proxycore

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"svclab/proxycore/cluster"
)

// Front is what a client addresses: one address, protocol and port of a Service.
type Front struct {
	Addr  netip.Addr
	Proto cluster.Proto
	Port  uint16
}

// String is "10.96.0.1:80/TCP", an IPv6 address in brackets.
func (f Front) String() string {
	return netip.AddrPortFrom(f.Addr, f.Port).String() + "/" + f.Proto.String()
}

// Compare orders fronts by address, port and protocol.
func (f Front) Compare(o Front) int {
	return cmp.Or(f.Addr.Compare(o.Addr), cmp.Compare(f.Port, o.Port), cmp.Compare(f.Proto, o.Proto))
}

// FrontKey is a Front as a key of large maps: it has no pointer to follow and no hole to step over, so it is hashed in one go
// and nothing of it is looked at by the garbage collector.
type FrontKey struct{ high, low, rest uint64 }

// Key is one to one with the Front, where the address is one without zone.
func (f Front) Key() FrontKey {
	k := FrontKey{rest: uint64(f.Port)<<16 | uint64(f.Proto)<<8}
	if f.Addr.Is4() {
		b := f.Addr.As4()
		k.low, k.rest = uint64(binary.BigEndian.Uint32(b[:])), k.rest|4
	} else if f.Addr.IsValid() {
		b := f.Addr.As16()
		k.high, k.low, k.rest = binary.BigEndian.Uint64(b[:]), binary.BigEndian.Uint64(b[8:]), k.rest|6
	}
	return k
}

// Front is the inverse of Front.Key.
func (k FrontKey) Front() Front {
	f := Front{Proto: cluster.Proto(k.rest >> 8), Port: uint16(k.rest >> 16)}
	switch uint8(k.rest) {
	case 4:
		var b [4]byte
		binary.BigEndian.PutUint32(b[:], uint32(k.low))
		f.Addr = netip.AddrFrom4(b)
	case 6:
		var b [16]byte
		binary.BigEndian.PutUint64(b[:], k.high)
		binary.BigEndian.PutUint64(b[8:], k.low)
		f.Addr = netip.AddrFrom16(b)
	}
	return f
}

// Owner is the Service port that a Route belongs to.
type Owner struct {
	Service cluster.Key
	Port    string // the port's name, empty for the single unnamed port
}

// String is "namespace/name" or "namespace/name:port".
func (o Owner) String() string {
	if o.Port == "" {
		return o.Service.String()
	}
	return o.Service.String() + ":" + o.Port
}

// Kind tells why a Front exists.
type Kind uint8

// The kinds of Front, in the order in which kubectl describe prints them.
const (
	ClusterIP Kind = iota
	ExternalIP
	LoadBalancer
	NodePort
)

// Route is one Front and what becomes of a packet to it. Everything a backend must know is in it: a backend reads no
// API object. Its lists are never changed once it is made, so that whoever gets it may keep them.
type Route struct {
	Front
	Owner Owner
	Kind  Kind
	Pool  Pool // who may answer
	// Local is who may answer traffic from outside under externalTrafficPolicy Local; pods and the node itself get Pool (the
	// short-circuit: POL-9, POL-10), a node that cannot tell its pods gives it to them too (POL-12). Nil: Pool for everybody.
	Local *Pool

	Masquerade Masquerade
	Ranges     []netip.Prefix // who may call (loadBalancerSourceRanges, rows LB-6 to LB-11), of the front's family, sorted; others are dropped; nil: everybody
	// Serving is every endpoint of a UDP front that a flow may go on to have, sorted; for the clean-up of connection tracking.
	Serving  []netip.AddrPort
	Affinity time.Duration // sessionAffinity ClientIP: the timeout; 0 is none
}

// Pool is a set of endpoints, each with the same share of the new flows.
type Pool struct {
	Endpoints []Endpoint // sorted by address, each once
	Empty     Empty      // what happens when there are none
}

// Endpoint is one usable endpoint.
type Endpoint struct {
	netip.AddrPort
	// Here: it runs on this node, or nobody knows where: it may call itself through the Service (hairpin), and then
	// its packet must be masqueraded (service-semantics HP-1, HP-3).
	Here bool
}

// Empty is the fate of a packet to a pool without endpoints.
type Empty uint8

// Refuse is ICMP port unreachable (row NE-1). Drop is silence: a Local policy with endpoints elsewhere (POL-2, POL-8).
const (
	Refuse Empty = iota
	Drop
)

// Masquerade says whose packets get the node's address as source. Hairpin packets always do.
type Masquerade uint8

// MasqueradeOutside spares pods and nobody else (ClusterIP: rows CIP-1, CIP-5, CIP-6); where the node cannot tell its pods
// (NodeRules.DetectsPods) it spares everybody (SRC-5), and with NodeRules.MasqueradeAll nobody (CIP-7). MasqueradeAll is
// for fronts that the packet reaches from anywhere (NP-1, LB-1); MasqueradeNode touches only the node's own packets
// (externalTrafficPolicy Local: POL-7, POL-9, POL-10).
const (
	MasqueradeOutside Masquerade = iota
	MasqueradeAll
	MasqueradeNode
)

// Equal reports whether both routes ask for the same.
func (r Route) Equal(o Route) bool { return r.equal(&o) }

func (r *Route) equal(o *Route) bool {
	return r.Front == o.Front && r.Owner == o.Owner && r.Kind == o.Kind && r.Masquerade == o.Masquerade &&
		r.Affinity == o.Affinity && r.Pool.Equal(o.Pool) && (r.Local == nil) == (o.Local == nil) &&
		(r.Local == nil || r.Local.Equal(*o.Local)) && slices.Equal(r.Ranges, o.Ranges) && slices.Equal(r.Serving, o.Serving)
}

// Equal reports whether both pools have the same endpoints and the same fate without them.
func (p Pool) Equal(o Pool) bool { return p.Empty == o.Empty && slices.Equal(p.Endpoints, o.Endpoints) }

// Check says what no backend can do.
func (n NodeRules) Check() error {
	const tooLong = 16 // IFNAMSIZ, with its final zero
	if name := strings.TrimSuffix(n.PodInterface, "*"); n.PodInterface != "" && (name == "" || len(name) >= tooLong) {
		return fmt.Errorf("pods on %q: not the name of an interface", n.PodInterface)
	}
	return nil
}

// NodeRules is what one node does whatever the Services are.
type NodeRules struct {
	// Who is a pod of this cluster (the local-traffic detector): whose source is in one of Pods, sorted, and whoever comes in
	// by PodInterface, the name of an interface, or the beginning of names and "*". Neither, in a family: nobody can tell.
	Pods          []netip.Prefix
	PodInterface  string
	MasqueradeAll bool // masquerade also pods to ClusterIPs (row CIP-7)
	// ServiceCIDRs, sorted, are where ClusterIPs are given out from. A backend may drop what goes to an address in them that
	// no Service has (row CIP-12: a freedom).
	ServiceCIDRs []netip.Prefix
	// Localhost: there are fronts at 127.0.0.1 (rows NP-5, NP-8), which a backend that cannot do them refuses.
	Localhost bool
}

// Equal reports whether both ask for the same.
func (n NodeRules) Equal(o NodeRules) bool {
	return n.MasqueradeAll == o.MasqueradeAll && n.PodInterface == o.PodInterface && n.Localhost == o.Localhost &&
		slices.Equal(n.Pods, o.Pods) && slices.Equal(n.ServiceCIDRs, o.ServiceCIDRs)
}

// DetectsPods reports whether the node can tell pods from others in a family.
func (n NodeRules) DetectsPods(is6 bool) bool {
	return n.PodInterface != "" || slices.ContainsFunc(n.Pods, func(p netip.Prefix) bool { return p.Addr().Is6() == is6 })
}

// FormatDump is a Dump: what the node does whatever the Services are, then a line for each front, sorted. Every backend
// prints through it, so that dumps of backends compare. ServiceCIDRs are not in it, since a backend may ignore them.
func FormatDump(n NodeRules, fronts []string) string {
	var lines []string
	if len(n.Pods) > 0 {
		lines = append(lines, "pods"+joined(n.Pods))
	}
	if n.PodInterface != "" {
		lines = append(lines, "pods on "+n.PodInterface)
	}
	if n.MasqueradeAll {
		lines = append(lines, "masquerade-all")
	}
	lines = append(lines, slices.Sorted(slices.Values(fronts))...)
	if len(lines) == 0 {
		return ""
	}
	return strings.Join(lines, "\n") + "\n"
}

// FormatRoute is the line of a Dump for one front: the endpoints sorted, or the fate without any; after "local" those of
// traffic from outside, where they differ. Owner, Kind and Masquerade are not in it. The affinity of a front that has no
// endpoints at all is not either: no kernel can tell it.
func FormatRoute(r Route) string {
	var b strings.Builder
	b.WriteString(r.Front.String())
	if r.Affinity > 0 && (len(r.Pool.Endpoints) > 0 || r.Local != nil && len(r.Local.Endpoints) > 0) {
		fmt.Fprintf(&b, " sticky %ds", int64(r.Affinity/time.Second))
	}
	if len(r.Ranges) > 0 {
		b.WriteString(" from" + joined(r.Ranges))
	}
	b.WriteString(" ->" + r.Pool.fate())
	if r.Local != nil {
		b.WriteString(" local" + r.Local.fate())
	}
	return b.String()
}

func (p Pool) fate() string {
	if len(p.Endpoints) == 0 {
		return map[Empty]string{Refuse: " refuse", Drop: " drop"}[p.Empty]
	}
	sorted := make([]netip.AddrPort, len(p.Endpoints))
	for i, e := range p.Endpoints {
		sorted[i] = e.AddrPort
	}
	slices.SortFunc(sorted, netip.AddrPort.Compare)
	return joined(sorted)
}

func joined[T fmt.Stringer](list []T) string {
	var b strings.Builder
	for _, v := range list {
		b.WriteString(" " + v.String())
	}
	return b.String()
}
