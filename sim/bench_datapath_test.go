package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"svclab/reports/measure"
	"svclab/sim/proxies"
)

func TestWrongUsageOfBenchDatapath(t *testing.T) {
	for args, want := range map[string]string{
		"--services 10":             "svclab: --services 10: must be at least 40, so that each kind is at the beginning, in the middle and at the end\n",
		"--services 70000":          "svclab: invalid argument \"70000\" for \"--services\" flag: must be at most 65000\n",
		"--endpoints 0":             "svclab: invalid argument \"0\" for \"--endpoints\" flag: must be a number of at least 1\n",
		"--samples 1001":            "svclab: invalid argument \"1001\" for \"--samples\" flag: must be at most 1000\n",
		"--works packets,walks":     "svclab: --works: there is no work \"walks\"; there are new-connection, new-flow, connections, requests, packets, throughput\n",
		"--budget -1s":              "svclab: --budget and --sync-limit must not be negative\n",
		"--proxy nftables,nftables": "svclab: --proxy: nftables is there twice\n",
		"now":                       "svclab: unknown command \"now\" for \"svclab bench datapath\"\n",
	} {
		code, stdout, stderr := svclab(t, "", nil, append([]string{"bench", "datapath"}, strings.Fields(args)...)...)
		if code != 2 || stdout != "" || stderr != want {
			t.Errorf("%s: exit code %d, %q, %q; want 2 and %q", args, code, stdout, stderr, want)
		}
	}
	code, _, stderr := svclab(t, "", nil, "bench", "datapath", "--proxy", "a")
	if code != 2 || !strings.HasPrefix(stderr, `svclab: there is no proxy "a"; there are `) {
		t.Errorf("exit code %d, %q", code, stderr)
	}
}

// A proxy that does nothing is named in the notes of its rows, and the others are measured all the same.
func TestBenchDatapathTellsWhoFailed(t *testing.T) {
	needSandbox(t)
	dir := t.TempDir()
	idle := filepath.Join(dir, "idle.yaml")
	if err := os.WriteFile(idle, []byte("apiVersion: svclab/v1alpha1\nkind: ProxyProfile\nname: idle\ncommand: [sleep, '1000']\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	ours := proxies.All[0].Name
	out := filepath.Join(dir, "out.json")
	code, stdout, stderr := svclab(t, "", nil, "bench", "datapath", "-q", "--proxy", ours+",exec:"+idle, "--services", "40", "--rounds", "1",
		"--samples", "20", "--works", "new-connection", "--sync-limit", "10ms", "--seed", "5", "--json-file", out)
	if code != 1 || !strings.Contains(stdout, "new TCP connection") || stderr != "svclab: not all could be measured: 8 of 18 rows\n" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	text, err := os.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer text.Close()
	r, err := measure.Read(text)
	if err != nil {
		t.Fatal(err)
	}
	if r.Kind != measure.Datapath || r.Seed != 5 || len(r.Rows) != 18 {
		t.Errorf("%+v", r)
	}
	for _, row := range r.Rows {
		failed := row.Proxy == "exec:"+idle
		if want := "reach Service 1 of 40: connect to 10.96.0.10:80: no answer came"; failed != (row.Note == want) || failed != (len(row.Samples) == 0) {
			t.Errorf("%+v", row)
		}
	}
}

func TestBenchDatapathIsJSON(t *testing.T) {
	needSandbox(t)
	code, stdout, stderr := svclab(t, "", nil, "bench", "datapath", "-q", "-o", "json", "--proxy", proxies.All[0].Name, "--services", "40", "--rounds", "1", "--samples", "5")
	var r measure.Run
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 0 || stderr != "" || len(r.Rows) != 60 {
		t.Errorf("exit code %d, %v, %d rows, %q", code, err, len(r.Rows), stderr)
	}
}
