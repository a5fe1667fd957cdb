package proxycore

import (
	"cmp"
	"net/netip"
	"slices"
	"strconv"
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
// API object.
type Route struct {
	Front
	Owner Owner
	Kind  Kind
	Pool  Pool  // who may answer
	Local *Pool // under externalTrafficPolicy Local: who may answer traffic from outside; nil means Pool for everybody

	Masquerade Masquerade
	Ranges     []netip.Prefix // loadBalancerSourceRanges of the front's family, sorted; nil admits everybody
	Affinity   time.Duration  // sessionAffinity ClientIP: the timeout; 0 is none
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

// MasqueradeOutside spares pods and nobody else (ClusterIP: rows CIP-1, CIP-5, CIP-6); MasqueradeAll is for fronts that
// the packet reaches from anywhere (NP-1, LB-1) and masqueradeAll (CIP-7); MasqueradeNode touches only the node's own
// packets (externalTrafficPolicy Local: POL-7, POL-10); MasqueradeNone is a cluster without local detector (SRC-5).
const (
	MasqueradeOutside Masquerade = iota
	MasqueradeAll
	MasqueradeNode
	MasqueradeNone
)

// Equal reports whether both routes ask for the same.
func (r Route) Equal(o Route) bool {
	return r.Front == o.Front && r.Owner == o.Owner && r.Kind == o.Kind && r.Masquerade == o.Masquerade &&
		r.Affinity == o.Affinity && r.Pool.Equal(o.Pool) && (r.Local == nil) == (o.Local == nil) &&
		(r.Local == nil || r.Local.Equal(*o.Local)) && slices.Equal(r.Ranges, o.Ranges)
}

// Equal reports whether both pools have the same endpoints and the same fate without them.
func (p Pool) Equal(o Pool) bool { return p.Empty == o.Empty && slices.Equal(p.Endpoints, o.Endpoints) }

// NodeRules is what one node does whatever the Services are.
type NodeRules struct {
	Pods          []netip.Prefix // sources that are pods (the local-traffic detector), sorted; nil: nobody can tell
	MasqueradeAll bool           // masquerade also pods to ClusterIPs (row CIP-7)
}

// Equal reports whether both ask for the same.
func (n NodeRules) Equal(o NodeRules) bool {
	return n.MasqueradeAll == o.MasqueradeAll && slices.Equal(n.Pods, o.Pods)
}

// FormatRoute is the line of a Dump for one front: the endpoints sorted, or the fate without any. Every backend prints
// through it, so that dumps of backends compare.
func FormatRoute(f Front, endpoints []netip.AddrPort, empty Empty, affinity time.Duration) string {
	b := []byte(f.String())
	if affinity > 0 {
		b = append(b, " sticky "...)
		b = strconv.AppendInt(b, int64(affinity/time.Second), 10)
		b = append(b, 's')
	}
	b = append(b, " ->"...)
	sorted := slices.SortedFunc(slices.Values(endpoints), netip.AddrPort.Compare)
	for _, e := range sorted {
		b = append(append(b, ' '), e.String()...)
	}
	if len(sorted) == 0 {
		b = append(b, map[Empty]string{Refuse: " refuse", Drop: " drop"}[empty]...)
	}
	return string(b)
}
