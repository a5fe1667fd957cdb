package proxies_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"svclab/reports/verdict"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
)

// Many clients, each a pod of its own, are pinned to three endpoints. One endpoint is removed: its clients move, the others
// stay. The oracle knows of each client where it belongs. It is a thousand where the kernel can remember as many:
// xt_recent, which the iptables backend uses as kube-proxy does, forgets all but the last 100 of each list (row AFF-9),
// and with more clients than that chance could give an endpoint too many.
func TestAThousandClientsStay(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand pods take some seconds; CI runs it without -short")
	}
	for _, p := range proxies.All {
		clients := 1000
		if strings.HasPrefix(p.Name, "iptables") {
			clients = 100
		}
		t.Run(p.Name, func(t *testing.T) { manyStay(t, p.Name, clients) })
	}
}

func manyStay(t *testing.T, proxy string, clients int) {
	var objects strings.Builder
	var from []string
	for i := range clients {
		name := fmt.Sprintf("client-%04d", i)
		from = append(from, "pod/"+name)
		fmt.Fprintf(&objects, "---\n{apiVersion: v1, kind: Pod, metadata: {name: %s}, spec: {nodeName: node-1, containers: [{name: c}]}, status: {podIP: 10.1.%d.%d}}\n", name, i/200, i%200+1)
	}
	for i := range 3 {
		fmt.Fprintf(&objects, "---\n{apiVersion: v1, kind: Pod, metadata: {name: web-%d, labels: {app: web}}, spec: {nodeName: node-1, containers: [{name: c, ports: [{containerPort: 80}]}]}, status: {podIP: 10.1.9.%d}}\n", i, i+1)
	}
	probe := fmt.Sprintf("  - probe: {from: [%s], to: service/web:80, flows: 2}\n", strings.Join(from, ", "))
	text := "apiVersion: svclab/v1alpha1\nkind: Scenario\nmetadata: {name: thousand}\nspec:\n  steps:\n" + probe + "  - change: {delete: pod/web-2}\n" + probe +
		"---\n{apiVersion: v1, kind: Node, metadata: {name: node-1}, spec: {podCIDRs: [10.1.0.0/16]}}\n" + objects.String() +
		"---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {sessionAffinity: ClientIP, selector: {app: web}, ports: [{port: 80}]}}\n"
	s, err := scenario.Parse("thousand.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	c := inLab(t, s.Variants()[0], proxy)
	if c.Verdict != verdict.Pass {
		t.Fatalf("%s: %s", c.Verdict, c.Why)
	}
	where := func(step int) map[string]string {
		at := map[string]string{}
		for _, f := range c.Steps[step].Flows {
			if len(f.Answers) != 1 {
				t.Errorf("%s was answered by %v", f.From, f.Answers)
			}
			at[f.From] = f.Answers[0].Who
		}
		return at
	}
	before, after := where(0), where(2)
	if len(before) != clients || len(after) != clients {
		t.Fatalf("%d clients before and %d after, want %d", len(before), len(after), clients)
	}
	moved := 0
	for client, who := range before {
		switch {
		case who == "pod/web-2":
			moved++
		case after[client] != who:
			t.Errorf("%s moved from %s to %s, which nobody asked for", client, who, after[client])
		}
	}
	// A third of the choices ± 6 standard deviations: outside of that something is wrong with the choice itself.
	third, wide := float64(clients)/3, 6*math.Sqrt(float64(clients)*2/9)
	if math.Abs(float64(moved)-third) > wide {
		t.Errorf("%d of %d clients had been on web-2", moved, clients)
	}
}

// After the timeout without a new connection the choice is free again: of sixty clients two thirds move, and at least one
// but for a chance of (1/3)^60.
func TestAffinityExpires(t *testing.T) {
	const clients = 60
	var from []string
	var objects strings.Builder
	for i := range clients {
		from = append(from, fmt.Sprintf("pod/client-%d", i))
		fmt.Fprintf(&objects, "---\n{apiVersion: v1, kind: Pod, metadata: {name: client-%d}, spec: {containers: [{name: c}]}}\n", i)
	}
	for i := range 3 {
		fmt.Fprintf(&objects, "---\n{apiVersion: v1, kind: Pod, metadata: {name: web-%d, labels: {app: web}}, spec: {containers: [{name: c, ports: [{containerPort: 80}]}]}}\n", i)
	}
	probe := fmt.Sprintf("  - probe: {from: [%s], to: service/web:80, flows: 2}\n", strings.Join(from, ", "))
	text := "apiVersion: svclab/v1alpha1\nkind: Scenario\nmetadata: {name: expires}\nspec:\n  steps:\n" + probe + probe + "  - wait: 3s\n" + probe +
		"---\n{apiVersion: v1, kind: Node, metadata: {name: node-1}}\n" + objects.String() +
		"---\n{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {sessionAffinity: ClientIP, sessionAffinityConfig: {clientIP: {timeoutSeconds: 2}}, selector: {app: web}, ports: [{port: 80}]}}\n"
	s, err := scenario.Parse("expires.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range proxies.All {
		t.Run(p.Name, func(t *testing.T) {
			c := inLab(t, s.Variants()[0], p.Name)
			if c.Verdict != verdict.Pass {
				t.Fatalf("%s: %s", c.Verdict, c.Why)
			}
			moved := func(from, to int) (n int) {
				for i, f := range c.Steps[from].Flows {
					if f.Answers[0].Who != c.Steps[to].Flows[i].Answers[0].Who {
						n++
					}
				}
				return n
			}
			if n := moved(0, 1); n != 0 {
				t.Errorf("%d clients moved before the timeout", n)
			}
			if n := moved(1, 3); n == 0 {
				t.Error("no client moved after the timeout")
			}
		})
	}
}
