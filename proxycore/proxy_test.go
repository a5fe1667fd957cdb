package proxycore

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
)

func service(name, ip string, created int64, ports ...int32) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: name, CreationTimestamp: metav1.Unix(created, 0)},
		Spec: corev1.ServiceSpec{ClusterIP: ip}}
	for _, p := range ports {
		s.Spec.Ports = append(s.Spec.Ports, corev1.ServicePort{Name: fmt.Sprintf("p%d", p), Port: p})
	}
	return s
}

// endpoints are written "10.0.0.1@n1 ready|serving|terminating…"; without words all conditions are nil.
func slice(name, service string, family discoveryv1.AddressType, port string, number int32, endpoints ...string) *discoveryv1.EndpointSlice {
	o := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ns", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: family,
		Ports:       []discoveryv1.EndpointPort{{Name: &port, Port: &number}},
	}
	for _, text := range endpoints {
		words := strings.Fields(text)
		ip, node, placed := strings.Cut(words[0], "@")
		e := discoveryv1.Endpoint{Addresses: []string{ip, "192.0.2.99"}}
		if placed {
			e.NodeName = &node
		}
		if len(words) > 1 {
			has := func(w string) *bool { b := strings.Contains(text, w); return &b }
			e.Conditions = discoveryv1.EndpointConditions{Ready: has("ready"), Serving: has("serving"), Terminating: has("terminating")}
		}
		o.Endpoints = append(o.Endpoints, e)
	}
	return o
}

func lines(routes []Route) (out []string) {
	for _, r := range routes {
		text := r.Front.String() + " " + r.Owner.String() + " ->"
		for _, e := range r.Pool.Endpoints {
			text += " " + e.String()
			if e.Here {
				text += "!"
			}
		}
		out = append(out, text)
	}
	return out
}

func TestCompile(t *testing.T) {
	two := service("web", "10.96.0.1", 0, 80)
	two.Spec.ClusterIPs = []string{"10.96.0.1", "fd00::1"}
	external := service("web", "10.96.0.1", 0, 80)
	external.Spec.Type = corev1.ServiceTypeExternalName
	noNumber := slice("a", "web", "IPv4", "p80", 8080, "10.0.0.1@n1")
	noNumber.Ports[0].Port = nil
	for _, tt := range []struct {
		name    string
		service *corev1.Service
		slices  []*discoveryv1.EndpointSlice
		want    []string
	}{
		{"endpoints over two slices, here marked", service("web", "10.96.0.1", 0, 80),
			[]*discoveryv1.EndpointSlice{slice("b", "web", "IPv4", "p80", 8080, "10.0.0.2@n2"), slice("a", "web", "IPv4", "p80", 8080, "10.0.0.1@n1")},
			[]string{"10.96.0.1:80/TCP ns/web:p80 -> 10.0.0.1:8080! 10.0.0.2:8080"}},
		{"no node: it may be here (HP-3)", service("web", "10.96.0.1", 0, 80),
			[]*discoveryv1.EndpointSlice{slice("a", "web", "IPv4", "p80", 8080, "10.0.0.1")},
			[]string{"10.96.0.1:80/TCP ns/web:p80 -> 10.0.0.1:8080!"}},
		{"ports by name, numbers may differ (CIP-10)", service("web", "10.96.0.1", 0, 80, 90),
			[]*discoveryv1.EndpointSlice{slice("a", "web", "IPv4", "p80", 8080, "10.0.0.1@n2"), slice("b", "web", "IPv4", "p80", 8081, "10.0.0.2@n2"), slice("c", "web", "IPv4", "p90", 9090, "10.0.0.1@n2")},
			[]string{"10.96.0.1:80/TCP ns/web:p80 -> 10.0.0.1:8080 10.0.0.2:8081", "10.96.0.1:90/TCP ns/web:p90 -> 10.0.0.1:9090"}},
		{"each family its own (FAM-1)", two,
			[]*discoveryv1.EndpointSlice{slice("a", "web", "IPv4", "p80", 8080, "10.0.0.1@n2"), slice("b", "web", "IPv6", "p80", 8080, "fd00::a@n2")},
			[]string{"10.96.0.1:80/TCP ns/web:p80 -> 10.0.0.1:8080", "[fd00::1]:80/TCP ns/web:p80 -> [fd00::a]:8080"}},
		{"unready ones are left out", service("web", "10.96.0.1", 0, 80),
			[]*discoveryv1.EndpointSlice{slice("a", "web", "IPv4", "p80", 8080, "10.0.0.1@n2 ready,serving", "10.0.0.2@n2 none", "10.0.0.3@n2 serving,terminating")},
			[]string{"10.96.0.1:80/TCP ns/web:p80 -> 10.0.0.1:8080"}},
		{"serving while they terminate, when none is ready (TERM-2)", service("web", "10.96.0.1", 0, 80),
			[]*discoveryv1.EndpointSlice{slice("a", "web", "IPv4", "p80", 8080, "10.0.0.1@n2 terminating", "10.0.0.2@n2 serving", "10.0.0.3@n2 serving,terminating")},
			[]string{"10.96.0.1:80/TCP ns/web:p80 -> 10.0.0.3:8080"}},
		{"twice is once, and the copy that stays wins (CIP-25)", service("web", "10.96.0.1", 0, 80),
			[]*discoveryv1.EndpointSlice{slice("a", "web", "IPv4", "p80", 8080, "10.0.0.1@n2 serving,terminating"), slice("b", "web", "IPv4", "p80", 8080, "10.0.0.1@n2 ready,serving")},
			[]string{"10.96.0.1:80/TCP ns/web:p80 -> 10.0.0.1:8080"}},
		{"twice is once, and the copy that is ready wins", service("web", "10.96.0.1", 0, 80),
			[]*discoveryv1.EndpointSlice{slice("a", "web", "IPv4", "p80", 8080, "10.0.0.1@n2 none"), slice("b", "web", "IPv4", "p80", 8080, "10.0.0.1@n2 ready,serving")},
			[]string{"10.96.0.1:80/TCP ns/web:p80 -> 10.0.0.1:8080"}},
		{"a port without number is none (CIP-22)", service("web", "10.96.0.1", 0, 80), []*discoveryv1.EndpointSlice{noNumber},
			[]string{"10.96.0.1:80/TCP ns/web:p80 ->"}},
		{"FQDN is none (CIP-26)", service("web", "10.96.0.1", 0, 80), []*discoveryv1.EndpointSlice{slice("a", "web", "FQDN", "p80", 8080, "example.org@n2")},
			[]string{"10.96.0.1:80/TCP ns/web:p80 ->"}},
		{"headless (CIP-14)", service("web", "None", 0, 80), nil, nil},
		{"ExternalName (CIP-15)", external, nil, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := (&cluster.Snapshot{}).WithService(tt.service)
			for _, o := range tt.slices {
				s = s.WithSlice(o)
			}
			key := cluster.Key{Namespace: "ns", Name: "web"}
			var all []*cluster.Slice
			for o := range s.Slices(key) {
				all = append(all, o)
			}
			got := lines(Compile(s.Service(key), all, NodeView{Name: "n1"}))
			if d := cmp.Diff(got, tt.want); d != "" {
				t.Errorf("routes (-got +want):\n%s", d)
			}
		})
	}
}

