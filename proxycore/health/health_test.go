package health

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/nsnet/wire"
	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// kernel is a backend that does what it is told, or fails.
type kernel struct{ fail error }

func (k *kernel) Program(context.Context, proxycore.Change) error { return k.fail }
func (k *kernel) Dump(context.Context) (string, error)            { return "", nil }
func (k *kernel) Check(context.Context) error                     { return nil }
func (k *kernel) Close() error                                    { return nil }

// stand is a node's namespace with a proxy that serves health checks in it.
type stand struct {
	t      *testing.T
	ns     *nsnet.NS
	kernel *kernel
	proxy  *proxycore.Proxy
	server *Server
	now    time.Time
	failed []string
	state  *cluster.Snapshot
}

var began = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newStand(t *testing.T) *stand {
	ns := nstest.NS(t, "node")
	s := &stand{t: t, ns: ns, kernel: &kernel{}, now: began}
	for _, a := range []string{"192.168.50.1/32", "fd00:192:168:50::1/128"} {
		if err := wire.Addr(ns, "lo", netip.MustParsePrefix(a)); err != nil {
			t.Fatal(err)
		}
	}
	s.settled("[fd00:192:168:50::1]:9")
	var err error
	s.server, err = New(Options{
		Listen:  func(a netip.AddrPort) (net.Listener, error) { return ns.ListenTCP(a) },
		Healthz: netip.MustParseAddrPort("127.0.0.1:10256"),
		Now:     func() time.Time { return s.now },
		Failed:  func(err error) { s.failed = append(s.failed, err.Error()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	s.proxy = proxycore.New(proxycore.Config{Node: "n1"}, s.kernel, nil, s.server)
	t.Cleanup(func() {
		for range 2 {
			if err := s.proxy.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	s.state = (*cluster.Snapshot)(nil).WithNode(node()).WithService(service("web", 30300)).
		WithSlice(slice("web", discoveryv1.AddressTypeIPv4, endpoint("10.0.0.1", "n1", true, false), endpoint("10.0.0.2", "n2", true, false))).
		WithSlice(slice("web", discoveryv1.AddressTypeIPv6, endpoint("fd00::2", "n2", true, false)))
	return s
}

// settled waits until an address of IPv6 can be talked to: the kernel makes its routes in a work queue, some time after it.
func (s *stand) settled(addr string) {
	s.t.Helper()
	server, err := s.ns.ListenUDP(netip.MustParseAddrPort(addr))
	if err != nil {
		s.t.Fatal(err)
	}
	defer server.Close()
	var client net.Conn
	err = s.ns.Do(func() (err error) {
		client, err = net.ListenUDP("udp6", nil)
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	defer client.Close()
	for until := time.Now().Add(5 * time.Second); time.Now().Before(until); {
		if _, err := client.(*net.UDPConn).WriteTo([]byte("?"), server.LocalAddr()); err != nil {
			continue
		}
		_ = server.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		_, from, err := server.ReadFrom(make([]byte, 1))
		if err != nil {
			continue
		}
		_, _ = server.WriteTo([]byte("!"), from)
		_ = client.SetReadDeadline(time.Now().Add(20 * time.Millisecond))
		if _, err := client.Read(make([]byte, 1)); err == nil {
			return
		}
	}
	s.t.Fatalf("nothing arrives at %s", addr)
}

func node(taints ...corev1.Taint) *corev1.Node {
	n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}, Spec: corev1.NodeSpec{Taints: taints}}
	for _, a := range []string{"192.168.50.1", "fd00:192:168:50::1"} {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	return n
}

func service(name string, port int32) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeLoadBalancer, ExternalTrafficPolicy: corev1.ServiceExternalTrafficPolicyLocal, HealthCheckNodePort: port,
			ClusterIP: "10.96.0.1", ClusterIPs: []string{"10.96.0.1", "fd00:10:96::1"},
			Ports: []corev1.ServicePort{{Name: "http", Port: 80, TargetPort: intstr.FromInt32(8080)}, {Name: "https", Port: 443, TargetPort: intstr.FromInt32(8443)}},
		},
	}
}

func slice(service string, family discoveryv1.AddressType, endpoints ...discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	o := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: service + "-" + strings.ToLower(string(family)), Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: family, Endpoints: endpoints,
	}
	for name, port := range map[string]int32{"http": 8080, "https": 8443} {
		o.Ports = append(o.Ports, discoveryv1.EndpointPort{Name: &name, Port: &port})
	}
	return o
}

func endpoint(addr, node string, ready, terminating bool) discoveryv1.Endpoint {
	serving := true
	return discoveryv1.Endpoint{Addresses: []string{addr}, NodeName: &node,
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating}}
}

func (s *stand) apply(state *cluster.Snapshot) error {
	s.state = state
	return s.proxy.Apply(context.Background(), state)
}

// get is the status, the headers that upstream sets and the body; or that nobody listens.
func (s *stand) get(url string) string {
	s.t.Helper()
	dial := func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		err = s.ns.Do(func() error {
			d := net.Dialer{Timeout: 3 * time.Second, FallbackDelay: -1}
			c, err = d.DialContext(ctx, network, addr)
			return err
		})
		return c, err
	}
	client := http.Client{Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true}}
	r, err := client.Get(url)
	if err != nil {
		if strings.HasSuffix(err.Error(), "connection refused") {
			return "refused"
		}
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	out := fmt.Sprintf("%d", r.StatusCode)
	for _, h := range []string{"Content-Type", "X-Content-Type-Options", "X-Load-Balancing-Endpoint-Weight"} {
		if v := r.Header.Get(h); v != "" {
			out += "\n" + h + ": " + v
		}
	}
	return out + "\n" + string(body)
}

const (
	at4 = "http://192.168.50.1:30300/"
	at6 = "http://[fd00:192:168:50::1]:30300/healthz"
)

// answered is upstream's answer, byte for byte.
func answered(code, endpoints int, healthy bool) string {
	return fmt.Sprintf("%d\nContent-Type: application/json\nX-Content-Type-Options: nosniff\nX-Load-Balancing-Endpoint-Weight: %d\n"+
		"{\n\t\"service\": {\n\t\t\"namespace\": \"default\",\n\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": %d,\n\t\"serviceProxyHealthy\": %v\n}",
		code, endpoints, endpoints, healthy)
}

func TestHealthCheckNodePort(t *testing.T) {
	type world = *cluster.Snapshot
	four := discoveryv1.AddressTypeIPv4
	cluster := func(w world) world {
		svc := service("web", 30300)
		svc.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
		return w.WithService(svc)
	}
	for _, tt := range []struct {
		name   string
		change func(world) world
		v4, v6 string
	}{
		{"LB-15: one of IPv4 is here, none of IPv6", func(w world) world { return w }, answered(200, 1, true), answered(503, 0, true)},
		{"LB-15: two are here, each with two ports", func(w world) world {
			return w.WithSlice(slice("web", four, endpoint("10.0.0.1", "n1", true, false), endpoint("10.0.0.3", "n1", true, false)))
		}, answered(200, 2, true), answered(503, 0, true)},
		{"LB-17: the one here terminates, and still serves", func(w world) world {
			return w.WithSlice(slice("web", four, endpoint("10.0.0.1", "n1", false, true), endpoint("10.0.0.2", "n2", true, false)))
		}, answered(503, 0, true), answered(503, 0, true)},
		{"LB-20: traffic policy Cluster", cluster, "refused", "refused"},
		{"LB-20: and Local again", func(w world) world { return w.WithService(service("web", 30300)) }, answered(200, 1, true), answered(503, 0, true)},
		{"another port", func(w world) world { return w.WithService(service("web", 30301)) }, "refused", "refused"},
		{"type NodePort has none", func(w world) world {
			svc := service("web", 30300)
			svc.Spec.Type = corev1.ServiceTypeNodePort
			return w.WithService(svc)
		}, "refused", "refused"},
		{"a Service of IPv4 alone", func(w world) world {
			svc := service("web", 30300)
			svc.Spec.ClusterIPs = svc.Spec.ClusterIPs[:1]
			return w.WithService(svc)
		}, answered(200, 1, true), "refused"},
		{"a node with another address of IPv6", func(w world) world {
			n := node()
			n.Status.Addresses = n.Status.Addresses[:1]
			return w.WithNode(n)
		}, answered(200, 1, true), "refused"},
		{"it is another proxy's (CIP-16)", func(w world) world {
			svc := service("web", 30300)
			svc.Labels = map[string]string{"service.kubernetes.io/service-proxy-name": "other"}
			return w.WithService(svc)
		}, "refused", "refused"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStand(t)
			if err := s.apply(s.state); err != nil {
				t.Fatal(err)
			}
			for _, state := range []world{tt.change(s.state), cluster(s.state), tt.change(s.state)} { // where it stands, and from elsewhere
				if err := s.apply(state); err != nil {
					t.Fatal(err)
				}
			}
			for url, want := range map[string]string{at4: tt.v4, at6: tt.v6, "http://127.0.0.1:30300/": "refused"} {
				if d := cmp.Diff(s.get(url), want); d != "" {
					t.Errorf("%s (-got +want):\n%s", url, d)
				}
			}
			if len(s.failed) > 0 {
				t.Errorf("failures: %v", s.failed)
			}
		})
	}
}

// LB-18, LIFE-6: what cannot be put in force for a minute makes the node unfit, until it is in force.
func TestAStaleProxyIsUnhealthy(t *testing.T) {
	s := newStand(t)
	if err := s.apply(s.state); err != nil {
		t.Fatal(err)
	}
	before := s.state
	s.kernel.fail = errors.New("no kernel today")
	three := before.WithSlice(slice("web", discoveryv1.AddressTypeIPv4, endpoint("10.0.0.1", "n1", true, false), endpoint("10.0.0.3", "n1", true, false)))
	for range 3 { // a second attempt is no second beginning
		if err := s.apply(three); err == nil {
			t.Fatal("the kernel fails and Apply does not")
		}
		s.now = s.now.Add(19 * time.Second)
	}
	if got, want := s.get(at4), answered(200, 1, true); got != want {
		t.Errorf("after 57 s: got %s, want %s: what is in force, and healthy", got, want)
	}
	s.now = s.now.Add(3 * time.Second)
	if got, want := s.get(at4), answered(503, 1, false); got != want {
		t.Errorf("after 60 s: got %s, want %s", got, want)
	}
	for path, want := range map[string]string{
		"/healthz": `{"lastUpdated":"2026-01-02T03:04:05Z","currentTime":"2026-01-02T03:05:05Z","nodeEligible":true,"healthy":false,"status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:05Z","healthy":false},"IPv6":{"lastUpdated":"2026-01-02T03:04:05Z","healthy":false}}}`,
		"/livez":   `{"lastUpdated":"2026-01-02T03:04:05Z","currentTime":"2026-01-02T03:05:05Z","healthy":false,"status":{"IPv4":{"lastUpdated":"2026-01-02T03:04:05Z","healthy":false},"IPv6":{"lastUpdated":"2026-01-02T03:04:05Z","healthy":false}}}`,
	} {
		want := "503\nContent-Type: application/json\nX-Content-Type-Options: nosniff\n" + want
		if d := cmp.Diff(s.get("http://127.0.0.1:10256"+path), want); d != "" {
			t.Errorf("%s (-got +want):\n%s", path, d)
		}
	}
	s.kernel.fail = nil
	if err := s.apply(three); err != nil {
		t.Fatal(err)
	}
	if got, want := s.get(at4), answered(200, 2, true); got != want {
		t.Errorf("in force again: got %s, want %s", got, want)
	}
}

// HC-1, HC-2, HC-3: a node that is about to go is drained, which is no reason to restart its proxy.
func TestHealthz(t *testing.T) {
	for _, tt := range []struct {
		name           string
		state          *cluster.Snapshot
		healthz, livez string
	}{
		{"a node", (*cluster.Snapshot)(nil).WithNode(node()), "200", "200"},
		{"a node that the autoscaler will delete", (*cluster.Snapshot)(nil).WithNode(node(corev1.Taint{Key: "ToBeDeletedByClusterAutoscaler"})), "503", "200"},
		{"a node with another taint", (*cluster.Snapshot)(nil).WithNode(node(corev1.Taint{Key: "node.kubernetes.io/unreachable"})), "200", "200"},
		{"a node that is being deleted", (*cluster.Snapshot)(nil).WithNode(func() *corev1.Node {
			n := node()
			n.DeletionTimestamp = &metav1.Time{Time: began}
			return n
		}()), "503", "200"},
		{"no node", nil, "503", "200"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := newStand(t)
			if err := s.apply(tt.state); err != nil {
				t.Fatal(err)
			}
			s.now = s.now.Add(time.Hour) // nothing has happened since, and all is well
			for path, want := range map[string]string{"/healthz": tt.healthz, "/livez": tt.livez} {
				if got, _, _ := strings.Cut(s.get("http://127.0.0.1:10256"+path), "\n"); got != want {
					t.Errorf("%s: got %s, want %s", path, got, want)
				}
			}
		})
	}
}

