package main

import (
	"strings"
	"testing"

	"svclab/reports/measure"
)

func TestBenchLabUsage(t *testing.T) {
	for args, want := range map[string]string{
		"--pods 0":                `invalid argument "0" for "--pods" flag: must be numbers of at least 1 with commas between, as in 100,1000`,
		"--pods 100,x":            `invalid argument "100,x" for "--pods" flag: must be numbers of at least 1 with commas between, as in 100,1000`,
		"--pods 10,10":            `invalid argument "10,10" for "--pods" flag: 10 is there twice`,
		"--pods 9000 --nodes 2":   "--pods 9000: must be at most 8000, which is 4000 for each of the 2 nodes",
		"--nodes 1001":            `invalid argument "1001" for "--nodes" flag: must be at most 1000`,
		"--family both":           `invalid argument "both" for "--family" flag: must be one of dual, ipv4, ipv6`,
		"--proxy nftables~nobody": `proxy "nftables~nobody": there is no mutant "nobody"`,
	} {
		code, stdout, stderr := svclab(t, "", nil, append([]string{"bench", "lab"}, strings.Fields(args)...)...)
		if code != exitUsage || stdout != "" || !strings.HasPrefix(stderr, "svclab: "+want) {
			t.Errorf("%s: exit %d, %q, %q, want %d and %q", args, code, stdout, stderr, exitUsage, want)
		}
	}
}

// TestBenchLab measures two small labs from the command line, and what it writes can be read.
func TestBenchLab(t *testing.T) {
	needSandbox(t)
	code, stdout, stderr := svclab(t, "", nil, "bench", "lab", "-q", "-o", "json", "--nodes", "2", "--pods", "3,6", "--repeat", "2", "--family", "ipv4")
	if code != 0 {
		t.Fatalf("exit %d, %s", code, stderr)
	}
	r, err := measure.Read(strings.NewReader(stdout))
	if err != nil {
		t.Fatal(err)
	}
	for _, pods := range []int{3, 6} {
		for _, work := range []string{"opened", "first verdict", "closed"} {
			row := r.Find(measure.Key{Work: work, Proxy: "nftables", Nodes: 2, Pods: pods})
			if row == nil || len(row.Samples) != 2 {
				t.Errorf("%d pods, %s: %+v, want 2 samples", pods, work, row)
			}
		}
	}
	if r.Kind != measure.Lab || r.Flags["pods"] != "3,6" || r.Flags["family"] != "ipv4" {
		t.Errorf("a run of kind %s with flags %v", r.Kind, r.Flags)
	}
}
