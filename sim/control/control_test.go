package control

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"svclab/proxycore/cluster"
)

func node(name string) *corev1.Node { return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}} }

type podOption func(*corev1.Pod)

func pod(name string, options ...podOption) *corev1.Pod {
	p := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": "web"}}}
	for _, o := range options {
		o(p)
	}
	return p
}

func ready(status corev1.ConditionStatus) podOption {
	return func(p *corev1.Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: status}}
	}
}
func terminating(p *corev1.Pod)          { p.DeletionTimestamp = &metav1.Time{Time: time.Unix(1, 0)} }
func phase(ph corev1.PodPhase) podOption { return func(p *corev1.Pod) { p.Status.Phase = ph } }
func label(v string) podOption           { return func(p *corev1.Pod) { p.Labels["app"] = v } }
func named(name string, n int32) podOption {
	return func(p *corev1.Pod) {
		p.Spec.Containers = []corev1.Container{{Ports: []corev1.ContainerPort{{Name: name, ContainerPort: n}}}}
	}
}

func service(name string, target intstr.IntOrString) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.ServiceSpec{
		Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80, TargetPort: target}}}}
}

func mustWith(t *testing.T, s *State, objects ...runtime.Object) *State {
	t.Helper()
	s, err := s.With(objects...)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// print writes the slices of a Service as one line each.
func print(s *State, name string) string {
	var b strings.Builder
	for sl := range s.Snapshot().Slices(cluster.Key{Namespace: "default", Name: name}) {
		fmt.Fprintf(&b, "%s %s", sl.Name, sl.Object.AddressType)
		for _, p := range sl.Object.Ports {
			fmt.Fprintf(&b, " %s%d", *p.Name, *p.Port)
		}
		b.WriteString(":")
		for _, e := range sl.Object.Endpoints {
			fmt.Fprintf(&b, " %s@%s", e.TargetRef.Name, *e.NodeName)
			for _, c := range []struct {
				letter string
				on     *bool
			}{{"r", e.Conditions.Ready}, {"s", e.Conditions.Serving}, {"t", e.Conditions.Terminating}} {
				if *c.on {
					b.WriteString("+" + c.letter)
				}
			}
		}
		b.WriteString("\n")
	}
	return b.String()
}

func TestEndpointSlices(t *testing.T) {
	dual := service("web", intstr.FromInt32(8080))
	dual.Spec.ClusterIPs = []string{"10.96.0.1", "fd00::1"}
	unready := service("web", intstr.FromInt32(8080))
	unready.Spec.PublishNotReadyAddresses = true
	for _, tt := range []struct {
		name    string
		service *corev1.Service
		pods    []runtime.Object
		want    string
	}{
		{"nobody: one empty slice", service("web", intstr.FromInt32(8080)), nil, "web-ipv4-1 IPv4:\n"},
		{"no conditions is ready", service("web", intstr.FromInt32(8080)), []runtime.Object{pod("a")},
			"web-ipv4-1 IPv4 8080: a@n1+r+s\n"},
		{"readiness and termination", service("web", intstr.FromInt32(8080)),
			[]runtime.Object{pod("a", ready("True")), pod("b", ready("False")), pod("c", ready("True"), terminating), pod("d", ready("False"), terminating)},
			"web-ipv4-1 IPv4 8080: a@n1+r+s b@n1 c@n1+s+t d@n1+t\n"},
		{"publishNotReadyAddresses", unready,
			[]runtime.Object{pod("b", ready("False")), pod("c", ready("False"), terminating)},
			"web-ipv4-1 IPv4 8080: b@n1+r c@n1+r+t\n"},
		{"ended pods and strangers are none", service("web", intstr.FromInt32(8080)),
			[]runtime.Object{pod("a"), pod("f", phase(corev1.PodFailed)), pod("s", phase(corev1.PodSucceeded)), pod("x", label("other"))},
			"web-ipv4-1 IPv4 8080: a@n1+r+s\n"},
		{"named ports that differ", service("web", intstr.FromString("http")),
			[]runtime.Object{pod("a", named("http", 8080)), pod("b", named("http", 9090)), pod("c", named("other", 1))},
			"web-ipv4-1 IPv4: c@n1+r+s\nweb-ipv4-2 IPv4 8080: a@n1+r+s\nweb-ipv4-3 IPv4 9090: b@n1+r+s\n"},
		{"a family without pods", dual, []runtime.Object{pod("a")},
			"web-ipv4-1 IPv4 8080: a@n1+r+s\nweb-ipv6-1 IPv6:\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := mustWith(t, New(false), node("n1"), tt.service)
			s = mustWith(t, s, tt.pods...)
			if d := cmp.Diff(print(s, "web"), tt.want); d != "" {
				t.Errorf("slices (-got +want):\n%s", d)
			}
			// The same objects the other way round derive the same.
			r := mustWith(t, New(false), node("n1"))
			r = mustWith(t, r, tt.pods...)
			r = mustWith(t, r, tt.service)
			if d := cmp.Diff(print(r, "web"), tt.want); d != "" {
				t.Errorf("slices with the Service last (-got +want):\n%s", d)
			}
		})
	}
}

