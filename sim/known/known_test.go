package known

import (
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"svclab/reports/verdict"
	"svclab/scenarios"
)

const one = `
- case: flush
  proxy: kube-proxy/nft*
  versions: ">=v1.30.0 <=v1.36.3"
  issue: "#1"
  why: it does not look
  wrong: should have answered
`

func failed(why ...string) verdict.Case {
	s := verdict.Step{Verdict: verdict.Fail}
	for _, w := range why {
		s.Flows = append(s.Flows, verdict.Flows{Wrongs: 1, Wrong: []verdict.Wrong{{Why: w}}})
	}
	return verdict.Case{Scenario: "flush", Variant: "ipv4", Verdict: verdict.Fail, Steps: []verdict.Step{{}, s}}
}

func TestJudge(t *testing.T) {
	l, err := Parse("k.yaml", []byte(one))
	if err != nil {
		t.Fatal(err)
	}
	sometimes, err := Parse("k.yaml", []byte(one+"  sometimes: chance\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name    string
		list    *List
		c       verdict.Case
		proxy   string
		version string
		want    verdict.Verdict
	}{
		{"as known", l, failed("x should have answered"), "kube-proxy/nftables", "v1.36.3", verdict.Known},
		{"of an unknown version", l, failed("x should have answered"), "kube-proxy/nftables", "", verdict.Known},
		{"another version", l, failed("x should have answered"), "kube-proxy/nftables", "v1.37.0", verdict.Fail},
		{"an older version", l, failed("x should have answered"), "kube-proxy/nftables", "v1.29.9", verdict.Fail},
		{"another proxy", l, failed("x should have answered"), "kube-proxy/iptables", "v1.36.3", verdict.Fail},
		{"something else is wrong too", l, failed("x should have answered", "unfair"), "kube-proxy/nftables", "v1.36.3", verdict.Fail},
		{"another wrong answer", l, failed("unfair"), "kube-proxy/nftables", "v1.36.3", verdict.Fail},
		{"it passes", l, verdict.Case{Scenario: "flush"}, "kube-proxy/nftables", "v1.36.3", verdict.Fail},
		{"it passes, as it may", sometimes, verdict.Case{Scenario: "flush"}, "kube-proxy/nftables", "v1.36.3", verdict.Pass},
		{"the lab broke", l, verdict.Case{Scenario: "flush", Verdict: verdict.Broken}, "kube-proxy/nftables", "v1.36.3", verdict.Broken},
		{"another case passes", l, verdict.Case{Scenario: "ports"}, "kube-proxy/nftables", "v1.36.3", verdict.Pass},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.list.Judge(&c.c, c.proxy, c.version)
			if c.c.Verdict != c.want || (c.want == verdict.Known) != (c.c.Known == "#1: it does not look") {
				t.Errorf("%s, %q, %q", c.c.Verdict, c.c.Known, c.c.Why)
			}
		})
	}
}

func TestBadLists(t *testing.T) {
	for text, want := range map[string]string{
		strings.Replace(one, "wrong:", "wrogn:", 1):          "k.yaml:7:1: unmarshal errors:\n  line 7: field wrogn not found in type known.Entry",
		strings.Replace(one, "why: it does not look", "", 1): "k.yaml:2:3: the entry has no why",
		strings.Replace(one, "<=v1.36.3", "=>v1", 1):         `k.yaml:2:3: versions ">=v1.30.0 =>v1": write for example "<=v1.36.3" or ">=v1.33.0 <v1.37.0"`,
		strings.Replace(one, "kube-proxy/nft*", "\"[\"", 1):  "k.yaml:2:3: proxy \"[\" is no pattern such as kube-proxy/iptables*",
	} {
		if _, err := Parse("k.yaml", []byte(text)); err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// Every entry is of a scenario that there is.
func TestTheListItself(t *testing.T) {
	l, err := Parse(scenarios.KnownFile, scenarios.Known)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	_ = fs.WalkDir(scenarios.Files, ".", func(p string, _ fs.DirEntry, err error) error {
		all = append(all, strings.TrimSuffix(path.Base(p), ".yaml"))
		return err
	})
	if len(l.Cases()) == 0 {
		t.Error("no entry")
	}
	for _, name := range l.Cases() {
		if !slices.Contains(all, name) {
			t.Errorf("an entry is about %s, which is no bundled scenario", name)
		}
	}
}
