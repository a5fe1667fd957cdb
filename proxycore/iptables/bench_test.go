package iptables

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"syscall"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// crowd is n Services of so many endpoints each, as a cluster has them: a ClusterIP in the first 2^20 addresses of 10.96.0.0/12,
// given out at random, or one after the other.
func crowd(services, each int, dense bool) []proxycore.Route {
	out := make([]proxycore.Route, services)
	n := 0
	for i := range out {
		r := &out[i]
		r.Front = proxycore.Front{Addr: vip(i, dense), Proto: cluster.TCP, Port: 80}
		r.Owner = proxycore.Owner{Service: cluster.Key{Namespace: "scale", Name: fmt.Sprint("web-", i)}, Port: "http"}
		for range each {
			r.Pool.Endpoints = append(r.Pool.Endpoints, endpointAt(n))
			n++
		}
	}
	return out
}

func vip(i int, dense bool) netip.Addr {
	if !dense {
		i = int(uint32(i) * 0x9e3779b1 >> 12) // different for i < 2^20
	}
	return netip.AddrFrom4([4]byte{10, byte(96 + i>>16), byte(i >> 8), byte(i)})
}

func endpointAt(n int) proxycore.Endpoint {
	a := netip.AddrFrom4([4]byte{10, byte(128 + n>>16), byte(n >> 8), byte(n)})
	return proxycore.Endpoint{AddrPort: netip.AddrPortFrom(a, 8080), Here: n%500 == 0}
}

// work reports the CPU time of this process and of the commands, which is steadier than the clock where others work too.
func work(b *testing.B) (report func()) {
	used := func(who int) time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	own, commands := used(syscall.RUSAGE_SELF), used(syscall.RUSAGE_CHILDREN)
	return func() {
		each := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
		b.ReportMetric(each(used(syscall.RUSAGE_SELF)-own), "own-ms/op")
		b.ReportMetric(each(used(syscall.RUSAGE_CHILDREN)-commands), "commands-ms/op")
	}
}

// BenchmarkFirstSync is Program on an empty kernel: iptables-save and iptables-restore of both families are in it.
func BenchmarkFirstSync(b *testing.B) {
	for _, flavour := range flavours {
		for _, n := range []int{1000, 10000} {
			b.Run(fmt.Sprintf("%s/%dx10", flavour, n), func(b *testing.B) {
				routes := crowd(n, 10, false)
				report := work(b)
				for b.Loop() {
					b.StopTimer()
					be := open(b, namespace(b), Options{Flavour: flavour})
					b.StartTimer()
					program(b, be, proxycore.Change{Full: true, Node: podCIDRs("10.128.0.0/9"), Add: routes})
				}
				report()
			})
		}
	}
}

// BenchmarkChange is one change of one Service among many, and its way back.
func BenchmarkChange(b *testing.B) {
	for _, flavour := range flavours {
		for _, n := range []int{1000, 10000} {
			routes := crowd(n+1, 10, false)
			be := open(b, namespace(b), Options{Flavour: flavour})
			program(b, be, proxycore.Change{Full: true, Node: podCIDRs("10.128.0.0/9"), Add: routes[:n]})
			r, other := routes[n/2], routes[n/2]
			other.Pool.Endpoints = append([]proxycore.Endpoint{endpointAt(n * 10)}, r.Pool.Endpoints[1:]...)
			for _, x := range []struct {
				name     string
				to, back proxycore.Change
			}{
				{"endpoint", proxycore.Change{Replace: []proxycore.Route{other}}, proxycore.Change{Replace: []proxycore.Route{r}}},
				{"Service", proxycore.Change{Add: routes[n:]}, proxycore.Change{Remove: routes[n:]}},
			} {
				b.Run(fmt.Sprintf("%s/%dx10/%s", flavour, n, x.name), func(b *testing.B) {
					report := work(b)
					for b.Loop() {
						program(b, be, x.to)
						program(b, be, x.back)
					}
					report()
				})
			}
			b.Run(fmt.Sprintf("%s/%dx10/restart", flavour, n), func(b *testing.B) {
				for b.Loop() {
					program(b, be, proxycore.Change{Full: true, Node: podCIDRs("10.128.0.0/9"), Add: routes[:n]})
				}
			})
			b.Run(fmt.Sprintf("%s/%dx10/check", flavour, n), func(b *testing.B) {
				for b.Loop() {
					if err := be.Check(context.Background()); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

// BenchmarkConnection is a new connection from a client over the node to an endpoint: past all Services, and through the first
// and the last of many. All three are made in turn; the figures are medians, and ratios of the medians.
func BenchmarkConnection(b *testing.B) {
	for _, flavour := range flavours {
		for _, n := range []int{1, 10000} {
			b.Run(fmt.Sprintf("%s/%d", flavour, n), func(b *testing.B) {
				w := newRouted(b)
				be := open(b, w.node, Options{Flavour: flavour})
				routes := crowd(n, 10, false)
				for i := range routes {
					if i == 0 || i == n-1 {
						routes[i].Pool = route("x 10.0.0.1:80/TCP 10.244.1.2:8080 10.244.2.1:8080").Pool
					}
				}
				program(b, be, proxycore.Change{Full: true, Node: podCIDRs("10.128.0.0/9"), Add: routes})
				to := []netip.AddrPort{netip.MustParseAddrPort("10.244.2.1:8080"),
					netip.AddrPortFrom(routes[0].Addr, 80), netip.AddrPortFrom(routes[n-1].Addr, 80)}
				took := make([][]time.Duration, len(to))
				for b.Loop() {
					for i := range 200 * len(to) {
						which := i % len(to)
						took[which] = append(took[which], connect(b, w.client, to[which]))
					}
				}
				p50 := func(i int) float64 {
					slices.Sort(took[i])
					return float64(took[i][len(took[i])/2].Nanoseconds()) / 1000
				}
				b.ReportMetric(p50(0), "direct-µs")
				b.ReportMetric(p50(1)/p50(0), "first/direct")
				b.ReportMetric(p50(2)/p50(0), "last/direct")
			})
		}
	}
}

// connect measures nothing but the handshake.
func connect(b *testing.B, ns *nsnet.NS, to netip.AddrPort) time.Duration {
	fd, err := ns.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		b.Fatal(err)
	}
	defer syscall.Close(fd)
	if err := syscall.SetNonblock(fd, false); err != nil {
		b.Fatal(err)
	}
	// No TIME_WAIT: ports do not run out.
	if err := syscall.SetsockoptLinger(fd, syscall.SOL_SOCKET, syscall.SO_LINGER, &syscall.Linger{Onoff: 1}); err != nil {
		b.Fatal(err)
	}
	began := time.Now()
	if err := syscall.Connect(fd, &syscall.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		b.Fatal(err)
	}
	return time.Since(began)
}
