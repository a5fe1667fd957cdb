// Package naming says what the names that a Service proxy gives to the kernel stand for: a chain, an element of a map, a rule,
// an address to which DNAT leads. Nothing is parsed that can be computed: an Index has every name that the proxy would give for
// the Services and EndpointSlices of a state, and looks up. What is in no such list is not recognized, and said to be so.
//
//	x := naming.New(naming.Options{Proxy: "kube-proxy/iptables", State: state})
//	x.Chain(naming.Chain{"ip", "nat", "KUBE-SEP-CYEX5EIQWRU7ZC4L"}) // endpoint 10.34.188.30:5000 of default/myservice
//
// Pure: it reads a state and texts, and no kernel.
package naming

import (
	"fmt"
	"net/netip"
	"strings"

	"svclab/proxycore/cluster"
)

// Layout is how a kind of proxy lays out its rules.
type Layout string

// The layouts that are known. Of Unknown ones, addresses are recognized and no chains.
const (
	SvclabNFTables Layout = "svclab nftables" // package proxycore/nftables
	SvclabIPTables Layout = "svclab iptables" // package proxycore/iptables, both flavours
	KubeNFTables   Layout = "kube-proxy nftables"
	KubeIPTables   Layout = "kube-proxy iptables" // both flavours
	Unknown        Layout = "unknown"
)

// LayoutOf is the layout of a proxy's rules, by its name as given to --proxy: "nftables", "svclab/iptables-nft",
// "kube-proxy/nftables@v1.36.3", "nftables~no-masquerade".
func LayoutOf(proxy string) Layout {
	proxy, _, _ = strings.Cut(proxy, "@")
	proxy, _, _ = strings.Cut(strings.TrimPrefix(proxy, "svclab/"), "~")
	switch proxy {
	case "nftables":
		return SvclabNFTables
	case "iptables", "iptables-nft", "iptables-legacy":
		return SvclabIPTables
	case "kube-proxy/nftables":
		return KubeNFTables
	case "kube-proxy/iptables", "kube-proxy/iptables-legacy":
		return KubeIPTables
	}
	return Unknown
}

// Chain names a chain. Without the family two tables may have the same name, and chains of the same name.
type Chain struct {
	Family string // "ip" or "ip6"
	Table  string
	Name   string
}

// Set names a set or a map.
type Set struct{ Family, Table, Name string }

// Part is what a rule or an element is there for. The parts are in the order in which a packet comes to them.
type Part uint8

// Nowhere is the Part of what is not recognized.
const (
	Nowhere    Part = iota
	Entry           // from the kernel's hooks to the proxy's chains
	Ranges          // who may call: loadBalancerSourceRanges
	Dispatch        // which Service port is meant
	Policy          // internal and external traffic policies
	Affinity        // session affinity
	Pool            // the endpoints, one of which is taken
	Masquerade      // whose source becomes the node's address
	Refuse          // refused or dropped
	Forward         // let through
)

var parts = [...]string{"not recognized", "entry", "source ranges", "dispatch", "traffic policy", "affinity", "endpoints", "masquerade", "refuse or drop", "forwarding"}

// String is what reports call it.
func (p Part) String() string { return parts[p] }

// Port is one port of a Service.
type Port struct {
	Service   cluster.Key
	Name      string // empty for the single unnamed port
	Proto     cluster.Proto
	Number    int32
	Where     string // where the Service was written: "shop.yaml:47"; empty: not known
	Gone      bool   // it is in a former state only
	Fronts    []*Front
	Endpoints []*Endpoint
}

// String is "default/web" or "default/web:http".
func (p *Port) String() string {
	if p.Name == "" {
		return p.Service.String()
	}
	return p.Service.String() + ":" + p.Name
}

// Kind tells why a Front is there.
type Kind string

// The kinds of Front, in the order in which kubectl describe prints them.
const (
	ClusterIP    Kind = "ClusterIP"
	ExternalIP   Kind = "external IP"
	LoadBalancer Kind = "load balancer's IP"
	NodePort     Kind = "NodePort"
)

// Front is an address at which a Service port is called. That of a NodePort is not valid: any address of a node is meant.
type Front struct {
	Port   *Port
	Kind   Kind
	Addr   netip.Addr
	Proto  cluster.Proto
	Number uint16 // of the port that is called
}

// String is "10.96.0.10:80/TCP", or "NodePort 30080/TCP".
func (f *Front) String() string {
	if !f.Addr.IsValid() {
		return fmt.Sprintf("NodePort %d/%v", f.Number, f.Proto)
	}
	return fmt.Sprintf("%v/%v", netip.AddrPortFrom(f.Addr, f.Number), f.Proto)
}

// Endpoint is one address of an EndpointSlice at one of its ports, whether ready or not.
type Endpoint struct {
	Port       *Port
	Addr       netip.AddrPort
	Node       string      // empty: not known
	Slice      cluster.Key // the EndpointSlice
	SliceWhere string      // where it was written; empty: it is derived from the Service and its pods
	Pod        cluster.Key // the targetRef; empty: none
	PodWhere   string
	Unready    bool // its slice says that it is not ready
	Gone       bool // it is in a former state only
}

// String is "pod/web-1", or the address of an endpoint that names no pod.
func (e *Endpoint) String() string {
	text := e.Addr.String()
	switch {
	case e.Pod.Name != "" && e.Pod.Namespace == "default":
		text = "pod/" + e.Pod.Name
	case e.Pod.Name != "":
		text = "pod/" + e.Pod.Namespace + "/" + e.Pod.Name
	}
	if e.Gone {
		text += ", which is gone"
	}
	return text
}

// Meaning is what a chain, a rule or an element stands for.
type Meaning struct {
	Part      Part
	Ports     []*Port     // whose it is; none: every Service's
	Front     *Front      // of one front only; nil: of all
	Endpoint  *Endpoint   // of one endpoint only
	Endpoints []*Endpoint // whom it leads to, or speaks of, that one among them
	Scope     *Scope      // of every Service's: the destinations that it can concern; nil: all
	Words     string      // what it does, as a sentence without a full stop; empty: not recognized
}

// Known reports whether it was recognized.
func (m Meaning) Known() bool { return m.Part != Nowhere }

// Scope is destinations: a rule that leads a range of addresses on concerns only the fronts in it.
type Scope struct {
	Addrs       netip.Prefix
	Proto       cluster.Proto // 0: all
	First, Last uint16        // ports; both 0: all
}
