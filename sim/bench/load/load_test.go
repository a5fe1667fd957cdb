package load

import (
	"net/netip"
	"testing"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// TestClusterIsWhatItSays compiles a cluster as a node would, and counts.
func TestClusterIsWhatItSays(t *testing.T) {
	for name, c := range map[string]struct {
		shape Shape
		total int
	}{
		"each": {Shape{Services: 30, Endpoints: Each(250), Near: 10}, 30 * 250},
		"zipf": {Shape{Services: 30, Endpoints: Zipf(20)}, 20 + 10 + 6 + 5 + 4 + 3 + 2 + 2 + 2 + 2 + 20},
	} {
		t.Run(name, func(t *testing.T) {
			made := New(c.shape)
			s := made.Snapshot()
			seen := map[netip.AddrPort]bool{}
			for i := range c.shape.Services {
				routes := routesOf(t, s, i)
				if len(routes) != 1 || routes[0].Front.Addr != Front(i).Addr() || routes[0].Front.Port != Port || len(routes[0].Pool.Endpoints) != c.shape.Endpoints(i) {
					t.Fatalf("Service %d: %+v", i, routes)
				}
				for _, e := range routes[0].Pool.Endpoints {
					if seen[e.AddrPort] {
						t.Errorf("endpoint %v is there twice", e)
					}
					seen[e.AddrPort] = true
				}
			}
			if len(seen) != c.total {
				t.Errorf("%d endpoints, not %d", len(seen), c.total)
			}
			fresh, further := made.Endpoint(made.Fresh(0)), made.Endpoint(made.EndpointsOf(c.shape.Services)[0])
			if seen[fresh] || seen[further] || fresh == further {
				t.Errorf("fresh %v or further %v is not new", fresh, further)
			}
			s = made.With(s, 0, []int{made.Fresh(0)}) // from several slices to one
			if got := routesOf(t, s, 0)[0].Pool.Endpoints; len(got) != 1 || got[0].AddrPort != fresh {
				t.Errorf("after a change: %v", got)
			}
			s = made.Without(s, 0)
			if got := routesOf(t, s, 0); len(got) != 0 {
				t.Errorf("after it is gone: %v", got)
			}
		})
	}
}

func routesOf(t *testing.T, s *cluster.Snapshot, i int) []proxycore.Route {
	t.Helper()
	key := cluster.Key{Namespace: "default", Name: name(i)}
	var endpoints []*cluster.Slice
	for slice := range s.Slices(key) {
		endpoints = append(endpoints, slice)
	}
	_, view := proxycore.CompileNode(s.Node(NearName), nil, proxycore.Config{Node: NearName})
	return proxycore.Compile(s.Service(key), endpoints, view)
}

func TestServicesNearAndUDP(t *testing.T) {
	made := New(Shape{Services: 4, Endpoints: Zipf(6), NearService: func(i int) bool { return i%2 == 0 }, UDP: func(i int) bool { return i > 1 }})
	for i := range 4 {
		r := routesOf(t, made.Snapshot(), i)[0]
		if udp := r.Proto == cluster.UDP; udp != (i > 1) {
			t.Errorf("Service %d is %v", i, r.Proto)
		}
		for _, e := range r.Pool.Endpoints {
			if near := NearRange.Contains(e.Addr()); near != (i%2 == 0) {
				t.Errorf("Service %d has endpoint %v", i, e)
			}
		}
	}
	if at := made.Endpoint(made.Fresh(0)); !FarPods.Contains(at.Addr()) {
		t.Errorf("a fresh endpoint is at %v", at)
	}
}
