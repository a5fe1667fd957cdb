package proxies_test

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"time"

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
// -bench Change and compare within one run. An iteration is a change and its way
// back, each with a figure of its own.
func BenchmarkChange(b *testing.B) {
	for _, p := range proxies.All {
		for _, n := range []int{1000, 30000} {
			b.Run(fmt.Sprintf("%s/%d", p.Name, n), func(b *testing.B) {
				nstest.Need(b, p.Powers...)
				node, base := full(b, p, n)
				for _, c := range changes(base) {
					b.Run(c.there+"-"+c.back, func(b *testing.B) {
						var took [2]time.Duration
						for b.Loop() {
							for way, s := range []*cluster.Snapshot{c.to, base} {
								began := time.Now()
								if err := node.Apply(context.Background(), s); err != nil {
									b.Fatal(err)
								}
								took[way] += time.Since(began)
							}
						}
						b.ReportMetric(float64(took[0].Nanoseconds())/float64(b.N), "ns/"+c.there)
						b.ReportMetric(float64(took[1].Nanoseconds())/float64(b.N), "ns/"+c.back)
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

// change is a change of the base state and its way back.
type change struct {
	there, back string
	to          *cluster.Snapshot
}

func changes(base *cluster.Snapshot) []change {
	const at, fresh = 500, 40000
	return []change{
		{"replaced", "replaced-back", base.WithSlice(sliceAt(at, append(upTo(endpointsEach-1), 15)...))},
		{"endpoint-added", "endpoint-removed", base.WithSlice(sliceAt(at, upTo(endpointsEach+1)...))},
		{"service-added", "service-removed", base.WithService(serviceAt(fresh)).WithSlice(sliceAt(fresh, upTo(endpointsEach)...))},
	}
}
