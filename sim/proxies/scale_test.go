package proxies_test

import (
	"testing"

	"svclab/reports/verdict"
)

// The slot miss of the flat layout: a packet reads how many endpoints there are before a commit, and its slot after it.
// 100,000 changes at full speed under 100,000 new flows a family, and no answer may be wrong. That the test can see it
// is the mutant no-second-lookup's business, which is wrong at least 5 times under the same load.
func TestScaleUnderLoad(t *testing.T) {
	if testing.Short() {
		t.Skip("the large numbers are left out with -short; CI runs them without")
	}
	const changes = 100_000
	for _, s := range bundled(t, "scale") {
		stress(s, changes)
		c := inLab(t, s, "nftables")
		if c.Verdict != verdict.Pass {
			t.Errorf("%s: %s: %s", c.ID(), c.Verdict, c.Why)
		}
		for _, step := range c.Steps {
			for _, f := range step.Flows {
				if step.Kind == "change" && f.Sent < changes {
					t.Errorf("%s: only %d flows", c.ID(), f.Sent)
				}
			}
			for _, n := range step.Notes {
				t.Logf("%s: %s", c.ID(), n)
			}
		}
	}
}
