package nftables

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

func crowd(services, each int) []proxycore.Route {
	out := make([]proxycore.Route, services)
	n := 0
	for i := range out {
		out[i].Front = proxycore.Front{Addr: vip(i), Proto: cluster.TCP, Port: 80}
		for range each {
			out[i].Pool.Endpoints = append(out[i].Pool.Endpoints, endpointAt(n))
			n++
		}
	}
	return out
}

func vip(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{10, byte(96 + i>>16), byte(i >> 8), byte(i)})
}

func endpointAt(n int) proxycore.Endpoint {
	a := netip.AddrFrom4([4]byte{10, byte(128 + n>>16), byte(n >> 8), byte(n)})
	return proxycore.Endpoint{AddrPort: netip.AddrPortFrom(a, 8080), Here: n%500 == 0}
}

// BenchmarkFirstSync is Program at an empty kernel, and beside it, in turns, what the kernel alone takes for the same bytes:
// what is above the ratio 1 is ours.
func BenchmarkFirstSync(b *testing.B) {
	for _, n := range []int{1000, 10000, 30000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			routes := crowd(n, 10)
			var batches [][]byte
			record := open(b, namespace(b), Options{MaxTransaction: chunk})
			record.fault = func() error { batches = append(batches, slices.Clone(record.tx.out.b)); return nil }
			program(b, record, proxycore.Change{Full: true, Add: routes})
			record.fault = nil
			record.Close()
			timed := func(what func(be *Backend)) time.Duration {
				be := open(b, namespace(b), Options{})
				defer be.Close()
				start := time.Now()
				what(be)
				return time.Since(start)
			}
			var ours, kernel []time.Duration
			for b.Loop() {
				ours = append(ours, timed(func(be *Backend) { program(b, be, proxycore.Change{Full: true, Add: routes}) }))
				kernel = append(kernel, timed(func(be *Backend) {
					for _, batch := range batches {
						if err := be.sock.write(batch); err != nil {
							b.Fatal(err)
						}
						if _, err := be.sock.receive(true); err != nil {
							b.Fatal(err)
						}
					}
				}))
			}
			slices.Sort(ours)
			slices.Sort(kernel)
			b.ReportMetric(float64(ours[len(ours)/2].Microseconds())/1000, "ms/ours")
			b.ReportMetric(float64(kernel[len(kernel)/2].Microseconds())/1000, "ms/kernel")
			b.ReportMetric(float64(ours[len(ours)/2])/float64(kernel[len(kernel)/2]), "ratio")
		})
	}
}

// BenchmarkRestart is a new process at a kernel that holds everything: it reads all of it, and changes nothing.
func BenchmarkRestart(b *testing.B) {
	for _, n := range []int{1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			routes, ns := crowd(n, 10), namespace(b)
			program(b, open(b, ns, Options{}), proxycore.Change{Full: true, Add: routes})
			b.ReportAllocs()
			for b.Loop() {
				heir := open(b, ns, Options{})
				program(b, heir, proxycore.Change{Full: true, Add: routes})
				if _, sent := heir.Sent(); sent != 0 {
					b.Fatalf("%d transactions", sent)
				}
				heir.sock.close()
				heir.closed = true
			}
		})
	}
}

// BenchmarkChange is one change of one Service among many; its time may not depend on how many there are. The median is of
// the changes there, without those back.
func BenchmarkChange(b *testing.B) {
	for _, n := range []int{1000, 50000} {
		routes := crowd(n, 10)
		be := open(b, namespace(b), Options{})
		program(b, be, proxycore.Change{Full: true, Add: routes})
		r := routes[n/2]
		with := func(e ...proxycore.Endpoint) proxycore.Change {
			r := r
			r.Pool.Endpoints = append(append([]proxycore.Endpoint(nil), r.Pool.Endpoints...), e...)
			return proxycore.Change{Replace: []proxycore.Route{r}}
		}
		replaced := with()
		replaced.Replace[0].Pool.Endpoints[3] = endpointAt(1 << 19)
		fresh := crowd(n+1, 10)[n]
		plain, more := with(), with(endpointAt(1<<19))
		added, removed := proxycore.Change{Add: []proxycore.Route{fresh}}, proxycore.Change{Remove: []proxycore.Route{fresh}}
		for _, c := range []struct {
			name        string
			there, back proxycore.Change
		}{
			{"endpoint-replaced", replaced, plain},
			{"endpoint-added", more, plain},
			{"endpoint-removed", plain, more},
			{"service-added", added, removed},
			{"service-removed", removed, added},
		} {
			if c.name == "endpoint-removed" {
				program(b, be, more)
			}
			if c.name == "service-added" {
				program(b, be, plain)
			}
			if c.name == "service-removed" {
				program(b, be, added)
			}
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				b.ReportAllocs()
				var there []time.Duration
				for b.Loop() {
					start := time.Now()
					program(b, be, c.there)
					there = append(there, time.Since(start))
					program(b, be, c.back)
				}
				slices.Sort(there)
				b.ReportMetric(float64(there[len(there)/2].Nanoseconds()), "ns/median")
			})
		}
		be.Close()
	}
}

// BenchmarkRanges is what source ranges cost: fronts with two each among as many without. The kernel copies all intervals
// whenever one changes, so a change of ranges costs with their number; a change of anything else may not.
func BenchmarkRanges(b *testing.B) {
	for _, n := range []int{1, 100, 1000, 3000} {
		routes := crowd(2*n, 2)
		for i := range n {
			r := &routes[2*i]
			r.Kind, r.Masquerade = proxycore.LoadBalancer, proxycore.MasqueradeAll
			r.Ranges = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/24"), netip.PrefixFrom(vip(i), 32)}
		}
		with := func(i int, edit func(r *proxycore.Route)) proxycore.Change {
			r := routes[i]
			edit(&r)
			return proxycore.Change{Replace: []proxycore.Route{r}}
		}
		nothing := func(*proxycore.Route) {}
		scale := func(r *proxycore.Route) {
			r.Pool.Endpoints = []proxycore.Endpoint{endpointAt(1 << 19), r.Pool.Endpoints[1]}
		}
		other := func(r *proxycore.Route) {
			r.Ranges = []netip.Prefix{netip.MustParsePrefix("192.168.0.0/25"), r.Ranges[1]}
		}
		none := func(r *proxycore.Route) { r.Ranges = nil }
		b.Run(fmt.Sprintf("first-sync/%d", n), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				be := open(b, namespace(b), Options{})
				b.StartTimer()
				program(b, be, proxycore.Change{Full: true, Add: routes})
				b.StopTimer()
				be.Close()
				b.StartTimer()
			}
		})
		be := open(b, namespace(b), Options{})
		program(b, be, proxycore.Change{Full: true, Add: routes})
		for _, c := range []struct {
			name        string
			there, back proxycore.Change
		}{
			{"endpoint-of-a-front-without", with(1, scale), with(1, nothing)},
			{"endpoint-of-a-front-with", with(0, scale), with(0, nothing)},
			{"other-ranges", with(0, other), with(0, nothing)},
			{"no-ranges-and-back", with(0, none), with(0, nothing)},
		} {
			b.Run(fmt.Sprintf("%s/%d", c.name, n), func(b *testing.B) {
				for b.Loop() {
					program(b, be, c.there)
					program(b, be, c.back)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/change")
			})
		}
		be.Close()
	}
}
