package wire

import (
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// leaky is a node whose default routes lead to a sink.
func leaky(t *testing.T) (*nsnet.NS, *Sink) {
	t.Helper()
	seg := newSegment(t)
	sink, err := NewSink(seg, addr("192.168.50.254"), addr("fd50::fe"))
	ok(t, err)
	t.Cleanup(func() { ok(t, sink.Close(), sink.Close()) })
	node := newNode(t, "node")
	ok(t, seg.Attach(node, "eth0"), Addr(node, "eth0", prefix("192.168.50.1/24")), Addr(node, "eth0", prefix("fd50::1/64")),
		Route(node, RouteSpec{Via: addr("192.168.50.254"), Dev: "eth0"}), Route(node, RouteSpec{Via: addr("fd50::fe"), Dev: "eth0"}))
	return node, sink
}

// silence300 is how long nothing may come back: a kernel that answers does so within a millisecond.
const silence300 = 300 * time.Millisecond

func TestSinkSeesLeaks(t *testing.T) {
	node, sink := leaky(t)
	for _, to := range []string{"172.20.0.1:80", "[fd20::1]:80"} {
		dst := netip.MustParseAddrPort(to)
		fd, err := connect(node, dst)
		ok(t, err)
		if writable(fd, silence300) {
			t.Errorf("tcp to %s was answered", to)
		}
		unix.Close(fd)
		if n := sink.Saw(unix.IPPROTO_TCP, netip.AddrPort{}, dst); n != 1 {
			t.Errorf("tcp to %s: saw %d, want 1\n%s", to, n, sink.Dump())
		}
		src, err := sendUDP(t, node, dst, 3, silence300)
		if err != nil {
			t.Errorf("udp to %s was answered: %v", to, err)
		}
		if n := sink.Saw(unix.IPPROTO_UDP, src, dst); n != 3 {
			t.Errorf("udp from %s to %s: saw %d, want 3\n%s", src, to, n, sink.Dump())
		}
		if n := sink.Saw(unix.IPPROTO_UDP, netip.AddrPortFrom(netip.Addr{}, src.Port()), dst); n != 3 {
			t.Errorf("udp from any address, port %d: saw %d, want 3", src.Port(), n)
		}
		for _, other := range []netip.AddrPort{netip.AddrPortFrom(netip.Addr{}, src.Port()+1), netip.AddrPortFrom(src.Addr().Next(), src.Port())} {
			if n := sink.Saw(unix.IPPROTO_UDP, other, dst); n != 0 {
				t.Errorf("udp from %s, who sent nothing: saw %d", other, n)
			}
		}
	}
	if got, want := sink.Total(), 2*(1+3); got != want {
		t.Errorf("total %d, want %d\n%s", got, want, sink.Dump())
	}
	if n := sink.Lost(); n != 0 {
		t.Errorf("lost %d", n)
	}
}

// TestSinkIsCurrent asks at once after every packet, for a late count would be taken for a drop.
func TestSinkIsCurrent(t *testing.T) {
	node, sink := leaky(t)
	dst := netip.MustParseAddrPort("172.20.0.1:53")
	if _, err := sendUDP(t, node, dst, 1, silence300); err != nil { // the first waits for ARP
		t.Fatal(err)
	}
	for i := 2; i <= 500; i++ {
		if _, err := sendUDP(t, node, dst, 1, 0); err != nil {
			t.Fatal(err)
		}
		if n := sink.Total(); n != i {
			t.Fatalf("after %d packets the sink saw %d", i, n)
		}
	}
}

// TestSinkIsSilentForItsOwn: not even its own addresses answer, and what comes to them has not leaked.
func TestSinkIsSilentForItsOwn(t *testing.T) {
	node, sink := leaky(t)
	for _, to := range []string{"192.168.50.254:80", "[fd50::fe]:80"} {
		dst := netip.MustParseAddrPort(to)
		fd, err := connect(node, dst)
		ok(t, err)
		if writable(fd, silence300) {
			t.Errorf("tcp to %s was answered", to)
		}
		unix.Close(fd)
		if _, err := sendUDP(t, node, dst, 1, silence300); err != nil {
			t.Errorf("udp to %s was answered: %v", to, err)
		}
	}
	if n := sink.Total(); n != 0 {
		t.Errorf("counted %d packets to the sink's own addresses\n%s", n, sink.Dump())
	}
	if ips := learned(t, node); len(ips) != 2 {
		t.Errorf("ARP and neighbour discovery found %s, want both addresses of the sink", ips)
	}
}

// TestSinkIgnoresWhatIsFlooded: a bridge shows a frame for hardware that it does not know to everybody.
func TestSinkIgnoresWhatIsFlooded(t *testing.T) {
	node, sink := leaky(t)
	ok(t, Neighbor(node, "eth0", addr("192.168.50.77"), PodMAC(addr("192.168.50.77"))))
	if _, err := sendUDP(t, node, netip.MustParseAddrPort("192.168.50.77:53"), 1, silence300); err != nil {
		t.Fatal(err)
	}
	if n := sink.Total(); n != 0 {
		t.Errorf("counted %d packets sent to others\n%s", n, sink.Dump())
	}
}

// sendUDP sends n datagrams and returns the source, or the error that came back, an ICMP's.
func sendUDP(t *testing.T, ns *nsnet.NS, to netip.AddrPort, n int, wait time.Duration) (netip.AddrPort, error) {
	t.Helper()
	fd, err := ns.Socket(family(to.Addr()), unix.SOCK_DGRAM, 0)
	ok(t, err)
	defer unix.Close(fd)
	ok(t, unix.Connect(fd, sockaddr(to)))
	for range n {
		if _, err := unix.Write(fd, []byte("x")); err != nil {
			return netip.AddrPort{}, err
		}
	}
	if wait > 0 {
		fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
		if n, _ := unix.Poll(fds, int(wait.Milliseconds())); n > 0 {
			code, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR)
			return netip.AddrPort{}, unix.Errno(code)
		}
	}
	name, err := unix.Getsockname(fd)
	ok(t, err)
	switch name := name.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(name.Addr), uint16(name.Port)), nil
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(name.Addr), uint16(name.Port)), nil
	}
	t.Fatalf("a socket of type %T", name)
	return netip.AddrPort{}, nil
}
