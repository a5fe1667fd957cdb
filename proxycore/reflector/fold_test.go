package reflector

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
)

// What goes and comes back before every resource is listed is there in the first state, with what it is now.
func TestFoldKeepsTheOrderBeforeTheFirstState(t *testing.T) {
	service := func(ip string) *corev1.Service {
		return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "a"}, Spec: corev1.ServiceSpec{ClusterIP: ip}}
	}
	slice := func(of string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "d", Name: "a-1", Labels: map[string]string{discoveryv1.LabelServiceName: of}}}
	}
	one, two, here, there := service("10.0.0.1"), service("10.0.0.2"), slice("b"), slice("a")
	f := &folder{}
	f.fold(news{listed: 2, changes: []change{{theServices, nil, one}, {theSlices, nil, here}}})
	f.fold(news{changes: []change{{theServices, one, nil}, {theSlices, here, nil}, {theServices, nil, two}, {theSlices, nil, there}}})
	if f.snapshot != nil || f.missing != 2 {
		t.Fatalf("%d are missing", f.missing)
	}
	f.fold(news{listed: 2})
	a := f.snapshot.Service(cluster.Key{Namespace: "d", Name: "a"})
	if a == nil || a.Object != two {
		t.Fatalf("the Service is %v", a)
	}
	count := 0
	for s := range f.snapshot.Slices(a.Key) {
		if s.Object == there {
			count++
		}
	}
	for range f.snapshot.Slices(cluster.Key{Namespace: "d", Name: "b"}) {
		count += 10
	}
	if count != 1 {
		t.Errorf("the slices are wrong: %d", count)
	}
}
