package iptables

import (
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore"
)

// serve answers every connection to an address with one byte and the source that it saw.
func serve(t testing.TB, ns *nsnet.NS, addr string, name byte) {
	t.Helper()
	l, err := ns.ListenTCP(netip.MustParseAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			from := c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap()
			_, _ = c.Write(append([]byte{name}, from.String()...))
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

// call connects from an address (nil: the kernel's choice) and returns who answered and whom it saw.
func call(ns *nsnet.NS, from net.IP, addr string) (who byte, source string, err error) {
	return callWithin(3*time.Second, ns, from, addr)
}

func callWithin(patience time.Duration, ns *nsnet.NS, from net.IP, addr string) (who byte, source string, err error) {
	var c net.Conn
	err = ns.Do(func() error {
		var err error
		d := net.Dialer{Timeout: patience, FallbackDelay: -1}
		if from != nil {
			d.LocalAddr = &net.TCPAddr{IP: from}
		}
		c, err = d.Dial("tcp", addr)
		return err
	})
	if err != nil {
		return 0, "", err
	}
	defer c.Close()
	var b [64]byte
	n, err := c.Read(b[:])
	if n < 1 {
		return 0, "", err
	}
	return b[0], string(b[1:n]), nil
}

// oneHost is a namespace whose own addresses are the pods'. Its default route leads out of a device: a packet that is
// routed into lo is not answered by reject.
func oneHost(t *testing.T) *nsnet.NS {
	t.Helper()
	nstest.Need(t, "veth")
	ns := namespace(t)
	if err := ns.LoopbackUp(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []string{
		"addr add 10.244.1.1/24 dev lo", "addr add fd00:244:1::1/64 dev lo nodad",
		"link add out type veth peer name sink", "link set sink up", "link set out up",
		"addr add 192.168.7.1/24 dev out", "addr add fd00:7::1/64 dev out nodad",
		"neigh add 192.168.7.2 lladdr 02:00:00:00:00:02 dev out", "neigh add fd00:7::2 lladdr 02:00:00:00:00:02 dev out",
		"route add default via 192.168.7.2", "-6 route add default via fd00:7::2",
	} {
		sh(t, ns, "ip "+c)
	}
	return ns
}

func TestPackets(t *testing.T) {
	eachFlavour(t, func(t *testing.T, flavour string) {
		ns := oneHost(t)
		serve(t, ns, "10.244.1.1:8080", 1)
		serve(t, ns, "10.244.1.2:8080", 2)
		serve(t, ns, "[fd00:244:1::1]:8080", 6)
		b := open(t, ns, Options{Flavour: flavour})
		both := " 10.244.1.1:8080 10.244.1.2:8080"
		program(t, b, full(podCIDRs("10.244.0.0/16"), "web 10.96.0.1:80/TCP"+both, "none 10.96.0.2:80/TCP", "sticky 10.96.0.3:80/TCP 60s"+both,
			"all 10.96.0.5:80/TCP all 10.244.1.1:8080", "six [fd00:96::1]:80/TCP [fd00:244:1::1]:8080",
			"nobody [fd00:96::2]:80/TCP"))
		count := map[byte]int{}
		for range 64 {
			who, _, err := call(ns, nil, "10.96.0.1:80")
			if err != nil {
				t.Fatal(err)
			}
			count[who]++
		}
		if count[1] == 0 || count[2] == 0 { // each with probability 2^-64
			t.Errorf("64 connections went to 1: %d, 2: %d", count[1], count[2])
		}
		for _, addr := range []string{"10.96.0.2:80", "[fd00:96::2]:80"} {
			if _, _, err := call(ns, nil, addr); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v, want connection refused", addr, err)
			}
		}
		if who, _, err := call(ns, nil, "[fd00:96::1]:80"); who != 6 {
			t.Errorf("IPv6: %d %v", who, err)
		}
		node, pod := net.IPv4(192, 168, 7, 1), net.IPv4(10, 244, 1, 9)
		sh(t, ns, "ip addr add 10.244.1.9/32 dev lo")
		for _, x := range []struct {
			from   net.IP
			to     string
			spared bool
		}{
			{pod, "10.96.0.1:80", true}, {node, "10.96.0.1:80", false}, {pod, "10.96.0.5:80", false},
		} {
			_, source, err := call(ns, x.from, x.to)
			if err != nil || (source == x.from.String()) != x.spared {
				t.Errorf("from %v to %s: seen as %s (%v), spared: want %v", x.from, x.to, source, err, x.spared)
			}
		}
		first, _, err := call(ns, pod, "10.96.0.3:80")
		if err != nil {
			t.Fatal(err)
		}
		for range 20 { // 2^-20 without stickiness
			if who, _, err := call(ns, pod, "10.96.0.3:80"); who != first {
				t.Fatalf("a client of %d was sent to %d (%v)", first, who, err)
			}
		}
		seen := map[byte]bool{}
		for i := range 24 { // other clients are not sent where the first one is: 2^-23
			from := net.IPv4(10, 244, 1, byte(20+i))
			sh(t, ns, "ip addr add "+from.String()+"/32 dev lo")
			who, _, err := call(ns, from, "10.96.0.3:80")
			if err != nil {
				t.Fatal(err)
			}
			seen[who] = true
		}
		if len(seen) != 2 {
			t.Errorf("24 sticky clients went to %v, want both", seen)
		}
		other := map[byte]string{1: " 10.244.1.2:8080", 2: " 10.244.1.1:8080"}[first]
		program(t, b, proxycore.Change{Replace: routesOf("sticky 10.96.0.3:80/TCP 60s" + other)})
		if who, _, err := call(ns, pod, "10.96.0.3:80"); who != 3-first {
			t.Errorf("the endpoint %d is gone and %d answers (%v)", first, who, err)
		}
	})
}
