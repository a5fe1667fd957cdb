package mutant

import (
	"context"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// Mutants in this file know nothing of load balancers, traffic policies, topology or the settings of nodes.

// ignoresLoadBalancers leaves the address of a load balancer to the default route.
var ignoresLoadBalancers = Mutant{
	Name:     "ignores-load-balancers",
	Breaks:   "LB-1",
	Scenario: "vip",
	Also:     []string{"vip-on-node"},
	Peaceful: "external-ip",
	Sentence: "should have answered",
	Backend:  ignoring(proxycore.LoadBalancer),
}

// ignoresIPMode takes packets that are meant to go to the load balancer (KEP-1860).
var ignoresIPMode = Mutant{
	Name:     "ignores-ip-mode",
	Breaks:   "LB-4",
	Scenario: "vip",
	Peaceful: "myservice",
	Sentence: "which answers itself",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachService(s, func(o *corev1.Service) {
			for i := range o.Status.LoadBalancer.Ingress {
				o.Status.LoadBalancer.Ingress[i].IPMode = nil
			}
		})
	},
}

// ignoresRanges lets everybody in.
var ignoresRanges = Mutant{
	Name:     "ignores-ranges",
	Breaks:   "LB-7",
	Scenario: "source-ranges",
	Also:     []string{"tour"},
	Peaceful: "vip",
	Sentence: "loadBalancerSourceRanges",
	Backend: routes(func(r proxycore.Route) proxycore.Route {
		r.Ranges = nil
		return r
	}),
}

// ignoresExternalPolicy spreads traffic from outside over all endpoints, and masquerades it.
var ignoresExternalPolicy = Mutant{
	Name:     "ignores-external-policy",
	Breaks:   "POL-7",
	Scenario: "external-local",
	Also:     []string{"both-local", "no-detector", "local-policy", "node-cidr", "cluster-cidr"},
	Peaceful: "vip",
	Sentence: "externalTrafficPolicy",
	Backend: routes(func(r proxycore.Route) proxycore.Route {
		if r.Local != nil {
			r.Local, r.Masquerade = nil, proxycore.MasqueradeAll
		}
		return r
	}),
}

// ignoresInternalPolicy sends pods to endpoints on other nodes.
var ignoresInternalPolicy = Mutant{
	Name:     "ignores-internal-policy",
	Breaks:   "POL-1",
	Scenario: "internal-local",
	Also:     []string{"both-local"},
	Peaceful: "external-local",
	Sentence: "internalTrafficPolicy",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachService(s, func(o *corev1.Service) { o.Spec.InternalTrafficPolicy = nil })
	},
}

// refusesLocally answers for endpoints that are elsewhere.
var refusesLocally = Mutant{
	Name:     "refuses-locally",
	Breaks:   "POL-8",
	Scenario: "external-local",
	Also:     []string{"both-local"},
	Peaceful: "vip",
	Sentence: "refused by ICMP",
	Backend: routes(func(r proxycore.Route) proxycore.Route {
		if r.Local != nil {
			local := *r.Local
			local.Empty = proxycore.Refuse
			r.Local = &local
		}
		return r
	}),
}

// noShortCircuit gives pods and nodes the endpoints of traffic from outside.
var noShortCircuit = Mutant{
	Name:     "no-short-circuit",
	Breaks:   "POL-9",
	Scenario: "external-local",
	Peaceful: "vip",
	Sentence: "should have answered",
	Backend: routes(func(r proxycore.Route) proxycore.Route {
		if r.Local != nil {
			r.Pool = *r.Local
		}
		return r
	}),
}

// masqueradesLocal hides clients under externalTrafficPolicy Local, which promises their addresses.
var masqueradesLocal = Mutant{
	Name:     "masquerades-local",
	Breaks:   "POL-7",
	Scenario: "external-local",
	Peaceful: "vip",
	Sentence: "but should have seen",
	Backend: routes(func(r proxycore.Route) proxycore.Route {
		if r.Local != nil {
			r.Masquerade = proxycore.MasqueradeAll
		}
		return r
	}),
}

// ignoresHints sends traffic into other zones.
var ignoresHints = Mutant{
	Name:     "ignores-hints",
	Breaks:   "TOPO-1",
	Scenario: "zones",
	Also:     []string{"hints-ignored", "nodes"},
	Peaceful: "myservice",
	Sentence: "should have answered",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachEndpoint(s, func(e *discoveryv1.Endpoint) bool {
			e.Hints = nil
			return true
		})
	},
}

// watchesHeadless serves the slices that a label takes away from proxies.
var watchesHeadless = Mutant{
	Name:     "watches-headless",
	Breaks:   "CIP-17",
	Scenario: "headless-slice",
	Peaceful: "myservice",
	Sentence: "has no ready endpoint",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachSlice(s, func(o *discoveryv1.EndpointSlice, _ cluster.Key) { delete(o.Labels, corev1.IsHeadlessService) })
	},
}

