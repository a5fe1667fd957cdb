package proxies_test

import (
	"context"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path"
	"strings"
	"testing"

	"svclab/nsnet/nstest"
	"svclab/proxycore/mutant"
	"svclab/reports/verdict"
	"svclab/scenarios"
	"svclab/sim/engine"
	"svclab/sim/lab"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

func TestMain(m *testing.M) { nstest.Main(m, forgetProgram) }

// bundled reads the scenario of that name, in both families.
func bundled(t testing.TB, name string) (variants []*scenario.Scenario) {
	t.Helper()
	err := fs.WalkDir(scenarios.Files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || path.Base(p) != name+".yaml" {
			return err
		}
		text, err := fs.ReadFile(scenarios.Files, p)
		if err != nil {
			return err
		}
		s, err := scenario.Parse("scenarios/"+p, text)
		if err == nil {
			variants = s.Variants()
		}
		return err
	})
	if err != nil || variants == nil {
		t.Fatalf("scenario %s: %v", name, err)
	}
	return variants
}

// inLab runs one variant with real packets.
func inLab(t testing.TB, s *scenario.Scenario, proxy string) verdict.Case {
	t.Helper()
	nstest.Need(t, "nftables", "veth", "bridge")
	p, err := proxies.Find(proxy)
	if err != nil {
		t.Fatal(err)
	}
	return engine.Run(context.Background(), s, engine.Options{
		Proxy: proxy, Seed: 1,
		Open: func(ctx context.Context, top *world.Topology, _ *rand.Rand) (world.World, error) {
			return lab.Open(ctx, lab.Options{Topology: top, Proxy: p.Opener(top)})
		},
	})
}

func sentence(c verdict.Case, words string) string {
	for _, s := range c.Steps {
		for _, f := range s.Flows {
			for _, w := range f.Wrong {
				if strings.Contains(w.Why, words) {
					return w.Why
				}
			}
		}
	}
	return ""
}

// Every kernel mutant is killed, in both families, by the scenario and the sentence that it names. One that needs
// stress has the machine for itself.
func TestKernelMutantsAreKilled(t *testing.T) {
	for _, m := range mutant.Mutants {
		var all []*scenario.Scenario
		for _, name := range append([]string{m.Scenario}, m.Also...) {
			all = append(all, bundled(t, name)...)
		}
		for _, s := range all {
			if m.Family != "" && m.Family != string(s.Family) {
				continue
			}
			t.Run(m.Name+"/"+s.Name+"/"+string(s.Family), func(t *testing.T) {
				if m.Stress == 0 {
					t.Parallel()
				} else if testing.Short() {
					return
				} else {
					stress(s, m.Stress)
				}
				c := inLab(t, s, "nftables~"+m.Name)
				why := sentence(c, m.Sentence)
				if c.Verdict != verdict.Fail || why == "" {
					t.Errorf("%s: %s (%s), without the words %q", c.ID(), c.Verdict, c.Why, m.Sentence)
				}
				fmt.Printf("mutant  %-38s %-7s killed by %-24s %s\n", c.Proxy, m.Breaks, s.Name+"/"+string(s.Family), why)
			})
		}
	}
}

// Every bundled scenario can fail: there is a mutant that it must kill.
func TestEveryScenarioHasAMutant(t *testing.T) {
	has := map[string]bool{}
	for _, m := range mutant.Mutants {
		for _, name := range append([]string{m.Scenario}, m.Also...) {
			has[name] = true
		}
	}
	count := 0
	err := fs.WalkDir(scenarios.Files, ".", func(p string, d fs.DirEntry, err error) error {
		if name, is := strings.CutSuffix(path.Base(p), ".yaml"); is && err == nil {
			count++
			if !has[name] {
				t.Errorf("no mutant of the kernel is killed by %s", p)
			}
		}
		return err
	})
	if err != nil || count == 0 {
		t.Fatalf("%d scenarios: %v", count, err)
	}
}

// A mutant that turns everything red would prove nothing: each leaves some scenario in peace.
func TestKernelMutantsAreFocused(t *testing.T) {
	for _, m := range mutant.Mutants {
		t.Run(m.Name, func(t *testing.T) {
			t.Parallel()
			c := inLab(t, bundled(t, m.Peaceful)[0], "nftables~"+m.Name)
			if c.Verdict != verdict.Pass {
				t.Errorf("%s should not be noticed by %s: %s", m.Name, c.ID(), c.Why)
			}
		})
	}
}

// stress puts large numbers in place of the bundled ones.
func stress(s *scenario.Scenario, n int) {
	for i := range s.Steps {
		if c := s.Steps[i].Change; c != nil && c.During != nil {
			change, during := *c, *c.During
			change.Repeat, during.Flows = n, n
			change.During = &during
			s.Steps[i].Change = &change
		}
	}
}

// A mutant that deletes rules by one backend's names for them would be harmless elsewhere, and so prove nothing there.
func TestFindRefusesMutantsOfOtherLayouts(t *testing.T) {
	for _, m := range mutant.Mutants {
		for _, p := range proxies.All {
			_, err := proxies.Find(p.Name + "~" + m.Name)
			if (err == nil) != (m.Only == "" || m.Only == p.Name) {
				t.Errorf("%s~%s: %v", p.Name, m.Name, err)
			}
		}
	}
	if _, err := proxies.Find("iptables-nft~no-hairpin"); err == nil {
		t.Error("iptables-nft~no-hairpin was found")
	}
}
