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
	}
}

// kinds are the words that a state may put before a front that is not a ClusterIP. Dump does not show them.
var kinds = map[string]proxycore.Kind{
	"external": proxycore.ExternalIP, "loadbalancer": proxycore.LoadBalancer, "nodeport": proxycore.NodePort,
}

// state reads what it should dump: the dump is the state, but for kinds, and for the affinity of a front without
// endpoints, of which no kernel can tell. Endpoints in 10.244.1.0/24 and fd00:244::2 are on this node.
func state(name, node string, lines ...string) State {
	s := State{Name: name}
	for _, w := range strings.Fields(node) {
		switch w {
		case "pods":
		case "masquerade-all":
			s.Node.MasqueradeAll = true
		default:
			s.Node.Pods = append(s.Node.Pods, netip.MustParsePrefix(w))
		}
	}
	local := netip.MustParsePrefix("10.244.1.0/24")
	var dump []string
	for _, line := range lines {
		kind, isKind := kinds[strings.Fields(line)[0]]
		if isKind {
			_, line, _ = strings.Cut(line, " ")
		}
		front, fate, _ := strings.Cut(line, " -> ")
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
		switch {
		case isKind:
			r.Masquerade = proxycore.MasqueradeAll
		case len(s.Node.Pods) == 0:
			r.Masquerade = proxycore.MasqueradeNone
		}
		if isSticky {
			if r.Affinity, err = time.ParseDuration(sticky); err != nil {
				panic(err)
			}
		}
		for _, w := range strings.Fields(fate) {
			switch w {
			case "refuse":
			case "drop":
				r.Pool.Empty = proxycore.Drop
			default:
				e := netip.MustParseAddrPort(w)
				here := local.Contains(e.Addr()) || e.Addr() == netip.MustParseAddr("fd00:244::2")
				r.Pool.Endpoints = append(r.Pool.Endpoints, proxycore.Endpoint{AddrPort: e, Here: here})
			}
		}
		s.Routes = append(s.Routes, r)
		shown := r.Affinity
		if len(r.Pool.Endpoints) == 0 {
			shown = 0
		}
		dump = append(dump, proxycore.FormatRoute(r.Front, addrs(r.Pool), r.Pool.Empty, shown))
	}
	slices.SortFunc(s.Routes, func(a, b proxycore.Route) int { return a.Front.Compare(b.Front) })
	slices.Sort(dump)
	if node != "" {
		head := strings.Replace(node, " masquerade-all", "\nmasquerade-all", 1)
		dump = slices.Insert(dump, 0, head)
	}
	if len(dump) > 0 {
		s.Dump = strings.Join(dump, "\n") + "\n"
	}
	return s
}

func addrs(p proxycore.Pool) (list []netip.AddrPort) {
	for _, e := range p.Endpoints {
		list = append(list, e.AddrPort)
	}
	return list
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
