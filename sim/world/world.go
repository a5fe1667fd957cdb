// Package world has the words for asking a network a question and hearing its answer. A World is anything that accepts
// a cluster state and answers a Flow with an Observation: the lab of kernel namespaces, the model, a mutant of the model.
package world

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"svclab/proxycore/cluster"
)

// Kind is the kind of a Place.
type Kind uint8

// A Pod has a network namespace of its own behind a node, a Node is the node's root namespace, a Client is a host
// outside the cluster.
const (
	Pod Kind = iota
	Node
	Client
)

// Place is where packets start and end: comparable, and printed as scenario files spell it.
type Place struct {
	Kind      Kind
	Namespace string // of a pod; empty for the others
	Name      string
}

// String is "pod/web-1", "pod/other-namespace/web-1", "node/node-1" or "client/laptop".
func (p Place) String() string {
	switch {
	case p.Kind == Node:
		return "node/" + p.Name
	case p.Kind == Client:
		return "client/" + p.Name
	case p.Namespace == "" || p.Namespace == "default":
		return "pod/" + p.Name
	}
	return "pod/" + p.Namespace + "/" + p.Name
}

// Topology is every place that a scenario needs at any time. A pod that is deleted later keeps its namespace and its
// servers to the end: a proxy that still sends there is then caught by the name of who answered.
type Topology struct {
	Nodes   []Host
	Pods    []Host
	Clients []Host

	Settings cluster.Settings // what the proxies of all nodes are told
	Mode     cluster.Mode     // what the settings leave to the kind of proxy that runs
	MTU      int              // of the underlay between nodes and clients, in bytes; 0: 1500. Pods have 1500
}

// Host is one Place and its addresses.
type Host struct {
	Place
	Node        string         // pods: the node they run on
	HostNetwork bool           // pods: no namespace of their own, they are in the node's
	Addrs       []netip.Addr   // at most one a family; a HostNetwork pod has its node's
	More        []netip.Addr   // nodes: further addresses of theirs, on the same wire
	PodCIDRs    []netip.Prefix // nodes: spec.podCIDRs
	Listen      []Port         // pods: where they serve
}

// Port is where a pod listens.
type Port struct {
	Proto cluster.Proto
	Port  uint16
}

// Find returns the host of that place, nil when there is none.
func (t *Topology) Find(p Place) *Host {
	for _, hosts := range [][]Host{t.Pods, t.Nodes, t.Clients} {
		for i := range hosts {
			if hosts[i].Place == p {
				return &hosts[i]
			}
		}
	}
	return nil
}

// Entry is the node through which packets of an outside client enter the cluster: via, or else the first node.
func (t *Topology) Entry(via string) string {
	if via == "" && len(t.Nodes) > 0 {
		return t.Nodes[0].Name
	}
	return via
}

// Has reports whether an address is the host's, a further one included.
func (h *Host) Has(a netip.Addr) bool {
	return slices.Contains(h.Addrs, a) || slices.Contains(h.More, a)
}

// AddrOf returns the host's address of the family of like, the zero Addr when it has none.
func (h *Host) AddrOf(like netip.Addr) netip.Addr {
	for _, a := range h.Addrs {
		if a.Is4() == like.Is4() {
			return a
		}
	}
	return netip.Addr{}
}

// Flow is one question: a new connection, or datagram, from a place to an address.
type Flow struct {
	From Place
	// SourcePort is the client's port; 0 lets the world choose one that this place has not used to that address before.
	SourcePort uint16
	// Session: flows with the same name share one socket; for TCP that is one connection. Empty: a socket of its own.
	Session string
	Via     string         // outside clients: the node they enter by; empty is the first
	To      netip.AddrPort // an echo (cluster.ICMP) has port 0; a loopback address is the place's own
	Proto   cluster.Proto
	Stray   bool          // TCP: before it answers, the server sends a segment far above the client's window (row CT-13)
	Size    int           // payload bytes of the request, and of its answer (TCP, UDP); 0 is a small message
	Wait    time.Duration // how long to wait for an answer; 0 is 5 s
}

