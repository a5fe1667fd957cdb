package naming

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
)

// Options say whose names are meant.
type Options struct {
	Proxy string            // required: the proxy's name, as given to --proxy
	State *cluster.Snapshot // required
	// Former are states before it, the latest first. Optional: of what has gone, names may be left.
	Former []*cluster.Snapshot
	// Where says where an object was written: kind is "service", "endpointslice", "pod" or "node"; empty: not known. Optional.
	Where func(kind string, key cluster.Key) string
}

// Index has the names of one proxy for one state. It may be used by several goroutines.
type Index struct {
	layout  Layout
	options Options
	ports   []*Port
	fronts  map[frontKey]*Front
	targets map[netip.AddrPort][]*Endpoint
	chains  map[string]Meaning // by name: those of Services, whatever the table
	byName  map[string]*Port   // "default/web:http", as comments have it
	nodes   map[netip.Addr]string
}

// frontKey has no address for NodePorts.
type frontKey struct {
	addr  netip.Addr
	proto cluster.Proto
	port  uint16
}

// New computes every name for the state.
func New(o Options) *Index {
	if o.Where == nil {
		o.Where = func(string, cluster.Key) string { return "" }
	}
	x := &Index{
		layout: LayoutOf(o.Proxy), options: o, fronts: map[frontKey]*Front{}, targets: map[netip.AddrPort][]*Endpoint{},
		chains: map[string]Meaning{}, byName: map[string]*Port{}, nodes: map[netip.Addr]string{},
	}
	for i, s := range append([]*cluster.Snapshot{o.State}, o.Former...) {
		x.add(s, i > 0)
	}
	for _, p := range x.ports {
		x.name(p)
	}
	slices.SortStableFunc(x.ports, func(a, b *Port) int {
		return cmp.Or(a.Service.Compare(b.Service), cmp.Compare(a.Number, b.Number), cmp.Compare(a.Proto, b.Proto))
	})
	return x
}

// Layout is that of the proxy whose names these are.
func (x *Index) Layout() Layout { return x.layout }

// Ports are the ports of all Services, sorted, those that are gone among them.
func (x *Index) Ports() []*Port { return x.ports }

func (x *Index) add(s *cluster.Snapshot, former bool) {
	for n := range s.Nodes() {
		for _, a := range n.Addresses {
			x.nodes[a] = n.Name
		}
	}
	for svc := range s.Services() {
		if svc.Object.Spec.Type == corev1.ServiceTypeExternalName {
			continue
		}
		for i := range svc.Object.Spec.Ports {
			x.port(s, svc, &svc.Object.Spec.Ports[i], former)
		}
	}
}

// port adds a port of a Service, or to one that is there already what only a former state has.
func (x *Index) port(s *cluster.Snapshot, svc *cluster.Service, sp *corev1.ServicePort, former bool) {
	proto, err := cluster.ParseProto(string(sp.Protocol))
	if err != nil {
		return
	}
	i := slices.IndexFunc(x.ports, func(p *Port) bool { return p.Service == svc.Key && p.Name == sp.Name && p.Proto == proto })
	if i < 0 {
		x.ports = append(x.ports, &Port{Service: svc.Key, Name: sp.Name, Proto: proto, Number: sp.Port, Gone: former, Where: x.options.Where("service", svc.Key)})
		i = len(x.ports) - 1
	}
	p := x.ports[i]
	front := func(kind Kind, a netip.Addr, number int32) {
		f := &Front{p, kind, a, proto, uint16(number)}
		key := frontKey{a, proto, f.Number}
		if x.fronts[key] == nil {
			x.fronts[key] = f
			p.Fronts = append(p.Fronts, f)
		}
	}
	for _, a := range svc.ClusterIPs {
		front(ClusterIP, a, sp.Port)
	}
	texts := func(kind Kind, list ...string) {
		for _, text := range list {
			if a, ok := cluster.ParseAddr(text); ok {
				front(kind, a, sp.Port)
			}
		}
	}
	texts(ExternalIP, svc.Object.Spec.ExternalIPs...)
	for _, in := range svc.Object.Status.LoadBalancer.Ingress {
		texts(LoadBalancer, in.IP)
	}
	if sp.NodePort != 0 {
		front(NodePort, netip.Addr{}, sp.NodePort)
	}
	for sl := range s.Slices(svc.Key) {
		x.endpoints(p, sl, former)
	}
}