// Beside the ClusterIP, a Service port has fronts on its externalIPs and on every address of the node.
func TestCompileFronts(t *testing.T) {
	svc := service("web", "10.96.0.1", 0, 80)
	svc.Spec.ExternalIPs = []string{"203.0.113.7", "2001:db8::7", "10.96.0.1"}
	svc.Spec.Ports[0].NodePort = 30080
	svc.Spec.SessionAffinity = corev1.ServiceAffinityClientIP
	s := (&cluster.Snapshot{}).WithService(svc).WithSlice(slice("a", "web", "IPv4", "p80", 8080, "10.0.0.1@n1"))
	key := cluster.Key{Namespace: "ns", Name: "web"}
	var all []*cluster.Slice
	for o := range s.Slices(key) {
		all = append(all, o)
	}
	node := (&cluster.Snapshot{}).WithNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
		{Type: corev1.NodeInternalIP, Address: "192.168.50.1"}, {Type: corev1.NodeInternalIP, Address: "fd00::1"}, {Type: corev1.NodeHostName, Address: "n1"}}}}).Node("n1")
	_, view := CompileNode(node, nil, Config{Node: "n1", Settings: cluster.Settings{DetectLocalMode: cluster.DetectClusterCIDR, ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}})
	var got []string
	for i, line := range lines(Compile(s.Service(key), all, view)) {
		r := Compile(s.Service(key), all, view)[i]
		got = append(got, fmt.Sprintf("%s kind %d masquerade %d affinity %s", line, r.Kind, r.Masquerade, r.Affinity))
	}
	want := []string{
		"10.96.0.1:80/TCP ns/web:p80 -> 10.0.0.1:8080! kind 0 masquerade 0 affinity 3h0m0s",
		"192.168.50.1:30080/TCP ns/web:p80 -> 10.0.0.1:8080! kind 3 masquerade 1 affinity 3h0m0s",
		"203.0.113.7:80/TCP ns/web:p80 -> 10.0.0.1:8080! kind 1 masquerade 1 affinity 3h0m0s",
	}
	if d := cmp.Diff(got, want); d != "" {
		t.Errorf("fronts (-got +want):\n%s", d)
	}
}

