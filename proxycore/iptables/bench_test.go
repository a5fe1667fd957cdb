package iptables

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

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

// BenchmarkFirstSync is Program on an empty kernel: iptables-save and iptables-restore of both families are in it.
func BenchmarkFirstSync(b *testing.B) {
	for _, flavour := range flavours {
		for _, n := range []int{1000, 10000} {
			b.Run(fmt.Sprintf("%s/%dx10", flavour, n), func(b *testing.B) {
				routes := crowd(n, 10, false)
				for b.Loop() {
					b.StopTimer()
					be := open(b, namespace(b), Options{Flavour: flavour})
					b.StartTimer()
					program(b, be, proxycore.Change{Full: true, Node: podCIDRs("10.128.0.0/9"), Add: routes})
				}
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
					for b.Loop() {
						program(b, be, x.to)
						program(b, be, x.back)
					}
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
