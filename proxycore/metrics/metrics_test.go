package metrics

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// kernel takes 3 ms of the test's clock, or fails.
type kernel struct {
	now  *time.Time
	fail error
}

func (k *kernel) Program(context.Context, proxycore.Change) error {
	*k.now = k.now.Add(3 * time.Millisecond)
	return k.fail
}
func (k *kernel) Dump(context.Context) (string, error) { return "", nil }
func (k *kernel) Check(context.Context) error          { return nil }
func (k *kernel) Close() error                         { return nil }

// scrape is what a Prometheus reads, without comments, buckets, and what is 0.
func scrape(t *testing.T, m *Metrics) (out []string) {
	t.Helper()
	w := httptest.NewRecorder()
	m.ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	if w.Code != 200 || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Errorf("status %d, type %q", w.Code, w.Header().Get("Content-Type"))
	}
	for line := range strings.Lines(w.Body.String()) {
		line = strings.TrimSuffix(line, "\n")
		if !strings.HasPrefix(line, "#") && !strings.Contains(line, "_bucket{") && !strings.HasSuffix(line, " 0") {
			out = append(out, strings.TrimPrefix(line, "kubeproxy_"))
		}
	}
	return out
}

func service(internal, external bool) *corev1.Service {
	s := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: "web"}, Spec: corev1.ServiceSpec{
		Type: corev1.ServiceTypeNodePort, ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1", "fd00::1"},
		Ports: []corev1.ServicePort{{Port: 80, NodePort: 30080}}, ExternalIPs: []string{"192.0.2.1"}, // two fronts from outside
	}}
	if local := corev1.ServiceInternalTrafficPolicyLocal; internal {
		s.Spec.InternalTrafficPolicy = &local
	}
	if external {
		s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyLocal
	}
	return s
}

func slice(nodes ...string) *discoveryv1.EndpointSlice {
	name, port := "", int32(80)
	o := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "ns", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port}},
	}
	for i, n := range nodes {
		o.Endpoints = append(o.Endpoints, discoveryv1.Endpoint{Addresses: []string{fmt.Sprintf("10.0.1.%d", i+1)}, NodeName: &n})
	}
	return o
}

func node() *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}}
	n.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "192.168.50.1"}}
	return n
}

// POL-16, as upstream's TestNoEndpointsMetric has it (pkg/proxy/nftables/proxier_test.go:4377).
func TestNoLocalEndpoints(t *testing.T) {
	here, elsewhere := []string{"n1", "n2", "n3"}, []string{"n0", "n2", "n3"}
	const name = `sync_proxy_rules_no_local_endpoints_total{ip_family="IPv4",traffic_policy="%s"} 1`
	in, out := fmt.Sprintf(name, "internal"), fmt.Sprintf(name, "external")
	for _, tt := range []struct {
		name               string
		internal, external bool
		nodes              []string
		want               []string
	}{
		{"internal, and one is here", true, false, here, nil},
		{"external, and one is here", false, true, here, nil},
		{"both, and one is here", true, true, here, nil},
		{"internal, and none is here", true, false, elsewhere, []string{in}},
		{"external, and none is here", false, true, elsewhere, []string{out}},
		{"both, and none is here", true, true, elsewhere, []string{in, out}},
		{"both, and none is anywhere", true, true, nil, nil},
		{"neither", false, false, elsewhere, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := New(Options{Mode: "nftables"})
			now := time.Now()
			p := proxycore.New(proxycore.Config{Node: "n1"}, &kernel{now: &now}, nil, m)
			state := (*cluster.Snapshot)(nil).WithNode(node())
			last := state.WithService(service(tt.internal, tt.external)).WithSlice(slice(tt.nodes...))
			// From an empty cluster, again from one that drops all, and at the end of an outage.
			for _, s := range []*cluster.Snapshot{last, state.WithService(service(true, true)).WithSlice(slice(elsewhere...)), state, last} {
				if err := p.Apply(context.Background(), s); err != nil {
					t.Fatal(err)
				}
			}
			var got []string
			for _, line := range scrape(t, m) {
				if strings.Contains(line, "no_local") {
					got = append(got, line)
				}
			}
			if d := cmp.Diff(got, tt.want); d != "" {
				t.Errorf("(-got +want):\n%s", d)
			}
		})
	}
}

