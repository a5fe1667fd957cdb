package oracle

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Health is what a node may answer at a health-check port: any of its cases.
type Health struct {
	Cases []HealthCase
}

// HealthCase is one state's: nobody listens there (no Status), or the answer.
type HealthCase struct {
	Status, LocalEndpoints int
	Service                string
	Why                    Reason
}

// ExpectHealth says what is permitted to a health check that was sent at from and answered before until.
func ExpectHealth(h *History, c world.HealthCheck, from, until time.Time) (out Health) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, st := range h.inForce(from, until) {
		if one := h.health(st, c.To); !slices.Contains(out.Cases, one) {
			out.Cases = append(out.Cases, one)
		}
	}
	return out
}

// LatestHealth says what the last state permits.
func LatestHealth(h *History, c world.HealthCheck) Health {
	h.mu.Lock()
	defer h.mu.Unlock()
	return Health{[]HealthCase{h.health(h.last, c.To)}}
}

// health: a load balancer may send traffic to a node that has an endpoint which is ready (LB-15). One that terminates and
// still serves gets what comes nevertheless, and does not count, so that no more comes (LB-17). Who distributes over all
// nodes anyhow has no use for the question (LB-20).
func (h *History) health(st *facts, to netip.AddrPort) HealthCase {
	node := h.node(to.Addr())
	if node == nil {
		return HealthCase{Why: Reason{"LB-15", fmt.Sprintf("%s is no node's", to.Addr())}}
	}
	for svc := range st.state.Services() {
		spec := &svc.Object.Spec
		if spec.HealthCheckNodePort != int32(to.Port()) || !served(svc.Object) {
			continue
		}
		if spec.Type != corev1.ServiceTypeLoadBalancer || !externalLocal(svc.Object) {
			return HealthCase{Why: Reason{"LB-20", fmt.Sprintf("%s is no load balancer with externalTrafficPolicy Local", svc.Key)}}
		}
		if !slices.ContainsFunc(svc.ClusterIPs, func(ip netip.Addr) bool { return ip.Is4() == to.Addr().Is4() }) {
			return HealthCase{Why: Reason{"FAM-2", fmt.Sprintf("%s has no address of that family", svc.Key)}}
		}
		if _, why, answers := h.answersNodePorts(to.Addr()); !answers {
			return HealthCase{Why: Reason{"LB-19", why}}
		}
		ready, draining := st.onNode(svc, node.Name, to.Addr().Is4())
		c := HealthCase{Status: http.StatusOK, LocalEndpoints: ready, Service: svc.String()}
		c.Why = Reason{"LB-15", fmt.Sprintf("%s has %s of %s", node, countOf(ready, "ready endpoint"), svc.Key)}
		if ready == 0 {
			c.Status = http.StatusServiceUnavailable
			if draining > 0 {
				c.Why = Reason{"LB-17", fmt.Sprintf("%s has no ready endpoint of %s: %s, and the node is to be drained", node, svc.Key, countOf(draining, "terminating one")+" may serve on")}
			}
		}
		return c
	}
	return HealthCase{Why: Reason{"LB-20", fmt.Sprintf("no Service has the health-check port %d, so nobody listens there", to.Port())}}
}

func countOf(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return strconv.Itoa(n) + " " + what + "s"
}

// onNode counts addresses, not ports.
func (st *facts) onNode(svc *cluster.Service, node string, ipv4 bool) (ready, draining int) {
	is := map[netip.Addr]bool{} // ready
	for _, p := range svc.Object.Spec.Ports {
		proto, err := cluster.ParseProto(string(p.Protocol))
		if err != nil {
			continue
		}
		for _, e := range st.endpoints(svc.Key, p.Name, proto, ipv4) {
			if e.node == node && (e.ready || e.serving && e.terminating) {
				is[e.Addr()] = is[e.Addr()] || e.ready
			}
		}
	}
	for _, r := range is {
		if r {
			ready++
		} else {
			draining++
		}
	}
	return ready, draining
}

// String is "503, 0 endpoints", or that nobody answers.
func (c HealthCase) String() string {
	if c.Status == 0 {
		return "nobody listens"
	}
	return fmt.Sprintf("%d, %s", c.Status, countOf(c.LocalEndpoints, "endpoint"))
}

// Permits is nil, or the reason why the answer is wrong.
func (h Health) Permits(a world.HealthAnswer) error {
	var cases, why []string
	for _, c := range h.Cases {
		if c.permits(a) {
			if a.Odd != "" {
				return fmt.Errorf("%s: %s", HealthText(a), a.Odd)
			}
			return nil
		}
		cases, why = append(cases, c.String()), append(why, c.Why.Text)
	}
	return fmt.Errorf("%s, but it should have been %s: %s", HealthText(a), strings.Join(cases, " or "), strings.Join(why, "; or "))
}

// permits: the weight is what some load balancers go by, and is the number of endpoints. A port that nobody listens on is
// reset (M-12).
func (c HealthCase) permits(a world.HealthAnswer) bool {
	if c.Status == 0 {
		return a.Outcome == world.Reset
	}
	return a.Outcome == world.Answered && a.Status == c.Status && a.LocalEndpoints == c.LocalEndpoints && a.ProxyHealthy &&
		a.Weight == strconv.Itoa(c.LocalEndpoints) && a.Service == c.Service
}

// HealthText is an answer in words.
func HealthText(a world.HealthAnswer) string {
	if a.Outcome != world.Answered {
		return a.Outcome.String()
	}
	text := fmt.Sprintf("%d, %s of %s", a.Status, countOf(a.LocalEndpoints, "endpoint"), a.Service)
	if a.Weight != strconv.Itoa(a.LocalEndpoints) {
		text += fmt.Sprintf(", weight %q", a.Weight)
	}
	if !a.ProxyHealthy {
		text += ", the proxy not healthy"
	}
	return text
}

// CheckHealth answers as the last state has it.
func (m *Model) CheckHealth(_ context.Context, c world.HealthCheck) (world.HealthAnswer, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a := m.told(c)
	if m.unwell != nil {
		m.unwell(m, c, &a)
	}
	return a, nil
}

func (m *Model) told(c world.HealthCheck) world.HealthAnswer {
	is := LatestHealth(m.history, c).Cases[0]
	if is.Status == 0 {
		return world.HealthAnswer{Outcome: world.Reset, At: m.Now()}
	}
	return world.HealthAnswer{Outcome: world.Answered, Status: is.Status, Service: is.Service, LocalEndpoints: is.LocalEndpoints,
		Weight: strconv.Itoa(is.LocalEndpoints), ProxyHealthy: true, At: m.Now()}
}

// HealthInForce is true: Apply puts all in force.
func (m *Model) HealthInForce() bool { return true }
