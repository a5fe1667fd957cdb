package oracle

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"svclab/proxycore/cluster"
	"svclab/sim/oracle/oracletest"
	"svclab/sim/world"
)

// Upstream's TestInternalExternalMasquerade: 30 flows under four settings, and the one that it means to send.
func TestInternalExternalMasquerade(t *testing.T) {
	for _, ipv6 := range []bool{false, true} {
		for _, s := range oracletest.InternalExternalSettings {
			top := oracletest.Topology(ipv6)
			top.Settings, top.Mode = s.Settings(), cluster.Mode{EveryAddress: true, Localhost: true}
			h := NewHistory(top)
			h.since(oracletest.State(ipv6), 0)
			for _, c := range s.Cases(ipv6) {
				t.Run(map[bool]string{false: "IPv4/", true: "IPv6/"}[ipv6]+s.Name+"/"+c.Name, func(t *testing.T) {
					a := Expect(h, c.Flow, at(1), at(1))
					var servers []string
					for _, answer := range a.Cases {
						server := h.who(answer.Server, cluster.TCP)
						servers = append(servers, strings.TrimPrefix(server, "pod/"))
						// A node's process shows an address of node-1 in either way: masquerade does not show there.
						want := top.Nodes[0].Addrs
						if !c.Masquerade && c.Flow.From.Kind != world.Node {
							want = top.Find(c.Flow.From).Addrs
						}
						if !slices.Equal(answer.Sources, want) {
							t.Errorf("%s sees %v, want %v", server, answer.Sources, want)
						}
					}
					if slices.Sort(servers); !slices.Equal(servers, c.Servers) {
						t.Errorf("servers %v, want %v", servers, c.Servers)
					}
					want := ""
					if len(c.Lost) > 0 {
						want = "silent"
					}
					if got := muteText(a); got != want {
						t.Errorf("else %q, want %q", got, want)
					}
				})
			}
		}
	}
}

func muteText(a Answer) string {
	var words []string
	for _, m := range a.Mute {
		words = append(words, m.String())
	}
	return strings.Join(words, " ")
}

// Where 127.0.0.1 is not for NodePorts, the node's own stack answers: nobody listens there.
func TestLocalhostWithoutNodePorts(t *testing.T) {
	h := NewHistory(oracletest.Topology(false))
	h.since(oracletest.State(false), 0)
	f := world.Flow{From: nodePlace("node-1"), To: netip.MustParseAddrPort("127.0.0.1:30001"), Proto: cluster.TCP}
	if got := text(Expect(h, f, at(1), at(1))); got != "or reset" {
		t.Errorf("got %s, want a reset", got)
	}
}
