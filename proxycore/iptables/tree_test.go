package iptables

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// nodePorts are fronts at one address.
func nodePorts(n int, addr string) []proxycore.Route {
	out := crowd(n, 1, false)
	for i := range out {
		out[i].Front = proxycore.Front{Addr: netip.MustParseAddr(addr), Proto: cluster.TCP, Port: uint16(30000 + i)}
		out[i].Kind, out[i].Masquerade = proxycore.NodePort, proxycore.MasqueradeAll
	}
	return out
}

// sixes are fronts of IPv6: the addresses are those of IPv4 behind a prefix.
func sixes(routes []proxycore.Route) []proxycore.Route {
	six := func(a netip.Addr) netip.Addr {
		b := netip.MustParseAddr("fd00:10:96::").As16()
		copy(b[12:], a.AsSlice())
		return netip.AddrFrom16(b)
	}
	for i := range routes {
		r := &routes[i]
		r.Addr = six(r.Addr)
		for j := range r.Pool.Endpoints {
			e := &r.Pool.Endpoints[j]
			e.AddrPort = netip.AddrPortFrom(six(e.Addr()), e.Port())
		}
	}
	return routes
}

// walk is how many rules of a set a packet meets up to the one of its front, and in how many chains; ok: it gets there.
// With f the zero Front, it is a packet of a pod that was sent to itself, if a is that, or one to nobody, which meets most.
func walk(l layout, s set, f proxycore.Front, a netip.Addr) (rules, chains int, ok bool) {
	in := map[string][]item{}
	for _, it := range l.items {
		if it.table == s.table {
			in[it.chain] = append(in[it.chain], it)
		}
	}
	var visit func(chain string, depth int) bool
	visit = func(chain string, depth int) bool {
		chains = max(chains, depth)
		for _, it := range in[chain] {
			rules++
			r := parseRule(it.text)
			to := parsed{dst: netip.PrefixFrom(a, a.BitLen()), src: netip.PrefixFrom(a, a.BitLen())}
			if f.Addr.IsValid() {
				to = parsed{dst: netip.PrefixFrom(f.Addr, f.Addr.BitLen()), proto: f.Proto, port: f.Port}
			}
			switch {
			case it.branch:
				if r.admits(to) && visit(it.to, depth+1) {
					return true
				}
			case f.Addr.IsValid() && it.front == f, !f.Addr.IsValid() && it.key == hairpinKey(a):
				return true
			}
		}
		return false
	}
	ok = visit(s.chain, 1)
	return rules, chains, ok
}

// The longest way of a packet to its front, of 10,000. One list has 10,000 rules.
func TestLongestWay(t *testing.T) {
	both := slices.Concat(nodePorts(5000, "192.168.7.1"), nodePorts(5000, "192.168.7.2"))
	for i := range both {
		both[i].Owner.Service.Name = fmt.Sprint("np-", i%5000)
	}
	for _, test := range []struct {
		name                  string
		set                   set
		routes                []proxycore.Route
		rules, chains, leaves int
	}{
		{"ClusterIPs at random", sets[1], crowd(10000, 1, false), 36, 7, 0},
		{"ClusterIPs one after the other", sets[1], crowd(10000, 1, true), 45, 9, 0},
		{"ClusterIPs of IPv6", sets[1], sixes(crowd(10000, 1, false)), 36, 7, 0},
		{"NodePorts", sets[2], nodePorts(10000, "192.168.7.1"), 41, 8, 0},
		{"NodePorts at two addresses", sets[2], both, 41, 8, 0},
		{"NodePorts of IPv6", sets[2], sixes(nodePorts(10000, "192.168.7.1")), 41, 8, 0},
		{"few", sets[1], crowd(16, 1, false), 16, 1, 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := sideWith(proxycore.NodeRules{}, test.routes...).whole()
			rules, chains, sum := 0, 0, 0
			for i, r := range test.routes {
				if i%97 != 0 && i != len(test.routes)-1 {
					continue
				}
				n, depth, ok := walk(l, test.set, r.Front, netip.Addr{})
				if !ok {
					t.Fatalf("a packet to %v does not come to its rule", r.Front)
				}
				rules, chains, sum = max(rules, n), max(chains, depth), sum+n
			}
			fmt.Println(test.name, rules, chains, len(l.chains), len(l.items))
			if rules > test.rules || chains > test.chains {
				t.Errorf("a packet meets %d rules in %d chains, want at most %d in %d", rules, chains, test.rules, test.chains)
			}
		})
	}
}

