package scenario

import (
	stdjson "encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// Every field that the API has, in all that the language reads, is said to be judged, harmless or refused, once.
func TestEveryFieldHasABearing(t *testing.T) {
	reached := map[reflect.Type]bool{}
	var reach func(reflect.Type)
	reach = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || reflect.PointerTo(typ).Implements(reflect.TypeFor[stdjson.Unmarshaler]()) || reached[typ] {
			return
		}
		reached[typ] = true
		b, ok := bearing[typ]
		if !ok {
			t.Errorf("%s is judged, and none of its fields is said to be", typ)
			return
		}
		said := slices.Concat(strings.Fields(b.judged), strings.Fields(b.harmless), slices.Collect(maps.Keys(b.refused)))
		slices.Sort(said)
		if d := cmp.Diff(said, slices.Sorted(maps.Keys(fieldsOf(typ)))); d != "" {
			t.Errorf("fields of %s (-said +API):\n%s", typ, d)
		}
		for _, name := range strings.Fields(b.judged) {
			if f := fieldsOf(typ)[name]; f != nil {
				reach(f)
			}
		}
	}
	for _, k := range kubeKinds {
		reach(reflect.TypeOf(k.fresh()).Elem())
	}
	for typ := range bearing {
		if !reached[typ] {
			t.Errorf("%s is in the table, and in no object that the language reads", typ)
		}
	}
}

const (
	judgedService = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  selector: {a: b}\n  ports: [{port: 80}]\n"
	judgedPod     = "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n"
)

// Each refusal has a document that is refused, with the place and all that is said, and one that says nothing with the
// same field.
func TestUnjudgedIsRefused(t *testing.T) {
	podSpec := reflect.TypeFor[corev1.PodSpec]()
	cases := []struct {
		typ        reflect.Type // nil: a label or annotation
		field      string
		text       string
		says, fine string // in place of X
		line, col  string
		what       string
	}{
		{typ: podSpec, field: "nodeSelector", text: judgedPod + "  nodeSelector: {disk: ssd}\n  nodeName: X\n", says: `""`, fine: "n", line: "5", col: "17",
			what: "spec.nodeSelector is not judged yet: nothing schedules here: write the nodeName that it leads to"},
		{typ: podSpec, field: "affinity", text: judgedPod + "  affinity: {nodeAffinity: {}}\n  nodeName: X\n", says: `""`, fine: "n", line: "5", col: "13",
			what: "spec.affinity is not judged yet: nothing schedules here: write the nodeName that it leads to"},
		{typ: podSpec, field: "topologySpreadConstraints", text: judgedPod + "  topologySpreadConstraints: [{maxSkew: 1}]\n  nodeName: X\n", says: `""`, fine: "n",
			line: "5", col: "30", what: "spec.topologySpreadConstraints is not judged yet: nothing schedules here: write the nodeName that it leads to"},
		{typ: podSpec, field: "schedulingGates", text: judgedPod + "  schedulingGates: [{name: a}]\n  nodeName: X\n", says: `""`, fine: "n", line: "5", col: "20",
			what: "spec.schedulingGates is not judged yet: nothing schedules here: leave the pod out until it is on a node"},
		{typ: reflect.TypeFor[corev1.ContainerPort](), field: "hostPort", line: "5", col: "64",
			text: judgedPod + "  containers: [{name: c, ports: [{containerPort: 80, hostPort: X}]}]\n  hostNetwork: true\n", says: "81", fine: "80",
			what: "spec.containers[0].ports[0].hostPort is not judged yet: leave it out"},

		{field: corev1.AnnotationTopologyMode, text: strings.Replace(judgedService, "{name: s}", "{name: s, annotations: {service.kubernetes.io/topology-mode: X}}", 1),
			says: "Auto", fine: "Disabled", line: "3", col: "35", what: "the annotation service.kubernetes.io/topology-mode is not judged yet: its hints go by the nodes' CPUs and by chance; use trafficDistribution, or write EndpointSlices with hints"},
		{field: corev1.DeprecatedAnnotationTopologyAwareHints,
			text: strings.Replace(judgedService, "{name: s}", "{name: s, annotations: {service.kubernetes.io/topology-aware-hints: X}}", 1),
			says: "auto", fine: "disabled", line: "3", col: "35", what: "the annotation service.kubernetes.io/topology-aware-hints is not judged yet: its hints go by the nodes' CPUs and by chance; use trafficDistribution, or write EndpointSlices with hints"},
	}
	const rest = "---\n{apiVersion: v1, kind: Node, metadata: {name: n}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: h}, spec: {ports: [{port: 80}]}}\n"
	tried := map[string]int{}
	for _, c := range cases {
		name := c.field
		if c.typ != nil {
			name = c.typ.Name() + "." + c.field
		}
		tried[name]++
		parse := func(x string) string {
			_, err := Parse("u.yaml", []byte(strings.Replace(c.text, "X", x, 1)+rest))
			if err == nil {
				return ""
			}
			return err.Error()
		}
		if d := cmp.Diff(parse(c.says), "u.yaml:"+c.line+":"+c.col+": "+c.what); d != "" {
			t.Errorf("%s: %s (-got +want):\n%s", name, c.says, d)
		}
		if got := parse(c.fine); got != "" {
			t.Errorf("%s: %s is refused: %s", name, c.fine, got)
		}
	}
	for typ, b := range bearing {
		for field := range b.refused {
			if tried[typ.Name()+"."+field] == 0 {
				t.Errorf("nothing tries the refusal of %s.%s", typ, field)
			}
		}
	}
	for _, k := range refusedKeys {
		if tried[k.key] == 0 {
			t.Errorf("nothing tries the refusal of %s", k.key)
		}
	}
}

