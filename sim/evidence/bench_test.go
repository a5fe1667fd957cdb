package evidence_test

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/evidence"
	"svclab/sim/world"
)

// crowded adds Services to a state, each with ten endpoints.
func crowded(s *cluster.Snapshot, n int) *cluster.Snapshot {
	name, number, proto, ready := "", int32(5000), corev1.ProtocolTCP, true
	for i := range n {
		svc := fmt.Sprintf("crowd-%d", i)
		s = s.WithService(&corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "crowd", Name: svc},
			Spec: corev1.ServiceSpec{ClusterIP: fmt.Sprintf("172.21.%d.%d", i>>8, i&255), ClusterIPs: []string{fmt.Sprintf("172.21.%d.%d", i>>8, i&255)},
				Ports: []corev1.ServicePort{{Port: 80, Protocol: proto}}}})
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "crowd", Name: svc, Labels: map[string]string{discoveryv1.LabelServiceName: svc}},
			AddressType: "IPv4", Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &number, Protocol: &proto}}}
		for j := range 10 {
			slice.Endpoints = append(slice.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.%d.%d.%d", 40+j, i>>8, i&255)}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}})
		}
		s = s.WithSlice(slice)
	}
	return s
}

// BenchmarkCollect is what an explanation costs beside the lab: arming, the flow, quiet, disarming, asking.
func BenchmarkCollect(b *testing.B) {
	for _, proxy := range []string{"nftables", "iptables-nft", "iptables-legacy", "kube-proxy/nftables"} {
		for _, n := range []int{0, 5000} {
			b.Run(fmt.Sprintf("proxy=%s/services=%d", proxy, n), func(b *testing.B) {
				r := open(b, proxy, false)
				if n > 0 {
					if err := r.lab.Apply(b.Context(), crowded(r.state, n)); err != nil {
						b.Fatal(err)
					}
					if err := r.lab.Barrier(b.Context()); err != nil {
						b.Fatal(err)
					}
				}
				f := world.Flow{From: r.host(b, world.Pod, "client").Place, To: r.service(b, "myservice", 80), Proto: cluster.TCP, Wait: 300 * time.Millisecond}
				var arm, quiet, disarm, ask time.Duration
				for b.Loop() {
					e, err := evidence.Collect(b.Context(), r.lab, f)
					if err != nil {
						b.Fatal(err)
					}
					arm, quiet, disarm, ask = arm+e.Tally.Arm, quiet+e.Tally.Quiet, disarm+e.Tally.Disarm, ask+e.Tally.Ask
				}
				per := func(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 / float64(b.N) }
				b.ReportMetric(per(arm), "arm-ms")
				b.ReportMetric(per(quiet), "quiet-ms")
				b.ReportMetric(per(disarm), "disarm-ms")
				b.ReportMetric(per(ask), "ask-ms")
			})
		}
	}
}
