package nsnet_test

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

// TestSocketsStay listens on one loopback port in two namespaces and asks each who answers.
func TestSocketsStay(t *testing.T) {
	for _, host := range []string{"127.0.0.1", "::1"} {
		t.Run(host, func(t *testing.T) {
			addr := netip.AddrPortFrom(netip.MustParseAddr(host), 80)
			a, b := nstest.NS(t, "a"), nstest.NS(t, "b")
			for _, ns := range []*nsnet.NS{a, b} {
				l, err := ns.ListenTCP(addr)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				go greet(l, ns.Name())
			}
			for _, ns := range []*nsnet.NS{b, a, b} {
				if got := ask(t, ns, addr); got != ns.Name() {
					t.Errorf("%s answered in namespace %s", got, ns.Name())
				}
			}
		})
	}
}

func TestListenUDP(t *testing.T) {
	ns := nstest.NS(t, "pod")
	addr := netip.MustParseAddrPort("127.0.0.1:53")
	server, err := ns.ListenUDP(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer server.Close()
	client, err := ns.ListenUDP(netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if _, err := client.WriteToUDPAddrPort([]byte("hello"), addr); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	server.SetReadDeadline(time.Now().Add(5 * time.Second))
	n, err := server.Read(b)
	if err != nil || string(b[:n]) != "hello" {
		t.Errorf("got %q, %v", b[:n], err)
	}
}

func TestIPv6ListenerLeavesIPv4Alone(t *testing.T) {
	ns := nstest.NS(t, "pod")
	for _, addr := range []string{"[::]:80", "0.0.0.0:80"} {
		l, err := ns.ListenTCP(netip.MustParseAddrPort(addr))
		if err != nil {
			t.Fatalf("listen on %s: %v", addr, err)
		}
		defer l.Close()
	}
}

func TestListenTCPBoth(t *testing.T) {
	ns := nstest.NS(t, "pod")
	l, err := ns.ListenTCPBoth(80)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	raw, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	_ = raw.Control(func(fd uintptr) {
		if proto, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PROTOCOL); err != nil || proto != unix.IPPROTO_TCP {
			t.Errorf("it listens for protocol %d (%v), want TCP and nothing else", proto, err)
		}
	})
	go greet(l, "both")
	for _, addr := range []string{"127.0.0.1:80", "[::1]:80"} {
		if got := ask(t, ns, netip.MustParseAddrPort(addr)); got != "both" {
			t.Errorf("%s: %q answered", addr, got)
		}
	}
	if _, err := ns.ListenTCPBoth(80); err == nil || err.Error() != "listen in namespace pod: listen tcp 0.0.0.0:80: bind: address already in use" {
		t.Errorf("twice: %v", err)
	}
}

func TestListenErrors(t *testing.T) {
	ns := nstest.NS(t, "pod/web-1")
	tests := []struct{ name, addr, want string }{
		{"a foreign address", "192.0.2.1:80",
			"listen in namespace pod/web-1: listen tcp4 192.0.2.1:80: bind: cannot assign requested address"},
		{"a zone", "[fe80::1%eth0]:80",
			"listen on tcp [fe80::1%eth0]:80 in namespace pod/web-1: an address with a zone means another device in every namespace"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := ns.ListenTCP(netip.MustParseAddrPort(test.addr))
			if err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestSocketFlags(t *testing.T) {
	ns := nstest.NS(t, "pod")
	fd, err := ns.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	status, err := unix.FcntlInt(uintptr(fd), unix.F_GETFL, 0)
	if err != nil || status&unix.O_NONBLOCK == 0 {
		t.Errorf("the socket blocks (%v)", err)
	}
	flags, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0)
	if err != nil || flags&unix.FD_CLOEXEC == 0 {
		t.Errorf("the socket survives exec (%v)", err)
	}
	if _, err := ns.Socket(-1, unix.SOCK_STREAM, 0); err == nil || err.Error() != "make socket in namespace pod: address family not supported by protocol" {
		t.Errorf("a wrong family: %v", err)
	}
}

// greet says its name to everyone, from a goroutine that never was in the namespace.
func greet(l net.Listener, name string) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		io.WriteString(c, name)
		c.Close()
	}
}

func ask(t *testing.T, ns *nsnet.NS, addr netip.AddrPort) string {
	t.Helper()
	var c net.Conn
	err := ns.Do(func() (err error) { c, err = net.DialTCP("tcp", nil, net.TCPAddrFromAddrPort(addr)); return err })
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	b, err := io.ReadAll(c)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func BenchmarkSocket(b *testing.B) {
	nstest.Need(b, "userns")
	ns, err := nsnet.New("pod")
	if err != nil {
		b.Fatal(err)
	}
	defer ns.Close()
	for b.Loop() {
		fd, err := ns.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
		if err != nil {
			b.Fatal(err)
		}
		unix.Close(fd)
	}
}
