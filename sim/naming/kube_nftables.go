package naming

import (
	"fmt"
	"net/netip"
	"strings"

	"svclab/proxycore/cluster"
)

// longest is how much of a name follows its prefix (kubernetes pkg/proxy/nftables/proxier.go: chainNameBaseLengthMax: 256, which is
// the kernel's NFT_NAME_MAXLEN, and 16 for the longest prefix).
const longest = 256 - 16

// nameKubeNFTables: pkg/proxy/nftables/proxier.go: servicePortChainNameBase, servicePortEndpointChainNameBase, hashAndTruncate.
func (x *Index) nameKubeNFTables(p *Port) {
	base := fmt.Sprintf("%s/%s/%s/%s", p.Service.Namespace, p.Service.Name, strings.ToLower(p.Proto.String()), p.Name)
	for prefix, m := range map[string]Meaning{
		"service-":  {Part: Pool, Words: "the endpoints of %v"},
		"local-":    {Part: Pool, Words: "the local endpoints of %v"},
		"external-": {Part: Policy, Words: "%v, called from outside the cluster"},
		"firewall-": {Part: Ranges, Words: "who may call %v at its load balancer's IP"},
	} {
		m.Ports, m.Words = []*Port{p}, fmt.Sprintf(m.Words, p)
		x.chain(prefix+hashed(base), m)
	}
	for _, e := range p.Endpoints {
		name := hashed(fmt.Sprintf("%s__%s/%d", base, strings.ReplaceAll(e.Addr.Addr().String(), ":", "."), e.Addr.Port()))
		m := Meaning{Part: Pool, Ports: []*Port{p}, Endpoint: e, Endpoints: []*Endpoint{e}, Words: fmt.Sprintf("endpoint %v of %v", e, p)}
		x.chain("endpoint-"+name, m)
		m.Part, m.Words = Affinity, fmt.Sprintf("the clients of endpoint %v of %v", e, p)
		x.chain("affinity-"+name, m)
	}
}

func hashed(name string) string {
	name = hash(name, 8) + "-" + name
	if len(name) > longest {
		name = name[:longest-3] + "..."
	}
	return name
}

// kubeNFTables are the rules of kube-proxy in mode nftables (kubernetes pkg/proxy/nftables/proxier.go: setupNFTables,
// syncProxyRules), as nft lists them.
var kubeNFTables = []known{
	form("nat-(prerouting|output)", "^jump services$", Entry, "the first packet of every connection: is it for a Service?"),
	form("nat-postrouting", "^jump masquerading$", Entry, "on its way out: shall it be masqueraded?"),
	form("filter-(prerouting|output)-pre-dnat", "jump firewall-check$", Entry, "the first packet of every connection, before it is translated: may its source call?"),
	form("filter-input", "jump nodeport-endpoints-check$", Entry, "nobody has translated it: is it for a NodePort without endpoints?"),
	form("filter-(input|forward|output)", "jump service-endpoints-check$", Entry, "nobody has translated it: is it for a front without endpoints?"),
	form("filter-(forward|output)", "jump cluster-ips-check$", Entry, "nobody has translated it: is it for a ClusterIP at all?"),

	form("firewall-check", "vmap @firewall-ips$", Ranges, "map firewall-ips has the fronts that not everybody may call"),
	form("firewall-.*", "^ip6? saddr != .* drop$", Ranges, "who is in none of these ranges is dropped, in silence"),

	form("services", "@service-ips$", Dispatch, "map service-ips has the chain of the front that is called"),
	form("services", "@service-nodeports$", Dispatch, "an address of this node: map service-nodeports has the chain of the NodePort"),
	form("services", "@cluster-ips .*meta mark set|@cluster-ips meta mark set", Masquerade, "who calls a ClusterIP and is no pod of this node is marked, to be masqueraded"),

	form("external-.*", "short-circuit pod traffic", Policy, "policy Local: pods of this node may have any endpoint"),
	form("external-.*", "short-circuit local traffic", Policy, "so may this node itself"),
	form("external-.*", "masquerade local traffic", Masquerade, "this node's own calls are marked, to be masqueraded"),
	form("external-.*", `comment "masquerade"`, Masquerade, "whoever calls from outside the cluster's ClusterIPs is marked, to be masqueraded"),
	form("external-.*", "^goto local-", Policy, "everybody else gets an endpoint of this node"),
	form("external-.*", "^goto service-", Policy, "on to the endpoints"),

	form("(service|local)-.*", "^ip6? saddr @affinity-", Affinity, "a client that is remembered for {endpoint} goes there again"),
	form("(service|local)-.*", "numgen random mod \\d+ vmap", Pool, "one of the endpoints, drawn at random: {endpoints}"),
	form("(service|local)-.*", "dnat .*numgen random", Pool, "DNAT: the destination becomes one of the endpoints, drawn at random: {endpoints}"),
	form("(service|local)-.*", "dnat (ip6? )?to [0-9\\[]", Pool, "DNAT: the destination becomes the only endpoint, {endpoint}"), // since v1.37
	form("endpoint-.*", "^update @affinity-", Affinity, "the client is remembered"),
	form("endpoint-.*", "dnat ", Pool, "DNAT: the destination becomes {endpoint}"),

	form("masquerading", "meta mark .*masquerade", Masquerade, "who has the mark is masqueraded (SNAT): the source becomes this node's address"),
	form("masquerading", "@hairpin-connections masquerade", Masquerade, "so is an endpoint that reaches itself: it must not see its own address as source"),

	// Up to v1.33 there is a chain for each endpoint, and the mark is set by a chain of its own.
	form("(service|external)-.*", "!= \\S+ jump mark-for-masquerade$", Masquerade, "who calls the ClusterIP and is no pod of this node is marked, to be masqueraded"),
	form("external-.*", "saddr type local .*jump mark-for-masquerade", Masquerade, "this node's own calls are marked, to be masqueraded"),
	form("external-.*", "^jump mark-for-masquerade$", Masquerade, "whoever calls from outside the cluster's ClusterIPs is marked, to be masqueraded"),
	form("(service|external)-.*", "dport \\d+ jump mark-for-masquerade$", Masquerade, "who calls the ClusterIP is marked, to be masqueraded (masqueradeAll)"),
	form("endpoint-.*", "saddr .*jump mark-for-masquerade$", Masquerade, "{endpoint} that reaches itself is marked: it must not see its own address as source"),
	form("mark-for-masquerade", "meta mark set meta mark \\|", Masquerade, "the mark that says: masquerade"),
	form("masquerading", "== 0x0+ return$", Masquerade, "who has no mark keeps its source"),
	form("masquerading", "^meta mark set meta mark \\^", Masquerade, "the mark has done its work"),
	form("masquerading", "^masquerade", Masquerade, "masquerade (SNAT): the source becomes this node's address"),

	form("service-endpoints-check", "vmap @no-endpoint-services$", Refuse, "map no-endpoint-services has what becomes of it"),
	form("nodeport-endpoints-check", "vmap @no-endpoint-nodeports$", Refuse, "map no-endpoint-nodeports has what becomes of it"),
	form("cluster-ips-check", "@cluster-ips reject", Refuse, "a ClusterIP was called at a port that its Service has not: refused"),
	form("cluster-ips-check", "Drop traffic to unallocated", Refuse, "an address of the Services' range that none has: dropped"),
	form("reject-chain", "^reject", Refuse, "refused, with ICMP port unreachable"),
}

