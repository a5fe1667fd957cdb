package main

import (
	"errors"
	"fmt"
	"regexp"
	"testing"

	"svclab/reports/verdict"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
)

// The shards of any number are the whole, no case is in two, and none is much larger than its part.
func TestShards(t *testing.T) {
	var names []string
	for s := range 60 {
		for _, v := range []string{"ipv4", "ipv6"} {
			names = append(names, fmt.Sprintf("scenario-%d/%s/nftables", s, v), fmt.Sprintf("scenario-%d/%s/iptables", s, v))
		}
	}
	for n := uint64(1); n <= 8; n++ {
		count := make([]int, n)
		for _, name := range names {
			in := 0
			for i := range n {
				if (shard{i + 1, n}).has(name) {
					in++
					count[i]++
				}
			}
			if in != 1 {
				t.Errorf("%s is in %d of %d shards", name, in, n)
			}
		}
		for i, c := range count {
			if part := len(names) / int(n); c < part/2 || c > part*2 {
				t.Errorf("shard %d/%d has %d of %d cases", i+1, n, c, len(names))
			}
		}
	}
	// Where a case goes must not change: CI systems compare shards over time.
	if !(shard{1, 3}).has("myservice/ipv4/nftables") {
		t.Error("myservice/ipv4/nftables is no longer in shard 1/3")
	}
}

func TestSelection(t *testing.T) {
	s := selection{run: pattern{regexp.MustCompile("ipv4")}, skip: pattern{regexp.MustCompile("^slow/")}}
	if err := s.labels.Set("area in (basics, fronts),!tedious"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, family string
		labels       map[string]string
		want         bool
	}{
		{"a", "ipv4", map[string]string{"area": "basics"}, true},
		{"a", "ipv6", map[string]string{"area": "basics"}, false},
		{"slow", "ipv4", map[string]string{"area": "basics"}, false},
		{"a", "ipv4", map[string]string{"area": "proxy"}, false},
		{"a", "ipv4", map[string]string{"area": "fronts", "tedious": ""}, false},
		{"a", "ipv4", nil, false},
	} {
		one := &scenario.Scenario{Name: c.name, Family: scenario.Family(c.family), Labels: c.labels}
		if got := s.wants(testCase{scenario: one, proxy: proxies.Proxy{Name: "p"}}); got != c.want {
			t.Errorf("%+v: %v", c, got)
		}
	}
}

func TestFailOnSkip(t *testing.T) {
	for _, tt := range []struct {
		verdicts []verdict.Verdict
		want     exitError
	}{
		{[]verdict.Verdict{verdict.Pass}, exitError{0, nil}},
		{[]verdict.Verdict{verdict.Pass, verdict.Skip}, exitError{1, errors.New("--fail-on-skip: 1 skipped")}},
		{[]verdict.Verdict{verdict.Skip, verdict.Skip}, exitError{1, errors.New("--fail-on-skip: 2 skipped")}},
		{[]verdict.Verdict{verdict.Skip, verdict.Broken}, exitError{5, nil}},
	} {
		r := &verdict.Run{}
		for _, v := range tt.verdicts {
			r.Cases = append(r.Cases, verdict.Case{Verdict: v})
		}
		var got exitError
		if errors.As((&runFlags{failOnSkip: true}).ending(r), &got); got.code != tt.want.code || got.Error() != tt.want.Error() {
			t.Errorf("%v: %d %q, want %d %q", tt.verdicts, got.code, got.Error(), tt.want.code, tt.want.Error())
		}
	}
}
