package engine

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/sim/world"
)

func TestTell(t *testing.T) {
	at := netip.MustParseAddrPort
	p := &plan{places: map[netip.Addr]world.Place{netip.MustParseAddr("10.34.188.30"): {Kind: world.Pod, Name: "web-1"}}}
	base := world.Translation{Node: "node-1", Client: at("10.34.188.9:41234"), Asked: at("172.20.127.114:80"), Became: at("10.34.188.30:5000"),
		SeenAs: at("10.34.188.9:41234"), Rule: "table ip svclab, chain lb-2, map endpoints"}
	with := func(change func(*world.Translation)) world.Translation { c := base; change(&c); return c }
	for _, tt := range []struct {
		name string
		t    world.Translation
		why  string
		want string
	}{
		{"kept", base, "pod/client is a pod", `
10.34.188.9:41234 → 172.20.127.114:80 became → 10.34.188.30:5000 (pod/web-1)
  by DNAT in nf_nat on node node-1: table ip svclab, chain lb-2, map endpoints
  the source 10.34.188.9 was kept, because pod/client is a pod
  replies 10.34.188.30:5000 → 10.34.188.9:41234 are translated back by nf_conntrack's entry alone: no rule is asked again`},
		{"masqueraded", with(func(x *world.Translation) { x.SeenAs = at("192.168.50.1:7") }), "", `
10.34.188.9:41234 → 172.20.127.114:80 became → 10.34.188.30:5000 (pod/web-1)
  by DNAT in nf_nat on node node-1: table ip svclab, chain lb-2, map endpoints
  the source 10.34.188.9:41234 became 192.168.50.1:7 by masquerade (SNAT in nf_nat)
  replies 10.34.188.30:5000 → 192.168.50.1:7 are translated back by nf_conntrack's entry alone: no rule is asked again`},
		{"untouched", with(func(x *world.Translation) { x.Became = x.Asked }), "", `
10.34.188.9:41234 → 172.20.127.114:80: not translated on node node-1`},
	} {
		got := "\n" + strings.Join(tell(p, tt.t, tt.why, true), "\n")
		if d := cmp.Diff(got, tt.want); d != "" {
			t.Errorf("%s (-got +want):\n%s", tt.name, d)
		}
	}
}
