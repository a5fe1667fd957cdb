package nftables

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"slices"
	"strings"
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
	withoutDAD(t, x.node)
	for _, l := range []struct {
		ns         **nsnet.NS
		dev        string
		node4, ip4 string
		node6, ip6 string
	}{
		{&x.pod, "pod-client", "10.244.1.9", podIP + "/30", "fd00:244:1:8::1", podIP6 + "/64"},
		{&x.here, "pod-here", "10.244.1.17", hereIP + "/30", "fd00:244:1:9::1", hereIP6 + "/64"},
		{&x.there, "far", "10.244.2.1", thereIP + "/30", "fd00:244:2::1", thereIP6 + "/64"},
		{&x.outside, "out", "192.168.0.1", outsideIP + "/24", "fd00:9::1", outsideIP6 + "/64"},
	} {
		ns := nstest.NS(t, l.dev)
		*l.ns = ns
		withoutDAD(t, ns)
		ip(t, x.node, fmt.Sprintf("link add %s type veth peer name eth0 netns /proc/%d/fd/%d", l.dev, os.Getpid(), ns.FD()))
		attach(t, x.node, l.dev, l.node4+l.ip4[len(l.ip4)-3:], l.node6+"/64")
		attach(t, ns, "eth0", l.ip4, l.ip6)
		ip(t, ns, "route add default via "+l.node4)
		ip(t, ns, "-6 route add default via "+l.node6)
	}
	ip(t, x.outside, "addr add "+deniedIP+"/32 dev eth0")
	ip(t, x.outside, "addr add "+strayVIP+"/32 dev eth0")
	ip(t, x.node, "route add default via "+outsideIP)
	ip(t, x.node, "-6 route add default via "+outsideIP6)
	ip(t, x.node, "addr add 192.168.7.1/32 dev lo")
	ip(t, x.node, "addr add fd00:7::1/128 dev lo nodad")
	settle(t, x.node, 4)
	for _, ns := range []*nsnet.NS{x.pod, x.here, x.there, x.outside} {
		settle(t, ns, 1)
	}
	tell(t, x.here, hereIP+":8080", "here")
	tell(t, x.there, thereIP+":8080", "there")
	tell(t, x.here, "["+hereIP6+"]:8080", "here")
	tell(t, x.there, "["+thereIP6+"]:8080", "there")
	tell(t, x.outside, strayVIP+":80", "stray")
	return x
}

// withoutDAD spares the devices to come the second in which an address is tried.
func withoutDAD(t *testing.T, ns *nsnet.NS) {
	t.Helper()
	if err := ns.Sysctl("net.ipv6.conf.default.accept_dad", "0"); err != nil {
		t.Fatal(err)
	}
}

// attach brings a device up with two addresses.
func attach(t *testing.T, ns *nsnet.NS, dev, ip4, ip6 string) {
	t.Helper()
	for _, c := range []string{"link set " + dev + " up", "addr add " + ip4 + " dev " + dev, "addr add " + ip6 + " dev " + dev + " nodad"} {
		ip(t, ns, c)
	}
}

// settle waits until every IPv6 address is one, the devices' link-local ones too, without which no neighbour is found. The
// kernel makes those when it has seen the carrier.
func settle(t *testing.T, ns *nsnet.NS, devices int) {
	t.Helper()
	show := func(what string) string {
		out, err := ns.Run(exec.Command("ip", append([]string{"-6", "addr", "show"}, strings.Fields(what)...)...))
		if err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		return string(out)
	}
	for until := time.Now().Add(10 * time.Second); ; {
		tentative, links := show("tentative"), show("scope link")
		if tentative == "" && strings.Count(links, "inet6 fe80:") == devices {
			return
		}
		if time.Now().After(until) {
			t.Fatalf("still without its addresses: %s\n%s\n%s", ns.Name(), tentative, links)
		}
	}
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
func fate(ns *nsnet.NS, network, from, to, want string) (got string) {
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
		return err.Error()
	}
	return strings.Join(slices.Sorted(maps.Keys(seen)), ", ")
}