// String is "pod/client → 10.96.0.1:80/TCP".
func (f Flow) String() string { return fmt.Sprintf("%s → %s/%s", f.From, f.To, f.Proto) }

// Outcome is what became of a Flow, as its client saw it.
type Outcome uint8

// Answered: a server's answer arrived. Refused: ICMP port unreachable. Reset: TCP RST, SCTP ABORT. Unreachable: another ICMP
// error. Denied: the client's own kernel refused to send (EPERM), which is how a node's process meets a rule that
// drops or rejects its UDP, SCTP or ICMP. Silent: nothing within the time. An echo is answered by a kernel, which does
// not say whom it saw: Server is then the address that replied, with port 0, and Source the client's own.
const (
	Answered Outcome = iota
	Refused
	Reset
	Unreachable
	Denied
	Silent
)

var outcomes = [...]string{"answered", "refused", "reset", "unreachable", "denied", "silent"}

// String is the word that scenario files use for it.
func (o Outcome) String() string { return outcomes[o] }

// ParseOutcome is the inverse of String.
func ParseOutcome(s string) (Outcome, error) {
	for i, w := range outcomes {
		if s == w {
			return Outcome(i), nil
		}
	}
	return 0, fmt.Errorf("%q is none of %s", s, strings.Join(outcomes[:], ", "))
}

// Observation is what was seen of one Flow.
type Observation struct {
	Outcome  Outcome
	Client   netip.AddrPort // the client's own address and port
	Server   netip.AddrPort // Answered: who answered, in the server's own words
	Source   netip.AddrPort // Answered: whom the server saw
	Peer     netip.AddrPort // Answered: whom the client believes to talk to
	ICMPFrom netip.Addr     // Refused, Unreachable: who sent the ICMP error, where known
	Leaked   bool           // Silent: the packet left by a node's default route (the sink saw it); else it was dropped
	At       time.Time      // just before the first packet was sent
	Took     time.Duration  // from At to the outcome
}

// World answers flows as the last applied state says, or should. Send may be called by several goroutines at once,
// also while Apply runs; Apply by one at a time.
type World interface {
	// Apply takes the whole desired state.
	Apply(ctx context.Context, s *cluster.Snapshot) error
	// Send sends one flow. An error means that the world is broken, not the flow.
	Send(ctx context.Context, f Flow) (Observation, error)
	Close() error
}

// Barrier is optional to a World: when it returns nil, the last Apply is in force on every node. A world without one
// converges at some later time that only measuring can tell.
type Barrier interface {
	Barrier(ctx context.Context) error
}

// Restarter is optional to a World that has proxies: it ends those of some nodes (none named: of all) as kill -9 would, and
// after the time down starts new ones, which take over what they find. It returns when the last state is in force again.
type Restarter interface {
	Restart(ctx context.Context, nodes []string, down time.Duration) error
}

// Flusher is optional to a World that has packet filters: it empties those of some nodes (none named: of all), as an
// administrator's mistake would.
type Flusher interface {
	Flush(ctx context.Context, nodes []string) error
}

// Late is optional to a World: the answers that came after their flow was already called Silent, since the last call.
// A late answer is a wrong answer.
type Late interface {
	Late() []LateAnswer
}

// LateAnswer is a flow that was Silent, and what came afterwards.
type LateAnswer struct {
	Flow Flow
	Seen Observation
}

// Explainer is optional to a World: it tells, from connection tracking, how the address of a flow that was just observed
// became another.
type Explainer interface {
	Explain(ctx context.Context, f Flow, o Observation) (Translation, bool, error)
}

// Translation is what a node's kernel remembers of one flow.
type Translation struct {
	Node   string         // where it was translated
	Client netip.AddrPort // the original source
	Asked  netip.AddrPort // the original destination
	Became netip.AddrPort // the destination after DNAT; Asked when there was none
	SeenAs netip.AddrPort // the source after SNAT; Client when there was none
	Rule   string         // the rule and element that did it, in the kernel's words; empty when the backend has none
}
