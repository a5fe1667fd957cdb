package naming

import (
	"net/netip"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"svclab/proxycore/cluster"
)

// known is one form of rule that a proxy writes: in which chains, how its text looks, and what it does. Of the words, {port} is the
// Service port, {front} the front, {endpoint} and {endpoints} who is translated to, {to} the chain that is gone to.
type known struct {
	chain *regexp.Regexp // of "table:chain"
	text  *regexp.Regexp
	part  Part
	words string
}

// form is of some chains in all tables, or of "table:chain" in one.
func form(chain, text string, part Part, words string) known {
	if !strings.Contains(chain, ":") {
		chain = "[^:]+:(?:" + chain + ")"
	}
	return known{regexp.MustCompile("^(?:" + chain + ")$"), regexp.MustCompile(text), part, words}
}

// forms are the rules of a layout. The first that fits is meant.
func (x *Index) forms() []known {
	switch x.layout {
	case SvclabNFTables:
		return svclabNFTables
	case SvclabIPTables:
		return svclabIPTables
	case KubeNFTables:
		return kubeNFTables
	case KubeIPTables:
		return kubeIPTables
	}
	return nil
}

// ofOne are the names of chains that are one Service port's, or one endpoint's.
var ofOne = map[Layout]*regexp.Regexp{
	SvclabIPTables: regexp.MustCompile("^" + own + "$"),
	KubeIPTables:   regexp.MustCompile("^KUBE-(SVC|SVL|EXT|FW|SEP)-[A-Z2-7]{16}$"),
	KubeNFTables:   regexp.MustCompile("^(service|local|external|firewall|endpoint)-[A-Z2-7]{8}-"),
}

// facts are what a rule's text names.
type facts struct {
	front   *Front
	scope   *Scope
	chains  []string // that it leads to
	targets []netip.AddrPort
	comment string
}

// Rule says what a rule does. Its text is as nft lists it, or as iptables-save writes it, with or without "-A CHAIN ".
func (x *Index) Rule(c Chain, text string) Meaning {
	if _, named := x.chains[c.Name]; !named && ofOne[x.layout] != nil && ofOne[x.layout].MatchString(c.Name) {
		return Meaning{} // of a Service that is in none of the states
	}
	text = strings.TrimPrefix(text, "-A "+c.Name+" ")
	f := x.read(text)
	m := x.owner(c, f)
	if x.layout == SvclabIPTables {
		x.hairpin(c, text, &m)
	}
	for _, k := range x.forms() {
		if k.chain.MatchString(c.Table+":"+c.Name) && k.text.MatchString(text) {
			m.Part, m.Words = k.part, x.fill(k.words, m, f)
			return m
		}
	}
	return Meaning{}
}

// read takes the facts from a rule's text, in either spelling.
func (x *Index) read(text string) (f facts) {
	words := split(text)
	var dst netip.Prefix
	var proto cluster.Proto
	var first, last uint16
	for i, w := range words {
		next := ""
		if i+1 < len(words) {
			next = words[i+1]
		}
		switch w {
		case "-d":
			if i == 0 || words[i-1] != "!" {
				dst, _ = netip.ParsePrefix(next)
			}
		case "-p":
			proto, _ = cluster.ParseProto(next)
		case "--dport":
			a, b, ranged := strings.Cut(next, ":")
			first = number(a)
			if last = first; ranged {
				last = number(b)
			}
		case "-j", "-g", "goto", "jump":
			f.chains = append(f.chains, strings.TrimSuffix(next, ","))
		case "--to-destination":
			f.target(next)
		case "--comment", "comment":
			f.comment = next
		case "to": // dnat to 10.0.0.1:80, dnat to [fd00::1]:80
			f.target(next)
		case ".": // a value of a map: 10.0.0.1 . 80
			if a, err := netip.ParseAddr(words[i-1]); err == nil {
				if n := number(strings.TrimSuffix(next, ",")); n != 0 {
					f.targets = append(f.targets, netip.AddrPortFrom(a, n))
				}
			}
		}
	}
	switch {
	case first != 0 && first == last && dst.IsSingleIP():
		f.front = x.FrontAt(dst.Addr(), proto, first)
	case first != 0 && first == last && (!dst.IsValid() || dst.Addr().IsLoopback()):
		f.front = x.NodePort(proto, first)
	}
	if f.front == nil && (dst.IsValid() || last != 0) {
		f.scope = &Scope{dst, proto, first, last}
	}
	return f
}

