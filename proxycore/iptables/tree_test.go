package iptables

import (
	"context"
	"encoding/binary"
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

// ways is a layout as a packet meets it.
type ways struct {
	set set
	in  map[string][]item
}

func waysOf(l layout, s set) ways {
	w := ways{s, map[string][]item{}}
	for _, it := range l.items {
		if it.table == s.table {
			w.in[it.chain] = append(w.in[it.chain], it)
		}
	}
	return w
}

// to is how many rules a packet meets up to its own, and in how many chains; false: it does not get there.
func (w ways) to(packet parsed) (rules, chains int, ok bool) {
	var visit func(chain string, depth int) bool
	visit = func(chain string, depth int) bool {
		chains = max(chains, depth)
		for _, it := range w.in[chain] {
			rules++
			r := parseRule(it.text)
			if it.branch && r.admits(packet) && visit(it.to, depth+1) {
				return true
			}
			if !it.branch && it.key != "" && r.src == packet.src && r.dst == packet.dst && r.proto == packet.proto && r.port == packet.port {
				return true
			}
		}
		return false
	}
	ok = visit(w.set.chain, 1)
	return rules, chains, ok
}

// itself is a packet of an endpoint that was sent to itself.
func itself(e proxycore.Endpoint) parsed {
	p := netip.PrefixFrom(e.Addr(), e.Addr().BitLen())
	return parsed{src: p, dst: p}
}

// The longest way of a packet to the rule for it, of 10,000. In a list it is 10,000 rules.
func TestLongestWay(t *testing.T) {
	two := slices.Concat(nodePorts(5000, "192.168.7.1"), nodePorts(5000, "192.168.7.2"))
	everywhere := crowd(10000, 1, true)
	for i := range everywhere {
		everywhere[i].Pool.Endpoints[0].Here = true
	}
	for _, test := range []struct {
		name          string
		set           place
		routes        []proxycore.Route
		rules, chains int // at most
		all           int // chains that have rules in all sets of the table
	}{
		{"ClusterIPs at random", place{nat, inside}, crowd(10000, 1, false), 31, 7, 1371},
		{"ClusterIPs one after the other", place{nat, inside}, crowd(10000, 1, true), 35, 7, 840},
		{"ClusterIPs of IPv6", place{nat, inside}, sixes(crowd(10000, 1, false)), 31, 7, 1371},
		{"NodePorts", place{nat, external}, nodePorts(10000, "192.168.7.1"), 36, 8, 841},
		{"NodePorts at two addresses", place{nat, external}, two, 35, 8, 841},
		{"NodePorts of IPv6", place{nat, external}, sixes(nodePorts(10000, "192.168.7.1")), 36, 8, 841},
		{"endpoints that call themselves", hairpinSet, everywhere, 36, 7, 1670},
		{"few", place{nat, inside}, crowd(16, 1, false), 16, 1, 2},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := sideWith(proxycore.NodeRules{}, test.routes...).whole()
			s, _ := setOf(test.set)
			w := waysOf(l, s)
			rules, chains := 0, 0
			for _, r := range test.routes {
				packet := parsed{dst: netip.PrefixFrom(r.Addr, r.Addr.BitLen()), proto: r.Proto, port: r.Port}
				if test.set == hairpinSet {
					packet = itself(r.Pool.Endpoints[0])
				}
				n, depth, ok := w.to(packet)
				if !ok {
					t.Fatalf("a packet to %v does not come to its rule", r.Front)
				}
				rules, chains = max(rules, n), max(chains, depth)
			}
			if rules > test.rules || chains > test.chains || len(w.in) != test.all {
				t.Errorf("a packet meets up to %d rules in %d chains of %d, want %d in %d of %d", rules, chains, len(w.in),
					test.rules, test.chains, test.all)
			}
		})
	}
}

// However the fronts are chosen, nf_tables can follow the chains.
func TestDepth(t *testing.T) {
	var chosen []proxycore.Route // at each two bits of the way to 0.0.0.0:0 there are more than fit in a chain
	for bit := range 32 {
		for i := range leafSize {
			r := crowd(1, 1, false)[0]
			r.Addr, r.Port = netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, 1<<bit))), uint16(i+1)
			r.Owner.Service.Name = fmt.Sprintf("web-%d-%d", bit, i) // a Service is not cut in two, and has not so many fronts
			chosen = append(chosen, r)
		}
	}
	l := sideWith(proxycore.NodeRules{}, chosen...).whole()
	s, _ := setOf(place{nat, inside})
	w, deep := waysOf(l, s), 0
	for _, r := range chosen {
		_, depth, ok := w.to(parsed{dst: netip.PrefixFrom(r.Addr, 32), proto: r.Proto, port: r.Port})
		if !ok {
			t.Fatalf("a packet to %v does not come to its rule", r.Front)
		}
		deep = max(deep, depth)
	}
	if deep != deepest+1 {
		t.Errorf("%d chains, one below the other, want %d", deep, deepest+1)
	}
	b := open(t, namespace(t), Options{Flavour: nft})
	for i := range chosen { // the deepest place: policy Local, others, with a chain of endpoints
		r := &chosen[i]
		r.Kind, r.Masquerade, r.Local = proxycore.NodePort, proxycore.MasqueradeNode, &proxycore.Pool{}
		r.Local.Endpoints = []proxycore.Endpoint{endpointAt(1), endpointAt(2)}
	}
	program(t, b, proxycore.Change{Full: true, Node: podCIDRs("10.244.0.0/16"), Add: chosen})
	dump(t, b)
}

