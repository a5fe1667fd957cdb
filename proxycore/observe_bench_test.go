package proxycore

import (
	"context"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
)

// quiet is an Observer that looks at everything once.
type quiet struct{ checks int }

func (q *quiet) Queued(Queued)   {}
func (q *quiet) Synced(s Synced) { q.checks += len(s.Checks) }
func (q *quiet) Cleaned(Cleaned) {}
func (q *quiet) Close() error    { return nil }

// What observers are told costs no more with more Services.
func BenchmarkObserve(b *testing.B) {
	for _, n := range []int{1000, 30000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := &cluster.Snapshot{}
			for i := range n {
				name := fmt.Sprintf("svc%05d", i)
				svc := service(name, fmt.Sprintf("10.%d.%d.%d", 96+i>>16, i>>8&255, i&255), 1, 80)
				svc.Spec.Type, svc.Spec.ExternalTrafficPolicy, svc.Spec.HealthCheckNodePort = corev1.ServiceTypeLoadBalancer, corev1.ServiceExternalTrafficPolicyLocal, int32(i+1)
				s = s.WithService(svc).WithSlice(slice(name, name, "IPv4", "p80", 8080, "10.0.0.1@n1", "10.0.0.2@n1"))
			}
			node := &corev1.Node{}
			node.Name, node.Status.Addresses = "n1", []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.168.50.1"}}
			s = s.WithNode(node)
			watch := &quiet{}
			p := New(Config{Node: "n1"}, &recorder{kernel: map[Front]Route{}}, nil, watch)
			if err := p.Apply(context.Background(), s); err != nil {
				b.Fatal(err)
			}
			if watch.checks != n {
				b.Fatalf("told of %d checks, want %d", watch.checks, n)
			}
			other := s.WithSlice(slice("svc00007", "svc00007", "IPv4", "p80", 8080, "10.0.0.1@n1"))
			b.ResetTimer()
			for i := range b.N {
				next := s
				if i%2 == 0 {
					next = other
				}
				if err := p.Apply(context.Background(), next); err != nil {
					b.Fatal(err)
				}
			}
			if want := n + b.N; watch.checks != want {
				b.Errorf("told of %d checks, want %d: one a change", watch.checks, want)
			}
		})
	}
}
