package scenario

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func refs(objects []Object) (out []string) {
	for _, o := range objects {
		out = append(out, o.Ref.String())
	}
	return out
}

// kubectl prints objects in the order in which they were asked for; a pod can only be put on a node that is there.
func TestNodesComeFirst(t *testing.T) {
	s := parsed(t, `
apiVersion: svclab/v1alpha1
kind: Scenario
metadata: {name: s}
spec:
  steps:
  - change:
      apply:
      - {apiVersion: v1, kind: Pod, metadata: {name: c}, spec: {nodeName: late}}
      - {apiVersion: v1, kind: Node, metadata: {name: late}}
      - pod/b
  - probe: {from: pod/c, to: pod/b:80}
---
{apiVersion: v1, kind: Pod, metadata: {name: b}, spec: {nodeName: n}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: n}}
---
{apiVersion: v1, kind: Node, metadata: {name: n}}
`)
	if d := cmp.Diff(refs(s.Objects), []string{"node/n", "pod/b", "pod/a"}); d != "" {
		t.Errorf("objects (-got +want):\n%s", d)
	}
	if d := cmp.Diff(refs(s.Steps[0].Change.Apply), []string{"node/late", "pod/c", "pod/b"}); d != "" {
		t.Errorf("apply (-got +want):\n%s", d)
	}
}

// What counts is what comes out of a patch, not what was there before it.
func TestPatchesMend(t *testing.T) {
	for name, steps := range map[string]string{
		"an applied, mended Service": "[{change: {apply: {apiVersion: v1, kind: Service, metadata: {name: x}, spec: {clusterIP: 10.96.0.7, ports: [{port: 1}]}}, merge: {service/x: {spec: {clusterIP: 10.96.0.8}}}}}]",
		"headless no more":           "[{change: {merge: {service/s: {spec: {clusterIP: null}}}}}, {probe: {from: pod/a, to: service/s:80}}]",
	} {
		_, err := Parse("f.yaml", []byte(`
{apiVersion: svclab/v1alpha1, kind: Scenario, metadata: {name: s}, spec: {steps: `+steps+`}}
---
{apiVersion: v1, kind: Node, metadata: {name: n}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: n}, status: {podIP: 10.0.0.7}}
---
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {clusterIP: 10.96.0.9, ports: [{port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: other}, spec: {clusterIP: 10.96.0.7, ports: [{port: 80}]}}
`))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
