package nftables

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

// crossroads is a node with a client pod, an endpoint here, one elsewhere, and the world outside, each behind a device of
// the node's: pod-client, pod-here, far and out.
type crossroads struct{ node, pod, here, there, outside *nsnet.NS }

// Addresses at the crossroads; the node has .1 of each link, and 192.168.7.1.
const (
	podIP, hereIP, thereIP, outsideIP, deniedIP = "10.244.1.10", "10.244.1.18", "10.244.2.2", "192.168.0.9", "198.51.100.7"
	podIP6, hereIP6, thereIP6, outsideIP6       = "fd00:244:1:8::a", "fd00:244:1:9::a", "fd00:244:2::a", "fd00:9::a"
	strayVIP                                    = "10.96.9.9" // has a server outside: who is not stopped gets an answer
)

func atCrossroads(t *testing.T) *crossroads {
	t.Helper()
	nstest.Need(t, "veth")
	x := &crossroads{node: namespace(t)}
	for _, s := range []string{"net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"} {
		if err := x.node.Sysctl(s, "1"); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []struct {
		ns                        **nsnet.NS
		dev, gw4, ip4, gw6, ip6   string
		addresses, routesToItself []string
	}{
		{&x.pod, "pod-client", "10.244.1.9/30", podIP + "/30", "fd00:244:1:8::1/64", podIP6 + "/64", nil, nil},
		{&x.here, "pod-here", "10.244.1.17/30", hereIP + "/30", "fd00:244:1:9::1/64", hereIP6 + "/64", nil, nil},
		{&x.there, "far", "10.244.2.1/30", thereIP + "/30", "fd00:244:2::1/64", thereIP6 + "/64", nil, nil},
		{&x.outside, "out", "192.168.0.1/24", outsideIP + "/24", "fd00:9::1/64", outsideIP6 + "/64",
			[]string{deniedIP + "/32", strayVIP + "/32"}, []string{"default"}},
	} {
		ns := nstest.NS(t, l.dev)
		*l.ns = ns
		ip(t, x.node, fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/%d/fd/%d", l.dev, os.Getpid(), ns.FD()))
		for _, c := range []string{"link set %[1]s up", "addr add %[2]s dev %[1]s", "addr add %[3]s dev %[1]s nodad"} {
			ip(t, x.node, fmt.Sprintf(c, l.dev, l.gw4, l.gw6))
		}
		gw4, gw6 := netip.MustParsePrefix(l.gw4).Addr(), netip.MustParsePrefix(l.gw6).Addr()
		for _, c := range []string{"link set eth0 up", "addr add " + l.ip4 + " dev eth0", "addr add " + l.ip6 + " dev eth0 nodad",
			"route add default via " + gw4.String(), "-6 route add default via " + gw6.String()} {
			ip(t, ns, c)
		}
		for _, a := range l.addresses {
			ip(t, ns, "addr add "+a+" dev eth0")
		}
		for _, to := range l.routesToItself {
			ip(t, x.node, "route add "+to+" via "+outsideIP)
			ip(t, x.node, "-6 route add "+to+" via "+outsideIP6)
		}
	}
	ip(t, x.node, "addr add 192.168.7.1/32 dev lo")
	ip(t, x.node, "addr add fd00:7::1/128 dev lo nodad")
	tell(t, x.here, hereIP+":8080", "here")
	tell(t, x.there, thereIP+":8080", "there")
	tell(t, x.here, "["+hereIP6+"]:8080", "here")
	tell(t, x.there, "["+thereIP6+"]:8080", "there")
	tell(t, x.outside, strayVIP+":80", "stray")
	return x
}

// ask connects, or sends a datagram, and returns who answered and which source that saw.
func ask(ns *nsnet.NS, network, from, to string, patience time.Duration) (who, source string, err error) {
	var c net.Conn
	err = ns.Do(func() (err error) {
		d := net.Dialer{Timeout: patience, FallbackDelay: -1}
		switch {
		case from != "" && network == "udp":
			d.LocalAddr = &net.UDPAddr{IP: net.ParseIP(from)}
		case from != "":
			d.LocalAddr = &net.TCPAddr{IP: net.ParseIP(from)}
		}
		c, err = d.Dial(network, to)
		return err
	})
	if err != nil {
		return "", "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", "", err
	}
	b := make([]byte, 100)
	if network == "udp" {
		if _, err := c.Write([]byte("?")); err != nil {
			return "", "", err
		}
	}
	n, err := c.Read(b)
	if err != nil && err != io.EOF {
		return "", "", err
	}
	_, err = fmt.Sscan(string(b[:n]), &who, &source)
	return who, source, err
}

// fate is what becomes of a caller's flows: who answers, each seen at least once, and which source they see; or "refused",
// "dropped", or what of these a node's own datagrams meet: "not permitted".
func fate(t *testing.T, ns *nsnet.NS, network, from, to string, want string) (got string) {
	t.Helper()
	const tries = 30 // one of two servers is missed with probability 2^-29
	patience := 3 * time.Second
	if want == "dropped" {
		patience = 300 * time.Millisecond
	}
	seen := map[string]bool{}
	for range tries {
		who, source, err := ask(ns, network, from, to, patience)
		var timeout net.Error
		switch {
		case err == nil:
			seen[who+" sees "+source] = true
			continue
		case errors.Is(err, syscall.ECONNREFUSED):
			return "refused"
		case errors.As(err, &timeout) && timeout.Timeout():
			return "dropped"
		case errors.Is(err, syscall.EPERM):
			return "not permitted"
		}
		t.Fatalf("%s from %s to %s: %v", network, ns.Name(), to, err)
	}
	return inOrder(seen)
}