func (x *Index) endpoints(p *Port, sl *cluster.Slice, former bool) {
	for _, sp := range sl.Object.Ports {
		if sp.Port == nil || sp.Protocol == nil || string(*sp.Protocol) != p.Proto.String() || sp.Name != nil && *sp.Name != p.Name || sp.Name == nil && p.Name != "" {
			continue
		}
		for i, a := range sl.Addresses {
			e := &Endpoint{Port: p, Addr: netip.AddrPortFrom(a, uint16(*sp.Port)), Slice: sl.Key, SliceWhere: x.options.Where("endpointslice", sl.Key), Gone: former}
			from := &sl.Object.Endpoints[i]
			e.Unready = from.Conditions.Ready != nil && !*from.Conditions.Ready
			if at := slices.IndexFunc(p.Endpoints, func(o *Endpoint) bool { return o.Addr == e.Addr }); at >= 0 {
				if !former {
					p.Endpoints[at].Unready = p.Endpoints[at].Unready && e.Unready // one copy that says so is enough
				}
				continue
			} else if !a.IsValid() {
				continue
			}
			if from.NodeName != nil {
				e.Node = *from.NodeName
			}
			if r := from.TargetRef; r != nil && r.Kind == "Pod" {
				e.Pod = cluster.Key{Namespace: cmp.Or(r.Namespace, sl.Namespace), Name: r.Name}
				e.PodWhere = x.options.Where("pod", e.Pod)
			}
			p.Endpoints = append(p.Endpoints, e)
			x.targets[e.Addr] = append(x.targets[e.Addr], e)
		}
	}
}

// name puts what the proxy calls a Service port and its endpoints into the index.
func (x *Index) name(p *Port) {
	if x.byName[p.String()] == nil {
		x.byName[p.String()] = p
	}
	switch x.layout {
	case SvclabIPTables:
		x.nameSvclabIPTables(p)
	case KubeIPTables:
		x.nameKubeIPTables(p)
	case KubeNFTables:
		x.nameKubeNFTables(p)
	}
}

// chain puts one name into the index; the current state's come first and stay.
func (x *Index) chain(name string, m Meaning) {
	if _, taken := x.chains[name]; !taken {
		x.chains[name] = m
	}
}

// Target says who answers at an address to which DNAT leads: one endpoint for each Service port that has it.
func (x *Index) Target(to netip.AddrPort) []*Endpoint { return x.targets[to] }

// FrontAt is the front that a packet to an address and port is for; nil: none. Of a NodePort any address of a node will do, and a
// loopback address.
func (x *Index) FrontAt(a netip.Addr, proto cluster.Proto, port uint16) *Front {
	if f := x.fronts[frontKey{a, proto, port}]; f != nil {
		return f
	}
	if _, isNode := x.nodes[a]; isNode || a.IsLoopback() {
		return x.fronts[frontKey{netip.Addr{}, proto, port}]
	}
	return nil
}

// NodePort is the front of a NodePort; nil: none.
func (x *Index) NodePort(proto cluster.Proto, port uint16) *Front {
	return x.fronts[frontKey{netip.Addr{}, proto, port}]
}

// Comment is the Service port that a comment begins with, as all layouts write it: "default/web:http cluster IP"; nil: none.
func (x *Index) Comment(text string) *Port {
	for _, w := range strings.Fields(text) {
		if p := x.byName[w]; p != nil {
			return p
		}
	}
	return nil
}

// Chain says what a chain is: of a Service port, of one of its endpoints, or of every Service.
func (x *Index) Chain(c Chain) Meaning {
	if m, ok := x.chains[c.Name]; ok {
		return m
	}
	if words, ok := x.shared(c); ok {
		return Meaning{Part: words.part, Words: words.text}
	}
	return Meaning{}
}

// Concerns reports whether packets to a front can be in a scope.
func (x *Index) Concerns(s *Scope, f *Front) bool {
	if s == nil {
		return true
	}
	if s.Proto != 0 && s.Proto != f.Proto || s.Last != 0 && (f.Number < s.First || s.Last < f.Number) {
		return false
	}
	if !s.Addrs.IsValid() || f.Addr.IsValid() {
		return !s.Addrs.IsValid() || s.Addrs.Contains(f.Addr)
	}
	for a := range x.nodes { // a NodePort
		if s.Addrs.Contains(a) {
			return true
		}
	}
	return s.Addrs.Contains(netip.AddrFrom4([4]byte{127, 0, 0, 1}))
}

// addressed are the Service ports that have a front at an address, whatever the port.
func (x *Index) addressed(a netip.Addr) (out []*Port) {
	for _, p := range x.ports {
		if slices.ContainsFunc(p.Fronts, func(f *Front) bool { return f.Addr == a }) {
			out = append(out, p)
		}
	}
	return out
}

// at are the endpoints at an address, whatever the port, and their Service ports, in m.
func (x *Index) at(a netip.Addr, m *Meaning) {
	m.Ports, m.Endpoints, m.Endpoint = nil, nil, nil
	for _, p := range x.ports {
		for _, e := range p.Endpoints {
			if e.Addr.Addr() == a {
				m.Endpoints = append(m.Endpoints, e)
				if !slices.Contains(m.Ports, p) {
					m.Ports = append(m.Ports, p)
				}
			}
		}
	}
	if len(m.Endpoints) > 0 {
		m.Endpoint = m.Endpoints[0]
	}
}