// asksTerminating takes a pod on its way out for any other, and tells load balancers so.
var asksTerminating = Mutant{
	Name:     "asks-terminating",
	Breaks:   "TERM-1",
	Scenario: "terminating-local",
	Also:     []string{"affinity-leaving", "health-check"},
	Peaceful: "myservice",
	Sentence: "terminating",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachEndpoint(s, func(e *discoveryv1.Endpoint) bool {
			if e.Conditions.Terminating != nil && *e.Conditions.Terminating {
				e.Conditions.Ready = e.Conditions.Serving
			}
			return true
		})
	},
}

// onlyFirstAddresses knows of each node the first address of a family.
var onlyFirstAddresses = Mutant{
	Name:     "only-first-addresses",
	Breaks:   "NP-9",
	Scenario: "nodeport-addresses",
	Peaceful: "myservice",
	Sentence: "should have answered",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		now := s
		for n := range s.Nodes() {
			o := n.Object.DeepCopy()
			o.Status.Addresses = slices.DeleteFunc(o.Status.Addresses, func(a corev1.NodeAddress) bool {
				i := slices.IndexFunc(n.Addresses, func(b netip.Addr) bool { return b.String() == a.Address })
				return i > 0 && slices.ContainsFunc(n.Addresses[:i], func(b netip.Addr) bool { return b.Is4() == n.Addresses[i].Is4() })
			})
			now = now.WithNode(o)
		}
		return now
	},
}

// ignoresMasqueradeAll keeps the sources of pods although it is told not to.
var ignoresMasqueradeAll = Mutant{
	Name:     "ignores-masquerade-all",
	Breaks:   "CIP-7",
	Scenario: "masquerade-all",
	Peaceful: "myservice",
	Sentence: "but should have seen",
	Backend:  nodes(func(n proxycore.NodeRules) proxycore.NodeRules { n.MasqueradeAll = false; return n }),
}

// detectsNobody does not know pods by the interface that they come in by.
var detectsNobody = Mutant{
	Name:     "detects-nobody",
	Breaks:   "SRC-4",
	Scenario: "interface-prefix",
	Also:     []string{"bridge"},
	Peaceful: "myservice",
	Sentence: "but should have seen",
	Backend:  nodes(func(n proxycore.NodeRules) proxycore.NodeRules { n.PodInterface = ""; return n }),
}

// nodes edits the rules of the node.
func nodes(edit func(n proxycore.NodeRules) proxycore.NodeRules) func(proxycore.Backend, int) proxycore.Backend {
	return func(b proxycore.Backend, _ int) proxycore.Backend {
		return &edited{inner{b}, func(c proxycore.Change) proxycore.Change {
			if c.Node != nil {
				n := edit(*c.Node)
				c.Node = &n
			}
			return c
		}}
	}
}

// keepsNodePortUDP cleans up after ClusterIPs alone.
var keepsNodePortUDP = Mutant{
	Name:     "keeps-nodeport-udp",
	Breaks:   "CT-2",
	Scenario: "udp-fronts",
	Peaceful: "udp-sender",
	Sentence: "any more",
	Cleaner:  func(inner proxycore.Cleaner) proxycore.Cleaner { return unlessNodePort{inner} },
}

type unlessNodePort struct{ proxycore.Cleaner }

func (u unlessNodePort) Clean(ctx context.Context, keep map[proxycore.Front][]netip.AddrPort) error {
	some := map[proxycore.Front][]netip.AddrPort{}
	for f, endpoints := range keep {
		if f.Port < 30000 {
			some[f] = slices.Clone(endpoints)
		}
	}
	return u.Cleaner.Clean(ctx, some)
}

// ignoresNewFronts cleans up for fronts that it has seen before: who was early with a new one has to wait.
var ignoresNewFronts = Mutant{
	Name:     "ignores-new-fronts",
	Breaks:   "CT-10",
	Scenario: "udp-new-front",
	Peaceful: "udp-sender",
	Sentence: "now a Service has the address",
	Cleaner: func(inner proxycore.Cleaner) proxycore.Cleaner {
		return unlessNew{inner, map[proxycore.Front]bool{}}
	},
}

type unlessNew struct {
	proxycore.Cleaner
	seen map[proxycore.Front]bool
}

func (u unlessNew) Clean(ctx context.Context, keep map[proxycore.Front][]netip.AddrPort) error {
	some := map[proxycore.Front][]netip.AddrPort{}
	for f, endpoints := range keep {
		if u.seen[f] {
			some[f] = endpoints
		}
		u.seen[f] = true
	}
	return u.Cleaner.Clean(ctx, some)
}

// eachService is the state with every Service edited; the caller's objects are not touched.
func eachService(s *cluster.Snapshot, edit func(o *corev1.Service)) *cluster.Snapshot {
	now := s
	for svc := range s.Services() {
		o := svc.Object.DeepCopy()
		edit(o)
		now = now.WithService(o)
	}
	return now
}