// recorder is a Backend that keeps the changes, applied to a map, and fails when told to.
type recorder struct {
	changes []Change
	kernel  map[Front]Route
	fail    error
	closed  int
}

func (r *recorder) Program(_ context.Context, c Change) error {
	r.changes = append(r.changes, c)
	if r.fail != nil {
		return r.fail
	}
	if c.Full {
		r.kernel = map[Front]Route{}
	}
	for _, x := range c.Remove {
		if _, ok := r.kernel[x.Front]; !ok {
			return fmt.Errorf("remove of %s, which is not there", x.Front)
		}
		delete(r.kernel, x.Front)
	}
	for _, x := range c.Add {
		if _, ok := r.kernel[x.Front]; ok {
			return fmt.Errorf("add of %s, which is there", x.Front)
		}
		r.kernel[x.Front] = x
	}
	for _, x := range c.Replace {
		if _, ok := r.kernel[x.Front]; !ok {
			return fmt.Errorf("replace of %s, which is not there", x.Front)
		}
		r.kernel[x.Front] = x
	}
	return nil
}
func (r *recorder) Dump(context.Context) (string, error) { return "", nil }
func (r *recorder) Check(context.Context) error          { return nil }
func (r *recorder) Close() error                         { r.closed++; return nil }

type cleaned struct {
	asked []map[Front][]netip.AddrPort
	fail  error
}

func (c *cleaned) Clean(_ context.Context, keep map[Front][]netip.AddrPort) error {
	c.asked = append(c.asked, keep)
	return c.fail
}
func (c *cleaned) Close() error { return nil }

func (r *recorder) last() (add, replace, remove []string, full bool) {
	c := r.changes[len(r.changes)-1]
	return lines(c.Add), lines(c.Replace), lines(c.Remove), c.Full
}

func TestApplySendsOnlyWhatChanged(t *testing.T) {
	ctx := context.Background()
	r := &recorder{}
	p := New(Config{Node: "n1", Settings: cluster.Settings{DetectLocalMode: cluster.DetectClusterCIDR, ClusterCIDRs: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}}}, r, nil)
	a := (*cluster.Snapshot)(nil).WithService(service("a", "10.96.0.1", 1, 80)).WithSlice(slice("a", "a", "IPv4", "p80", 1, "10.0.0.1@n1"))
	apply := func(s *cluster.Snapshot) {
		t.Helper()
		if err := p.Apply(ctx, s); err != nil {
			t.Fatal(err)
		}
	}
	apply(a)
	if add, _, _, full := r.last(); !full || len(add) != 1 {
		t.Errorf("first change: full %v, add %v", full, add)
	}
	apply(a)
	if len(r.changes) != 1 {
		t.Errorf("an unchanged state made %d changes", len(r.changes))
	}
	b := a.WithSlice(slice("a", "a", "IPv4", "p80", 1, "10.0.0.2@n1")).WithService(service("b", "10.96.0.2", 2, 80))
	apply(b)
	add, replace, remove, full := r.last()
	want := [][]string{{"10.96.0.2:80/TCP ns/b:p80 ->"}, {"10.96.0.1:80/TCP ns/a:p80 -> 10.0.0.2:1!"}, nil}
	if d := cmp.Diff([][]string{add, replace, remove}, want); d != "" || full {
		t.Errorf("second change, full %v (-got +want):\n%s", full, d)
	}
	apply(a.WithoutService(cluster.Key{Namespace: "ns", Name: "a"}))
	if len(r.kernel) != 0 {
		t.Errorf("left: %v", r.kernel)
	}
}

// Two Services claim one address: the older has it, on every node alike; when it goes, the next appears.
func TestArbitration(t *testing.T) {
	ctx := context.Background()
	key := func(name string) cluster.Key { return cluster.Key{Namespace: "ns", Name: name} }
	both := (*cluster.Snapshot)(nil).WithService(service("young", "10.96.0.1", 9, 80)).WithService(service("old", "10.96.0.1", 3, 80)).
		WithService(service("twin", "10.96.0.1", 3, 80))
	orders := [][]*cluster.Snapshot{
		{both},
		{both.WithoutService(key("old")), both},
		{both.WithoutService(key("young")).WithoutService(key("old")), both.WithoutService(key("old")), both},
	}
	for i, states := range orders {
		r := &recorder{}
		p := New(Config{Node: "n1"}, r, nil)
		for _, s := range append(states, both) {
			if err := p.Apply(ctx, s); err != nil {
				t.Fatal(err)
			}
		}
		for _, step := range []struct {
			gone, want string
		}{{"", "old"}, {"old", "twin"}, {"twin", "young"}} {
			if step.gone != "" {
				both := p.last.WithoutService(key(step.gone))
				if err := p.Apply(ctx, both); err != nil {
					t.Fatal(err)
				}
			}
			f := Front{netip.MustParseAddr("10.96.0.1"), cluster.TCP, 80}
			if got := r.kernel[f].Owner.Service.Name; got != step.want {
				t.Errorf("order %d, without %q: %s has the address, want %s", i, step.gone, got, step.want)
			}
		}
	}
}

