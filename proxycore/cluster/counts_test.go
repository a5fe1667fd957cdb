package cluster

import (
	"fmt"
	"math/bits"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What a change costs in branches of the tree that are looked at does not vary between machines or runs: the shape of the
// tree is a function of the keys. So it is pinned, and it grows as the logarithm of the number of Services does.
func TestBranchesVisited(t *testing.T) {
	type counts struct{ change, compare int }
	want := map[int]map[string]counts{
		1000:  {"endpoints": {16, 24}, "service added": {33, 24}, "service removed": {32, 22}},
		50000: {"endpoints": {26, 39}, "service added": {41, 30}, "service removed": {52, 37}},
	}
	for _, n := range []int{1000, 50000} {
		s := (*Snapshot)(nil)
		for i := range n {
			s = s.WithService(numberedService(i)).WithSlice(numberedSlice(i))
		}
		for name, change := range map[string]func() *Snapshot{
			"endpoints":       func() *Snapshot { return s.WithSlice(numberedSlice(500)) },
			"service added":   func() *Snapshot { return s.WithService(numberedService(n)).WithSlice(numberedSlice(n)) },
			"service removed": func() *Snapshot { return s.WithoutSlice(numbered(500), numbered(500)).WithoutService(numbered(500)) },
		} {
			var got counts
			visited = func() { got.change++ }
			now := change()
			visited = func() { got.compare++ }
			changes := Changes(s, now, false)
			visited = nil
			if len(changes) != 1 {
				t.Errorf("%d Services, %s: %d changes, want 1", n, name, len(changes))
			}
			if got != want[n][name] {
				t.Errorf("%d Services, %s: %+v branches visited, want %+v", n, name, got, want[n][name])
			}
			// A treap's paths have some 1.4 log2 N branches; a change walks a few of them.
			if limit := 12 * bits.Len(uint(n)); got.change+got.compare > limit {
				t.Errorf("%d Services, %s: %+v branches visited, want at most %d together: O(log N)", n, name, got, limit)
			}
		}
	}
}

// Comparing two equal states costs nothing, nor does it allocate, however large they are.
func TestNothingChanged(t *testing.T) {
	s := (*Snapshot)(nil)
	for i := range 1000 {
		s = s.WithService(numberedService(i))
	}
	n := 0
	visited = func() { n++ }
	defer func() { visited = nil }()
	if Changes(s, s, false); n != 0 {
		t.Errorf("%d branches visited between a state and itself, want none", n)
	}
}

func numberedService(i int) *corev1.Service {
	k := numbered(i)
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name}, Spec: corev1.ServiceSpec{ClusterIP: fmt.Sprintf("10.96.%d.%d", i>>8&255, i&255)}}
}

func numberedSlice(i int) *discoveryv1.EndpointSlice {
	k := numbered(i)
	return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name, Labels: map[string]string{discoveryv1.LabelServiceName: k.Name}}}
}
