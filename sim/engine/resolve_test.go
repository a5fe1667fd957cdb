package engine

import (
	"net/netip"
	"testing"

	"svclab/proxycore/cluster"
	"svclab/sim/scenario"
)

// An echo goes to an address without a port, and is told so.
func TestEcho(t *testing.T) {
	const text = planHead + `  steps: [{probe: {from: pod/p, to: [service/s/icmp, node/n/icmp, pod/p/icmp, 10.96.0.99/icmp, "service/s:80"]}}]
---
{apiVersion: v1, kind: Node, metadata: {name: n}}
---
{apiVersion: v1, kind: Pod, metadata: {name: p}}
---
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}
`
	s, err := scenario.Parse("echo.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	p, err := planOf(t, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	r := &run{plan: p, scenario: s.Variants()[0]}
	got, err := r.questions(s.Steps[0].Probe)
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []struct {
		to            string
		proto         cluster.Proto
		text, address string
	}{
		{"10.96.0.10:0", cluster.ICMP, "service/s/ICMP", "10.96.0.10/ICMP"},
		{"192.168.50.1:0", cluster.ICMP, "node/n/ICMP", "192.168.50.1/ICMP"},
		{"10.244.1.10:0", cluster.ICMP, "pod/p/ICMP", "10.244.1.10/ICMP"},
		{"10.96.0.99:0", cluster.ICMP, "10.96.0.99/ICMP", "10.96.0.99/ICMP"},
		{"10.96.0.10:80", cluster.TCP, "service/s:80", "10.96.0.10:80/TCP"},
	} {
		q := got[i]
		if q.to != netip.MustParseAddrPort(want.to) || q.proto != want.proto || q.text != want.text || q.address() != want.address {
			t.Errorf("%s %s %q %q, want %+v", q.to, q.proto, q.text, q.address(), want)
		}
	}
}
