package behaviours

import (
	"bytes"
	"context"
	"flag"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/reports/verdict"
	"svclab/scenarios"
	"svclab/sim/oracle"
	"svclab/sim/scenario"
)

var update = flag.Bool("update", false, "write the golden files anew")

// few are two small scenarios: one covers what a mutant breaks, the other claims a row that none of its questions asks about.
func few(t *testing.T) (all []*scenario.Scenario) {
	t.Helper()
	for name, covers := range map[string]string{"asks": "CIP-1, CIP-6, CIP-11", "claims": "CIP-6, NE-1"} {
		from := map[string]string{"asks": "[pod/client, client/laptop]", "claims": "pod/client"}[name]
		s, err := scenario.Parse(name+".yaml", []byte(`
apiVersion: svclab/v1alpha1
kind: Scenario
metadata: {name: `+name+`}
spec:
  covers: [`+covers+`]
  clients: [{name: laptop}]
  steps: [{probe: {from: `+from+`, to: service/web:80}}]
---
{apiVersion: v1, kind: Node, metadata: {name: n}}
---
{apiVersion: v1, kind: Pod, metadata: {name: client}, spec: {nodeName: n}}
---
{apiVersion: v1, kind: Pod, metadata: {name: web, labels: {app: web}}, spec: {nodeName: n, containers: [{name: c, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{port: 80}]}}
`))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b *scenario.Scenario) int { return bytes.Compare([]byte(a.Name), []byte(b.Name)) })
	return all
}

func mutantsNamed(t *testing.T, names ...string) (out []oracle.Mutant) {
	t.Helper()
	for _, n := range names {
		i := slices.IndexFunc(oracle.Mutants, func(m oracle.Mutant) bool { return m.Name == n })
		if i < 0 {
			t.Fatalf("there is no mutant %s", n)
		}
		out = append(out, oracle.Mutants[i])
	}
	return out
}

func small(t *testing.T) Set {
	return Set{
		Rows: []oracle.Row{
			{ID: "CIP-1", Text: "A pod's address is kept.", Source: "svc:1020"}, {ID: "CIP-11", Text: "An unknown port is not served."},
			{ID: "CIP-6", Text: "An outside client is masqueraded.", Freedom: "Which address | any."},
			{ID: "NE-1", Text: "Without endpoints it is refused."}, {ID: "HP-1", Text: "A pod reaches itself."}, {ID: "NP-1", Text: "A NodePort."},
		},
		Rest: []oracle.Unjudged{
			{ID: "CIP-7", Text: "It shows in the rules.", Reason: "no packet tells", DumpOnly: true},
			{ID: "CIP-1", Text: "A pod's address is kept.", Reason: "written before it was judged"},
			{ID: "NP-1", Text: "A NodePort.", Reason: "needs a kernel of another kind"},
		},
		Scenarios: few(t),
		Mutants:   mutantsNamed(t, "masquerades-pods", "keeps-outside-source", "silent-without-endpoints", "no-hairpin-masquerade"),
	}
}

