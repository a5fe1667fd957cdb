package proxies_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

// BenchmarkChange is the time from Apply to commit, connection tracking included, with n Services of 10 endpoints each in
// the kernel. Each kind of change must cost the same with 1,000 and with 30,000 Services (ratio at most 2): run with
// -bench Change and compare within one run. A change and its way back are one iteration; ns/change is what counts.
func BenchmarkChange(b *testing.B) {
	for _, p := range proxies.All {
		for _, n := range []int{1000, 30000} {
			b.Run(fmt.Sprintf("%s/%d", p.Name, n), func(b *testing.B) {
				nstest.Need(b, p.Powers...)
				node, base := full(b, p, n)
				for _, kind := range kinds(base) {
					b.Run(kind.name, func(b *testing.B) {
						for b.Loop() {
							for _, s := range []*cluster.Snapshot{kind.to, kind.from} {
								if err := node.Apply(context.Background(), s); err != nil {
									b.Fatal(err)
								}
							}
						}
						b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(2*b.N), "ns/change")
					})
				}
			})
		}
	}
}

// BenchmarkFirstSync is the time from Apply to commit on an empty kernel.
func BenchmarkFirstSync(b *testing.B) {
	for _, p := range proxies.All {
		for _, n := range []int{1000, 10000} {
			b.Run(fmt.Sprintf("%s/%dx10", p.Name, n), func(b *testing.B) {
				nstest.Need(b, p.Powers...)
				s := cluster10(n)
				for b.Loop() {
					b.StopTimer()
					node := start(b, p)
					b.StartTimer()
					if err := node.Apply(context.Background(), s); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}

func start(b *testing.B, p proxies.Proxy) lab.NodeProxy {
	b.Helper()
	ns, err := nsnet.New("node")
	if err != nil {
		b.Fatal(err)
	}
	host := world.Host{Place: world.Place{Kind: world.Node, Name: "node-1"}, PodCIDRs: []netip.Prefix{netip.MustParsePrefix("10.128.0.0/9")}}
	node, err := p.Opener(&world.Topology{Nodes: []world.Host{host}})(&host, ns)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { node.Close(); ns.Close() })
	return node
}

func full(b *testing.B, p proxies.Proxy, n int) (lab.NodeProxy, *cluster.Snapshot) {
	b.Helper()
	node, s := start(b, p), cluster10(n)
	if err := node.Apply(context.Background(), s); err != nil {
		b.Fatal(err)
	}
	return node, s
}

const endpointsEach = 10

func serviceAt(i int) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("svc-%05d", i)},
		Spec:       corev1.ServiceSpec{ClusterIP: netip.AddrFrom4([4]byte{10, byte(96 + i>>16), byte(i >> 8), byte(i)}).String(), Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

func sliceAt(i int, endpoints ...int) *discoveryv1.EndpointSlice {
	name, port, node := fmt.Sprintf("svc-%05d", i), int32(8080), "node-2"
	none := ""
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: "IPv4", Ports: []discoveryv1.EndpointPort{{Name: &none, Port: &port}},
	}
	for _, e := range endpoints {
		k := i*16 + e
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{netip.AddrFrom4([4]byte{10, byte(128 + k>>16), byte(k >> 8), byte(k)}).String()}, NodeName: &node})
	}
	return s
}

func upTo(n int) (list []int) {
	for e := range n {
		list = append(list, e)
	}
	return list
}

func cluster10(n int) *cluster.Snapshot {
	s := (*cluster.Snapshot)(nil).WithNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}})
	for i := range n {
		s = s.WithService(serviceAt(i)).WithSlice(sliceAt(i, upTo(endpointsEach)...))
	}
	return s
}

type kind struct {
	name     string
	from, to *cluster.Snapshot
}

func kinds(base *cluster.Snapshot) []kind {
	const at, fresh = 500, 40000
	return []kind{
		{"endpoint-replaced", base, base.WithSlice(sliceAt(at, append(upTo(endpointsEach-1), 15)...))},
		{"endpoint-added-or-removed", base, base.WithSlice(sliceAt(at, upTo(endpointsEach+1)...))},
		{"endpoint-removed-or-added", base, base.WithSlice(sliceAt(at, upTo(endpointsEach-1)...))},
		{"service-added-or-removed", base, base.WithService(serviceAt(fresh)).WithSlice(sliceAt(fresh, upTo(endpointsEach)...))},
	}
}
