package story

import (
	"fmt"
	"strings"

	"svclab/sim/evidence"
	"svclab/sim/naming"
)

// The sentences for who knows TCP and not Kubernetes.

// dnatWords say what DNAT is, and how the endpoint was chosen.
func (b *builder) dnatWords(r *evidence.Rule) (words []string) {
	text := "A Service's address belongs to no machine. "
	switch {
	case b.front == nil:
		text = ""
	case b.front.Kind == naming.NodePort:
		text = "A NodePort is a port of every node that stands for the Service. "
	case b.front.Kind != naming.ClusterIP:
		text = "This address stands for the Service, not for a machine. "
	}
	text += "Here the kernel's nf_nat puts the address and port of a pod in its place: destination NAT."
	switch n := b.endpoints(); {
	case n == 1:
		text += " The Service has this one endpoint."
	case n > 1 && drawn(r):
		text += fmt.Sprintf(" It was drawn at random from %d endpoints.", n)
	case n > 1:
		text += fmt.Sprintf(" The Service has %d endpoints.", n)
	}
	if b.endpoint() == nil {
		text += " It is no endpoint of the Service in this state."
	}
	words = append(words, text)
	soft := software(r)
	switch {
	case r != nil && strings.HasPrefix(soft, "nf_tables,"):
		words = append(words, b.once("iptables translates nothing itself: it is the command that wrote the rule, nf_tables found that it fits, and nf_nat rewrote the packet.")...)
	case soft == "ip_tables":
		words = append(words, b.once("iptables translates nothing itself: it is the command that wrote the rule, ip_tables found that it fits, and nf_nat rewrote the packet.")...)
	case r != nil:
		words = append(words, b.once("nf_tables found the rule that fits, and nf_nat rewrote the packet. No program saw it: the rules were there before it.")...)
	}
	return words
}

// drawn reports whether a rule, or those that led to it, choose by chance.
func drawn(r *evidence.Rule) bool {
	if r == nil {
		return false
	}
	for _, l := range r.Lookups {
		if l.Drawn {
			return true
		}
	}
	return strings.Contains(r.Text, "numgen random") || strings.Contains(r.Text, "-j DNAT") // kube-proxy and we draw by -m statistic, in rules that did not fit
}

// snatWords say why the source was rewritten.
func (b *builder) snatWords() []string {
	return []string{"The node puts its own address in place of the client's (masquerade), so that the answer comes back through it and can be translated back" +
		b.whySource(false) + "."}
}

// keptWords say why the source was not.
func (b *builder) keptWords() []string {
	text := "The server will see who really called" + b.whySource(true) + "."
	for _, w := range b.walks(b.first(evidence.Back)) {
		if short(w.Site) == b.dnat.node {
			return []string{text + " Its answer comes back through this node all the same, and is translated back here."}
		}
	}
	if b.stranger().IsValid() {
		text += " Its answer goes another way home, past this node, and nobody translates it back."
	}
	return []string{text}
}

// droppedWords say what was meant by dropping or rejecting.
func (b *builder) droppedWords(r *evidence.Rule) []string {
	if r == nil {
		return []string{"Which rule did it could not be had."}
	}
	soft := strings.TrimSuffix(software(r), ", where the command iptables writes")
	m := b.meaning(r)
	text := ""
	switch {
	case m.Part == naming.Ranges:
		text = "The Service says who may call its load balancer's address (loadBalancerSourceRanges), and " + b.e.Flow.Client.Addr().String() + " is in none of these ranges. Such calls are dropped, not refused, as a firewall would."
	case b.front != nil && b.endpoints() == 0:
		text = fmt.Sprintf("Service %s has no endpoint: no pod fits its selector, or none is ready. There is nobody to translate to, so the proxy had written a rule that refuses.", b.front.Port.Service)
	case b.front != nil && m.Part == naming.Refuse && !b.rejects(r):
		text = "The Service wants outside calls answered on the node where they come in (policy Local), and that node has no endpoint. Such calls are dropped, not refused: a load balancer may be late to notice."
	case b.front == nil && m.Part == naming.Refuse:
		text = "The address is a Service's, the port is none of its ports. Rather than let the packet wander off, the proxy had written a rule that refuses it."
	}
	var words []string
	if text != "" {
		words = append(words, text)
	}
	did := "threw the packet away"
	if b.rejects(r) {
		did = "threw the packet away, and the kernel sent the sender an ICMP message (port unreachable)"
	}
	if b.dnat == nil {
		did += ". Nothing was translated"
	}
	return append(words, fmt.Sprintf("%s found the rule that fits; it %s.", soft, did))
}

// leakedWords say where a packet goes for which there is no rule.
func (b *builder) leakedWords() []string {
	text := "No rule of the proxy is for this address and port, so nothing was translated, and the node treated it as any address of the wide world."
	switch b.Index.Layout() {
	case naming.KubeIPTables, naming.SvclabIPTables:
		text += " Proxies on iptables have rules for the ports of a Service only; those on nftables refuse its other ports."
	}
	return []string{text}
}
