package cluster

import (
	"fmt"
	"math/rand/v2"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A state that is made at once is the one that is made step by step, with slices of no Service, and with names that come twice.
func TestOf(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	for round := range 20 {
		var services []*corev1.Service
		var endpoints []*discoveryv1.EndpointSlice
		want := &Snapshot{}
		for range rng.IntN(60) {
			o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprint("ns-", rng.IntN(3)), Name: fmt.Sprint("svc-", rng.IntN(20))}}
			o.Spec.ClusterIP = fmt.Sprintf("10.96.0.%d", rng.IntN(250)+1)
			services, want = append(services, o), want.WithService(o)
		}
		seen := map[Key]bool{}
		for range rng.IntN(100) {
			service := fmt.Sprint("svc-", rng.IntN(30))
			o := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: fmt.Sprint("ns-", rng.IntN(3)), Name: fmt.Sprint(service, "-", rng.IntN(4)), Labels: map[string]string{discoveryv1.LabelServiceName: service}}}
			seen[Key{o.Namespace, o.Name}] = true
			endpoints, want = append(endpoints, o), want.WithSlice(o)
		}
		got := Of(services, endpoints)
		for _, c := range Changes(got, want, true) {
			if (c.Old == nil) != (c.Now == nil) || c.Old != nil && c.Old.Object != c.Now.Object || len(c.OldSlices) != len(c.NowSlices) {
				t.Fatalf("round %d: %s differs", round, c.Key)
			}
			for i, s := range c.OldSlices {
				if s.Object != c.NowSlices[i].Object || s.Service != c.Key {
					t.Fatalf("round %d: slice %s of %s differs", round, s.Key, c.Key)
				}
				delete(seen, s.Key)
			}
		}
		if got.Len() != want.Len() || len(seen) > 0 {
			t.Errorf("round %d: %d Services of %d, %d slices are missing", round, got.Len(), want.Len(), len(seen))
		}
	}
}