// shuffled is some fronts of all sets, each of which is many at some times and few at others.
func shuffled(rng *rand.Rand, few bool) []proxycore.Route {
	var lines []string
	n := 120
	if few {
		n = 14
	}
	kinds := []string{"", " all", " local drop", " local 10.244.2.9:80", " all from=10.0.0.0/8 from=172.16.0.0/12", " 60s"}
	for i := range n {
		addr := fmt.Sprintf("10.96.%d.%d:80", rng.IntN(4)*64, rng.IntN(64)*4)
		if i%3 == 0 {
			addr = fmt.Sprintf("192.168.7.%d:%d", 1+rng.IntN(2), 30000+rng.IntN(200))
		}
		end := []string{" here=10.244.2.1:80", fmt.Sprintf(" here=10.244.1.%d:80 10.244.2.2:80", rng.IntN(60)), ""}[rng.IntN(3)]
		lines = append(lines, fmt.Sprintf("web-%d %s/%s%s%s", rng.IntN(60), addr, []string{"TCP", "UDP"}[rng.IntN(2)], end, kinds[rng.IntN(len(kinds))]))
	}
	seen := map[proxycore.Front]bool{}
	return slices.DeleteFunc(routesOf(lines...), func(r proxycore.Route) bool {
		had := seen[r.Front]
		seen[r.Front] = true
		return had
	})
}

func between(old, now []proxycore.Route) (c proxycore.Change) {
	was := map[proxycore.Front]proxycore.Route{}
	for _, r := range old {
		was[r.Front] = r
	}
	for _, r := range now {
		if o, ok := was[r.Front]; !ok {
			c.Add = append(c.Add, r)
		} else if !o.Equal(r) {
			c.Replace = append(c.Replace, r)
		}
		delete(was, r.Front)
	}
	for _, r := range was {
		c.Remove = append(c.Remove, r)
	}
	return c
}

// What is in the kernel is a function of the fronts, whatever came before, while trees grow and shrink; also in pieces.
func TestTreesHaveNoHistory(t *testing.T) {
	eachFlavour(t, func(t *testing.T, flavour string) {
		for _, limit := range []int{0, 20} {
			rng := rand.New(rand.NewPCG(1, uint64(limit)))
			b := open(t, namespace(t), Options{Flavour: flavour, MaxRules: limit})
			var now []proxycore.Route
			program(t, b, full(podCIDRs("10.244.0.0/16")))
			for i := range 24 {
				next := shuffled(rng, i%5 == 4)
				if i%2 == 1 { // a few more or less, as it mostly is
					next = append(slices.Clone(now), shuffled(rng, true)...)
					seen := map[proxycore.Front]bool{}
					next = slices.DeleteFunc(next, func(r proxycore.Route) bool {
						had := seen[r.Front]
						seen[r.Front] = true
						return had || rng.IntN(12) == 0
					})
				}
				if i%8 == 7 {
					program(t, b, proxycore.Change{Full: true, Node: podCIDRs("10.244.0.0/16"), Add: next})
				} else {
					program(t, b, between(now, next))
				}
				now = next
				var want []string
				for _, r := range now {
					want = append(want, proxycore.FormatRoute(r))
				}
				if d := dump(t, b); d != proxycore.FormatDump(*podCIDRs("10.244.0.0/16"), want) {
					t.Fatalf("step %d, limit %d: %s", i, limit, d)
				}
			}
		}
	})
}

// A rule in a chain to which its front's packets do not come is no rule of the dump.
func TestDumpFollowsThePacket(t *testing.T) {
	eachFlavour(t, func(t *testing.T, flavour string) {
		ns := namespace(t)
		b := open(t, ns, Options{Flavour: flavour})
		routes := crowd(40, 1, true)
		program(t, b, proxycore.Change{Full: true, Node: podCIDRs("10.244.0.0/16"), Add: routes})
		before := dump(t, b)
		lost := routes[5].Front
		chain := b.sides[0].trees[place{nat, inside}].chainOf(keyOf(lost))
		sh(t, ns, "iptables-"+flavour+" -t nat -A SVCLAB-C-10.96.0.0-26 -d 10.96.0.128/25 -j "+chain)
		sh(t, ns, "iptables-"+flavour+" -t nat -D SVCLAB-C-10.96.0.0-26 1")
		after, err := b.Dump(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(after, lost.String()) || strings.Count(after, "\n") != strings.Count(before, "\n")-16 {
			t.Errorf("%v is led past %s, and the dump is\n%s", lost, chain, after)
		}
		if err := b.Check(context.Background()); err == nil {
			t.Error("check saw nothing")
		}
	})
}