func TestAFailureIsHealedByAFullChange(t *testing.T) {
	ctx := context.Background()
	r, c := &recorder{}, &cleaned{}
	p := New(Config{Node: "n1"}, r, c)
	svc := service("a", "10.96.0.1", 1, 53)
	svc.Spec.Ports[0].Protocol = "UDP"
	udp := slice("a", "a", "IPv4", "p53", 1, "10.0.0.1@n1")
	proto := corev1.ProtocolUDP
	udp.Ports[0].Protocol = &proto
	a := (*cluster.Snapshot)(nil).WithService(svc).WithSlice(udp)
	b := a.WithoutSlice(cluster.Key{Namespace: "ns", Name: "a"}, cluster.Key{Namespace: "ns", Name: "a"})
	if err := p.Apply(ctx, a); err != nil {
		t.Fatal(err)
	}
	r.fail = errors.New("no kernel today")
	if err := p.Apply(ctx, b); err == nil || err.Error() != "program node n1: no kernel today" {
		t.Errorf("got %v", err)
	}
	if len(c.asked) != 1 {
		t.Errorf("cleaned %d times: connection tracking is cleaned after the rules are in force, never before", len(c.asked))
	}
	r.fail, c.fail = nil, errors.New("no conntrack today")
	if err := p.Apply(ctx, b); err == nil {
		t.Error("a failed clean-up is an error")
	}
	if _, _, _, full := r.last(); !full {
		t.Error("the change after a failure is not full")
	}
	c.fail = nil
	n := len(r.changes)
	if err := p.Apply(ctx, b); err != nil {
		t.Fatal(err)
	}
	if len(r.changes) != n {
		t.Error("nothing changed, but the backend was programmed")
	}
	front := Front{netip.MustParseAddr("10.96.0.1"), cluster.UDP, 53}
	if d := cmp.Diff(c.asked[len(c.asked)-1], map[Front][]netip.AddrPort{front: nil}, cmp.Comparer(func(a, b Front) bool { return a == b })); d != "" {
		t.Errorf("the stale front is cleaned by the retry (-got +want):\n%s", d)
	}
	if err := p.Close(); err != nil || r.closed != 1 {
		t.Errorf("close: %v, %d times", err, r.closed)
	}
}

// Under policy Local an outside client may be with an endpoint of this node that terminates, while ready ones are elsewhere:
// its entry is as good as theirs.
func TestCleanKeepsLocalEndpoints(t *testing.T) {
	c := &cleaned{}
	p := New(Config{Node: "n1"}, &recorder{}, c)
	svc := service("a", "10.96.0.1", 1, 53)
	svc.Spec.Ports[0].Protocol = corev1.ProtocolUDP
	svc.Spec.ExternalIPs = []string{"203.0.113.7"}
	svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	svc.Spec.Type = corev1.ServiceTypeNodePort
	udp := slice("a", "a", "IPv4", "p53", 1, "10.0.0.1@n1", "10.0.0.2@n2")
	udp.Ports[0].Protocol = new(corev1.ProtocolUDP)
	udp.Endpoints[0].Conditions.Ready, udp.Endpoints[0].Conditions.Serving, udp.Endpoints[0].Conditions.Terminating = new(false), new(true), new(true)
	if err := p.Apply(context.Background(), (*cluster.Snapshot)(nil).WithService(svc).WithSlice(udp)); err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprint(c.asked[0][Front{netip.MustParseAddr("203.0.113.7"), cluster.UDP, 53}])
	if want := "[10.0.0.1:1 10.0.0.2:1]"; got != want {
		t.Errorf("kept at the externalIP: %s, want %s", got, want)
	}
}

// The work of Apply does not depend on the number of Services.
func BenchmarkApply(b *testing.B) {
	for _, n := range []int{1000, 30000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			s := &cluster.Snapshot{}
			for i := range n {
				name := fmt.Sprintf("svc%05d", i)
				s = s.WithService(service(name, fmt.Sprintf("10.%d.%d.%d", 96+i>>16, i>>8&255, i&255), 1, 80))
				s = s.WithSlice(slice(name, name, "IPv4", "p80", 8080, "10.0.0.1@n1", "10.0.0.2@n1"))
			}
			p := New(Config{Node: "n1"}, &recorder{kernel: map[Front]Route{}}, nil)
			if err := p.Apply(context.Background(), s); err != nil {
				b.Fatal(err)
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
		})
	}
}
