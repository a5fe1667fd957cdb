package reflector

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/randfill"
)

// message is what the generated code can do.
type message interface {
	object
	Marshal() ([]byte, error)
	Unmarshal([]byte) error
}

var kinds = []struct {
	name  string
	fresh func() message
	read  func(*decoder, []byte) (object, error)
	trim  func(object)
}{
	{"Service", func() message { return &corev1.Service{} }, func(d *decoder, b []byte) (object, error) { return some(d.service(b)) },
		func(o object) { trimService(o.(*corev1.Service)) }},
	{"EndpointSlice", func() message { return &discoveryv1.EndpointSlice{} }, func(d *decoder, b []byte) (object, error) { return some(d.slice(b)) },
		func(o object) { trimSlice(o.(*discoveryv1.EndpointSlice)) }},
}

// random is an object with every field that its type has, and labels and annotations that are kept too.
func random(fill *randfill.Filler, rng *rand.Rand, o message) {
	fill.Fill(o)
	o.SetName("name-" + o.GetName())
	for _, l := range []string{labelHeadless, labelProxyName, discoveryv1.LabelServiceName} {
		if rng.IntN(2) == 0 {
			labels := o.GetLabels()
			if labels == nil {
				labels = map[string]string{}
			}
			labels[l] = "x"
			o.SetLabels(labels)
		}
	}
	if rng.IntN(2) == 0 {
		o.SetAnnotations(map[string]string{"a": "b", corev1.EndpointsLastChangeTriggerTime: "2026-01-02T03:04:05Z"})
	}
}

// What is read by hand is what the generated code reads, less what is trimmed, whatever is in the object.
func TestDecodeIsTheGeneratedCodeTrimmed(t *testing.T) {
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			fill, rng := randfill.NewWithSeed(7).NilChance(0.3).NumElements(0, 4), rand.New(rand.NewPCG(7, 8))
			d := &decoder{} // one for all: what is left of one object must not be seen in the next
			for i := range 2000 {
				o := k.fresh()
				random(fill, rng, o)
				b, err := o.Marshal()
				if err != nil {
					t.Fatal(err)
				}
				want := k.fresh()
				if err := want.Unmarshal(bytes.Clone(b)); err != nil {
					t.Fatal(err)
				}
				k.trim(want)
				got, err := k.read(d, b)
				clear(b) // nothing may point into the buffer, which is used again
				if err != nil {
					t.Fatalf("object %d: %v", i, err)
				}
				if d := cmp.Diff(got, object(want), cmp.Comparer(emptyAsNil[string])); d != "" {
					t.Fatalf("object %d (-got +want):\n%s", i, d)
				}
			}
		})
	}
}

// emptyAsNil: protobuf does not tell the two apart.
func emptyAsNil[T comparable](a, b []T) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i] != b[i] {
			return false
		}
	}
	return true
}

// A message that is cut off, or damaged anywhere, is an error or another object, and never a crash.
func TestDecodeDamaged(t *testing.T) {
	for _, k := range kinds {
		fill, rng := randfill.NewWithSeed(9).NilChance(0.2).NumElements(1, 3), rand.New(rand.NewPCG(9, 10))
		failed := 0
		for range 300 {
			o := k.fresh()
			random(fill, rng, o)
			b, err := o.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			for range 20 {
				damaged := bytes.Clone(b[:rng.IntN(len(b))+1])
				for range rng.IntN(3) {
					damaged[rng.IntN(len(damaged))] ^= byte(1 << rng.IntN(8))
				}
				if _, err := k.read(&decoder{}, damaged); err != nil {
					failed++
				}
			}
		}
		if failed < 1000 {
			t.Errorf("%s: only %d of 6000 were found out", k.name, failed)
		}
	}
}

// What JSON says is what protobuf says.
func TestJSONIsProtobuf(t *testing.T) {
	ready, port, proto, name, node := true, int32(80), corev1.ProtocolUDP, "dns", "node-1"
	o := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: "a", Namespace: "default", ResourceVersion: "7", Labels: map[string]string{discoveryv1.LabelServiceName: "a", "other": "x"}},
		AddressType: discoveryv1.AddressTypeIPv4, Ports: []discoveryv1.EndpointPort{{Name: &name, Port: &port, Protocol: &proto}},
		Endpoints: []discoveryv1.Endpoint{{Addresses: []string{"10.0.0.1"}, Conditions: discoveryv1.EndpointConditions{Ready: &ready}, NodeName: &node,
			TargetRef: &corev1.ObjectReference{Kind: "Pod"}}},
	}
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	b, err := o.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	r, err := New(Options{API: "http://x", Node: "n"})
	if err != nil {
		t.Fatal(err)
	}
	f := r.feeds[theSlices]
	one, err := f.object(b, true)
	if err != nil {
		t.Fatal(err)
	}
	other, err := f.object(text, false)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(one, other); d != "" {
		t.Errorf("(-protobuf +JSON):\n%s", d)
	}
	if _, err := f.object(nil, true); err == nil || err.Error() != "read EndpointSlice: it has no name" {
		t.Errorf("an empty object: %v", err)
	}
}

// A decode of many endpoints makes a few allocations, and not some for each.
func TestDecodeAllocatesLittle(t *testing.T) {
	o := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "default", ResourceVersion: "7", Labels: map[string]string{discoveryv1.LabelServiceName: "a"}}}
	node, zone, yes := "node-1", "zone-a", true
	for range 100 {
		o.Endpoints = append(o.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{"10.244.131.17"}, NodeName: &node, Zone: &zone, TargetRef: &corev1.ObjectReference{Kind: "Pod", Name: strings.Repeat("x", 40)},
			Conditions: discoveryv1.EndpointConditions{Ready: &yes, Serving: &yes, Terminating: &yes},
		})
	}
	b, err := o.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	d := &decoder{}
	got := testing.AllocsPerRun(10, func() {
		if _, err := d.slice(b); err != nil {
			t.Fatal(err)
		}
	})
	if got > 12 {
		t.Errorf("%g allocations for 100 endpoints, want at most 12", got)
	}
}

// Names of nodes that are gone do not stay for ever.
func TestSharedTextsAreForgotten(t *testing.T) {
	d := &decoder{}
	for i := range 3 * manyShared {
		d.share([]byte{byte(i), byte(i >> 8), byte(i >> 16), 1})
	}
	if len(d.shared) > manyShared+1 {
		t.Errorf("%d texts are shared", len(d.shared))
	}
}
