package naming

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"svclab/proxycore/cluster"
)

// svclabNFTables are the rules of proxycore/nftables: each has a comment that names it (layout.go, sticky.go).
var svclabNFTables = []known{
	form("prerouting", "from elsewhere", Entry, "the first packet of every connection that comes in is looked up"),
	form("output", "from this node", Entry, "so is that of every connection that this node itself makes"),
	form("postrouting", "to an endpoint", Entry, "on its way out, only what was translated is looked at again"),

	form("source-check", "in a range", Ranges, "who is in one of the front's ranges goes on, to the chain of its number in map allowed"),
	form("source-check", "there are no ranges any more", Ranges, "the ranges went while the packet was here: on as if it had come after"),
	form("source-check", "in no range", Ranges, "everybody else is dropped, in silence"),

	form("dispatch", "front to number to chain", Dispatch, "map services has a number for the front that is called, map by-service the chain of that number"),
	form("dispatch", "the same again", Dispatch, "once more, for a packet that was held up in the middle while the rules changed"),
	form("dispatch", "a port that no Service has", Refuse, "a ClusterIP was called at a port that its Service has not"),
	form("dispatch", "an address that no Service has", Refuse, "an address of the Services' range that none has: dropped"),

	form("etp-local", `"pods`, Policy, "pods of this node may have any endpoint: the number is in map internal"),
	form("etp-local", "this node", Policy, "so may this node itself"),
	form("etp-local", "from outside", Policy, "everybody else gets an endpoint of this node: the number is in map external"),
	form("etp-local", "the policy is Local no more", Policy, "the policy went while the packet was here: on as if it had come after"),
	form("etp-local", "no Service any more", Policy, "the Service went while the packet was here: dropped"),

	form("sticky-.*", "remembered, for", Affinity, "a client that is remembered goes to the same endpoint again, and is remembered anew"),
	form("sticky-.*", "forget an endpoint that is gone", Affinity, "its endpoint is gone: forgotten"),
	form("sticky-.*", "pick one", Affinity, "a new client is picked an endpoint, by the chain of the number in map picks"),
	form("sticky-.*", "remember it", Affinity, "and remembered with it"),
	form("sticky-.*", "recall it", Affinity, "another CPU may have been faster: what is remembered counts"),
	form("sticky-.*", "to the one remembered", Affinity, "DNAT: the destination becomes that endpoint"),
	form("pick-.*", "random slot of", Affinity, "the number of a slot, drawn at random"),

	form("sticky-.*", "its slot 0", Pool, "what was remembered has just gone: slot 0 instead"),
	form("lb-.*", "random slot of", Pool, "the number of a slot, drawn at random"),
	form("to-endpoint(-local)?", "the endpoint in the slot", Pool, "DNAT: the destination becomes the endpoint that map endpoints has in this slot"),
	form("to-endpoint(-local)?|slot-zero(-local)?", "slot 0: one map", Pool, "the slot drawn has just gone: slot 0 instead"),
	form("to-endpoint(-local)?|slot-zero(-local)?", "no endpoint any more", Pool, "the last endpoint has just gone"),
	form("id-of-slot(-local)?", "the id in the slot", Affinity, "the id of the endpoint in the slot that was drawn"),
	form("id-of-slot(-local)?", "the id in slot 0", Affinity, "the slot drawn has just gone: the id of slot 0 instead"),

	form("translated", "hairpin", Masquerade, "an endpoint that reaches itself: it must not see its own address as source"),
	form("translated", "masquerade front", Masquerade, "who called a front of set masq-all is masqueraded, whoever it is"),
	form("translated", "masquerade this node", Masquerade, "who called a front of set masq-node is masqueraded if it is this node"),
	form("translated", "masquerade all", Masquerade, "who called a ClusterIP is masqueraded (masqueradeAll)"),
	form("translated", `"masquerade"`, Masquerade, "who called a ClusterIP and is no pod of this node is masqueraded"),
	form("translated|masq|from-node", "the chain's number is not", Masquerade, "the packet's priority carried the chain's number: put back"),
	form("from-node", "this node", Masquerade, "this node's own packets are masqueraded, others keep their source"),
	form("masq", "the node's address as source", Masquerade, "masquerade (SNAT): the source becomes this node's address"),

	form("refuse", "no endpoint, or no such port", Refuse, "refused, with ICMP port unreachable"),
	form("ignore", "no endpoint here", Refuse, "dropped: a Local policy, and no endpoint on this node"),
}

// The sets of proxycore/nftables (sets.go).
var svclabSets = map[string]Part{
	"services": Dispatch, "allowed": Ranges, "internal": Policy, "external": Policy, "picks": Affinity, "local-picks": Affinity,
	"by-service": Dispatch, "by-allowed": Ranges, "by-local": Policy, "by-pick": Affinity,
	"endpoints": Pool, "ids": Affinity, "live": Affinity, "local-live": Affinity, "affinity": Affinity,
	"masq-all": Masquerade, "masq-node": Masquerade, "source-ranges": Ranges, "cluster-ips": Masquerade, "service-cidrs": Refuse,
	"pods": Masquerade, "hairpin": Masquerade,
}

// firstLocalSlot is where the slots of local endpoints begin.
const firstLocalSlot = 1 << 16

