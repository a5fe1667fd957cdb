package iptables

import (
	"context"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/proxycore"
)

// frame hands the node an IPv4 packet over the client's wire, whatever the client's routes say.
func (w *routed) frame(proto byte, src, dst string, payload []byte) {
	w.t.Helper()
	packet := make([]byte, 20, 20+len(payload))
	packet[0], packet[8], packet[9] = 0x45, 64, proto
	binary.BigEndian.PutUint16(packet[2:], uint16(20+len(payload)))
	copy(packet[12:], netip.MustParseAddr(src).AsSlice())
	copy(packet[16:], netip.MustParseAddr(dst).AsSlice())
	binary.BigEndian.PutUint16(packet[10:], checksum(packet))
	here, err := w.client.Netlink()
	if err != nil {
		w.t.Fatal(err)
	}
	there, err := w.node.Netlink()
	if err != nil {
		w.t.Fatal(err)
	}
	from, err := here.LinkByName("eth0")
	if err != nil {
		w.t.Fatal(err)
	}
	to, err := there.LinkByName("out")
	if err != nil {
		w.t.Fatal(err)
	}
	fd, err := w.client.Socket(syscall.AF_PACKET, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		w.t.Fatal(err)
	}
	defer syscall.Close(fd)
	ll := &syscall.SockaddrLinklayer{Protocol: 0x0008 /* IPv4, in the order of the wire */, Ifindex: from.Attrs().Index, Halen: 6}
	copy(ll.Addr[:], to.Attrs().HardwareAddr)
	if err := syscall.Sendto(fd, append(packet, payload...), 0, ll); err != nil {
		w.t.Fatal(err)
	}
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// udpTo is a datagram without checksum from port 5000.
func udpTo(port uint16) []byte {
	b := make([]byte, 8, 10)
	binary.BigEndian.PutUint16(b[0:], 5000)
	binary.BigEndian.PutUint16(b[2:], port)
	binary.BigEndian.PutUint16(b[4:], 10)
	return append(b, "hi"...)
}

// ear hears datagrams.
type ear struct {
	t *testing.T
	net.PacketConn
}

func listen(t *testing.T, ns *nsnet.NS, addr string) ear {
	t.Helper()
	c, err := ns.ListenUDP(netip.MustParseAddrPort(addr))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return ear{t, c}
}

// hears waits for a packet, shortly if there should be none.
func (e ear) hears(want bool) {
	e.t.Helper()
	patience := 200 * time.Millisecond
	if want {
		patience = 5 * time.Second
	}
	_ = e.SetReadDeadline(time.Now().Add(patience))
	_, from, err := e.ReadFrom(make([]byte, 100))
	if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
		e.t.Fatal(err)
	}
	if (err == nil) != want {
		e.t.Errorf("%v heard something of %v: %v, want %v", e.LocalAddr(), from, err == nil, want)
	}
}

