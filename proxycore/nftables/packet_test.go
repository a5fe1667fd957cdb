package nftables

import (
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore"
)

// serve answers every connection to an address with one byte.
func serve(t *testing.T, ns *nsnet.NS, addr string, name byte) {
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
			_, _ = c.Write([]byte{name})
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
}

// call connects and returns who answered.
func call(ns *nsnet.NS, addr string) (who byte, err error) {
	var c net.Conn
	err = ns.Do(func() error {
		var err error
		d := net.Dialer{Timeout: 3 * time.Second, FallbackDelay: -1}
		c, err = d.Dial("tcp", addr)
		return err
	})
	if err != nil {
		return 0, err
	}
	defer c.Close()
	_ = c.(*net.TCPConn).SetLinger(0)
	var b [1]byte
	_, err = c.Read(b[:])
	return b[0], err
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
		ip(t, ns, c)
	}
	return ns
}

func TestPackets(t *testing.T) {
	ns := oneHost(t)
	serve(t, ns, "10.244.1.1:8080", 1)
	serve(t, ns, "10.244.1.2:8080", 2)
	serve(t, ns, "[fd00:244:1::1]:8080", 6)
	b := open(t, ns, Options{})
	program(t, b, full(podCIDRs("10.244.0.0/16"), "10.96.0.1:80/TCP here=10.244.1.1:8080 10.244.1.2:8080", "10.96.0.2:80/TCP",
		"[fd00:96::1]:80/TCP [fd00:244:1::1]:8080"))
	var count [8]int
	for range 64 {
		who, err := call(ns, "10.96.0.1:80")
		if err != nil {
			t.Fatal(err)
		}
		count[who]++
	}
	if count[1] == 0 || count[2] == 0 { // each with probability 2^-64
		t.Errorf("64 connections went to 1: %d, 2: %d", count[1], count[2])
	}
	if who, err := call(ns, "[fd00:96::1]:80"); who != 6 {
		t.Errorf("IPv6: %d %v", who, err)
	}
	for _, addr := range []string{"10.96.0.1:81", "10.96.0.2:80"} {
		if _, err := call(ns, addr); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("%s: %v, want connection refused", addr, err)
		}
	}
}

// Clients connect without pause while the pool changes as fast as it can, by one backend or by a chain of heirs, each of
// which finds the kernel as its predecessor left it. No connection is lost.
func TestNoConnectionIsLost(t *testing.T) {
	t.Run("plain", func(t *testing.T) { lossless(t, func(int) time.Duration { return 0 }) })
	t.Run("sticky", func(t *testing.T) { lossless(t, func(int) time.Duration { return time.Minute }) })
	t.Run("sticky now and then", func(t *testing.T) { lossless(t, func(i int) time.Duration { return time.Duration(i%3) * time.Minute }) })
}

func lossless(t *testing.T, affinity func(change int) time.Duration) {
	ns := oneHost(t)
	const servers = 4
	line := "10.96.0.1:80/TCP"
	var pools [][]proxycore.Route
	for i := range servers {
		addr := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 244, 1, byte(i + 1)}), 8080).String()
		serve(t, ns, addr, byte(i+1))
		line += " here=" + addr
		pools = append(pools, routesOf(line))
	}
	b := open(t, ns, Options{})
	program(t, b, proxycore.Change{Full: true, Add: pools[1]})

	var stop atomic.Bool
	var calls atomic.Int64
	lost := make(chan error, 100)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for !stop.Load() {
				if _, err := call(ns, "10.96.0.1:80"); err != nil {
					select {
					case lost <- err:
					default:
					}
				}
				calls.Add(1)
			}
		})
	}
	changes := 0
	for until := time.Now().Add(1500 * time.Millisecond); time.Now().Before(until); changes++ {
		next := slices.Clone(pools[changes*7%servers])
		next[0].Affinity = affinity(changes)
		if changes%50 != 49 {
			program(t, b, proxycore.Change{Replace: next})
			continue
		}
		if err := b.sock.close(); err != nil { // all that is left of a process after kill -9
			t.Fatal(err)
		}
		b.closed = true
		b = open(t, ns, Options{})
		program(t, b, proxycore.Change{Full: true, Add: next})
	}
	stop.Store(true)
	wg.Wait()
	close(lost)
	for err := range lost {
		t.Errorf("lost: %v", err)
	}
	t.Logf("%d connections, %d changes", calls.Load(), changes)
	if calls.Load() < 100 || changes < 100 {
		t.Errorf("only %d connections and %d changes", calls.Load(), changes)
	}
}
