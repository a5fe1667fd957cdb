package nftrace_test

import (
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/nflog"
	"svclab/nsnet/nftrace"
	"svclab/nsnet/nstest"
	"svclab/nsnet/packet"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func run(t *testing.T, ns *nsnet.NS, stdin string, command ...string) string {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := ns.Run(cmd)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// translated is a namespace in which UDP to an address of nobody's is sent to a listener.
func translated(t *testing.T, from, listener string) (*nsnet.NS, *net.UDPConn, netip.AddrPort) {
	t.Helper()
	ns := nstest.NS(t, "node")
	run(t, ns, "", "sh", "-c", "ip route add local 10.0.0.0/8 dev lo && ip -6 route add local fd00::/16 dev lo && ip addr add fd00:1::1/128 dev lo nodad && ip addr add fd00:244::1/128 dev lo nodad")
	ln, err := ns.ListenUDP(netip.MustParseAddrPort(listener))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		var b [100]byte
		for {
			n, who, err := ln.ReadFromUDPAddrPort(b[:])
			if err != nil {
				return
			}
			_, _ = ln.WriteToUDPAddrPort(b[:n], who)
		}
	}()
	return ns, ln, netip.MustParseAddrPort(from)
}

func ask(t *testing.T, ns *nsnet.NS, from netip.AddrPort, to string) {
	t.Helper()
	var c *net.UDPConn
	err := ns.Do(func() (err error) {
		c, err = net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(netip.MustParseAddrPort(to)))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("hello, world")); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Read(make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
}

// told is the events as lines, once there are as many as wanted.
func told(t *testing.T, r *nftrace.Reader, want int) string {
	t.Helper()
	for end := time.Now().Add(5 * time.Second); r.Count() < want && time.Now().Before(end); {
		runtime.Gosched()
	}
	events, lost, err := r.Events()
	if lost || err != nil {
		t.Errorf("lost %v, error %v", lost, err)
	}
	var b strings.Builder
	for _, e := range events {
		fmt.Fprintf(&b, "%s %s %s %s %s", e.Family, e.Table, e.Chain, e.Kind, e.Verdict)
		if p, ok := packet.FromHeaders(e.Network, e.Transport); ok {
			fmt.Fprintf(&b, " [%v > %v %v]", p.Src, p.Dst, &p)
		}
		if e.Track != nil {
			fmt.Fprintf(&b, " reply %v", e.Track.Reply)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func TestObservers(t *testing.T) {
	nstest.Need(t, "nftables")
	for name, c := range map[string]struct{ from, vip, listener, dnat string }{
		"IPv4": {"10.1.1.1:4001", "10.96.0.1:53", "10.244.1.1:5353", "dnat ip to 10.244.1.1:5353"},
		"IPv6": {"[fd00:1::1]:4001", "[fd00:96::1]:53", "[fd00:244::1]:5353", "dnat ip6 to [fd00:244::1]:5353"},
	} {
		t.Run(name, func(t *testing.T) {
			ns, _, from := translated(t, c.from, c.listener)
			run(t, ns, "table inet t {\n chain output {\n type nat hook output priority -100\n udp dport 53 "+c.dnat+"\n }\n }\n", "nft", "-f", "-")
			r, err := nftrace.Read(ns)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { r.Close() })
			if err := nftrace.Observe(ns, nftrace.Wanted{Proto: unix.IPPROTO_UDP, Client: from, Servers: []netip.Addr{from.Addr(), netip.MustParseAddrPort(c.listener).Addr()}}); err != nil {
				t.Fatal(err)
			}
			ask(t, ns, from, c.vip)
			wanted := []string{
				"inet svclab-explain out-first rule continue [" + c.from + " > " + c.vip + " datagram, 12 bytes]",
				"inet t output rule accept [" + c.from + " > " + c.vip,
				"inet svclab-explain out-last rule continue [" + c.from + " > " + c.listener,
				"inet svclab-explain out-first rule continue [" + c.listener + " > " + c.from,
				"inet svclab-explain in-last rule continue [" + c.vip + " > " + c.from,
			}
			text := told(t, r, 50)
			for end := time.Now().Add(5 * time.Second); !strings.Contains(text, wanted[len(wanted)-1]) && time.Now().Before(end); {
				runtime.Gosched() // the last one is still on its way
				text = told(t, r, 0)
			}
			for _, want := range wanted {
				if !strings.Contains(text, want) {
					t.Errorf("no event %q in\n%s", want, text)
				}
			}
			if err := nftrace.Unobserve(ns); err != nil {
				t.Fatal(err)
			}
			if left := run(t, ns, "", "nft", "list", "tables"); left != "table inet t\n" {
				t.Errorf("left: %s", left)
			}
			for range 2 {
				if err := r.Close(); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// The observers set the bit that makes ip_tables tell its rules too.
func TestLegacy(t *testing.T) {
	nstest.Need(t, "nftables", "iptables-legacy")
	for name, c := range map[string]struct{ from, vip, listener, tool string }{
		"IPv4": {"10.1.1.1:4001", "10.96.0.1:53", "10.244.1.1:5353", "iptables-legacy"},
		"IPv6": {"[fd00:1::1]:4001", "[fd00:96::1]:53", "[fd00:244::1]:5353", "ip6tables-legacy"},
	} {
		t.Run(name, func(t *testing.T) {
			ns, _, from := translated(t, c.from, c.listener)
			t.Setenv("XTABLES_LOCKFILE", t.TempDir()+"/lock")
			run(t, ns, "", c.tool, "-t", "nat", "-A", "OUTPUT", "-p", "tcp", "-j", "ACCEPT")
			run(t, ns, "", c.tool, "-t", "nat", "-A", "OUTPUT", "-p", "udp", "--dport", "53", "-j", "DNAT", "--to-destination", c.listener)
			before, err := ns.ReadFile("/proc/net/netfilter/nf_log")
			if err != nil {
				t.Fatal(err)
			}
			l, err := nflog.Open(ns)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			if err := nftrace.Observe(ns, nftrace.Wanted{Proto: unix.IPPROTO_UDP, Client: from}); err != nil {
				t.Fatal(err)
			}
			ask(t, ns, from, c.vip)
			for end := time.Now().Add(5 * time.Second); l.Count() < 1 && time.Now().Before(end); {
				runtime.Gosched()
			}
			events, lost, err := l.Events()
			if lost || err != nil || len(events) == 0 {
				t.Fatalf("%d events, lost %v, error %v", len(events), lost, err)
			}
			e := events[0]
			p, _ := packet.FromIP(e.Packet)
			if got := fmt.Sprintf("%s %s %s %d hook %d %v > %v", e.Table, e.Chain, e.Kind, e.Rule, e.Hook, p.Src, p.Dst); got != "nat OUTPUT rule 2 hook 3 "+c.from+" > "+c.vip {
				t.Errorf("got %s", got)
			}
			for range 2 {
				if err := l.Close(); err != nil {
					t.Fatal(err)
				}
			}
			if after, err := ns.ReadFile("/proc/net/netfilter/nf_log"); err != nil || string(after) != string(before) {
				t.Errorf("the packet log before: %s\nafter: %s %v", before, after, err)
			}
		})
	}
}
