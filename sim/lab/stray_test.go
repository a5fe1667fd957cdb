package lab_test

import (
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

// A segment above the client's window does no harm where connection tracking takes it for valid (row CT-14, the lab's setting), and
// where INVALID packets are dropped (CT-13, mode iptables). Where neither is done it ends connections: the lab can tell.
func TestStraySegments(t *testing.T) {
	nstest.Need(t, "nftables", "iptables-nft", "veth", "bridge")
	for _, tt := range []struct {
		proxy, liberal string
		harm           bool
	}{
		{"nftables", "1", false},
		{"iptables-nft", "0", false},
		{"nftables", "0", true},
	} {
		t.Run(tt.proxy+", liberal "+tt.liberal, func(t *testing.T) {
			p, err := proxies.Find(tt.proxy)
			if err != nil {
				t.Fatal(err)
			}
			top := topology()
			open := p.Opener(top)
			l := openWith(t, top, func(h *world.Host, ns *nsnet.NS) (lab.NodeProxy, error) {
				if err := ns.Sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", tt.liberal); err != nil {
					return nil, err
				}
				return open(h, ns)
			})
			if err := l.Apply(t.Context(), state(2)); err != nil {
				t.Fatal(err)
			}
			for family, vip := range vips {
				harmed := 0
				const flows = 5
				for range flows {
					o := send(t, l, world.Flow{From: client, To: vip, Proto: cluster.TCP, Stray: true, Wait: 300 * time.Millisecond})
					if o.Outcome != world.Answered {
						harmed++
					}
				}
				if (harmed > 0) != tt.harm {
					t.Errorf("%s: %d of %d connections came to harm", family, harmed, flows)
				}
			}
		})
	}
}
