package engine

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/proxycore/cluster"
	"svclab/sim/scenario"
)

func planOf(t *testing.T, text string, variant int) (*plan, error) {
	t.Helper()
	s, err := scenario.Parse("plan.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return newPlan(s.Variants()[variant], cluster.Mode{})
}

const planHead = "apiVersion: svclab/v1alpha1\nkind: Scenario\nmetadata: {name: plan}\nspec:\n"

// Further addresses of a node, what proxies are told and the underlay's MTU come to the lab, in both families.
func TestPlanOfNodes(t *testing.T) {
	const text = planHead + `  proxy: {nodePortAddresses: 192.168.60.0/24}
  mtu: 1400
  steps: [{probe: everything}]
---
apiVersion: v1
kind: Node
metadata: {name: n}
status: {addresses: [{type: InternalIP, address: 192.168.50.7}, {type: InternalIP, address: 192.168.60.7}]}
---
{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {hostNetwork: true}}
---
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}
`
	for i, want := range []string{
		"[192.168.50.7] [192.168.60.7] pod [192.168.50.7] [192.168.60.0/24] 1400 node/n node/n",
		"[fd00:192:168:50::7] [fd00:192:168:60::7] pod [fd00:192:168:50::7] [fd00:192:168:60::/64] 1400 node/n node/n",
	} {
		p, err := planOf(t, text, i)
		if err != nil {
			t.Fatal(err)
		}
		n := p.topology.Nodes[0]
		got := fmt.Sprintf("%v %v pod %v %v %d %s %s", n.Addrs, n.More, p.topology.Pods[0].Addrs, p.topology.Settings.NodePortAddresses, p.topology.MTU, p.places[n.Addrs[0]], p.places[n.More[0]])
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A node keeps its addresses, and shares none.
func TestPlanRefusesAddresses(t *testing.T) {
	const node = "{apiVersion: v1, kind: Node, metadata: {name: n}, status: {addresses: [{type: InternalIP, address: 192.168.50.7}, {type: InternalIP, address: %s}]}}"
	const text = planHead + "  clients: [{name: c, addresses: 192.168.9.9}]\n  steps: [{change: {apply: " + node + "}}]\n---\n" + node + "\n"
	if _, err := planOf(t, fmt.Sprintf(text, "192.168.60.7", "192.168.60.7"), 0); err != nil {
		t.Error(err)
	}
	_, err := planOf(t, fmt.Sprintf(text, "192.168.60.8", "192.168.60.7"), 0)
	if want := `node/n has [192.168.50.7 192.168.60.7] on node "" in one state and [192.168.50.7 192.168.60.8] on node "" in another; give the second another name`; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// What is given out is never what is written: not by a later step, nor in a patch, nor for health checks, nor as a VIP.
func TestPlanGivesOutWhatNobodyWrites(t *testing.T) {
	const text = planHead + `  steps:
  - change: {merge: {service/a: {spec: {ports: [{port: 80, nodePort: 30000}]}}}}
  - change: {apply: {apiVersion: v1, kind: Service, metadata: {name: c}, spec: {type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30001, ports: [{port: 80, nodePort: 30002}]}}}
---
{apiVersion: v1, kind: Node, metadata: {name: n}}
---
{apiVersion: v1, kind: Service, metadata: {name: a}, spec: {type: NodePort, externalIPs: [192.168.50.1], ports: [{port: 80}]}}
---
apiVersion: v1
kind: Service
metadata: {name: b}
spec: {type: LoadBalancer, externalTrafficPolicy: Local, ports: [{port: 80}]}
status: {loadBalancer: {ingress: [{ip: 10.96.0.10}]}}
`
	p, err := planOf(t, text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range p.states {
		for _, name := range []string{"a", "b", "c"} {
			if svc := s.Service(cluster.Key{Namespace: "default", Name: name}); svc != nil {
				o := svc.Object
				got = append(got, fmt.Sprint(name, " ", o.Spec.ClusterIP, " ", o.Spec.Ports[0].NodePort, " ", o.Spec.HealthCheckNodePort))
			}
		}
	}
	if d := cmp.Diff(got, []string{
		"a 10.96.0.11 30003 0", "b 10.96.0.12 30004 30005",
		"a 10.96.0.11 30000 0", "b 10.96.0.12 30004 30005",
		"a 10.96.0.11 30000 0", "b 10.96.0.12 30004 30005", "c 10.96.0.13 30002 30001",
	}); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
	if got := p.topology.Nodes[0].Addrs[0].String(); got != "192.168.50.2" {
		t.Errorf("node/n has %s, which is somebody's externalIP", got)
	}
}
