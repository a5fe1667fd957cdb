package naming

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"net/netip"
	"strings"
)

// nameSvclabIPTables: proxycore/iptables names the chain of a front's endpoints by the front, that of its local ones and that of its
// source ranges besides by the chain that leads there (rules.go: chainName).
func (x *Index) nameSvclabIPTables(p *Port) {
	for _, f := range p.Fronts {
		for _, text := range x.spelt(f) {
			x.chain("SVCLAB-"+hash(text, 16), Meaning{Part: Pool, Ports: []*Port{p}, Words: fmt.Sprintf("the endpoints of %v", p)})
			x.chain("SVCLAB-"+hash(text+"SVCLAB-FAR", 16), Meaning{Part: Pool, Ports: []*Port{p}, Words: fmt.Sprintf("the local endpoints of %v, for who comes from outside", p)})
			x.chain("SVCLAB-"+hash(text+"SVCLAB", 16), Meaning{Part: Ranges, Ports: []*Port{p}, Front: f, Words: fmt.Sprintf("who may call %v", f)})
		}
	}
}

// spelt is a front as names have it: a NodePort once for each address of a node, and for 127.0.0.1.
func (x *Index) spelt(f *Front) (out []string) {
	if f.Addr.IsValid() {
		return []string{f.String()}
	}
	here := *f
	for a := range x.nodes {
		here.Addr = a
		out = append(out, here.String())
	}
	here.Addr = netip.AddrFrom4([4]byte{127, 0, 0, 1})
	return append(out, here.String())
}

func hash(s string, letters int) string {
	sum := sha256.Sum256([]byte(s))
	return base32.StdEncoding.EncodeToString(sum[:])[:letters]
}

// own is the name of a chain that proxycore/iptables gives to a front.
const own = "SVCLAB-[A-Z2-7]{16}"

