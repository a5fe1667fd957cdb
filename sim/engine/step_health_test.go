package engine_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"

	"svclab/reports/verdict"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// A claim of the author's is held against the oracle's; what never was asked for cannot be asked.
func TestHealthClaims(t *testing.T) {
	for _, tt := range []struct {
		step    string
		verdict verdict.Verdict
		why     string
	}{
		{"{of: service/web, from: client/lb}", verdict.Pass, ""},
		{"{of: service/web, from: client/lb, expect: {status: 200, localEndpoints: 1}}", verdict.Pass, ""},
		{"{of: service/web, from: client/lb, expect: {status: 503}}", verdict.Fail,
			"line 5: client/lb → health of service/web on node/n: 200, 1 endpoint of default/web, as the specification has it, but the file claims \"status: 503\""},
		{"{of: service/web, from: client/lb, expect: {localEndpoints: 2}}", verdict.Fail, "but the file claims \"localEndpoints: 2\""},
	} {
		s, err := scenario.Parse("health.yaml", []byte(`apiVersion: svclab/v1alpha1
kind: Scenario
metadata: {name: health}
spec: {clients: [{name: lb}], steps: [
  {health: `+tt.step+`}]}
---
{apiVersion: v1, kind: Node, metadata: {name: n}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {nodeName: n, containers: [{name: c, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, selector: {app: web}, ports: [{port: 80}]}}
`))
		if err != nil {
			t.Fatal(err)
		}
		synctest.Test(t, func(t *testing.T) {
			c := inWorld(s.Variants()[0], "model", func(t *world.Topology, rng *rand.Rand) world.World { return oracle.NewModel(t, rng) })
			if c.Verdict != tt.verdict || !strings.Contains(c.Why, tt.why) {
				t.Errorf("%s: got %s, %q, want %s, %q", tt.step, c.Verdict, c.Why, tt.verdict, tt.why)
			}
		})
	}
}