// A patch and an object in a step are refused where they are written, like a document.
func TestUnjudgedInSteps(t *testing.T) {
	const head = "apiVersion: svclab/v1alpha1\nkind: Scenario\nmetadata: {name: a}\nspec:\n  steps:\n"
	const rest = "---\n{apiVersion: v1, kind: Node, metadata: {name: n}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}\n"
	for step, want := range map[string]string{
		"change: {merge: {service/s: {metadata: {annotations: {service.kubernetes.io/topology-mode: Auto}}}}}":                                           "6:59: the annotation service.kubernetes.io/topology-mode is not judged yet: its hints go by the nodes' CPUs and by chance; use trafficDistribution, or write EndpointSlices with hints",
		"change: {merge: {service/s: {metadata: {annotations: {service.kubernetes.io/topology-mode: Disabled}}}}}":                                       "",
		"change: {apply: {apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {containers: [{name: c, ports: [{containerPort: 80, hostPort: 81}]}]}}}": "6:138: spec.containers[0].ports[0].hostPort is not judged yet: leave it out",
	} {
		_, err := Parse("u.yaml", []byte(head+"  - "+step+"\n"+rest))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if want != "" {
			want = "u.yaml:" + want
		}
		if d := cmp.Diff(got, want); d != "" {
			t.Errorf("%s (-got +want):\n%s", step, d)
		}
	}
}

// What kubectl prints of a cluster has the controller's slices in it. They are replaced by what the pods say, as the
// controller would do; a Service without selector has none of its own, so that there they count.
func TestSlicesOfTheController(t *testing.T) {
	const head = "apiVersion: svclab/v1alpha1\nkind: Scenario\nmetadata: {name: a}\nspec:\n  steps:\n  - probe: everything\n"
	const objects = `---
{apiVersion: v1, kind: Node, metadata: {name: n}}
---
{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {selector: SELECTOR, ports: [{port: 80}]}}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s-x7k2p, labels: {kubernetes.io/service-name: s, endpointslice.kubernetes.io/managed-by: endpointslice-controller.k8s.io}}
addressType: IPv4
endpoints: [{addresses: [10.244.1.10]HINTS}]
`
	const says = "endpointslice/s-x7k2p is the endpointslice controller's"
	for _, c := range []struct{ name, step, selector, hints, want, warning string }{
		{name: "replaced", selector: "{a: b}", hints: ", hints: {forZones: [{name: z}]}",
			warning: "13:1: " + says + ": what counts here is what the lab derives from the pods of service/s in its place"},
		{name: "without selector", selector: "{}"},
		{name: "without selector it is judged like others", selector: "{}", hints: ", zones: [z]",
			warning: `17:40: unknown field "endpoints[0].zones": did you mean "zone"?`},
		{name: "deleted", selector: "{a: b}", step: "  - change: {delete: endpointslice/s-x7k2p}\n",
			want: "7:22: " + says + ", which would undo this: change the pods of service/s instead, or leave out the label endpointslice.kubernetes.io/managed-by"},
		{name: "patched", selector: "{a: b}", step: "  - change: {merge: {endpointslice/s-x7k2p: {endpoints: []}}}\n",
			want: "7:22: " + says + ", which would undo this: change the pods of service/s instead, or leave out the label endpointslice.kubernetes.io/managed-by"},
		{name: "applied", selector: "{a: b}", step: "  - change: {apply: endpointslice/s-x7k2p}\n",
			want: "7:21: " + says + ", which would undo this: change the pods of service/s instead, or leave out the label endpointslice.kubernetes.io/managed-by"},
		{name: "deleted without selector", selector: "{}", step: "  - change: {delete: endpointslice/s-x7k2p}\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := head + c.step
			if c.step == "" {
				at += "\n"
			}
			text := at + strings.NewReplacer("SELECTOR", c.selector, "HINTS", c.hints).Replace(objects)
			s, err := Parse("u.yaml", []byte(text))
			got, warned := "", ""
			if err != nil {
				got = err.Error()
			} else if len(s.Warnings) > 0 {
				warned = s.Warnings[len(s.Warnings)-1].Error()
			}
			for _, d := range [][2]string{{got, c.want}, {warned, c.warning}} {
				if d[1] != "" {
					d[1] = "u.yaml:" + d[1]
				}
				if d := cmp.Diff(d[0], d[1]); d != "" {
					t.Errorf("(-got +want):\n%s", d)
				}
			}
		})
	}
}