// A story, and everything that is measured of it.
func TestMetrics(t *testing.T) {
	ctx := context.Background()
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	m := New(Options{Mode: "nftables", Now: func() time.Time { return now }})
	k := &kernel{now: &now}
	p := proxycore.New(proxycore.Config{Node: "n1"}, k, nil, m)
	if got := scrape(t, m); got != nil {
		t.Errorf("before anything: %v", got)
	}
	happened := now.Add(time.Second)
	now = now.Add(3 * time.Second)
	told := slice("n1")
	told.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: happened.Format(time.RFC3339Nano)}
	one := (*cluster.Snapshot)(nil).WithNode(node()).WithService(service(false, false)).WithSlice(told)
	if err := p.Apply(ctx, one); err != nil {
		t.Fatal(err)
	}
	k.fail = errors.New("no kernel today")
	if err := p.Apply(ctx, one.WithSlice(slice("n1", "n2"))); err == nil {
		t.Fatal("the kernel fails and Apply does not")
	}
	m.Cleaned(proxycore.Cleaned{Took: 2 * time.Millisecond, Deleted: 7})
	m.Answered("/healthz", 200)
	m.Answered("/healthz", 503)
	m.Answered("/livez", 200)
	failed := []string{
		"sync_proxy_rules_duration_seconds_sum 0.006", "sync_proxy_rules_duration_seconds_count 2",
		"sync_full_proxy_rules_duration_seconds_sum 0.003", "sync_full_proxy_rules_duration_seconds_count 1",
		"sync_partial_proxy_rules_duration_seconds_sum 0.003", "sync_partial_proxy_rules_duration_seconds_count 1",
		"sync_proxy_rules_last_timestamp_seconds 1.767323048003e+09", "sync_proxy_rules_last_queued_timestamp_seconds 1.767323048003e+09",
		"network_programming_duration_seconds_sum 2.003", "network_programming_duration_seconds_count 1",
		"sync_proxy_rules_endpoint_changes_pending 1", "sync_proxy_rules_endpoint_changes_total 2",
		"sync_proxy_rules_service_changes_total 1",
		"sync_proxy_rules_nftables_sync_failures_total 1",
		"conntrack_reconciler_sync_duration_seconds_sum 0.002", "conntrack_reconciler_sync_duration_seconds_count 1",
		"conntrack_reconciler_deleted_entries_total 7",
		`proxy_healthz_total{code="200"} 1`, `proxy_healthz_total{code="503"} 1`, `proxy_livez_total{code="200"} 1`,
	}
	if d := cmp.Diff(scrape(t, m), failed); d != "" {
		t.Errorf("after a failure (-got +want):\n%s", d)
	}
	k.fail = nil
	old := slice("n1", "n2")
	old.Annotations = map[string]string{corev1.EndpointsLastChangeTriggerTime: happened.Add(-time.Hour).Format(time.RFC3339Nano)}
	if err := p.Apply(ctx, one.WithSlice(old)); err != nil {
		t.Fatal(err)
	}
	for _, line := range scrape(t, m) {
		if strings.Contains(line, "pending") {
			t.Errorf("all is in force, and %s", line)
		}
		if strings.HasPrefix(line, "network_programming_duration_seconds_count") && !strings.HasSuffix(line, " 1") {
			t.Errorf("nothing has happened since but long ago, and %s", line)
		}
	}
	for path, want := range map[string]string{"/proxyMode": "nftables", "/healthz": "ok"} {
		w := httptest.NewRecorder()
		if m.ServeHTTP(w, httptest.NewRequest("GET", path, nil)); w.Body.String() != want {
			t.Errorf("%s: got %q, want %q", path, w.Body, want)
		}
	}
}

// The buckets are those of upstream's histograms: 15 from 1 ms to 16.384 s, and 80 from 0.25 s to 300 s.
func TestBuckets(t *testing.T) {
	for _, tt := range []struct {
		bounds      []float64
		n           int
		first, last float64
	}{{exponential, 15, 0.001, 16.384}, {linear, 80, 0.25, 300}} {
		if b := tt.bounds; len(b) != tt.n || b[0] != tt.first || b[len(b)-1] != tt.last {
			t.Errorf("%d buckets from %g to %g, want %d from %g to %g", len(b), b[0], b[len(b)-1], tt.n, tt.first, tt.last)
		}
	}
	h := newHistogram([]float64{1, 2})
	for _, d := range []time.Duration{time.Second, 1500 * time.Millisecond, time.Minute} {
		h.observe(d)
	}
	f := h.family("x", "y").Metric[0].Histogram
	if f.Bucket[0].GetCumulativeCount() != 1 || f.Bucket[1].GetCumulativeCount() != 2 || f.GetSampleCount() != 3 || f.GetSampleSum() != 62.5 {
		t.Errorf("got %v", f)
	}
}
