package reports

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"svclab/reports/verdict"
)

// red is a run with one of each verdict.
func redRun() *verdict.Run {
	return &verdict.Run{
		SchemaVersion: 1, Seed: 7, Started: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Took: 1500 * time.Millisecond,
		Command: []string{"svclab", "run"},
		Cases: []verdict.Case{
			{Scenario: "good", About: "All is well.", File: "good.yaml", Variant: "ipv4", Proxy: "nftables", Took: 12 * time.Millisecond,
				Steps: []verdict.Step{{Line: 3, Kind: "probe", Text: "probe pod/a → service/s:80", Flows: []verdict.Flows{{
					From: "pod/a", To: "service/s:80", Address: "10.0.0.1:80/TCP", Sent: 20, Expect: "pod/b or pod/c",
					Answers: []verdict.Answer{{Who: "pod/b", Count: 9}, {Who: "pod/c", Count: 11}}, Sources: []string{"kept"}}}}}},
			{Scenario: "bad", File: "bad.yaml", Variant: "ipv6", Proxy: "nftables", Verdict: verdict.Fail, Took: time.Second,
				Why: "line 5: pod/a → service/s:80: silent for 5 s, but pod/b should have answered", Rerun: "./run.sh run bad.yaml --seed 7",
				Artifacts: map[string]string{"node-n1/rules.txt": "no rules\n"},
				Steps: []verdict.Step{
					{Line: 4, Kind: "change", Text: "delete pod/c", Notes: []string{"2 changes in 1ms"}},
					{Line: 5, Kind: "probe", Text: "probe pod/a → service/s:80", Verdict: verdict.Fail, Flows: []verdict.Flows{{
						From: "pod/a", To: "service/s:80", Address: "[fd00::1]:80/TCP", Sent: 20, Wrongs: 3, Expect: "pod/b",
						Because: []string{"CIP-3: any ready endpoint may answer"},
						Answers: []verdict.Answer{{Who: "pod/b", Count: 17}, {Who: "silent", Count: 3}}, Sources: []string{"node/n1"},
						Wrong: []verdict.Wrong{{Flow: "[fd00::2]:20000 → [fd00::1]:80/TCP", Saw: "silent", Why: "silent for 5 s, but pod/b should have answered"}}}}}}},
			{Scenario: "odd", File: "odd.yaml", Variant: "ipv4", Proxy: "nftables", Verdict: verdict.Broken, Why: "the wire is cut"},
			{Scenario: "poor", File: "poor.yaml", Variant: "ipv4", Proxy: "nftables", Verdict: verdict.Skip, Why: "this machine lacks nftables: make a nat chain: operation not supported"},
		},
	}
}

const redTable = `PASS  good  ipv4 on nftables, 12 ms
      All is well.
  ✓ 1 pod/a → service/s:80  pod/b 9×, pod/c 11×  source kept
FAIL  bad  ipv6 on nftables, 1.0 s
  ✓ 1 delete pod/c
        2 changes in 1ms
  ✗ 2 pod/a → service/s:80  pod/b 17×, silent 3×  source became node/n1  ← 3 WRONG

      WHY   line 5: pod/a → service/s:80: silent for 5 s, but pod/b should have answered
      WHERE bad.yaml:5: probe pod/a → service/s:80
      EXPECTED of pod/a → service/s:80 ([fd00::1]:80/TCP): pod/b
            CIP-3: any ready endpoint may answer
      SEEN  3 of 20 flows wrong
            [fd00::2]:20000 → [fd00::1]:80/TCP: silent for 5 s, but pod/b should have answered
      AGAIN ./run.sh run bad.yaml --seed 7

BROKEN  odd  ipv4 on nftables, 0 ms

      WHY   the wire is cut

SKIP  poor  ipv4 on nftables, 0 ms

      WHY   this machine lacks nftables: make a nat chain: operation not supported

1 passed, 1 failed, 1 broken, 1 skipped  (40 flows judged in 1.5 s, seed 7)
`

func TestTable(t *testing.T) {
	var b bytes.Buffer
	if err := Table(&b, redRun(), Options{}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.String(), redTable); d != "" {
		t.Errorf("table (-got +want):\n%s", d)
	}
	var colored bytes.Buffer
	if err := Table(&colored, redRun(), Options{Color: true}); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(stripAll(colored.String()), redTable); d != "" {
		t.Errorf("without its colours the table differs (-got +want):\n%s", d)
	}
}

func stripAll(s string) string {
	for _, c := range []string{green, red, yellow, magenta, bold, dim, plain} {
		s = string(bytes.ReplaceAll([]byte(s), []byte(c), nil))
	}
	return s
}

func TestJSONReadsBack(t *testing.T) {
	var b bytes.Buffer
	if err := Write(&b, "json", redRun(), Options{}); err != nil {
		t.Fatal(err)
	}
	var got verdict.Run
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := redRun()
	for i := range want.Cases {
		want.Cases[i].Artifacts = nil // files, not report
	}
	if d := cmp.Diff(&got, want); d != "" {
		t.Errorf("read back (-got +want):\n%s", d)
	}
	if err := Write(&b, "yaml", redRun(), Options{}); err == nil || err.Error() != `format "yaml" is none of [table json junit markdown name]` {
		t.Errorf("unknown format: %v", err)
	}
}

func TestFolder(t *testing.T) {
	dir := t.TempDir()
	for range 2 { // twice: the link to the latest is replaced
		path, err := Folder(dir, redRun())
		if err != nil {
			t.Fatal(err)
		}
		for file, want := range map[string]string{"002-bad-ipv6-nftables/node-n1/rules.txt": "no rules\n"} {
			if got, err := os.ReadFile(filepath.Join(dir, "latest", file)); err != nil || string(got) != want {
				t.Errorf("%s: %q, %v", file, got, err)
			}
		}
		for _, file := range []string{"report.json", "report.txt", "report.md", "junit.xml"} {
			if info, err := os.Stat(filepath.Join(path, file)); err != nil || info.Size() == 0 {
				t.Errorf("%s: %v", file, err)
			}
		}
	}
}

func TestExitCodes(t *testing.T) {
	for _, tt := range []struct {
		verdicts []verdict.Verdict
		want     int
	}{
		{nil, 3},
		{[]verdict.Verdict{verdict.Pass, verdict.Skip}, 0},
		{[]verdict.Verdict{verdict.Skip, verdict.Skip}, 4},
		{[]verdict.Verdict{verdict.Pass, verdict.Fail, verdict.Skip}, 1},
		{[]verdict.Verdict{verdict.Fail, verdict.Broken, verdict.Skip}, 5},
	} {
		r := &verdict.Run{}
		for _, v := range tt.verdicts {
			r.Cases = append(r.Cases, verdict.Case{Verdict: v})
		}
		if got := r.ExitCode(); got != tt.want {
			t.Errorf("%v: exit code %d, want %d", tt.verdicts, got, tt.want)
		}
	}
}
