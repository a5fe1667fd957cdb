package proxies_test

import (
	"context"
	"math/rand/v2"
	"testing"

	"svclab/reports/verdict"
	"svclab/sim/engine"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

// A proxy whose work depends on the way is found: this mutant keeps the endpoints that were removed.
func TestExpansionsSeeHistory(t *testing.T) {
	s := bundled(t, "myservice")[0]
	for _, tt := range []struct {
		proxy string
		want  verdict.Verdict
	}{{"nftables", verdict.Pass}, {"nftables~keeps-removed", verdict.Fail}} {
		p, err := proxies.Find(tt.proxy)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range engine.Expanders {
			if tt.want == verdict.Fail && e.Name != "twice" {
				continue
			}
			c := engine.Expand(context.Background(), s, e, engine.Options{Proxy: tt.proxy, Seed: 1,
				Open: func(ctx context.Context, top *world.Topology, _ *rand.Rand) (world.World, error) {
					return lab.Open(ctx, lab.Options{Topology: top, Proxy: p.Opener(top)})
				}})
			if c.Verdict != tt.want {
				t.Errorf("%s: %s: %s; want %s", c.ID(), c.Verdict, c.Why, tt.want)
			}
		}
	}
}