func (x *Index) kubeElement(set, key, data string) Meaning {
	words := keyParts(key)
	if m, ok := x.chains[set]; ok { // of an endpoint's clients
		m.Words = fmt.Sprintf("client %s stays with %v", key, m.Endpoint)
		return m
	}
	var m Meaning
	own := func(part Part, format string, args ...any) Meaning {
		m.Part, m.Words = part, fmt.Sprintf(format, args...)
		return x.ofNobody(m)
	}
	to := chainOfVerdict(data)
	switch set {
	case "service-ips", "firewall-ips", "no-endpoint-services":
		if len(words) == 3 {
			m.setFront(x.frontOf(words))
		}
	case "service-nodeports", "no-endpoint-nodeports":
		if len(words) == 2 {
			if proto, err := cluster.ParseProto(words[0]); err == nil {
				m.setFront(x.NodePort(proto, number(words[1])))
			}
		}
	}
	switch set {
	case "service-ips", "service-nodeports":
		return own(Dispatch, "%s: on to %s", m.what(), to)
	case "firewall-ips":
		return own(Ranges, "%s sees who may call", to)
	case "no-endpoint-services", "no-endpoint-nodeports":
		if data == "drop" {
			return own(Refuse, "no endpoint here: dropped, in silence")
		}
		return own(Refuse, "no endpoints: refused, by %s", to)
	case "cluster-ips":
		a, _ := netip.ParseAddr(key)
		m.Ports = x.addressed(a)
		return own(Masquerade, "a ClusterIP: its other ports are refused, and who calls it and is no pod of this node is masqueraded")
	case "hairpin-connections":
		if len(words) != 4 {
			return Meaning{}
		}
		a, err := netip.ParseAddr(words[0])
		if err != nil {
			return Meaning{}
		}
		for _, e := range x.targets[netip.AddrPortFrom(a, number(words[3]))] {
			if strings.EqualFold(e.Port.Proto.String(), words[2]) {
				m.Ports, m.Endpoint, m.Endpoints = append(m.Ports, e.Port), e, append(m.Endpoints, e)
			}
		}
		return own(Masquerade, "may reach itself through a Service, and is masqueraded then")
	case "nodeport-ips":
		return Meaning{Part: Dispatch, Words: "an address at which NodePorts are answered"}
	}
	return Meaning{}
}