func TestAtMostAHundredEndpointsASlice(t *testing.T) {
	s := mustWith(t, New(false), node("n1"), service("web", intstr.FromInt32(80)))
	for i := range 250 {
		s = mustWith(t, s, pod(fmt.Sprintf("p%03d", i), func(p *corev1.Pod) { p.Status.PodIP = fmt.Sprintf("10.1.%d.%d", i/200, i%200+1) }))
	}
	var sizes []int
	for sl := range s.Snapshot().Slices(cluster.Key{Namespace: "default", Name: "web"}) {
		sizes = append(sizes, len(sl.Object.Endpoints))
	}
	if d := cmp.Diff(sizes, []int{100, 100, 50}); d != "" {
		t.Errorf("slice sizes (-got +want):\n%s", d)
	}
}

func TestAllocation(t *testing.T) {
	for _, tt := range []struct {
		ipv6                  bool
		node, cidr, pod, want string
	}{
		{false, "192.168.50.2", "10.244.2.0/24", "10.244.2.10", "10.96.0.11"},
		{true, "fd00:192:168:50::2", "fd00:10:244:2::/64", "fd00:10:244:2::10", "fd00:10:96:0::11"},
	} {
		p := pod("p")
		p.Spec.NodeName = "n2"
		s := mustWith(t, New(tt.ipv6), node("n1"), node("n2"), p, service("a", intstr.FromInt32(80)), service("b", intstr.FromInt32(80)))
		n := s.Nodes()[1]
		b := s.Get("service", "default", "b").(*corev1.Service)
		got := []string{n.Status.Addresses[0].Address, n.Spec.PodCIDR, s.Pods()[0].Status.PodIP, b.Spec.ClusterIP}
		want, _ := cluster.ParseAddr(tt.want)
		if d := cmp.Diff(got, []string{tt.node, tt.cidr, tt.pod, want.String()}); d != "" {
			t.Errorf("ipv6 %v (-got +want):\n%s", tt.ipv6, d)
		}
	}
}

