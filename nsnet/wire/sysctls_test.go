package wire

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

// TestEveryRefusalIsTold sends to a closed port more often than the kernel's usual limits would answer.
func TestEveryRefusalIsTold(t *testing.T) {
	nstest.Need(t, "veth")
	node, pod := newNode(t, "node"), newPod(t, "pod")
	ok(t, PodLink(node, pod, PodLinkOptions{NodeDev: "veth0", V4: addr("10.0.1.1"), V6: addr("fd00:1::1")}),
		Addr(node, "lo", prefix("192.168.50.1/32")), Addr(node, "lo", prefix("fd50::1/128")))
	for _, to := range []string{"10.0.1.1:53", "[fd00:1::1]:53"} {
		const n = 2000
		refused := 0
		for range n {
			if _, err := sendUDP(t, node, netip.MustParseAddrPort(to), 1, 100*time.Millisecond); err == unix.ECONNREFUSED {
				refused++
			} else if n-refused > 3 {
				break // red already; do not wait 100 ms for each
			}
		}
		if refused != n {
			t.Errorf("%s: told of %d refusals, want %d", to, refused, n)
		}
	}
}

// TestSettingsReachDevices: what the settings promise holds for a device that is made after them.
func TestSettingsReachDevices(t *testing.T) {
	nstest.Need(t, "veth")
	node, pod := nstest.NS(t, "node"), nstest.NS(t, "pod")
	for _, ns := range []*nsnet.NS{node, pod} { // as inherited from a machine with other ideas
		for _, key := range []string{"ip_forward", "conf.all.rp_filter", "conf.default.rp_filter", "conf.all.send_redirects",
			"conf.default.send_redirects", "conf.all.accept_redirects", "conf.default.accept_redirects"} {
			ok(t, ns.Sysctl("net.ipv4."+key, "1"))
		}
	}
	ok(t, NodeSysctls(node), HostSysctls(pod), Veth(End{NS: node, Name: "a"}, End{NS: pod, Name: "b"}))
	for _, check := range []struct {
		ns        *nsnet.NS
		key, want string
	}{
		{node, "net/ipv4/conf/a/forwarding", "1"},
		{node, "net/ipv6/conf/a/forwarding", "1"},
		{node, "net/ipv4/conf/a/rp_filter", "0"},
		{node, "net/ipv4/conf/all/rp_filter", "0"},
		{node, "net/ipv4/conf/a/send_redirects", "0"},
		{node, "net/ipv4/conf/all/send_redirects", "0"},
		{pod, "net/ipv4/conf/b/forwarding", "0"},
		{pod, "net/ipv6/conf/b/forwarding", "0"},
		{pod, "net/ipv6/conf/b/accept_redirects", "0"},
		{pod, "net/ipv4/conf/b/accept_redirects", "0"},
		{pod, "net/ipv4/conf/all/accept_redirects", "0"},
	} {
		b, err := check.ns.ReadFile("/proc/sys/" + check.key)
		if got := strings.TrimSpace(string(b)); err != nil || got != check.want {
			t.Errorf("%s in %s is %q (%v), want %s", check.key, check.ns.Name(), got, err, check.want)
		}
	}
	for _, ns := range []*nsnet.NS{node, pod} {
		b, err := ns.ReadFile("/proc/net/if_inet6")
		ok(t, err)
		if strings.Contains(string(b), "fe80") {
			t.Errorf("%s has an address that nobody gave it:\n%s", ns.Name(), b)
		}
	}
}
