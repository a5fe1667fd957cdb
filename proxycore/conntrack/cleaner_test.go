package conntrack

import (
	"context"
	"net"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// send sends one UDP packet from a source port and leaves an entry behind.
func send(t *testing.T, ns *nsnet.NS, from, to string) {
	t.Helper()
	err := ns.Do(func() error {
		c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from)), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write([]byte("?"))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func run(t *testing.T, ns *nsnet.NS, command string, stdin string) {
	t.Helper()
	cmd := exec.Command("sh", "-c", command)
	cmd.Stdin = strings.NewReader(stdin)
	if out, err := ns.Run(cmd); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
}

func entries(t *testing.T, c *Cleaner) []string {
	t.Helper()
	list, err := c.Entries(context.Background(), unix.IPPROTO_UDP)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		out = append(out, e.String())
	}
	slices.Sort(out)
	return out
}

func TestClean(t *testing.T) {
	nstest.Need(t, "nftables")
	ns := nstest.NS(t, "node")
	if err := ns.LoopbackUp(); err != nil {
		t.Fatal(err)
	}
	run(t, ns, "ip route add local 10.0.0.0/8 dev lo && ip -6 route add local fd00::/16 dev lo && ip addr add fd00:1::1/128 dev lo nodad", "")
	run(t, ns, "nft -f -", `
		table inet t { chain output { type nat hook output priority -100;
			ip daddr 10.96.0.1 udp dport 53 udp sport 4001 dnat ip to 10.244.1.1:5353
			ip daddr 10.96.0.1 udp dport 53 udp sport 4002 dnat ip to 10.244.1.2:5353
			ip daddr 10.96.0.2 udp dport 53 dnat ip to 10.244.1.2:5353
			ip6 daddr fd00:96::1 udp dport 53 udp sport 4001 dnat ip6 to [fd00:244::1]:5353
			ip6 daddr fd00:96::1 udp dport 53 udp sport 4002 dnat ip6 to [fd00:244::2]:5353
		}
		chain zoned { type filter hook output priority -300; udp sport 4005 ct zone set 7; }
		}
`)
	for _, from := range []string{"10.1.1.1:4001", "10.1.1.1:4002", "10.1.1.1:4003"} {
		send(t, ns, from, "10.96.0.1:53")
	}
	send(t, ns, "10.1.1.1:4001", "10.96.0.1:54")
	send(t, ns, "10.1.1.1:4005", "10.96.0.1:53") // in a zone of somebody else's
	send(t, ns, "10.1.1.1:4001", "10.96.0.2:53")
	send(t, ns, "[fd00:1::1]:4001", "[fd00:96::1]:53")
	send(t, ns, "[fd00:1::1]:4002", "[fd00:96::1]:53")

	c, err := New(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	other := []string{
		"UDP 10.1.1.1:4001 → 10.96.0.1:54, answered by 10.96.0.1:54 to 10.1.1.1:4001",
		"UDP 10.1.1.1:4001 → 10.96.0.2:53, answered by 10.244.1.2:5353 to 10.1.1.1:4001",
		"UDP 10.1.1.1:4005 → 10.96.0.1:53, answered by 10.96.0.1:53 to 10.1.1.1:4005",
	}
	if got := entries(t, c); len(got) != 8 {
		t.Fatalf("before: %d entries, want 8:\n%s", len(got), strings.Join(got, "\n"))
	}
	front := func(a string, p cluster.Proto) proxycore.Front {
		v := netip.MustParseAddrPort(a)
		return proxycore.Front{Addr: v.Addr(), Port: v.Port(), Proto: p}
	}
	clean := func(keep map[proxycore.Front][]netip.AddrPort, want ...string) {
		t.Helper()
		if err := c.Clean(context.Background(), keep); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(entries(t, c), append(want, other...), cmp.Transformer("sort", func(s []string) []string { s = slices.Clone(s); slices.Sort(s); return s })); d != "" {
			t.Errorf("entries (-got +want):\n%s", d)
		}
	}
	// The TCP front changes nothing; 4002's endpoint is gone and 4003 was never translated.
	clean(map[proxycore.Front][]netip.AddrPort{
		front("10.96.0.1:53", cluster.UDP):    {netip.MustParseAddrPort("10.244.1.1:5353")},
		front("10.96.0.2:53", cluster.TCP):    nil,
		front("[fd00:96::1]:53", cluster.UDP): {netip.MustParseAddrPort("[fd00:244::2]:5353")},
	},
		"UDP 10.1.1.1:4001 → 10.96.0.1:53, answered by 10.244.1.1:5353 to 10.1.1.1:4001",
		"UDP [fd00:1::1]:4002 → [fd00:96::1]:53, answered by [fd00:244::2]:5353 to [fd00:1::1]:4002")
	// No endpoint left.
	clean(map[proxycore.Front][]netip.AddrPort{
		front("10.96.0.1:53", cluster.UDP):    nil,
		front("[fd00:96::1]:53", cluster.UDP): nil,
	})
	if c.Deleted() != 5 {
		t.Errorf("it says that it has deleted %d entries, want 5", c.Deleted())
	}
	for range 2 {
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// Entries that expired between dump and deletion are no error.
func TestRemoveTwice(t *testing.T) {
	nstest.Need(t, "nftables")
	ns := nstest.NS(t, "node")
	if err := ns.LoopbackUp(); err != nil {
		t.Fatal(err)
	}
	run(t, ns, "nft -f -", "table ip t {\n chain output {\n type filter hook output priority 0\n ct state new accept\n }\n }\n")
	send(t, ns, "127.0.0.1:4001", "127.0.0.2:53")
	c, err := New(ns.FD())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	list, err := c.Entries(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(list, func(e Entry) bool { return e.Proto == unix.IPPROTO_UDP })
	if i < 0 {
		t.Fatalf("no UDP entry among %v", list)
	}
	for range 2 {
		if err := c.remove(context.Background(), unix.AF_INET, list[i]); err != nil {
			t.Fatal(err)
		}
	}
	if left := entries(t, c); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}
