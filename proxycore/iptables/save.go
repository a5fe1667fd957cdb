package iptables

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// kernel is what iptables-save says about one family.
type kernel struct {
	chains map[place][]string // ours, and their rules
	jumps  []jump             // rules in chains of others that lead to ours
}

func parseSave(out string) *kernel {
	k := &kernel{chains: map[place][]string{}}
	table := ""
	for line := range strings.Lines(out) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
		case strings.HasPrefix(line, ":"):
			if name, _, _ := strings.Cut(line[1:], " "); isOurs(name) {
				k.chains[place{table, name}] = nil
			}
		case strings.HasPrefix(line, "-A "):
			chain, text, _ := strings.Cut(line[3:], " ")
			p := place{table, chain}
			if isOurs(chain) {
				k.chains[p] = append(k.chains[p], text)
			} else if isOurs(parseRule(text).target) {
				k.jumps = append(k.jumps, jump{table, chain, text})
			}
		}
	}
	return k
}

// parsed is what a rule of ours may say. What is not understood is left out, and makes the rule's text differ.
type parsed struct {
	src, dst    netip.Prefix
	not         bool   // whoever is not in src
	in          string // an interface
	proto       cluster.Proto
	port, last  uint16 // last: of a range
	chance      uint32 // of 2^31; 0: certain
	list        string // of xt_recent
	update      bool
	seconds     string
	target      string
	destination netip.AddrPort
	comment     string
}

func (p parsed) front() proxycore.Front {
	if !p.dst.IsSingleIP() || p.port == 0 || p.last != 0 {
		return proxycore.Front{}
	}
	return proxycore.Front{Addr: p.dst.Addr(), Proto: p.proto, Port: p.port}
}

func parseRule(text string) (p parsed) {
	words := split(text)
	for i, w := range words[:max(0, len(words)-1)] {
		v := words[i+1]
		switch w {
		case "-s":
			p.src, _ = netip.ParsePrefix(v)
			p.not = i > 0 && words[i-1] == "!"
		case "-i":
			p.in = v
		case "-d":
			p.dst, _ = netip.ParsePrefix(v)
		case "-p":
			p.proto, _ = cluster.ParseProto(v)
		case "--dport":
			first, last, _ := strings.Cut(v, ":")
			n, _ := strconv.ParseUint(first, 10, 16)
			m, _ := strconv.ParseUint(last, 10, 16)
			p.port, p.last = uint16(n), uint16(m)
		case "--probability":
			p.chance = chance(v)
		case "--name":
			p.list = v
		case "--seconds":
			p.seconds, p.update = v, true
		case "-j", "-g":
			p.target = v
		case "--to-destination":
			p.destination, _ = netip.ParseAddrPort(v)
		case "--comment":
			p.comment = v
		}
	}
	return p
}

func chance(s string) uint32 {
	f, _ := strconv.ParseFloat(s, 64)
	return uint32(math.Round(f * twoTo31))
}

// split takes words apart; a quoted one may have spaces and escapes.
func split(text string) (words []string) {
	var w strings.Builder
	in, quoted, escaped := false, false, false
	for _, c := range text {
		switch {
		case escaped:
			w.WriteRune(c)
			escaped = false
		case c == '\\' && quoted:
			escaped = true
		case c == '"':
			quoted, in = !quoted, true
		case c == ' ' && !quoted:
			if in {
				words = append(words, w.String())
				w.Reset()
			}
			in = false
		default:
			w.WriteRune(c)
			in = true
		}
	}
	if in {
		words = append(words, w.String())
	}
	return words
}

// canon makes rules comparable: without the names of match modules and what versions of iptables-save print or not.
func canon(text string) string {
	words := split(text)
	var out []string
	for i := 0; i < len(words); i++ {
		switch w := words[i]; w {
		case "-m", "--mask":
			i++
		case "--rsource":
		case "--probability":
			if i++; i < len(words) {
				out = append(out, w, strconv.FormatUint(uint64(chance(words[i])), 10))
			}
		default:
			out = append(out, w)
		}
	}
	return strings.Join(out, "\x00")
}

func sameRules(a, b []string) bool {
	return slices.EqualFunc(a, b, func(x, y string) bool { return x == y || canon(x) == canon(y) })
}

func sortPrefixes(p []netip.Prefix) {
	slices.SortFunc(p, func(a, b netip.Prefix) int {
		if c := a.Addr().Compare(b.Addr()); c != 0 {
			return c
		}
		return a.Bits() - b.Bits()
	})
}

// layout is the kernel's rules as if lay had made them; nobody knows their groups.
func (k *kernel) layout() layout {
	l := layout{bodies: map[place]body{}, chains: map[place]bool{}}
	for _, p := range k.places() {
		s, ok := setOf(p)
		if !ok {
			l.bodies[p] = body{rules: k.chains[p]}
			continue
		}
		l.chains[p] = true
		for _, text := range k.chains[p] {
			r := parseRule(text)
			it := item{place: p, text: text, front: r.front(), branch: s.leads(r)}
			if isOurs(r.target) {
				it.to = r.target
			}
			l.items = append(l.items, it)
		}
	}
	return l
}

// leads: the rule leads to another chain of the set's tree.
func (s set) leads(r parsed) bool { return strings.HasPrefix(r.target, s.branch) }

// reach is what a packet may meet of a set: the rules of fronts in the chains to which it is led. Rules that no packet to
// their front comes to are not among them.
func (k *kernel) reach(s set) (rules []parsed) {
	var visit func(chain string, way []parsed)
	visit = func(chain string, way []parsed) {
		for _, text := range k.chains[place{s.table, chain}] {
			switch r := parseRule(text); {
			case s.leads(r):
				if len(way) <= deepest {
					visit(r.target, append(way[:len(way):len(way)], r))
				}
			case !slices.ContainsFunc(way, func(w parsed) bool { return !w.admits(r) }):
				rules = append(rules, r)
			}
		}
	}
	visit(s.chain, nil)
	return rules
}

// admits: all packets of a rule pass the match of one that leads to its chain.
func (p parsed) admits(r parsed) bool {
	inside := func(p, r netip.Prefix) bool {
		return !p.IsValid() || r.IsValid() && p.Bits() <= r.Bits() && p.Contains(r.Addr())
	}
	return inside(p.dst, r.dst) && inside(p.src, r.src) && (p.proto == 0 || p.proto == r.proto) &&
		(p.last == 0 || p.port <= r.port && r.port <= p.last)
}

func (k *kernel) places() []place { return slices.SortedFunc(maps.Keys(k.chains), place.compare) }
