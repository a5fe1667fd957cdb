package naming

import (
	"fmt"
	"strings"
)

// nameKubeIPTables: kubernetes pkg/proxy/iptables/proxier.go: portProtoHash, servicePortEndpointChainName.
func (x *Index) nameKubeIPTables(p *Port) {
	id := p.String() + strings.ToLower(p.Proto.String())
	for prefix, m := range map[string]Meaning{
		"KUBE-SVC-": {Part: Pool, Words: "the endpoints of %v"},
		"KUBE-SVL-": {Part: Pool, Words: "the local endpoints of %v"},
		"KUBE-EXT-": {Part: Policy, Words: "%v, called from outside the cluster"},
		"KUBE-FW-":  {Part: Ranges, Words: "who may call %v at its load balancer's IP"},
	} {
		m.Ports, m.Words = []*Port{p}, fmt.Sprintf(m.Words, p)
		x.chain(prefix+hash(id, 16), m)
	}
	for _, e := range p.Endpoints {
		x.chain("KUBE-SEP-"+hash(id+e.Addr.String(), 16), Meaning{Part: Pool, Ports: []*Port{p}, Endpoint: e, Endpoints: []*Endpoint{e}, Words: fmt.Sprintf("endpoint %v of %v", e, p)})
	}
}

// kubeIPTables are the rules of kube-proxy in mode iptables (kubernetes pkg/proxy/iptables/proxier.go: syncProxyRules).
var kubeIPTables = []known{
	form("nat:(PREROUTING|OUTPUT)", "-j KUBE-SERVICES", Entry, "the first packet of every connection: is it for a Service?"),
	form("nat:POSTROUTING", "-j KUBE-POSTROUTING", Entry, "on its way out: shall it be masqueraded?"),
	form("filter:(INPUT|FORWARD|OUTPUT)", "-j KUBE-PROXY-FIREWALL", Entry, "the first packet of a connection: is it for a load balancer's IP that its source may not call?"),
	form("filter:INPUT", "-j KUBE-NODEPORTS", Entry, "is it for a port at which health checks are answered?"),
	form("filter:(INPUT|FORWARD|OUTPUT)", "-j KUBE-(EXTERNAL-)?SERVICES", Entry, "the first packet of a connection that nobody has translated: is it for a front without endpoints?"),
	form("filter:FORWARD", "-j KUBE-FORWARD", Entry, "is it on its way to or from an endpoint?"),
	form("filter:(INPUT|OUTPUT)", "-j KUBE-FIREWALL", Entry, "is it for 127.0.0.0/8, from the wire?"),

	form("nat:KUBE-FW-.*", "-j KUBE-EXT-", Ranges, "who is in this range may call, and goes on to {to}"),
	form("nat:KUBE-FW-.*", "-j KUBE-SVC-", Ranges, "who is in this range may call, and goes on to {to}"),
	form("nat:KUBE-FW-.*", "other traffic to .* will be dropped", Ranges, "everybody else is translated no further, and dropped by KUBE-PROXY-FIREWALL"),
	form("filter:KUBE-PROXY-FIREWALL", "-j DROP", Ranges, "{front}: who was in none of its ranges is dropped, in silence"),

	form("nat:KUBE-SERVICES", "-j KUBE-(SVC|SVL)-", Dispatch, "{front}: {to} has the endpoints"),
	form("nat:KUBE-SERVICES", "-j KUBE-FW-", Dispatch, "{front}: {to} sees who may call"),
	form("nat:KUBE-SERVICES", "-j KUBE-EXT-", Dispatch, "{front}: on to {to}, for who calls from outside"),
	form("nat:KUBE-SERVICES", "-j KUBE-NODEPORTS", Dispatch, "an address of this node: is the port a NodePort?"),
	form("nat:KUBE-NODEPORTS", "-j KUBE-(EXT|SVC|SVL|XLB)-", Dispatch, "{front}: on to {to}, for who calls from outside"),

	form("nat:KUBE-EXT-.*", "masquerade traffic for", Masquerade, "whoever calls from outside the cluster's ClusterIPs is marked, to be masqueraded"),
	form("nat:KUBE-EXT-.*", "masquerade LOCAL traffic", Masquerade, "this node's own calls are marked, to be masqueraded"),
	form("nat:KUBE-EXT-.*", "pod traffic for|^-(s|i) .*-j KUBE-SVC-", Policy, "policy Local: pods of this node may have any endpoint"),
	form("nat:KUBE-EXT-.*", "route LOCAL traffic|--src-type LOCAL -j KUBE-SVC-", Policy, "so may this node itself"),
	form("nat:KUBE-EXT-.*", "--src-type LOCAL -j KUBE-MARK-MASQ", Masquerade, "this node's own calls are marked, to be masqueraded"),
	form("nat:KUBE-EXT-.*", "-j KUBE-SVL-", Policy, "everybody else gets an endpoint of this node"),
	form("nat:KUBE-EXT-.*", "-j KUBE-SVC-", Policy, "on to the endpoints, in {to}"),
	form("nat:KUBE-EXT-.*", "-j KUBE-MARK-MASQ", Masquerade, "whoever calls from outside the cluster's ClusterIPs is marked, to be masqueraded"),

	form("nat:KUBE-SV[CL]-.*", "--rcheck", Affinity, "a client that is remembered for {endpoint} goes there again"),
	form("nat:KUBE-SV[CL]-.*", "-j KUBE-MARK-MASQ", Masquerade, "who calls the ClusterIP and is no pod of this node is marked, to be masqueraded"),
	form("nat:KUBE-SV[CL]-.*", "--probability .*-j KUBE-SEP-", Pool, "to {endpoint}, with this probability"),
	form("nat:KUBE-SV[CL]-.*", "-j KUBE-SEP-", Pool, "all that is left goes to {endpoint}"),
	form("nat:KUBE-SEP-.*", "-j KUBE-MARK-MASQ", Masquerade, "{endpoint} that reaches itself is marked: it must not see its own address as source"),
	form("nat:KUBE-SEP-.*", "--set .*-j DNAT", Pool, "DNAT: the destination becomes {endpoint}, and the client is remembered"),
	form("nat:KUBE-SEP-.*", "-j DNAT", Pool, "DNAT: the destination becomes {endpoint}"),

	form("nat:KUBE-MARK-MASQ", "-j MARK --set-xmark 0x4000/0x4000", Masquerade, "the mark that says: masquerade"),
	form("nat:KUBE-POSTROUTING", "! --mark 0x4000/0x4000 -j RETURN", Masquerade, "who has no mark keeps its source"),
	form("nat:KUBE-POSTROUTING", "-j MARK --set-xmark 0x4000/0x0", Masquerade, "the mark has done its work"),
	form("nat:KUBE-POSTROUTING", "-j MASQUERADE", Masquerade, "masquerade (SNAT): the source becomes this node's address"),

	form("filter:KUBE-(EXTERNAL-)?SERVICES", "-j REJECT", Refuse, "{front} has no endpoints: refused, with ICMP port unreachable"),
	form("filter:KUBE-(EXTERNAL-)?SERVICES", "-j DROP", Refuse, "{front} has no endpoint here: dropped, in silence"),
	form("filter:KUBE-FIREWALL", "-j DROP", Refuse, "route_localnet lets packets for 127.0.0.0/8 in from the wire: dropped"),

	form("filter:KUBE-NODEPORTS", "health check node port", Forward, "the port at which the health checks of {port} are answered"),
	form("filter:KUBE-FORWARD", "--mark 0x4000/0x4000 -j ACCEPT", Forward, "what will be masqueraded is let through"),
	form("filter:KUBE-FORWARD", "RELATED,ESTABLISHED -j ACCEPT", Forward, "so is what belongs to a connection that has been let through once"),
	form("filter:KUBE-FORWARD", "--ctstate INVALID.*-j DROP", Forward, "what belongs to no connection would leave with the endpoint's address: dropped"),
}
