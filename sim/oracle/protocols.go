package oracle

import (
	"fmt"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// protocolRows are about what is carried: echoes, SCTP, payloads of any size.
var protocolRows = []Row{
	{"CIP-13", "An echo (ping) to an address of a Service reaches no endpoint.",
		"ipt and nft: read from their rules (nft:500 asks for no protocol); no test upstream",
		"Refused (nftables) or routed on as if there were no Service (iptables). Mode ipvs answers it, as the node has the address; that is none of svclab's proxies, and is told as wrong."},
	{"CIP-29", "Requests and answers of any size pass through a Service whole: a datagram in fragments is translated as one.",
		"net:448, 458 (2000 bytes)", ""},
	{"CT-14", "With nf_conntrack_tcp_be_liberal, as the lab's nodes have it, a segment far above its receiver's window is valid, is translated as all others, and does the connection no harm.",
		"ipt_test:2551; conntrack (e2e):552; kubernetes/kubernetes#74839", ""},
	{"NP-18", "A NodePort may be of SCTP, and is then as one of TCP.", "ipvs_test:314; net:219 (skipped upstream)", ""},
	{"M-13", "Requests and answers larger than an MTU survive, also where the way between nodes is narrower than pods know: who sent too much is told by ICMP.",
		"net:448, 458; RFC 1191, RFC 8201", ""},
}

// echo: a flow without ports, which kernels answer and no server.
func (q *question) echo() bool { return q.flow.Proto == cluster.ICMP }

// sends: each packet is sent by the process itself, which is told when a rule of its own kernel refuses it (EPERM). TCP's are
// sent by the kernel, and nobody is told.
func (q *question) sends() bool { return q.flow.Proto != cluster.TCP }

// Proxies translate ports, and an echo has none.
func echoToService(q *question) (Reason, bool) {
	if !q.echo() || q.service == nil {
		return Reason{}, false
	}
	q.mute = addMissing(q.lostPacket(), q.refusal()) // silence first: a refusal comes at once
	q.because = fmt.Sprintf("%s is an address of %s, and proxies translate no echo", q.flow.To.Addr(), q.service.Key)
	return Reason{"CIP-13", q.because}, true
}

// mutantsOfProtocols do wrong by what is carried.
var mutantsOfProtocols = []Mutant{
	{Name: "answers-echoes", Bug: "an echo to a ClusterIP is translated to an endpoint, which answers it", Breaks: []string{"CIP-13"},
		Scenario: "echo", Sentence: "and proxies translate no echo",
		twist: always(func(f world.Flow, o *world.Observation) {
			if f.Proto == cluster.ICMP && o.Outcome != world.Answered {
				o.Outcome, o.Server, o.Source, o.Peer = world.Answered, f.To, o.Client, f.To
			}
		})},
	{Name: "loses-fragments", Bug: "a datagram in several fragments is lost, since only the first one has ports", Breaks: []string{"CIP-29"},
		Scenario: "large-payloads", Sentence: "silent for",
		twist: always(func(f world.Flow, o *world.Observation) {
			if f.Proto == cluster.UDP && f.Size > ethernet && o.Server != f.To {
				o.Outcome = world.Silent
			}
		})},
	{Name: "loses-path-mtu-errors", Bug: "who sent too large a packet is not told", Breaks: []string{"M-13"},
		Scenario: "narrow-underlay", Sentence: "silent for",
		twist: always(func(f world.Flow, o *world.Observation) {
			if f.Proto == cluster.TCP && f.Size > ethernet {
				o.Outcome = world.Silent
			}
		})},
	{Name: "strict-windows", Bug: "a segment above the window is not translated, and the client resets what it never opened", Breaks: []string{"CT-14"},
		Scenario: "out-of-window", Sentence: "silent for",
		twist: always(func(f world.Flow, o *world.Observation) {
			if f.Stray && o.Server != f.To {
				o.Outcome = world.Silent
			}
		})},
	{Name: "no-sctp", Bug: "SCTP is not translated", Breaks: []string{"CIP-9", "NP-18"},
		Scenario: "sctp", Sentence: "silent for",
		twist: always(func(f world.Flow, o *world.Observation) {
			if f.Proto == cluster.SCTP && o.Server != f.To {
				o.Outcome = world.Silent
			}
		})},
}

// ethernet is the payload that no packet holds any more.
const ethernet = 1500

func always(twist func(f world.Flow, o *world.Observation)) func() func(*Model, *world.Host, world.Flow, *world.Observation) {
	return func() func(*Model, *world.Host, world.Flow, *world.Observation) {
		return func(_ *Model, _ *world.Host, f world.Flow, o *world.Observation) { twist(f, o) }
	}
}