// A change touches what it must and nothing else, and a state never changes.
func TestChangesAreSmallAndStatesImmutable(t *testing.T) {
	s := mustWith(t, New(false), node("n1"))
	for i := range 100 {
		svc := service(fmt.Sprintf("svc%03d", i), intstr.FromInt32(80))
		svc.Spec.Selector = map[string]string{"app": fmt.Sprint(i)}
		s = mustWith(t, s, svc, pod(fmt.Sprintf("p%03d", i), label(fmt.Sprint(i))))
	}
	before := print(s, "svc007")
	gone, err := s.Without("pod", "default", "p007")
	if err != nil {
		t.Fatal(err)
	}
	d := cluster.Diff(s.Snapshot(), gone.Snapshot())
	if diff := cmp.Diff(d, cluster.Delta{
		Services: []cluster.Key{{Namespace: "default", Name: "svc007"}}, Pods: []cluster.Key{{Namespace: "default", Name: "p007"}},
	}); diff != "" {
		t.Errorf("delta of one deleted pod (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(print(s, "svc007"), before); diff != "" {
		t.Errorf("the old state changed (-now +before):\n%s", diff)
	}
	same := mustWith(t, s, pod("p007", label("7"), func(p *corev1.Pod) { p.Status.PodIP = s.Pods()[7].Status.PodIP }))
	if d := cluster.Diff(s.Snapshot(), same.Snapshot()); len(d.Services) != 0 {
		t.Errorf("an equal pod put again changed %v", d.Services)
	}
}

func TestMergePatch(t *testing.T) {
	s := mustWith(t, New(false), node("n1"), service("web", intstr.FromInt32(8080)), pod("a"))
	s, err := s.Merge("pod", "default", "a", []byte(`{"status":{"conditions":[{"type":"Ready","status":"False"}]}}`))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(print(s, "web"), "web-ipv4-1 IPv4 8080: a@n1\n"); d != "" {
		t.Errorf("slices (-got +want):\n%s", d)
	}
	if s, err = s.Merge("service", "default", "web", []byte(`{"spec":{"selector":null}}`)); err != nil {
		t.Fatal(err)
	}
	if got := print(s, "web"); got != "" {
		t.Errorf("a Service without selector has slices %q", got)
	}
	for _, tt := range []struct{ kind, name, patch, want string }{
		{"pod", "b", `{}`, "there is no pod/b"},
		{"pod", "a", `{`, "patch pod/a: the patch is no JSON: unexpected end of JSON input"},
		{"pod", "a", `{"spec":7}`, "patch pod/a: the result is no pod: json: cannot unmarshal number into Go struct field Pod.spec of type v1.PodSpec"},
	} {
		if _, err := s.Merge(tt.kind, "default", tt.name, []byte(tt.patch)); err == nil || err.Error() != tt.want {
			t.Errorf("Merge %s/%s %s: %v, want %q", tt.kind, tt.name, tt.patch, err, tt.want)
		}
	}
}

func TestHandWrittenSlices(t *testing.T) {
	bare := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: "bare"}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Port: 80}}}}
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "mine", Labels: map[string]string{discoveryv1.LabelServiceName: "bare"}},
		AddressType: "IPv4", Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1"}}}}
	s := mustWith(t, New(false), node("n1"), bare, slice, pod("a"))
	count := func() (n int) {
		for range s.Snapshot().Slices(cluster.Key{Namespace: "default", Name: "bare"}) {
			n++
		}
		return n
	}
	if count() != 1 {
		t.Errorf("%d slices, want the one that was written", count())
	}
	moved := slice.DeepCopy()
	moved.Labels[discoveryv1.LabelServiceName] = "other"
	s = mustWith(t, s, moved)
	if count() != 0 {
		t.Errorf("%d slices of the Service that the slice no longer names", count())
	}
}

// What is written somewhere is never given to somebody else, whichever comes first.
func TestWrittenAddressesAreReserved(t *testing.T) {
	s := New(false).Reserve(netip.MustParseAddr("10.244.1.10"), netip.MustParseAddr("10.96.0.10"), netip.MustParseAddr("192.168.50.1"))
	s = mustWith(t, s, node("n1"), pod("a"), service("web", intstr.FromInt32(80)))
	got := []string{s.Nodes()[0].Status.Addresses[0].Address, s.Pods()[0].Status.PodIP, s.Get("service", "default", "web").(*corev1.Service).Spec.ClusterIP}
	if d := cmp.Diff(got, []string{"192.168.50.2", "10.244.1.11", "10.96.0.11"}); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
	gone, err := s.Without("pod", "default", "a")
	if err != nil {
		t.Fatal(err)
	}
	gone = mustWith(t, gone, pod("b"), pod("a"))
	if got := []string{gone.Pods()[0].Status.PodIP, gone.Pods()[1].Status.PodIP}; got[0] != "10.244.1.11" || got[1] != "10.244.1.12" {
		t.Errorf("a pod that comes back has %s and the new one %s: the address of a deleted pod is its own", got[0], got[1])
	}
}
