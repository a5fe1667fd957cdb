package naming

import "regexp"

// Element says what an element of a set or map stands for. Its texts are as nft lists them; data is empty in a set.
func (x *Index) Element(s Set, key, data string) Meaning {
	switch x.layout {
	case SvclabNFTables:
		return x.svclabElement(s.Name, key, data)
	case KubeNFTables:
		return x.kubeElement(s.Name, key, data)
	}
	return Meaning{}
}

// group is chains that every Service shares.
type group struct {
	chain *regexp.Regexp
	part  Part
	text  string
}

// chains are of all tables, or of one: "nat:SVCLAB".
func chains(pattern string, part Part, text string) group {
	return group{form(pattern, "", part, text).chain, part, text}
}

var groups = map[Layout][]group{
	SvclabNFTables: {
		chains("prerouting|output|postrouting", Entry, "where packets come in"),
		chains("dispatch", Dispatch, "which front is called"),
		chains("source-check", Ranges, "fronts that not everybody may call"),
		chains("etp-local", Policy, "fronts of externalTrafficPolicy Local"),
		chains("to-endpoint(-local)?", Pool, "to the endpoint in the slot"),
		chains("slot-zero(-local)?", Pool, "where the slot drawn has just gone"),
		chains("id-of-slot(-local)?", Affinity, "the id of the endpoint in the slot, of which a client is remembered"),
		chains("lb-\\d+", Pool, "fronts of so many endpoints"),
		chains("lb-\\d+-local", Pool, "fronts of so many local endpoints, for who comes from outside"),
		chains("sticky-\\d+(-local)?", Affinity, "fronts whose clients stay for so many seconds"),
		chains("pick-\\d+(-local)?", Affinity, "a new client of such a front with so many endpoints"),
		chains("translated|from-node|masq", Masquerade, "whose source becomes the node's address"),
		chains("refuse", Refuse, "refused"),
		chains("ignore", Refuse, "dropped"),
	},
	SvclabIPTables: {
		chains("mangle:SVCLAB", Ranges, "fronts that not everybody may call"),
		chains("nat:SVCLAB", Dispatch, "which front is called"),
		chains("filter:SVCLAB(-NEAR|-FAR|-N-.*|-F-.*)?", Refuse, "what is refused or dropped"),
		chains("SVCLAB-(S-.*)", Ranges, "fronts that not everybody may call"),
		chains("SVCLAB-(CLUSTER|C-.*)", Dispatch, "ClusterIPs"),
		chains("SVCLAB-(EXTERNAL|E-.*)", Dispatch, "external IPs, load balancers' IPs and NodePorts"),
		chains("SVCLAB-(NEAR|N-.*)", Policy, "fronts of policy Local, for pods and this node"),
		chains("SVCLAB-(OUTSIDE|FAR|F-.*)", Policy, "fronts of policy Local, for who comes from outside"),
		chains("SVCLAB-(PODS|POST|MASQ|H-.*)", Masquerade, "whose source becomes the node's address"),
		chains("SVCLAB-(EMPTY|R-.*|GUARD)", Refuse, "what is refused or dropped"),
		chains("SVCLAB-FORWARD", Forward, "what is let through"),
	},
	KubeNFTables: {
		chains("(nat|filter)-(prerouting|input|forward|output|postrouting)(-pre-dnat)?", Entry, "where packets come in"),
		chains("services", Dispatch, "which front is called"),
		chains("firewall-check", Ranges, "fronts that not everybody may call"),
		chains("masquerading|mark-for-masquerade", Masquerade, "whose source becomes the node's address"),
		chains("(nodeport|service)-endpoints-check|cluster-ips-check|reject-chain", Refuse, "what is refused or dropped"),
	},
	KubeIPTables: {
		chains("nat:KUBE-(SERVICES|NODEPORTS)", Dispatch, "which front is called"),
		chains("filter:KUBE-(SERVICES|EXTERNAL-SERVICES)", Refuse, "what is refused or dropped"),
		chains("filter:KUBE-NODEPORTS", Forward, "ports at which health checks are answered"),
		chains("KUBE-PROXY-FIREWALL", Ranges, "fronts that not everybody may call"),
		chains("KUBE-MARK-MASQ|KUBE-POSTROUTING", Masquerade, "whose source becomes the node's address"),
		chains("KUBE-FIREWALL", Refuse, "what is dropped"),
		chains("KUBE-FORWARD", Forward, "what is let through"),
		chains("KUBE-PROXY-CANARY", Entry, "empty: kube-proxy sees by it whether somebody has flushed the rules"),
	},
}

// shared says what a chain of all Services is.
func (x *Index) shared(c Chain) (g group, ok bool) {
	for _, g := range groups[x.layout] {
		if g.chain.MatchString(c.Table + ":" + c.Name) {
			return g, true
		}
	}
	return g, false
}
