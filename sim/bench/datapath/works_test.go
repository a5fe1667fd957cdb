package datapath

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"svclab/nsnet/nstest"
	"svclab/sim/bench/load"
	"svclab/sim/bench/rig"
	"svclab/sim/proxies"
)

// TestEachWorkIsProved tells every work that another pod should have answered, and it says so instead of giving samples.
func TestEachWorkIsProved(t *testing.T) {
	nstest.Need(t, "nftables", "veth", "bridge")
	proxy, err := proxies.Find("nftables")
	if err != nil {
		t.Fatal(err)
	}
	s, err := raise(t.Context(), &proxy, clusterOf(MinServices, 1))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if err := s.settle(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	for _, w := range Works {
		for _, through := range []string{direct, last} {
			p := s.path(w.kind, crossNode, through)
			run := func() (samples []float64, err error) {
				err = p.client.Do(func() error {
					samples, err = w.run(p, 10)
					return err
				})
				return samples, err
			}
			if samples, err := run(); err != nil || len(samples) == 0 {
				t.Errorf("%s, %s: %v, %v", w.Word, through, samples, err)
			}
			p.allowed = []netip.AddrPort{netip.MustParseAddrPort("10.192.0.1:8080")}
			if samples, err := run(); err == nil || !strings.Contains(err.Error(), "it should have come to 10.192.0.1:8080") || len(samples) != 0 {
				t.Errorf("%s, %s, another is right: %v, %v", w.Word, through, samples, err)
			}
			s.forget()
		}
	}
}

// TestPathsAreWhatTheySay looks at which Services are the first, the middle and the last of each kind, as the rules stand.
func TestPathsAreWhatTheySay(t *testing.T) {
	s := &stand{cluster: clusterOf(MinServices, 1), rig: &rig.Rig{}}
	for i := range MinServices {
		s.order = append(s.order, MinServices-1-i) // from the last to the first
	}
	for through, want := range map[string]int{first: 37, middle: 17, last: 1} {
		if got := s.path(Works[0].kind, crossNode, through).to; got != load.Front(want) {
			t.Errorf("%s: %v, want %v", through, got, load.Front(want))
		}
	}
	p := s.path(Works[1].kind, sameNode, direct)
	if want := s.cluster.Endpoint(s.cluster.EndpointsOf(18)[0]); p.to != want || !slices.Equal(p.allowed, []netip.AddrPort{want}) || !load.NearRange.Contains(want.Addr()) {
		t.Errorf("direct: %v, by %v; want %v", p.to, p.allowed, want)
	}
}

func TestJumps(t *testing.T) {
	rules := `*nat
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A KUBE-SEP-A -s 10.96.0.11/32 -j KUBE-MARK-MASQ
-A KUBE-SERVICES -d 10.96.0.12/32 -p tcp -m comment --comment "default/svc-00002:http cluster IP" -m tcp --dport 80 -j KUBE-SVC-A
-A KUBE-SERVICES -d 10.96.0.10/32 -p udp -m comment --comment "default/svc-00000:http cluster IP" -m udp --dport 80 -j KUBE-SVC-B
-A KUBE-SERVICES -d 10.0.0.1/32 -p tcp -m comment --comment "of somebody else" -m tcp --dport 80 -j KUBE-SVC-C
-A KUBE-SERVICES -m comment --comment "kubernetes service nodeports" -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS
`
	byAddr := map[netip.Addr]int{load.Front(0).Addr(): 0, load.Front(2).Addr(): 2}
	if got := jumps([]byte(rules), byAddr); !slices.Equal(got, []int{2, 0}) {
		t.Errorf("got %v", got)
	}
}

// TestPortsAreUsedOnce asks for ports until there are none.
func TestPortsAreUsedOnce(t *testing.T) {
	var p ports
	p.renew()
	seen := map[uint16]bool{}
	for range lastPort - firstPort + 1 {
		port, err := p.take(unix.SOCK_STREAM)
		if err != nil || port < firstPort || seen[port] {
			t.Fatalf("port %d, %v", port, err)
		}
		seen[port] = true
	}
	if port, err := p.take(unix.SOCK_STREAM); err == nil {
		t.Errorf("port %d after all are used up", port)
	}
	if port, err := p.take(unix.SOCK_DGRAM); err != nil || port != firstPort {
		t.Errorf("the first of UDP: port %d, %v", port, err)
	}
	p.renew()
	if port, err := p.take(unix.SOCK_STREAM); err != nil || port != firstPort {
		t.Errorf("after the memory is emptied: port %d, %v", port, err)
	}
}
