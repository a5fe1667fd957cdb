package backendtest

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// State is what a node should do, and the Dump that every backend must print then.
type State struct {
	Name   string
	Node   proxycore.NodeRules
	Routes []proxycore.Route
	Dump   string
}

// States are the states that the tests visit: named, small, and each with what the one before lacks.
func States() []State {
	const pods = "pods 10.244.0.0/16 fd00:244::/48"
	return []State{
		state("empty", ""),
		state("one", pods,
			"10.96.0.1:80/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"[fd00:96::1]:80/TCP -> [fd00:244::2]:8080"),
		state("scaled down", pods,
			"10.96.0.1:80/TCP -> 10.244.2.2:8080",
			"[fd00:96::1]:80/TCP -> refuse"),
		state("replaced", pods,
			"10.96.0.1:80/TCP -> 10.244.1.3:8080 10.244.2.2:8080",
			"[fd00:96::1]:80/TCP -> [fd00:244::2]:8081"),
		state("scaled up", pods,
			"10.96.0.1:80/TCP -> 10.244.1.2:8080 10.244.1.3:8080 10.244.1.4:8080 10.244.2.2:8080 10.244.2.3:8080",
			"[fd00:96::1]:80/TCP -> [fd00:244::2]:8080 [fd00:244::3]:8080 [fd00:244::4]:8080"),
		state("more protocols and ports of one address", pods,
			"10.96.0.1:53/TCP -> 10.244.1.2:5353",
			"10.96.0.1:53/UDP -> 10.244.1.2:5353 10.244.2.2:5353",
			"10.96.0.1:80/TCP -> 10.244.1.2:8080",
			"10.96.0.1:9000/SCTP -> 10.244.1.2:9000"),
		state("nobody there", pods+" masquerade-all",
			"10.96.0.1:80/TCP -> drop",
			"10.96.0.2:80/TCP -> refuse",
			"10.96.0.3:80/UDP -> refuse"),
		state("other pods", "pods 10.128.0.0/14 10.244.0.0/15",
			"10.96.0.1:80/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"10.96.0.2:80/TCP -> 10.244.1.2:8080",
			"10.96.0.9:443/TCP -> 192.168.0.1:6443 192.168.0.2:6443 192.168.0.3:6443"),
		state("reached from outside", pods,
			"10.96.0.1:80/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"[fd00:96::1]:80/TCP -> [fd00:244::2]:8080",
			"nodeport 192.168.7.1:30080/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"nodeport 192.168.7.1:30053/UDP -> 10.244.1.2:5353 10.244.2.2:5353",
			"nodeport 192.168.7.1:30053/TCP -> 10.244.1.2:5353",
			"nodeport [fd00:7::1]:30080/TCP -> [fd00:244::2]:8080",
			"external 203.0.113.5:80/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"external 203.0.113.5:443/TCP -> refuse",
			"loadbalancer 203.0.113.10:80/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"loadbalancer [2001:db8::10]:80/TCP -> drop"),
		state("other ports, kinds and nodes", "",
			"external 10.96.0.1:80/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"nodeport 192.168.7.1:30081/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"nodeport 192.168.7.1:30053/UDP -> 10.244.2.2:5353",
			"203.0.113.5:80/TCP -> 10.244.2.2:8080",
			"nodeport [fd00:7::1]:30080/TCP -> refuse"),
		state("sticky", pods,
			"10.96.0.1:53/UDP sticky 10s -> 10.244.1.2:5353 10.244.2.2:5353",
			"10.96.0.1:80/TCP sticky 10800s -> 10.244.1.2:8080 10.244.1.3:8080 10.244.2.2:8080",
			"10.96.0.2:80/TCP sticky 10800s -> 10.244.1.2:8080",
			"10.96.0.3:80/TCP sticky 10800s -> refuse",
			"[fd00:96::1]:80/TCP sticky 10800s -> [fd00:244::2]:8080 [fd00:244::3]:8080",
			"nodeport 192.168.7.1:30080/TCP sticky 10800s -> 10.244.1.2:8080 10.244.2.2:8080",
			"external 203.0.113.5:80/TCP -> 10.244.1.2:8080 10.244.2.2:8080"),
		state("otherwise sticky", pods,
			"10.96.0.1:53/UDP sticky 86400s -> 10.244.1.2:5353 10.244.2.2:5353",
			"10.96.0.1:80/TCP sticky 10800s -> 10.244.1.2:8080 10.244.1.4:8080 10.244.2.2:8080 10.244.2.3:8080",
			"10.96.0.2:80/TCP -> 10.244.1.2:8080",
			"10.96.0.3:80/TCP sticky 1s -> 10.244.1.2:8080",
			"[fd00:96::1]:80/TCP sticky 10800s -> [fd00:244::3]:8080",
			"nodeport 192.168.7.1:30080/TCP sticky 10800s -> drop",
			"external 203.0.113.5:80/TCP sticky 10800s -> 10.244.1.2:8080 10.244.2.2:8080"),
		state("local policies and source ranges", pods,
			"10.96.0.1:80/TCP -> 10.244.1.2:8080",
			"10.96.0.2:80/TCP -> drop",
			"10.96.0.10:80/TCP sticky 600s -> 10.244.1.2:8080 10.244.2.2:8080",
			"nodeport 192.168.7.1:30080/TCP -> 10.244.1.2:8080 10.244.2.2:8080 local 10.244.1.2:8080",
			"nodeport 192.168.7.1:30081/TCP -> 10.244.2.2:8080 local drop",
			"nodeport 192.168.7.1:30082/TCP -> refuse local refuse",
			"nodeport 192.168.7.1:30053/UDP sticky 600s -> 10.244.1.2:5353 10.244.1.3:5353 10.244.2.2:5353 local 10.244.1.2:5353 10.244.1.3:5353",
			"nodeport [fd00:7::1]:30080/TCP -> [fd00:244::2]:8080 [fd00:244::3]:8080 local [fd00:244::2]:8080",
			"loadbalancer 203.0.113.10:80/TCP from 192.168.0.0/24 203.0.113.0/25 -> 10.244.1.2:8080 10.244.2.2:8080",
			"loadbalancer 203.0.113.11:80/TCP from 192.168.0.0/24 -> refuse",
			"loadbalancer 203.0.113.12:80/TCP from 192.168.0.0/24 -> 10.244.1.2:8080 10.244.2.2:8080 local 10.244.1.2:8080",
			"loadbalancer 203.0.113.13:80/TCP sticky 600s from 192.168.0.0/24 198.51.100.7/32 -> 10.244.1.2:8080 10.244.2.2:8080 local drop",
			"loadbalancer [2001:db8::10]:80/TCP from 2001:db8:1::/48 -> [fd00:244::2]:8080"),
		state("other policies and ranges", "pods on pod* masquerade-all",
			"10.96.0.1:80/TCP -> drop",
			"10.96.0.2:80/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"10.96.0.10:80/TCP sticky 600s -> 10.244.1.2:8080",
			"nodeport 192.168.7.1:30080/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"nodeport 192.168.7.1:30081/TCP -> 10.244.1.2:8080 10.244.2.2:8080 local 10.244.1.2:8080",
			"nodeport 192.168.7.1:30053/UDP sticky 30s -> 10.244.2.2:5353 local drop",
			"nodeport [fd00:7::1]:30080/TCP -> [fd00:244::3]:8080 local drop",
			"loadbalancer 203.0.113.10:80/TCP from 203.0.113.128/25 -> 10.244.1.2:8080 10.244.2.2:8080 local 10.244.1.2:8080",
			"loadbalancer 203.0.113.11:80/TCP -> 10.244.2.2:8080 local drop",
			"loadbalancer 203.0.113.12:80/TCP -> 10.244.1.2:8080 10.244.2.2:8080",
			"loadbalancer 203.0.113.13:80/TCP sticky 600s from 198.51.100.7/32 -> 10.244.1.2:8080 10.244.1.3:8080 10.244.2.2:8080",
			"loadbalancer [2001:db8::10]:80/TCP -> [fd00:244::2]:8080 [fd00:244::3]:8080 local [fd00:244::2]:8080"),
	}
}

// kinds are the words that a state may put before a front that is not a ClusterIP. Dump does not show them.
var kinds = map[string]proxycore.Kind{
	"external": proxycore.ExternalIP, "loadbalancer": proxycore.LoadBalancer, "nodeport": proxycore.NodePort,
}

// state reads what it should dump: the dump is the state, but for kinds, and for the affinity of a front without
// endpoints, of which no kernel can tell. Endpoints in 10.244.1.0/24 and fd00:244::2 are on this node. A front with
// "local" is one of externalTrafficPolicy Local.
func state(name, node string, lines ...string) State {
	s := State{Name: name}
	for _, w := range strings.Fields(node) {
		switch {
		case w == "pods" || w == "on":
		case w == "masquerade-all":
			s.Node.MasqueradeAll = true
		case strings.Contains(w, "/"):
			s.Node.Pods = append(s.Node.Pods, netip.MustParsePrefix(w))
		default:
			s.Node.PodInterface = w
		}
	}
	var dump []string
	for _, line := range lines {
		r := route(line)
		s.Routes = append(s.Routes, r)
		dump = append(dump, proxycore.FormatRoute(r))
	}
	slices.SortFunc(s.Routes, func(a, b proxycore.Route) int { return a.Front.Compare(b.Front) })
	s.Dump = proxycore.FormatDump(s.Node, dump)
	return s
}

// route reads "[KIND] FRONT [sticky TIME] [from RANGE...] -> ENDPOINT...|refuse|drop [local ENDPOINT...|refuse|drop]".
func route(line string) proxycore.Route {
	kind, isKind := kinds[strings.Fields(line)[0]]
	if isKind {
		_, line, _ = strings.Cut(line, " ")
	}
	front, fate, _ := strings.Cut(line, " -> ")
	front, ranges, _ := strings.Cut(front, " from ")
	front, sticky, isSticky := strings.Cut(front, " sticky ")
	addr, proto, _ := strings.Cut(front, "/")
	at := netip.MustParseAddrPort(addr)
	p, err := cluster.ParseProto(proto)
	if err != nil {
		panic(err)
	}
	r := proxycore.Route{
		Front: proxycore.Front{Addr: at.Addr(), Port: at.Port(), Proto: p},
		Owner: proxycore.Owner{Service: cluster.Key{Namespace: "test", Name: at.Addr().String()}},
		Kind:  kind,
	}
	if isKind {
		r.Masquerade = proxycore.MasqueradeAll
	}
	if isSticky {
		if r.Affinity, err = time.ParseDuration(sticky); err != nil {
			panic(err)
		}
	}
	for _, w := range strings.Fields(ranges) {
		r.Ranges = append(r.Ranges, netip.MustParsePrefix(w))
	}
	fate, local, isLocal := strings.Cut(fate, " local ")
	r.Pool = pool(fate)
	if isLocal {
		here := pool(local)
		r.Local, r.Masquerade = &here, proxycore.MasqueradeNode
	}
	return r
}

func pool(fate string) (p proxycore.Pool) {
	onNode := netip.MustParsePrefix("10.244.1.0/24")
	for _, w := range strings.Fields(fate) {
		switch w {
		case "refuse":
		case "drop":
			p.Empty = proxycore.Drop
		default:
			e := netip.MustParseAddrPort(w)
			here := onNode.Contains(e.Addr()) || e.Addr() == netip.MustParseAddr("fd00:244::2")
			p.Endpoints = append(p.Endpoints, proxycore.Endpoint{AddrPort: e, Here: here})
		}
	}
	return p
}

// change is the difference between two states, each front in at most one of the lists.
func change(old, now State) proxycore.Change {
	var c proxycore.Change
	if !old.Node.Equal(now.Node) {
		c.Node = &now.Node
	}
	was := map[proxycore.Front]proxycore.Route{}
	for _, r := range old.Routes {
		was[r.Front] = r
	}
	for _, r := range now.Routes {
		before, ok := was[r.Front]
		switch {
		case !ok:
			c.Add = append(c.Add, r)
		case !before.Equal(r):
			c.Replace = append(c.Replace, r)
		}
		delete(was, r.Front)
	}
	for _, r := range old.Routes {
		if _, gone := was[r.Front]; gone {
			c.Remove = append(c.Remove, r)
		}
	}
	return c
}
