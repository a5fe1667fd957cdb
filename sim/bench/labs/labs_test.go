package labs

import (
	"context"
	"errors"
	"testing"

	"svclab/nsnet/nstest"
	"svclab/reports/measure"
	"svclab/sim/proxies"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// TestRun measures small labs of every family: each clock has its samples, and what a pod takes is what it takes.
func TestRun(t *testing.T) {
	nstest.Need(t, "nftables", "veth", "bridge")
	p, err := proxies.Find("nftables")
	if err != nil {
		t.Fatal(err)
	}
	for family, files := range map[string]float64{"dual": 3, "ipv4": 2, "ipv6": 2} {
		t.Run(family, func(t *testing.T) {
			r := &measure.Run{Kind: measure.Lab}
			said := 0
			o := Options{Proxy: p, Nodes: 3, Pods: []int{4, 25}, Family: family, Repeat: 2, Progress: func(done, total float64, _ string) {
				said++
				if done >= total {
					t.Errorf("%v of %v done before the last lab", done, total)
				}
			}}
			if err := Run(t.Context(), o, r); err != nil {
				t.Fatal(err)
			}
			if said != 4 {
				t.Errorf("said %d times how far it is, want 4", said)
			}
			for _, pods := range o.Pods {
				for _, want := range []struct {
					work, clock string
					n           int
				}{{"opened", "", 2}, {"first verdict", "", 2}, {"closed", "", 2}, {"closed", "kernel", 2}, {"one pod", "process memory", 2}, {"one pod", "open files", 2}, {"one pod", "kernel memory", 1}} {
					row := r.Find(measure.Key{Work: want.work, Clock: want.clock, Proxy: "nftables", Nodes: 3, Pods: pods})
					if row == nil || len(row.Samples) != want.n {
						t.Errorf("%d pods, %s %s: %+v, want %d samples", pods, want.work, want.clock, row, want.n)
						continue
					}
					if row.Unit == measure.Seconds && row.Samples[0] <= 0 {
						t.Errorf("%d pods, %s %s: %v", pods, want.work, want.clock, row.Samples)
					}
				}
			}
			perPod := func(pods int) float64 {
				return float64(pods) * r.Find(measure.Key{Work: "one pod", Clock: "open files", Proxy: "nftables", Nodes: 3, Pods: pods}).Samples[1]
			}
			if got := (perPod(25) - perPod(4)) / 21; got < files-0.2 || got > files+0.2 {
				t.Errorf("a pod more has %.2f files open, want %v", got, files)
			}
		})
	}
}

func TestRunIsStopped(t *testing.T) {
	nstest.Need(t, "nftables", "veth", "bridge")
	p, _ := proxies.Find("nftables")
	ctx, cancel := context.WithCancel(t.Context())
	o := Options{Proxy: p, Nodes: 1, Pods: []int{1}, Family: "ipv4", Repeat: 3, Progress: func(done, _ float64, _ string) {
		if done == 1 {
			cancel()
		}
	}}
	r := &measure.Run{Kind: measure.Lab}
	if err := Run(ctx, o, r); !errors.Is(err, context.Canceled) || len(r.Rows) == 0 {
		t.Errorf("got %v and %d rows, want that it was stopped, and what was measured until then", err, len(r.Rows))
	}
}

// TestTopology: no address is given twice, also at the largest, and each pod is in its node's range.
func TestTopology(t *testing.T) {
	top := topologyOf(MaxNodes, 3*MaxNodes, "dual")
	seen := map[string]bool{}
	take := func(text string) {
		if seen[text] {
			t.Fatalf("%s is there twice", text)
		}
		seen[text] = true
	}
	cidrs := map[string]int{}
	for i, n := range top.Nodes {
		cidrs[n.Name] = i
		for k, a := range n.Addrs {
			take(a.String())
			take(n.PodCIDRs[k].String())
		}
	}
	for _, p := range top.Pods {
		for k, a := range p.Addrs {
			take(a.String())
			if in := top.Nodes[cidrs[p.Node]].PodCIDRs[k]; !in.Contains(a) {
				t.Errorf("%s is at %s, and its node has %s", p.Place, a, in)
			}
		}
	}
	for i := range services(len(top.Pods)) {
		for _, f := range families("dual") {
			take(vip(f, i).String())
		}
	}
	node, number := place(MaxPodsPerNode-1, 1)
	for _, f := range families("dual") {
		if !podCIDR(f, node).Contains(podAddr(f, node, number)) {
			t.Errorf("the last pod of a node is out of its range %s", podCIDR(f, node))
		}
	}
}
