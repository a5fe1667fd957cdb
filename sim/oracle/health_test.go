package oracle

import (
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Literal answers, by the rows; web-1 is on node-1, web-2 and web-3 are on node-2.
func TestHealth(t *testing.T) {
	balanced := func(change ...func(*corev1.Service)) *corev1.Service {
		return myservice(append([]func(*corev1.Service){func(s *corev1.Service) {
			s.Spec.Type, s.Spec.ExternalTrafficPolicy, s.Spec.HealthCheckNodePort = corev1.ServiceTypeLoadBalancer, corev1.ServiceExternalTrafficPolicyLocal, 30300
		}}, change...)...)
	}
	const node1, node2 = "192.0.2.1:30300", "192.0.2.2:30300"
	for _, tt := range []struct {
		name  string
		state *cluster.Snapshot
		to    string
		want  string
		row   string
	}{
		{"one is here", both("web-1", "web-2", "web-3").WithService(balanced()), node1, "200, 1 endpoint", "LB-15"},
		{"two are here", both("web-1", "web-2", "web-3").WithService(balanced()), node2, "200, 2 endpoints", "LB-15"},
		{"in IPv6", both("web-1", "web-2", "web-3").WithService(balanced()), "[2001:db8::2]:30300", "200, 2 endpoints", "LB-15"},
		{"none is here", both("web-1").WithService(balanced()), node2, "503, 0 endpoints", "LB-15"},
		{"one terminates", state(slice("four", "10.1.0.1 serving terminating", "10.2.0.2")).WithService(balanced()), node1, "503, 0 endpoints", "LB-17"},
		{"Cluster", both("web-1").WithService(balanced(func(s *corev1.Service) {
			s.Spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
		})), node1, "nobody listens", "LB-20"},
		{"another port", both("web-1").WithService(balanced()), "192.0.2.1:30301", "nobody listens", "LB-20"},
	} {
		h := in(tt.state)
		got := LatestHealth(h, world.HealthCheck{From: clientPlace("laptop"), To: netip.MustParseAddrPort(tt.to)}).Cases[0]
		if got.String() != tt.want || got.Why.Row != tt.row {
			t.Errorf("%s: got %s (%s: %s), want %s (%s)", tt.name, got, got.Why.Row, got.Why.Text, tt.want, tt.row)
		}
	}
}

// Every part of an answer counts.
func TestHealthPermits(t *testing.T) {
	right := world.HealthAnswer{Outcome: world.Answered, Status: 200, Service: "default/web", LocalEndpoints: 2, Weight: "2", ProxyHealthy: true}
	h := Health{[]HealthCase{{Status: 200, LocalEndpoints: 2, Service: "default/web", Why: Reason{"LB-15", "node-1 has 2"}}}}
	if err := h.Permits(right); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(*world.HealthAnswer){
		"503, 2 endpoints of default/web, but it should have been 200, 2 endpoints: node-1 has 2":                        func(a *world.HealthAnswer) { a.Status = 503 },
		"200, 1 endpoint of default/web, weight \"2\", but it should have been 200, 2 endpoints: node-1 has 2":           func(a *world.HealthAnswer) { a.LocalEndpoints = 1 },
		"200, 2 endpoints of default/web, weight \"\", but it should have been 200, 2 endpoints: node-1 has 2":           func(a *world.HealthAnswer) { a.Weight = "" },
		"200, 2 endpoints of default/other, but it should have been 200, 2 endpoints: node-1 has 2":                      func(a *world.HealthAnswer) { a.Service = "default/other" },
		"200, 2 endpoints of default/web, the proxy not healthy, but it should have been 200, 2 endpoints: node-1 has 2": func(a *world.HealthAnswer) { a.ProxyHealthy = false },
		"silent, but it should have been 200, 2 endpoints: node-1 has 2":                                                 func(a *world.HealthAnswer) { a.Outcome = world.Silent },
		"200, 2 endpoints of default/web: header X-Content-Type-Options is missing":                                      func(a *world.HealthAnswer) { a.Odd = "header X-Content-Type-Options is missing" },
	} {
		a := right
		spoil(&a)
		if err := h.Permits(a); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}
