package mutant

import (
	"context"
	"maps"
	"net/netip"
	"slices"
	"time"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// edited is a backend that is told something else than what is wanted.
type edited struct {
	inner
	edit func(c proxycore.Change) proxycore.Change
}

func (e *edited) Program(ctx context.Context, c proxycore.Change) error {
	return e.inner.Program(ctx, e.edit(c))
}

// eachRoute copies the lists of a change with every route edited; the caller's are not touched.
func eachRoute(c proxycore.Change, edit func(r proxycore.Route) proxycore.Route) proxycore.Change {
	for _, list := range []*[]proxycore.Route{&c.Add, &c.Replace} {
		out := make([]proxycore.Route, len(*list))
		for i, r := range *list {
			out[i] = edit(r)
		}
		*list = out
	}
	return c
}

// biased gives the first endpoint of each pool a fifth more than its share: of two, 3 : 2. Every single flow is right;
// only a statistic sees it.
var biased = Mutant{
	Name:     "biased",
	Breaks:   "CIP-3",
	Scenario: "myservice",
	Peaceful: "hairpin",
	Sentence: "unfair: ",
	Backend: routes(func(r proxycore.Route) proxycore.Route {
		r.Pool.Endpoints = bias(r.Pool.Endpoints)
		return r
	}),
}

// bias repeats endpoints so that the first has a share of 1.2/n: a of n·b + a slots, with a the first's and b any
// other's, a/(a + (n−1)·b) = 6/(5n), which a = 6(n−1) and b = 5n−6 satisfy.
func bias(pool []proxycore.Endpoint) []proxycore.Endpoint {
	n := len(pool)
	if n < 2 {
		return pool
	}
	first, other := 6*(n-1), 5*n-6
	for _, d := range []int{5, 3, 2, 2, 2} { // 6:4 is 3:2
		if first%d == 0 && other%d == 0 {
			first, other = first/d, other/d
		}
	}
	out := slices.Repeat(pool[:1], first)
	for _, e := range pool[1:] {
		out = append(out, slices.Repeat([]proxycore.Endpoint{e}, other)...)
	}
	return out
}

// keepsRemoved never takes an endpoint out of a pool again, as long as the front lives.
var keepsRemoved = Mutant{
	Name:     "keeps-removed",
	Breaks:   "CIP-20",
	Scenario: "myservice",
	Also:     []string{"failed-pod", "rolling"},
	Peaceful: "hairpin",
	Sentence: "any more",
	Backend:  keeping(func(proxycore.Route) bool { return true }),
}

// sticksToRemoved does so where there is affinity: a client stays where it was sent, though that is gone.
var sticksToRemoved = Mutant{
	Name:     "sticks-to-removed",
	Breaks:   "AFF-6",
	Scenario: "affinity",
	Peaceful: "myservice",
	Sentence: "any more",
	Backend:  keeping(func(r proxycore.Route) bool { return r.Affinity > 0 }),
}

func keeping(which func(r proxycore.Route) bool) func(proxycore.Backend, int) proxycore.Backend {
	return func(b proxycore.Backend, _ int) proxycore.Backend {
		seen := map[proxycore.Front][]proxycore.Endpoint{}
		return &edited{inner{b}, func(c proxycore.Change) proxycore.Change {
			for _, r := range c.Remove {
				delete(seen, r.Front)
			}
			if c.Full { // what it does not name is removed
				named := map[proxycore.Front][]proxycore.Endpoint{}
				for _, r := range c.Add {
					named[r.Front] = seen[r.Front]
				}
				seen = named
			}
			return eachRoute(c, func(r proxycore.Route) proxycore.Route {
				if which(r) {
					r.Pool.Endpoints = union(r.Pool.Endpoints, seen[r.Front])
				}
				seen[r.Front] = r.Pool.Endpoints
				return r
			})
		}}
	}
}

// noAffinity gives every connection an endpoint of its own.
var noAffinity = Mutant{
	Name:     "no-affinity",
	Breaks:   "AFF-1",
	Scenario: "affinity",
	Also:     []string{"affinity-fronts", "affinity-others", "affinity-switched", "affinity-local"},
	Peaceful: "myservice",
	Sentence: "sessionAffinity",
	Backend: routes(func(r proxycore.Route) proxycore.Route {
		r.Affinity = 0
		return r
	}),
}

// ignoresExternalIPs does nothing for spec.externalIPs.
var ignoresExternalIPs = Mutant{
	Name:     "ignores-external-ips",
	Breaks:   "EXT-1",
	Scenario: "external-ip",
	Also:     []string{"external-node"},
	Peaceful: "myservice",
	Sentence: "should have answered",
	Backend:  ignoring(proxycore.ExternalIP),
}

// ignoresNodePorts leaves a NodePort to whoever listens on the node.
var ignoresNodePorts = Mutant{
	Name:     "ignores-nodeports",
	Breaks:   "NP-13",
	Scenario: "node-listeners",
	Also:     []string{"nodeport-localhost", "nodeport-primary", "nodeport-unset", "many-masqueraded", "sctp"},
	Peaceful: "external-ip",
	Sentence: "should have answered",
	Backend:  ignoring(proxycore.NodePort),
}

func ignoring(kind proxycore.Kind) func(proxycore.Backend, int) proxycore.Backend {
	return func(b proxycore.Backend, _ int) proxycore.Backend {
		ignored := map[proxycore.Front]bool{}
		return &edited{inner{b}, func(c proxycore.Change) proxycore.Change {
			out := proxycore.Change{Full: c.Full, Node: c.Node}
			for _, r := range c.Remove {
				if !ignored[r.Front] {
					out.Remove = append(out.Remove, r)
				}
				delete(ignored, r.Front)
			}
			if c.Full {
				clear(ignored)
			}
			for _, r := range c.Add {
				if r.Kind == kind {
					ignored[r.Front] = true
				} else {
					out.Add = append(out.Add, r)
				}
			}
			for _, r := range c.Replace { // a front may change its kind
				switch was, is := ignored[r.Front], r.Kind == kind; {
				case is && !was:
					ignored[r.Front] = true
					out.Remove = append(out.Remove, r)
				case !is && was:
					delete(ignored, r.Front)
					out.Add = append(out.Add, r)
				case !is:
					out.Replace = append(out.Replace, r)
				}
			}
			return out
		}}
	}
}

// dropsWithoutEndpoints leaves a client waiting where it should be refused.
var dropsWithoutEndpoints = Mutant{
	Name:     "drops-without-endpoints",
	Breaks:   "NE-1",
	Scenario: "no-endpoints",
	Also:     []string{"nodeport-empty", "external-empty", "comes-back", "udp-early"},
	Peaceful: "myservice",
	Sentence: "should have been refused",
	Backend: routes(func(r proxycore.Route) proxycore.Route {
		r.Pool.Empty = proxycore.Drop
		return r
	}),
}

// onePortForAll takes the first endpoint's port for everybody's.
var onePortForAll = Mutant{
	Name:     "one-port-for-all",
	Breaks:   "CIP-10",
	Scenario: "named-port",
	Peaceful: "myservice",
	Sentence: "should have answered",
	Backend: routes(func(r proxycore.Route) proxycore.Route {
		pool := slices.Clone(r.Pool.Endpoints)
		for i, e := range pool {
			pool[i].AddrPort = netip.AddrPortFrom(e.Addr(), pool[0].Port())
		}
		r.Pool.Endpoints = pool
		return r
	}),
}

// routes edits every route, each for itself.
func routes(edit func(r proxycore.Route) proxycore.Route) func(proxycore.Backend, int) proxycore.Backend {
	return func(b proxycore.Backend, _ int) proxycore.Backend {
		return &edited{inner{b}, func(c proxycore.Change) proxycore.Change { return eachRoute(c, edit) }}
	}
}

// confusesProtocols takes UDP for TCP where a Service has the same number under both.
var confusesProtocols = Mutant{
	Name:     "confuses-protocols",
	Breaks:   "CIP-9",
	Scenario: "ports",
	Also:     []string{"nodeport-protocols"},
	Peaceful: "myservice",
	Sentence: "should have answered",
	Backend: func(b proxycore.Backend, _ int) proxycore.Backend {
		tcp := map[netip.AddrPort]proxycore.Pool{}
		return &edited{inner{b}, func(c proxycore.Change) proxycore.Change {
			for _, r := range slices.Concat(c.Add, c.Replace) {
				if r.Proto == cluster.TCP {
					tcp[netip.AddrPortFrom(r.Addr, r.Port)] = r.Pool
				}
			}
			return eachRoute(c, func(r proxycore.Route) proxycore.Route {
				if pool, ok := tcp[netip.AddrPortFrom(r.Addr, r.Port)]; ok && r.Proto == cluster.UDP {
					r.Pool = pool
				}
				return r
			})
		}}
	},
}

// removesSiblings tells Services apart by their endpoints: when one goes, so do the others with the same pods.
var removesSiblings = Mutant{
	Name:     "removes-siblings",
	Breaks:   "CIP-18",
	Scenario: "shared-pods",
	Peaceful: "myservice",
	Sentence: "should have answered",
	Backend: func(b proxycore.Backend, _ int) proxycore.Backend {
		have := map[proxycore.Front]proxycore.Route{}
		return &edited{inner{b}, func(c proxycore.Change) proxycore.Change {
			for _, r := range slices.Concat(c.Add, c.Replace) {
				have[r.Front] = r
			}
			for _, r := range c.Remove {
				gone := have[r.Front].Pool
				delete(have, r.Front)
				for _, front := range slices.SortedFunc(maps.Keys(have), proxycore.Front.Compare) {
					if sibling := have[front]; len(gone.Endpoints) > 0 && sibling.Pool.Equal(gone) {
						sibling.Pool.Endpoints = nil
						have[front] = sibling
						c.Replace = append(slices.Clip(c.Replace), sibling)
					}
				}
			}
			return c
		}}
	},
}

// startsEmpty takes away what it finds before it knows what it wants, as a proxy does that believes its first, empty list.
var startsEmpty = Mutant{
	Name:     "starts-empty",
	Breaks:   "LIFE-2",
	Scenario: "restart",
	Peaceful: "myservice",
	Sentence: "should have answered",
	Backend:  func(b proxycore.Backend, _ int) proxycore.Backend { return emptied{inner{b}} },
}

type emptied struct{ inner }

func (e emptied) Program(ctx context.Context, c proxycore.Change) error {
	if c.Full {
		if err := e.inner.Program(ctx, proxycore.Change{Full: true, Node: c.Node}); err != nil {
			return err
		}
		select { // as long as a list from the API server takes
		case <-time.After(50 * time.Millisecond):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return e.inner.Program(ctx, c)
}

// union is sorted and has each address once, as a Pool must.
func union(now, before []proxycore.Endpoint) []proxycore.Endpoint {
	all := slices.Concat(now, before)
	slices.SortStableFunc(all, func(a, b proxycore.Endpoint) int { return a.Compare(b.AddrPort) })
	return slices.CompactFunc(all, func(a, b proxycore.Endpoint) bool { return a.AddrPort == b.AddrPort })
}

// forgetsEarly gives a client a third of its time.
var forgetsEarly = Mutant{
	Name:     "forgets-early",
	Breaks:   "AFF-2",
	Scenario: "affinity-timeout",
	Peaceful: "affinity",
	Sentence: "and stays with it until it has not called for",
	Backend: routes(func(r proxycore.Route) proxycore.Route {
		r.Affinity = (r.Affinity / 3).Truncate(time.Second)
		return r
	}),
}

// noUDPCleanup leaves UDP clients on endpoints that are gone.
var noUDPCleanup = Mutant{
	Name:     "no-udp-cleanup",
	Breaks:   "CT-1",
	Scenario: "udp-sender",
	Also:     []string{"udp-deleted", "udp-strangers", "udp-target-port", "udp-local"},
	Peaceful: "myservice",
	Sentence: "any more",
	Cleaner:  func(inner proxycore.Cleaner) proxycore.Cleaner { return idle{inner} },
}

// keepsLastUDP cleans up after an endpoint only while there is another (kubernetes/kubernetes#139628).
var keepsLastUDP = Mutant{
	Name:     "keeps-last-udp",
	Breaks:   "CT-7",
	Scenario: "udp-last-endpoint",
	Peaceful: "udp-sender",
	Sentence: "answered by pod/old",
	Cleaner:  func(inner proxycore.Cleaner) proxycore.Cleaner { return unlessLast{inner} },
}

type unlessLast struct{ proxycore.Cleaner }

func (u unlessLast) Clean(ctx context.Context, keep map[proxycore.Front][]netip.AddrPort) error {
	some := map[proxycore.Front][]netip.AddrPort{}
	for f, endpoints := range keep {
		if len(endpoints) > 0 {
			some[f] = endpoints
		}
	}
	return u.Cleaner.Clean(ctx, some)
}

type idle struct{ proxycore.Cleaner }

func (idle) Clean(context.Context, map[proxycore.Front][]netip.AddrPort) error { return nil }
