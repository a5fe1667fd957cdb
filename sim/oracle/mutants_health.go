package oracle

import (
	"net/http"
	"strconv"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// mutantsOfHealth tell load balancers something else than they should.
var mutantsOfHealth = []Mutant{
	{Name: "healthy-without-endpoints", Bug: "a node without an endpoint says that it is healthy", Breaks: []string{"LB-15"},
		Scenario: "health-check", Sentence: "has 0 ready endpoints of default/web",
		unwell: func() func(*Model, world.HealthCheck, *world.HealthAnswer) {
			return func(_ *Model, _ world.HealthCheck, a *world.HealthAnswer) {
				if a.Outcome == world.Answered {
					a.Status = http.StatusOK
				}
			}
		}},
	{Name: "counts-terminating", Bug: "a node whose endpoints all terminate says that it is healthy", Breaks: []string{"LB-17"},
		Scenario: "health-check", Sentence: "the node is to be drained",
		unwell: func() func(*Model, world.HealthCheck, *world.HealthAnswer) {
			return func(m *Model, c world.HealthCheck, a *world.HealthAnswer) {
				for svc := range m.history.last.state.Services() {
					_, draining := m.history.last.onNode(svc, m.history.node(c.To.Addr()).Name, c.To.Addr().Is4())
					if svc.String() == a.Service && a.LocalEndpoints == 0 && draining > 0 {
						a.Status, a.LocalEndpoints, a.Weight = http.StatusOK, draining, strconv.Itoa(draining)
					}
				}
			}
		}},
	{Name: "health-everywhere", Bug: "health checks are answered at every address, whatever nodePortAddresses say", Breaks: []string{"LB-19"},
		Scenario: "health-check-addresses", Sentence: "in none of the nodePortAddresses",
		unwell: func() func(*Model, world.HealthCheck, *world.HealthAnswer) {
			return func(m *Model, c world.HealthCheck, a *world.HealthAnswer) {
				was := m.history.settings
				m.history.settings = cluster.Settings{}
				defer func() { m.history.settings = was }()
				*a = m.told(c)
			}
		}},
	{Name: "keeps-health-port", Bug: "the health-check port is answered after externalTrafficPolicy has become Cluster", Breaks: []string{"LB-20"},
		Scenario: "health-check", Sentence: "so nobody listens there",
		unwell: func() func(*Model, world.HealthCheck, *world.HealthAnswer) {
			last := map[world.HealthCheck]world.HealthAnswer{}
			return func(_ *Model, c world.HealthCheck, a *world.HealthAnswer) {
				if was, ok := last[c]; ok && a.Outcome != world.Answered {
					*a = was
				}
				last[c] = *a
			}
		}},
}
