package wire

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

var (
	addr   = netip.MustParseAddr
	prefix = netip.MustParsePrefix
)

// ok fails the test at the first error, whose text says what was wanted.
func ok(t testing.TB, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// newPod and newNode are fresh namespaces with their settings.
func newPod(t testing.TB, name string) *nsnet.NS {
	t.Helper()
	ns := nstest.NS(t, name)
	ok(t, HostSysctls(ns))
	return ns
}

func newNode(t testing.TB, name string) *nsnet.NS {
	t.Helper()
	ns := nstest.NS(t, name)
	ok(t, NodeSysctls(ns))
	return ns
}

func newSegment(t testing.TB) *Segment {
	t.Helper()
	nstest.Need(t, "veth", "bridge")
	seg, err := NewSegment("underlay", 0)
	ok(t, err)
	t.Cleanup(func() { ok(t, seg.Close(), seg.Close()) })
	return seg
}

// serve accepts on port 80 of an address and sends back whom it saw.
func serve(t testing.TB, ns *nsnet.NS, a netip.Addr) netip.AddrPort {
	t.Helper()
	at := netip.AddrPortFrom(a, 80)
	l, err := ns.ListenTCP(at)
	ok(t, err)
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Write([]byte(c.RemoteAddr().(*net.TCPAddr).AddrPort().Addr().Unmap().String()))
			c.Close()
		}
	}()
	return at
}

// ask connects and returns what the server says: whom it saw.
func ask(ns *nsnet.NS, to netip.AddrPort) (string, error) {
	fd, err := connect(ns, to)
	if err != nil {
		return "", err
	}
	f := os.NewFile(uintptr(fd), "client")
	defer f.Close()
	f.SetDeadline(time.Now().Add(5 * time.Second))
	if !writable(fd, 5*time.Second) {
		return "", errors.New("connect: no answer")
	}
	if code, _ := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); code != 0 {
		return "", unix.Errno(code)
	}
	b := make([]byte, 64)
	n, err := f.Read(b)
	return string(b[:n]), err
}

// connect begins a connection.
func connect(ns *nsnet.NS, to netip.AddrPort) (int, error) {
	fd, err := ns.Socket(family(to.Addr()), unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	if err := unix.Connect(fd, sockaddr(to)); err != nil && err != unix.EINPROGRESS {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// writable waits for an answer of any kind, a refusal too.
func writable(fd int, patience time.Duration) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	for end := time.Now().Add(patience); ; {
		n, err := unix.Poll(fds, int(time.Until(end).Milliseconds()))
		if err != unix.EINTR {
			return n > 0
		}
	}
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// learned lists what a namespace had to ask for: entries that nobody gave it.
func learned(t testing.TB, ns *nsnet.NS) (ips []string) {
	t.Helper()
	h, err := ns.Netlink()
	ok(t, err)
	all, err := h.NeighList(0, 0)
	ok(t, err)
	for _, n := range all {
		if n.State&(unix.NUD_PERMANENT|unix.NUD_NOARP) == 0 {
			ips = append(ips, n.IP.String())
		}
	}
	slices.Sort(ips)
	return ips
}

func contains(t testing.TB, what, text, want string) {
	t.Helper()
	if !strings.Contains(text, want) {
		t.Errorf("%s lacks %q:\n%s", what, want, text)
	}
}