func (w *routed) routeLocalnet() string {
	w.t.Helper()
	b, err := w.node.ReadFile("/proc/sys/" + routeLocalnet)
	if err != nil {
		w.t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func TestLocalhost(t *testing.T) {
	lines := []string{
		"web 127.0.0.1:30080/TCP all 10.244.2.1:8080",
		"web 127.0.0.1:30080/UDP all 10.244.2.1:8080",
		"away 127.0.0.1:30081/TCP 10.244.2.1:8080 local drop",
		"none 127.0.0.1:30082/TCP all",
	}
	local := podCIDRs("10.244.0.0/16")
	local.Localhost = true
	eachFlavour(t, func(t *testing.T, flavour string) {
		w := newRouted(t)
		b := open(t, w.node, Options{Flavour: flavour})
		program(t, b, full(local, lines...))
		dump(t, b)
		w.want(`
			node 127.0.0.1 > 127.0.0.1:30080: 2 saw 192.168.8.1
			node 127.0.0.1 > 127.0.0.1:30081: 2 saw 192.168.8.1
			node 127.0.0.1 > 127.0.0.1:30082: refused`)
		daemon, endpoint := listen(t, w.node, "127.0.0.1:7777"), listen(t, w.rest, "10.244.2.1:8080")
		spoof := func() {
			w.frame(syscall.IPPROTO_UDP, "192.168.7.2", "127.0.0.1", udpTo(7777))
			w.frame(syscall.IPPROTO_UDP, "192.168.7.2", "127.0.0.1", udpTo(30080))
		}
		spoof()
		daemon.hears(false)
		endpoint.hears(false)
		sh(t, w.node, "iptables-"+flavour+" -F SVCLAB-GUARD")
		if err := b.Check(context.Background()); err == nil {
			t.Error("check does not miss the guard")
		}
		spoof()
		daemon.hears(true) // or nothing has been tested
		endpoint.hears(false)
		program(t, b, full(local, lines...))
		dump(t, b)
		spoof()
		daemon.hears(false)
	})
}

// What route_localnet was, it is again, also when another process ends what one began.
func TestRouteLocalnetIsGivenBack(t *testing.T) {
	off, on := podCIDRs("10.244.0.0/16"), podCIDRs("10.244.0.0/16")
	on.Localhost = true
	eachFlavour(t, func(t *testing.T, flavour string) {
		for _, former := range []string{"0", "1"} {
			w := newRouted(t)
			if err := w.node.Sysctl("net.ipv4.conf.all.route_localnet", former); err != nil {
				t.Fatal(err)
			}
			expect := func(after, want string) {
				t.Helper()
				if got := w.routeLocalnet(); got != want {
					t.Errorf("it was %s; after %s it is %s, want %s", former, after, got, want)
				}
			}
			b := open(t, w.node, Options{Flavour: flavour})
			program(t, b, full(on))
			dump(t, b)
			expect("the first change", "1")
			program(t, b, proxycore.Change{Node: off})
			dump(t, b)
			expect("a change without it", former)
			program(t, b, proxycore.Change{Node: on})
			dump(t, b)
			expect("a change with it", "1")
			heir := open(t, w.node, Options{Flavour: flavour})
			program(t, heir, full(on))
			dump(t, heir)
			if err := heir.Close(); err != nil {
				t.Fatal(err)
			}
			expect("another process closed", former)
			b.known = false
			program(t, b, full(on))
			late := open(t, w.node, Options{Flavour: flavour})
			program(t, late, full(off))
			dump(t, late)
			expect("another process came without it", former)
			program(t, b, full(on))
			if err := w.node.Sysctl("net.ipv4.conf.all.route_localnet", "0"); err != nil {
				t.Fatal(err)
			}
			if err := b.Check(context.Background()); err == nil {
				t.Error("check does not miss the sysctl")
			}
			program(t, b, full(on))
			expect("somebody changed it and it was healed", "1")
			if err := b.Close(); err != nil {
				t.Fatal(err)
			}
			expect("close", former)
		}
	})
}

// An echo reply that nobody asked for is INVALID to connection tracking.
func TestInvalid(t *testing.T) {
	eachFlavour(t, func(t *testing.T, flavour string) {
		w := newRouted(t)
		reply := make([]byte, 8)
		binary.BigEndian.PutUint16(reply[2:], checksum(reply))
		hears := func(want bool) {
			t.Helper()
			var c net.PacketConn
			if err := w.rest.Do(func() (err error) {
				c, err = net.ListenPacket("ip4:icmp", "10.244.2.1")
				return err
			}); err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			w.frame(syscall.IPPROTO_ICMP, "192.168.7.2", "10.244.2.1", reply)
			ear{t, c}.hears(want)
		}
		hears(true)
		b := open(t, w.node, Options{Flavour: flavour})
		program(t, b, full(podCIDRs("10.244.0.0/16"), "web 10.96.0.1:80/TCP 10.244.2.1:8080"))
		hears(false)
		if err := w.node.Sysctl("net.netfilter.nf_conntrack_tcp_be_liberal", "1"); err != nil {
			t.Fatal(err)
		}
		program(t, b, full(podCIDRs("10.244.0.0/16")))
		hears(false) // it is read at the start
		liberal := open(t, w.node, Options{Flavour: flavour})
		program(t, liberal, full(podCIDRs("10.244.0.0/16")))
		dump(t, liberal)
		hears(true)
	})
}

// Past a policy DROP of FORWARD goes what is masqueraded, and what somebody else has let through once; never what is not ours.
func TestForwardPolicy(t *testing.T) {
	eachFlavour(t, func(t *testing.T, flavour string) {
		w := newRouted(t)
		sh(t, w.node, "iptables-"+flavour+" -P FORWARD DROP")
		b := open(t, w.node, Options{Flavour: flavour})
		program(t, b, full(podCIDRs("10.244.0.0/16"),
			"inner 10.96.0.1:80/TCP 10.244.2.1:8080",
			"cluster 192.168.7.1:30080/TCP all 10.244.2.1:8080",
			"local 192.168.7.1:30081/TCP 10.244.2.1:8080 local here=10.244.1.2:8080"))
		w.want(`
			client 192.168.7.2 > 192.168.7.1:30080: 2 saw 192.168.8.1
			client 192.168.7.2 > 10.96.0.1:80: 2 saw 192.168.8.1
			client 192.168.7.2 > 192.168.7.1:30081: silence
			pod 10.244.1.2 > 10.96.0.1:80: silence
			client 192.168.7.2 > 10.244.2.1:8080: silence`)
		sh(t, w.node, "iptables-"+flavour+" -A FORWARD -m conntrack --ctstate NEW -j ACCEPT")
		w.want(`
			client 192.168.7.2 > 192.168.7.1:30081: 1 saw 192.168.7.2
			pod 10.244.1.2 > 10.96.0.1:80: 2 saw 10.244.1.2
			client 192.168.7.2 > 10.244.2.1:8080: silence`)
	})
}