// svclabIPTables are the rules of proxycore/iptables (node.go, rules.go, tree.go).
var svclabIPTables = []known{
	form("mangle:(PREROUTING|OUTPUT)", "svclab: source ranges", Entry, "the first packet of every connection: may its source call at all?"),
	form("nat:(PREROUTING|OUTPUT)", "svclab: Services", Entry, "the first packet of every connection: is it for a Service?"),
	form("nat:POSTROUTING", "svclab: masquerade", Entry, "on its way out, only what was translated is looked at again"),
	form("filter:(INPUT|FORWARD|OUTPUT)", "svclab: no endpoints", Entry, "the first packet of a connection that nobody has translated: is it for a front without endpoints?"),
	form("filter:FORWARD", "svclab: forwarding", Forward, "what is on its way to or from an endpoint is let through"),

	form("mangle:SVCLAB(-S-.*)?", "source ranges.* -j DROP", Ranges, "{front}: who is not in the range is dropped, in silence"),
	form("mangle:SVCLAB(-S-.*)?", "source ranges.* -j "+own, Ranges, "{front}: {to} has the ranges that may call"),
	form("mangle:SVCLAB(-S-.*)?", "-j SVCLAB-S-", Ranges, "fronts of these addresses are in {to}"),
	form("mangle:"+own, "-j RETURN", Ranges, "who is in this range may call"),
	form("mangle:"+own, "^-j DROP", Ranges, "everybody else is dropped, in silence"),

	form("nat:SVCLAB", "^-j SVCLAB-CLUSTER", Dispatch, "is it for a ClusterIP? Then pods keep their source"),
	form("nat:SVCLAB", "^-j SVCLAB-EXTERNAL", Dispatch, "is it for another front? Then everybody is masqueraded"),
	form("nat:SVCLAB-(CLUSTER|C-.*)", "-j DNAT", Dispatch, "{front}: DNAT, the destination becomes its only endpoint, {endpoint}"),
	form("nat:SVCLAB-(CLUSTER|C-.*|EXTERNAL|E-.*)", "-j DNAT", Dispatch, "{front}: DNAT, the destination becomes its only endpoint, {endpoint}"),
	form("nat:SVCLAB-(CLUSTER|C-.*|EXTERNAL|E-.*)", "-j "+own, Dispatch, "{front}: {to} has the endpoints"),
	form("nat:SVCLAB-(CLUSTER|C-.*|EXTERNAL|E-.*)", "-j SVCLAB-(C|E)-", Dispatch, "fronts of these addresses are in {to}"),

	form("nat:SVCLAB", "-g SVCLAB-OUTSIDE", Policy, "policy Local: who is neither a pod nor this node comes from outside"),
	form("nat:SVCLAB", "^-j SVCLAB-NEAR", Policy, "policy Local: pods and this node may have any endpoint"),
	form("nat:SVCLAB-OUTSIDE", "^-j SVCLAB-FAR", Policy, "policy Local: who comes from outside gets an endpoint of this node"),
	form("nat:SVCLAB-OUTSIDE", "^-j MARK --set-xmark 0x0/0x1000", Policy, "and keeps its source"),
	form("nat:SVCLAB-(NEAR|N-.*)", "-j DNAT", Policy, "{front}, called by a pod or this node: DNAT to {endpoint}"),
	form("nat:SVCLAB-(NEAR|N-.*)", "-j "+own, Policy, "{front}, called by a pod or this node: {to} has the endpoints"),
	form("nat:SVCLAB-(FAR|F-.*)", "-j DNAT", Policy, "{front}, called from outside: DNAT to {endpoint}"),
	form("nat:SVCLAB-(FAR|F-.*)", "-j "+own, Policy, "{front}, called from outside: {to} has the endpoints of this node"),
	form("nat:SVCLAB-(NEAR|N-.*|FAR|F-.*)", "-j SVCLAB-(N|F)-", Policy, "fronts of these addresses are in {to}"),

	form("nat:"+own, "--update .*-j DNAT", Affinity, "a client that is remembered for {endpoint} goes there again, and is remembered anew"),
	form("nat:"+own, "--probability .*--set .*-j DNAT", Pool, "DNAT to {endpoint} with this probability, and the client is remembered"),
	form("nat:"+own, "--set .*-j DNAT", Pool, "all that is left goes to {endpoint}, and the client is remembered"),
	form("nat:"+own, "--probability .*-j DNAT", Pool, "DNAT: the destination becomes {endpoint}, with this probability"),
	form("nat:"+own, "-j DNAT", Pool, "DNAT: all that is left goes to {endpoint}"),

	form("nat:SVCLAB", "^-j MARK --set-xmark 0x1000/0x1000", Masquerade, "marked: to be masqueraded, unless what follows takes the mark away"),
	form("nat:SVCLAB", "^-j MARK --set-xmark 0x0/0x1000", Masquerade, "for no Service: the mark is taken away"),
	form("nat:SVCLAB", "^-j SVCLAB-PODS", Masquerade, "pods of this node lose the mark"),
	form("nat:SVCLAB-PODS", "-j MARK --set-xmark 0x0/0x1000", Masquerade, "a pod of this node: not masqueraded"),
	form("nat:SVCLAB-POST", "-j SVCLAB-MASQ", Masquerade, "who has the mark is masqueraded"),
	form("nat:SVCLAB-(POST|H-.*)", "-s .*-d .*-j MASQUERADE", Masquerade, "an endpoint that reaches itself: it must not see its own address as source"),
	form("nat:SVCLAB-(POST|H-.*)", "-j SVCLAB-H-", Masquerade, "endpoints of these addresses are in {to}"),
	form("nat:SVCLAB-MASQ", "-j MARK --set-xmark 0x0/0x1000", Masquerade, "the mark has done its work"),
	form("nat:SVCLAB-MASQ", "-j MASQUERADE", Masquerade, "masquerade (SNAT): the source becomes this node's address"),

	form("filter:SVCLAB", "^-j SVCLAB-EMPTY", Refuse, "fronts that have no endpoints, whoever calls"),
	form("filter:SVCLAB", "-j SVCLAB-NEAR", Refuse, "fronts of policy Local that have none for pods and this node"),
	form("filter:SVCLAB", "^-j SVCLAB-FAR", Refuse, "fronts of policy Local that have none for who comes from outside"),
	form("filter:SVCLAB-(EMPTY|NEAR|FAR|R-.*|N-.*|F-.*)", "-j REJECT", Refuse, "{front} has no endpoints: refused, with ICMP port unreachable"),
	form("filter:SVCLAB-(EMPTY|NEAR|FAR|R-.*|N-.*|F-.*)", "-j DROP", Refuse, "{front} has no endpoint here: dropped, in silence"),
	form("filter:SVCLAB-(EMPTY|NEAR|FAR|R-.*|N-.*|F-.*)", "-j SVCLAB-(R|N|F)-", Refuse, "fronts of these addresses are in {to}"),
	form("filter:(INPUT|OUTPUT)", "svclab: CVE-2020-8558", Refuse, "route_localnet lets packets for 127.0.0.0/8 in from the wire: those that are no answers"),
	form("filter:SVCLAB-GUARD", "-j DROP", Refuse, "are dropped"),

	form("filter:SVCLAB-FORWARD", "--ctstatus CONFIRMED", Forward, "a translated connection that has been let through once"),
	form("filter:SVCLAB-FORWARD", "--mark 0x1000/0x1000", Forward, "one that is translated and will be masqueraded"),
	form("filter:SVCLAB-FORWARD", "--ctstate INVALID", Forward, "what belongs to no connection would leave with the endpoint's address: dropped"),
}

// hairpin is an endpoint's own rule, in which it is source and destination.
func (x *Index) hairpin(c Chain, text string, m *Meaning) {
	if c.Table != "nat" || !strings.HasPrefix(c.Name, "SVCLAB-POST") && !strings.HasPrefix(c.Name, "SVCLAB-H-") {
		return
	}
	words := split(text)
	if len(words) < 4 || words[0] != "-s" || words[2] != "-d" || words[1] != words[3] {
		return
	}
	if p, err := netip.ParsePrefix(words[1]); err == nil {
		x.at(p.Addr(), m)
		m.Scope = nil
	}
}
