package proxies_test

import (
	"testing"
	"time"

	"svclab/reports/verdict"
	"svclab/sim/proxies"
)

// The proxy of a node is killed and comes back two seconds later, under 500 new connections a second for 10 s: none is
// lost, none is answered wrongly.
func TestRestartUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("takes ten seconds a backend; CI runs it without -short")
	}
	for _, p := range proxies.All {
		t.Run(p.Name, func(t *testing.T) {
			s := bundled(t, "restart")[0]
			for i := range s.Steps {
				if r := s.Steps[i].Restart; r != nil {
					restart, during := *r, *r.During
					during.Flows, during.Rate = 5000, 500
					restart.During, restart.Down = &during, 2*time.Second
					s.Steps[i].Restart = &restart
				}
			}
			c := inLab(t, s, p.Name)
			if c.Verdict != verdict.Pass {
				t.Errorf("%s: %s: %s", c.ID(), c.Verdict, c.Why)
			}
			sent := 0
			for _, step := range c.Steps {
				for _, f := range step.Flows {
					if step.Kind == "restart" {
						sent += f.Sent
					}
				}
				t.Log(step.Notes)
			}
			if sent < 5000 {
				t.Errorf("only %d flows", sent)
			}
		})
	}
}