func (f *facts) target(text string) {
	if to, err := netip.ParseAddrPort(text); err == nil {
		f.targets = append(f.targets, to)
	}
}

func number(text string) uint16 {
	n, _ := strconv.ParseUint(text, 0, 16)
	return uint16(n)
}

// owner says whose a rule is: its chain's owner, or that of the front that it matches, or of the chain to which it leads, or of
// whom the comment speaks.
func (x *Index) owner(c Chain, f facts) (m Meaning) {
	m = x.chains[c.Name]
	if f.front != nil && (len(m.Ports) == 0 || m.Ports[0] == f.front.Port) {
		m.Ports, m.Front = []*Port{f.front.Port}, f.front
	}
	if len(m.Ports) == 0 {
		for _, name := range f.chains {
			if to := x.chains[name]; len(to.Ports) > 0 {
				m.Ports = to.Ports
				break
			}
		}
	}
	if p := x.Comment(f.comment); len(m.Ports) == 0 && p != nil {
		m.Ports = []*Port{p}
	}
	if len(m.Ports) == 0 {
		m.Scope = f.scope
		return m
	}
	m.Endpoints = x.answering(m.Ports[0], f)
	switch {
	case m.Endpoint == nil && len(m.Endpoints) == 1:
		m.Endpoint = m.Endpoints[0]
	case m.Endpoint != nil && !slices.Contains(m.Endpoints, m.Endpoint):
		m.Endpoints = append(m.Endpoints, m.Endpoint)
	}
	return m
}

// answering are the endpoints of a Service port to which a rule leads, itself or by the chains of theirs to which it goes.
func (x *Index) answering(p *Port, f facts) (out []*Endpoint) {
	add := func(e *Endpoint) {
		if e != nil && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	for _, to := range f.targets {
		for _, e := range x.targets[to] {
			if e.Port == p {
				add(e)
			}
		}
	}
	for _, name := range f.chains {
		add(x.chains[name].Endpoint)
	}
	return out
}

// fill puts names in place of the words in braces.
func (x *Index) fill(words string, m Meaning, f facts) string {
	if !strings.Contains(words, "{") {
		return words
	}
	port, front, endpoint, to := "a Service that is not known", "any address", "an address that is no endpoint", ""
	var all []string
	if len(m.Ports) > 0 {
		port = m.Ports[0].String()
	}
	for _, e := range m.Endpoints {
		all = append(all, e.String())
	}
	if m.Front != nil {
		front = m.Front.String()
	}
	if m.Endpoint != nil {
		endpoint = m.Endpoint.String()
	}
	if len(f.chains) > 0 {
		to = f.chains[0]
	}
	return strings.NewReplacer("{port}", port, "{front}", front, "{endpoint}", endpoint, "{endpoints}", list(all), "{to}", to).Replace(words)
}

func list(all []string) string {
	switch n := len(all); n {
	case 0:
		return "nobody"
	case 1:
		return all[0]
	default:
		return strings.Join(all[:n-1], ", ") + " or " + all[n-1]
	}
}

// split takes words apart; a quoted one may have spaces, and braces and commas of nft stand alone.
func split(text string) (words []string) {
	quoted := false
	var w strings.Builder
	end := func() {
		if w.Len() > 0 {
			words = append(words, w.String())
			w.Reset()
		}
	}
	for _, c := range text {
		switch {
		case c == '"':
			quoted = !quoted
		case c == ' ' && !quoted:
			end()
		default:
			w.WriteRune(c)
		}
	}
	end()
	return words
}