// What a change writes does not depend on how many Services there are.
func TestSizeOfChanges(t *testing.T) {
	for _, n := range []int{1000, 10000} {
		routes := crowd(n, 10, false)
		r := routes[n/2+1]
		with := func(e ...proxycore.Endpoint) proxycore.Change {
			r := r
			r.Pool.Endpoints = e
			return proxycore.Change{Replace: []proxycore.Route{r}}
		}
		e := r.Pool.Endpoints
		for _, test := range []struct {
			name           string
			change         proxycore.Change
			lines, commits int
			size           int // within 40 bytes: some numbers have more digits than others
		}{
			{"endpoint replaced", with(append(e[1:len(e):len(e)], endpointAt(1))...), 11, 1, 1330},
			{"endpoint added", with(append(e[:len(e):len(e)], endpointAt(1))...), 12, 1, 1480},
			{"endpoint removed", with(e[1:]...), 10, 1, 1220},
			{"no endpoints any more", with(), 4, 2, 390},
			{"Service removed", proxycore.Change{Remove: []proxycore.Route{r}}, 3, 1, 220},
			{"Service added", proxycore.Change{Add: []proxycore.Route{r}}, 12, 1, 1480},
		} {
			there := routes
			if len(test.change.Add) > 0 {
				there = slices.Concat(routes[:n/2+1], routes[n/2+2:])
			}
			s := sideWith(proxycore.NodeRules{}, there...)
			_, s.trees = s.all()
			p, _, err := s.step(test.change, proxycore.NodeRules{})
			if err != nil {
				t.Fatal(err)
			}
			all := p.restores(0)
			text := strings.Join(all, "")
			lines := strings.Count(text, "\n") - 2*len(all)
			if lines != test.lines || len(all) != test.commits || max(len(text)-test.size, test.size-len(text)) > 40 {
				t.Errorf("%d Services, %s: %d lines in %d commits, %d bytes, want %d in %d, %d bytes:\n%s", n, test.name, lines, len(all),
					len(text), test.lines, test.commits, test.size, text)
			}
		}
	}
}

// A chain that is full is split, and put together again: that much is written, and no Service's own chain.
func TestSizeOfSplit(t *testing.T) {
	routes := crowd(leafSize+1, 2, true)
	s := sideWith(proxycore.NodeRules{}, routes[:leafSize]...)
	_, s.trees = s.all()
	for _, test := range []struct {
		name   string
		change proxycore.Change
		lines  int
	}{
		{"split", proxycore.Change{Add: routes[leafSize:]}, (2 + 2 + 3 + 1) + leafSize + leafSize},
		{"merge", proxycore.Change{Remove: routes[leafSize:]}, leafSize + (1 + 3 + 4)},
	} {
		p, _, err := s.step(test.change, proxycore.NodeRules{})
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Count(text(p, 0), "\n") - 2; got != test.lines {
			t.Errorf("%s: %d lines, want %d:\n%s", test.name, got, test.lines, text(p, 0))
		}
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

// Whatever somebody does to a tree, Dump follows the packet, Check sees it, and a Full change sets it right.
func TestTreesHeal(t *testing.T) {
	eachFlavour(t, func(t *testing.T, flavour string) {
		ns := namespace(t)
		b := open(t, ns, Options{Flavour: flavour})
		all := proxycore.Change{Full: true, Node: podCIDRs("10.244.0.0/16"), Add: crowd(40, 2, true)}
		program(t, b, all)
		want := dump(t, b)
		const chains = "chain SVCLAB-C-10.96.0.0-28 leads to chain SVCLAB-"
		if got, _ := b.RuleFor(all.Add[5].Front, all.Add[5].Pool.Endpoints[0].AddrPort); !strings.Contains(got, chains) {
			t.Errorf("RuleFor: %q, want %q in it", got, chains)
		}
		for _, damage := range []struct {
			commands string
			lost     int // fronts
		}{
			{"-F SVCLAB-CLUSTER", 40},
			{"-F SVCLAB-C-10.96.0.0-28", 16},
			{"-D SVCLAB-C-10.96.0.0-26 2", 16},
			{"-A SVCLAB-C-10.96.0.0-26 -d 10.96.0.128/25 -j SVCLAB-C-10.96.0.0-28, -D SVCLAB-C-10.96.0.0-26 1", 16}, // they are led past it
			{"-N SVCLAB-C-STALE, -A SVCLAB-CLUSTER -j SVCLAB-C-STALE", 0},
			{"-F SVCLAB-CLUSTER, -F SVCLAB-C-10.96.0.0-26, -X SVCLAB-C-10.96.0.0-26", 40},
			{"-A SVCLAB-C-10.96.0.0-28 -d 10.96.0.1/32 -p tcp -m tcp --dport 80 -j RETURN", 0},
		} {
			for c := range strings.SplitSeq(damage.commands, ", ") {
				sh(t, ns, "iptables-"+flavour+" -t nat "+c)
			}
			got, err := b.Dump(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			if lost := strings.Count(want, "\n") - strings.Count(got, "\n"); lost != damage.lost {
				t.Errorf("%s: %d fronts are lost in the dump, want %d", damage.commands, lost, damage.lost)
			}
			if err := b.Check(context.Background()); err == nil {
				t.Errorf("%s: check saw nothing", damage.commands)
			}
			program(t, b, all)
			if got := dump(t, b); got != want {
				t.Errorf("%s: not healed: %s", damage.commands, got)
			}
		}
	})
}
