package scenario

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const (
	checkHead = "apiVersion: svclab/v1alpha1\nkind: Scenario\nmetadata: {name: c}\nspec:\n  clients: [{name: laptop}]\n  steps:\n"
	checkTail = `---
{apiVersion: v1, kind: Node, metadata: {name: n}, spec: {podCIDRs: [10.1.0.0/16]}, status: {addresses: [{type: InternalIP, address: 192.168.50.1}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: n}, status: {podIP: 10.1.0.10}}
---
{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {nodeName: n}}
---
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{name: http, port: 80}]}}
`
)

// What looks wrong at first, and is right; and what a mistake before it makes unknowable.
func TestChecksFollowTheSteps(t *testing.T) {
	pod := func(name, rest string) string {
		return "{apiVersion: v1, kind: Pod, metadata: {name: " + name + "}, " + rest + "}"
	}
	for _, c := range []struct{ name, steps, want string }{
		{name: "flows under a change come from who is there before", steps: `
  - change: {delete: pod/a, during: {probe: {from: pod/a, to: service/s:80}}}`},
		{name: "flows under a change come from who is there after", steps: `
  - change: {apply: ` + pod("new", "spec: {nodeName: n}") + `, during: {probe: {from: pod/new, to: service/s:80}}}`},
		{name: "an even number of changes leaves all as it was", steps: `
  - change: {delete: pod/a, repeat: 2}
  - probe: {from: pod/a, to: service/s:80}`},
		{name: "an odd number does not", steps: `
  - change: {delete: pod/a, repeat: 3}
  - probe: {from: pod/a, to: service/s:80}`,
			want: "c.yaml:9:19: there is no pod/a at this step: it was deleted in line 8"},
		{name: "deleted and back", steps: `
  - change: {delete: pod/a}
  - change: {apply: pod/a}
  - probe: {from: pod/a, to: service/s:80}`},
		{name: "the lab keeps a deleted pod alive, and so its address", steps: `
  - change: {delete: pod/a, apply: ` + pod("c", "spec: {nodeName: n}, status: {podIP: 10.1.0.10}") + `}`,
			want: "c.yaml:8:122: 10.1.0.10 was the address of pod/a (line 12), which the lab keeps alive after it is deleted: give pod/c another"},
		{name: "or has ended", steps: `
  - change: {apply: ` + pod("c", "spec: {nodeName: n}, status: {podIP: 10.1.0.10, phase: Failed}") + `}`},
		{name: "pods in the node's network have its address", steps: `
  - change: {apply: [` + pod("c", "spec: {nodeName: n, hostNetwork: true}, status: {podIP: 192.168.50.1}") + `, ` +
			pod("d", "spec: {nodeName: n, hostNetwork: true}, status: {podIP: 192.168.50.1}") + `]}`},
		{name: "an object written in a step can be named by later ones", steps: `
  - change: {apply: ` + pod("c", "spec: {nodeName: n}") + `}
  - change: {delete: pod/c}
  - change: {apply: pod/c}
  - probe: {from: pod/c, to: service/s:http}`},
		{name: "a patched Service has its new ports' names", steps: `
  - change: {merge: {service/s: {spec: {ports: [{name: www, port: 80}]}}}}
  - probe: {from: pod/a, to: [service/s:www, service/s:81]}`},
		{name: "a pod on a node that comes with it", steps: `
  - change: {apply: [` + pod("c", "spec: {nodeName: m}") + `, {apiVersion: v1, kind: Node, metadata: {name: m}}]}`},
		{name: "what belonged to a Service's old type goes", steps: `
  - change: {merge: {service/s: {spec: {type: LoadBalancer, externalTrafficPolicy: Local, healthCheckNodePort: 30001, allocateLoadBalancerNodePorts: false, ports: [{port: 80, nodePort: 30002}]}, status: {loadBalancer: {ingress: [{ip: 192.0.2.1}]}}}}}
  - change: {merge: {service/s: {spec: {externalTrafficPolicy: Cluster}}}}
  - change: {merge: {service/s: {spec: {externalTrafficPolicy: Local}}}}
  - change: {merge: {service/s: {spec: {type: ClusterIP}}}}
  - change: {merge: {service/s: {spec: {type: ExternalName, externalName: a.b, clusterIP: null}}}}
  - change: {merge: {service/s: {spec: {type: NodePort, externalName: null}}}}
  - probe: {from: pod/a, to: service/s:80}`},
		{name: "unless the patch says it", steps: `
  - change: {merge: {service/s: {spec: {type: NodePort, externalTrafficPolicy: Local, ports: [{port: 80, nodePort: 30002}]}}}}
  - change: {merge: {service/s: {spec: {type: ClusterIP, externalTrafficPolicy: Local, ports: [{port: 80, nodePort: 30002}]}}}}`,
			want: "c.yaml:9:81: externalTrafficPolicy is for a Service that is reached from outside: of type NodePort or LoadBalancer, or with externalIPs; service/s is of type ClusterIP\n" +
				"c.yaml:9:117: a nodePort is for a Service of type NodePort or LoadBalancer, and service/s is of type ClusterIP"},
		{name: "what a change that cannot be read would have made is not missed", steps: `
  - change: {aply: ` + pod("c", "spec: {nodeName: n}") + `}
  - probe: {from: pod/c, to: service/s:80}`,
			want: "c.yaml:8:14: unknown field \"aply\" in a change: did you mean \"apply\"? Known: delete, apply, merge, within, wrongs, repeat, during"},
		{name: "but what comes before it is", steps: `
  - probe: {from: pod/c, to: service/s:80}
  - change: {aply: pod/a}`,
			want: "c.yaml:8:19: there is no pod/c: did you mean \"pod/a\"?\n" +
				"c.yaml:9:14: unknown field \"aply\" in a change: did you mean \"apply\"? Known: delete, apply, merge, within, wrongs, repeat, during"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Parse("c.yaml", []byte(checkHead+"  # the steps\n"+strings.TrimPrefix(c.steps, "\n")+"\n"+checkTail))
			got := ""
			if err != nil {
				got = err.Error()
			}
			if d := cmp.Diff(got, c.want); d != "" {
				t.Errorf("(-got +want):\n%s", d)
			}
		})
	}
}

// Objects in steps are read after the documents; their warnings are told in the order of the file all the same.
func TestWarningsInTheOrderOfTheFile(t *testing.T) {
	s, err := Parse("c.yaml", []byte(checkHead+"  - change: {apply: {apiVersion: v1, kind: Pod, metadata: {name: c}, sepc: {}}}\n"+
		strings.ReplaceAll(checkTail, "podCIDRs", "podCIDR5")))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, w := range s.Warnings {
		got = append(got, w.Error())
	}
	if d := cmp.Diff(got, []string{
		`c.yaml:7:70: unknown field "sepc": did you mean "spec"?`,
		`c.yaml:9:58: unknown field "spec.podCIDR5": did you mean "podCIDR"?`,
	}); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
}

// The YAML parser may point below the last line, and to the right of it.
func TestPositionsAreMovedIntoTheFile(t *testing.T) {
	r := report{file: "c.yaml"}
	r.readable([]byte("één\n\nab"))
	for at, want := range map[Pos]Pos{{}: {1, 1}, {1, 9}: {1, 4}, {2, 3}: {2, 1}, {7, 2}: {3, 2}, {3, 99}: {3, 3}} {
		if got := r.within(at); got != want {
			t.Errorf("%v: got %v, want %v", at, got, want)
		}
	}
}