func compute(t *testing.T, set Set) *Table {
	t.Helper()
	table, err := Compute(context.Background(), set, Options{})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// run is a report with something of everything.
func run() *verdict.Run {
	of := func(scenario, variant, proxy string, v verdict.Verdict) verdict.Case {
		return verdict.Case{Scenario: scenario, Variant: variant, Proxy: proxy, Verdict: v}
	}
	return &verdict.Run{Cases: []verdict.Case{
		of("asks", "ipv4", "nftables", verdict.Pass), of("asks", "ipv6", "nftables", verdict.Pass),
		of("asks", "ipv4", "nftables~no-masquerade", verdict.Fail), of("asks", "ipv4+reversed", "nftables", verdict.Fail),
		of("asks", "ipv4", "iptables", verdict.Pass), of("asks", "ipv6", "iptables", verdict.Fail),
		of("asks", "ipv4", "kube-proxy/nftables@v1.33.13", verdict.Known), of("asks", "ipv6", "kube-proxy/nftables@v1.33.13", verdict.Pass),
		of("asks", "ipv4", "broken", verdict.Broken), of("asks", "ipv4", "skipped", verdict.Skip), of("claims", "ipv4", "skipped", verdict.Pass),
	}}
}

func TestWrite(t *testing.T) {
	table := compute(t, small(t))
	table.Report = "report.json"
	table.Fill([]string{"nftables", "iptables", "ebpf"}, run())
	for _, format := range Formats {
		t.Run(format, func(t *testing.T) {
			var got bytes.Buffer
			if err := Write(&got, format, table); err != nil {
				t.Fatal(err)
			}
			golden := filepath.Join("testdata", "small."+format)
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(got.String(), string(want)); d != "" {
				t.Errorf("(-got +want):\n%s", d)
			}
		})
	}
}

// A row is judged only while a mutant is there to show it, and while the model is green.
func TestJudgedIsComputed(t *testing.T) {
	state := func(set Set, id string) (State, string) {
		table := compute(t, set)
		i := slices.IndexFunc(table.Rows, func(r Row) bool { return r.ID == id })
		return table.Rows[i].State, table.Rows[i].Reason
	}
	without := small(t)
	without.Mutants = without.Mutants[1:]
	impossible := small(t)
	for _, s := range impossible.Scenarios {
		s.Steps[0].Probe.Expect = "refused"
	}
	uncovered := small(t)
	for _, s := range uncovered.Scenarios {
		s.Covers = nil
	}
	for _, tt := range []struct {
		name   string
		set    Set
		row    string
		state  State
		reason string
	}{
		{"covered and seen red", small(t), "CIP-6", Judged, ""},
		{"its mutant is taken away", without, "CIP-1", Unjudged, "written before it was judged"},
		{"no mutant breaks it", small(t), "CIP-11", Unjudged, "no mutant breaks it"},
		{"the claim of a scenario that does not ask", small(t), "NE-1", Unjudged, "its mutants turn nothing red that covers it"},
		{"no scenario claims it", uncovered, "CIP-6", Unjudged, "no scenario covers it"},
		{"the scenario cannot be satisfied", impossible, "CIP-6", Unjudged, "the model itself fails what covers it"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if s, reason := state(tt.set, tt.row); s != tt.state || reason != tt.reason {
				t.Errorf("%s: got %s, %q, want %s, %q", tt.row, s, reason, tt.state, tt.reason)
			}
		})
	}
}

// The real table: every row that has a mutant and a scenario is judged, and with its mutants taken away it is not.
func TestTheRealTable(t *testing.T) {
	set := Set{Rows: oracle.Rows, Rest: oracle.NotJudged, Mutants: oracle.Mutants}
	err := fs.WalkDir(scenarios.Files, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || path.Ext(p) != ".yaml" || p == "known.yaml" {
			return err
		}
		text, err := fs.ReadFile(scenarios.Files, p)
		if err != nil {
			return err
		}
		s, err := scenario.Parse("scenarios/"+p, text)
		set.Scenarios = append(set.Scenarios, s)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	table := compute(t, set)
	if n := table.Judged + table.DumpOnly + table.Unjudged; n != len(table.Rows) || table.Judged == 0 {
		t.Errorf("%d rows in states, of %d, %d judged", n, len(table.Rows), table.Judged)
	}
	for _, r := range table.Rows {
		if r.State == Unjudged && len(r.Mutants) > 0 && len(r.Scenarios) > 0 {
			t.Errorf("%s: the mutants %v turn none of %v red: %s", r.ID, r.Mutants, r.Scenarios, r.Reason)
		}
	}
	t.Log(table.Summary())
	const row = "CIP-6"
	of := func(table *Table) State {
		return table.Rows[slices.IndexFunc(table.Rows, func(r Row) bool { return r.ID == row })].State
	}
	fewer := set
	fewer.Mutants = slices.DeleteFunc(slices.Clone(set.Mutants), func(m oracle.Mutant) bool { return slices.Contains(m.Breaks, row) })
	if with, without := of(table), of(compute(t, fewer)); with != Judged || without != Unjudged {
		t.Errorf("%s is %s with its mutants, %s without", row, with, without)
	}
}
