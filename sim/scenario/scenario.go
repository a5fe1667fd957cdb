// Package scenario is the language of scenario files and nothing else: its types, its parser with positions, its static
// checks, and its variants as pure transformations. It does not know how a step is carried out.
package scenario

import (
	"net/netip"
	"time"

	"k8s.io/apimachinery/pkg/runtime"

	"svclab/proxycore/cluster"
)

// Pos is a place in a file, counted from 1. The zero Pos is nowhere.
type Pos struct{ Line, Col int }

// Scenario is one file, read and checked.
type Scenario struct {
	Name    string
	File    string // as it was named when read; "-" is standard input
	Pos            // of the Scenario document
	Labels  map[string]string
	About   string
	Covers  []string // rows of the specification: "CIP-1"
	Clients []Client
	Objects []Object // the Kubernetes objects: Nodes first, since others stand on them, else in the order of the file
	Steps   []Step
	// Settings are what the proxies of all nodes are told ("proxy:"), MTU is the underlay's in bytes; 0: 1500.
	Settings cluster.Settings
	MTU      int
	Family   Family // which addresses probes use; set by Variants
	// Twin is the IPv6 image of a scenario of family Dual: both are run in one lab.
	Twin *Scenario

	Warnings []Problem      // what was tolerated: unknown fields of Kubernetes objects
	Ignored  map[string]int // kinds that the lab does not need, and how many documents of each
}

// Family is an IP family.
type Family string

// The two families, and both at once; their names are the variants' names.
const (
	IPv4 Family = "ipv4"
	IPv6 Family = "ipv6"
	Dual Family = "dual"
)

// Client is a host outside the cluster.
type Client struct {
	Pos
	Name      string
	Addresses []netip.Addr // at most one a family; missing ones are allocated
}

// Object is one Kubernetes object: *corev1.Service, *corev1.Pod, *corev1.Node or *discoveryv1.EndpointSlice.
type Object struct {
	Pos
	Ref    Ref
	Object runtime.Object
}

// Ref names an object or a client: "pod/web-1", "service/shop/web", "node/node-1", "client/laptop".
type Ref struct {
	Kind      string // "pod", "node", "service", "endpointslice" or "client"
	Namespace string // of pods, services and slices: "default" unless named; else empty
	Name      string
}

// Target is where a probe goes: a port of a Service, Pod or Node, or a literal address.
type Target struct {
	Pos
	Ref   Ref
	Port  string         // number or name, as written; empty: an echo
	Proto string         // "TCP", "UDP", "SCTP", "ICMP" (an echo), or empty: that of the Service's port
	Addr  netip.AddrPort // a literal address; Ref is empty then. An echo's has port 0
}

// Step is one step; exactly one of its kinds is set. The order here is the order in which a newcomer should read them.
type Step struct {
	Pos
	Probe   *Probe
	Change  *Change
	Restart *Restart
	Flush   *Flush
	Health  *Health
	Wait    *Wait
}

// Kinds are the words for the kinds of step.
var Kinds = []string{"probe", "change", "restart", "flush", "health", "wait"}

// Probe asks questions: flows from each of From to each of To.
type Probe struct {
	Pos
	Everything bool  // "probe: everything": every pod, node and client to every port of every Service
	From       []Ref // pod, node or client
	To         []Target
	Fair       *Fair  // judge the distribution as well
	Session    string // one socket for all flows of that name: UDP keeps its source port, TCP its connection
	Flows      int    // how many; 0 lets the engine choose (design section 7)
	Size       int    // payload bytes of each request and answer; 0: a few
	Fault      string // what the other end does wrong, one of Faults; empty: nothing
	Rate       int    // at most so many a second; 0: as fast as they go
	Expect     string // the author's own claim, an outcome's word: "refused"; empty: whatever the oracle says
	Via        string // clients: the node to enter by
}

// Fair asks whether each endpoint gets its share: a bias of that part of an endpoint's share is to be seen.
type Fair struct{ Bias float64 }

// Change alters the cluster. Its parts are carried out in the order Delete, Apply, Merge, as one change.
type Change struct {
	Pos
	Delete []Ref
	Apply  []Object // new or replaced, Nodes first; a reference to an object of this file means that object as it is written there
	Merge  []Patch
	Within time.Duration // by when a proxy without a barrier must have settled; 0 is 5 s
	Wrongs *int          // wrong answers tolerated before that; nil is any number
	Repeat int           // the change is made and taken back in turn, that many changes in all; 0 is once
	During *Probe        // flows sent while the change is (or the repeated changes are) made
}

// Patch is a JSON merge patch (RFC 7386) to one object.
type Patch struct {
	Pos
	Ref  Ref
	JSON []byte
}

// Restart ends proxies as kill -9 would, leaving their rules, and starts new ones that take over.
type Restart struct {
	Pos
	Nodes  []string      // whose; empty: all
	Down   time.Duration // how long there is none
	During *Probe        // flows sent meanwhile
}

// Flush is somebody else removing all rules of the nodes' packet filters, the proxies' included.
type Flush struct {
	Pos
	Nodes  []string      // whose; empty: all
	Within time.Duration // by when the proxy must have healed them; 0 is 5 s
	Wrongs *int          // wrong answers tolerated before that; nil is any number
}

// Wait lets time pass, for what expires by itself. It is no way to wait for a proxy: that is measured.
type Wait struct {
	Pos
	For time.Duration
}