// LB-19: a port that is taken is told, hurts nobody else, and is served once it is free.
func TestAPortThatIsTaken(t *testing.T) {
	s := newStand(t)
	other, err := s.ns.ListenTCP(netip.MustParseAddrPort("[fd00:192:168:50::1]:30300"))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	second := service("second", 30302)
	second.Spec.ClusterIPs = []string{"10.96.0.2"}
	if err := s.apply(s.state.WithService(second)); err != nil {
		t.Fatalf("the rules are in force: %v", err)
	}
	want := []string{"serve the health check of default/web at port 30300: listen in namespace node: listen tcp6 [fd00:192:168:50::1]:30300: bind: address already in use"}
	if d := cmp.Diff(s.failed, want); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
	if got := s.get(at4); got != "refused" {
		t.Errorf("got %s, want all addresses or none", got)
	}
	if got := s.get("http://192.168.50.1:30302/"); !strings.HasPrefix(got, "503") {
		t.Errorf("the other Service: got %s, want 503", got)
	}
	if err := other.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.apply(s.state); err != nil {
		t.Fatal(err)
	}
	if got, want := s.get(at4), answered(200, 1, true); got != want {
		t.Errorf("once it is free: got %s, want %s", got, want)
	}
}

// What a proxy that is killed served, its successor can serve.
func TestAbandonFreesThePorts(t *testing.T) {
	s := newStand(t)
	if err := s.apply(s.state); err != nil {
		t.Fatal(err)
	}
	s.proxy.Abandon()
	for _, url := range []string{at4, "http://127.0.0.1:10256/healthz"} {
		if got := s.get(url); got != "refused" {
			t.Errorf("%s: got %s", url, got)
		}
	}
}