func (x *Index) svclabElement(set, key, data string) Meaning {
	part, ok := svclabSets[set]
	if !ok {
		return Meaning{}
	}
	words := keyParts(key)
	m := Meaning{Part: part}
	own := func(format string, args ...any) Meaning {
		m.Words = fmt.Sprintf(format, args...)
		return m
	}
	switch set {
	case "by-service", "by-allowed", "by-local", "by-pick":
		return own("number %s is %s", key, chainOfVerdict(data))
	case "service-cidrs":
		return own("where ClusterIPs are given out from")
	case "pods":
		return own("sources that are pods of this node")
	case "cluster-ips":
		a, _ := netip.ParseAddr(key)
		m.Ports = x.addressed(a)
		return x.ofNobody(own("a ClusterIP: its other ports are refused, and who calls it and is no pod of this node is masqueraded"))
	case "hairpin":
		a, _ := netip.ParseAddr(words[0])
		x.at(a, &m)
		return x.ofNobody(own("may reach itself through a Service, and is masqueraded then"))
	case "affinity":
		if len(words) != 4 {
			return Meaning{}
		}
		m.setFront(x.frontOf(words[1:]))
		return x.ofNobody(own("client %s stays with the endpoint of id %s", words[0], data))
	}
	if len(words) < 3 {
		return Meaning{}
	}
	m.setFront(x.frontOf(words[:3]))
	switch set {
	case "services":
		return x.ofNobody(own("%s: number %s, %s", m.what(), data, svclabNumber(data)))
	case "allowed":
		return x.ofNobody(own("who is in a range goes on to number %s, %s", data, svclabNumber(data)))
	case "internal":
		return x.ofNobody(own("pods and this node go on to number %s, %s", data, svclabNumber(data)))
	case "external":
		return x.ofNobody(own("who comes from outside goes on to number %s, %s", data, svclabNumber(data)))
	case "picks", "local-picks":
		return x.ofNobody(own("a new client is picked an endpoint by number %s, %s", data, svclabNumber(data)))
	case "masq-all":
		return x.ofNobody(own("whoever calls this front is masqueraded"))
	case "masq-node":
		return x.ofNobody(own("this node is masqueraded when it calls this front, others are not"))
	}
	if len(words) != 4 {
		return Meaning{}
	}
	if set == "source-ranges" {
		return x.ofNobody(own("%s may call", words[3]))
	}
	m.Endpoint = x.endpointOf(m, data)
	who := "an address that is no endpoint"
	if m.Endpoint != nil {
		m.Endpoints, who = []*Endpoint{m.Endpoint}, m.Endpoint.String()
	}
	slot, _ := strconv.ParseUint(words[3], 0, 32)
	where := fmt.Sprintf("slot %d", slot)
	if slot >= firstLocalSlot {
		where = fmt.Sprintf("slot %d of the local ones", slot-firstLocalSlot)
	}
	switch set {
	case "endpoints":
		return x.ofNobody(own("%s is %s", where, who))
	case "ids":
		m.Endpoint = nil
		return x.ofNobody(own("the endpoint in %s has the id %s", where, data))
	default: // live, local-live
		return x.ofNobody(own("id %s is %s", words[3], who))
	}
}

// ofNobody: an element that must be some Service's and is none's is not recognized.
func (x *Index) ofNobody(m Meaning) Meaning {
	if len(m.Ports) == 0 {
		return Meaning{}
	}
	return m
}

func (m *Meaning) setFront(f *Front) {
	if f != nil {
		m.Front, m.Ports = f, []*Port{f.Port}
	}
}

func (m *Meaning) what() string {
	if m.Front == nil {
		return "a front"
	}
	return string(m.Front.Kind)
}

// frontOf reads "10.96.0.10 . tcp . 80", taken apart.
func (x *Index) frontOf(words []string) *Front {
	a, err := netip.ParseAddr(words[0])
	proto, protoErr := cluster.ParseProto(words[1])
	if err != nil || protoErr != nil {
		return nil
	}
	return x.FrontAt(a, proto, number(words[2]))
}

// endpointOf reads "10.244.1.10 . 8080".
func (x *Index) endpointOf(m Meaning, data string) *Endpoint {
	words := keyParts(data)
	a, err := netip.ParseAddr(words[0])
	if err != nil || len(words) != 2 || len(m.Ports) == 0 {
		return nil
	}
	for _, e := range x.targets[netip.AddrPortFrom(a, number(words[1]))] {
		if e.Port == m.Ports[0] {
			return e
		}
	}
	return nil
}

func keyParts(key string) []string { return strings.Split(key, " . ") }

func chainOfVerdict(data string) string {
	_, chain, _ := strings.Cut(data, " ")
	if chain == "" {
		return data
	}
	return "chain " + chain
}

// svclabNumber says which chain a number stands for (proxycore/nftables, numbers.go). nft prints it as a classid, 100:2, others
// as 0x1000002.
func svclabNumber(text string) string {
	high, low, ok := strings.Cut(text, ":")
	n, err := strconv.ParseUint(text, 0, 32)
	if ok {
		a, errHigh := strconv.ParseUint("0"+high, 16, 16)
		b, errLow := strconv.ParseUint("0"+low, 16, 16)
		n, err = a<<16|b, nil
		if errHigh != nil || errLow != nil {
			return "no number"
		}
	}
	if err != nil {
		return "no number"
	}
	v := n & 0xffffff
	switch kind := n >> 24; {
	case kind >= 1 && kind <= 6:
		name := []string{"lb", "lb", "sticky", "sticky", "pick", "pick"}[kind-1]
		suffix := []string{"", "-local"}[(kind-1)%2]
		return fmt.Sprintf("chain %s-%d%s", name, v, suffix)
	case kind == 8 && v < 4:
		return "chain " + []string{"refuse", "ignore", "etp-local", "source-check"}[v]
	}
	return "no chain"
}
