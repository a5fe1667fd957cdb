package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Random puts and drops, compared with a plain map after each; then every pair of states is compared by diff and by hand.
func TestTreeIsAMapAndDiffIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	type state struct {
		tree tree[int]
		want map[Key]int
	}
	now := state{want: map[Key]int{}}
	var states []state
	for i := range 400 {
		key := Key{fmt.Sprintf("ns-%d", rng.IntN(3)), fmt.Sprintf("svc-%d", rng.IntN(40))}
		want := map[Key]int{}
		for k, v := range now.want {
			want[k] = v
		}
		if rng.IntN(3) == 0 {
			delete(want, key)
			now = state{now.tree.drop(key), want}
		} else {
			want[key] = i
			now = state{now.tree.put(key, i), want}
		}
		got := map[Key]int{}
		var order []Key
		for k, v := range now.tree.all() {
			got[k] = v
			order = append(order, k)
		}
		if d := cmp.Diff(got, now.want); d != "" {
			t.Fatalf("after %d changes (-got +want):\n%s", i, d)
		}
		if !slices.IsSortedFunc(order, Key.Compare) || now.tree.len() != len(want) {
			t.Fatalf("after %d changes: order %v, len %d of %d", i, order, now.tree.len(), len(want))
		}
		if i%20 == 0 {
			states = append(states, now)
		}
	}
	for i, a := range states {
		for j, b := range states {
			var want, every []Key
			for k, v := range a.want {
				every = append(every, k)
				if w, ok := b.want[k]; !ok || v != w {
					want = append(want, k)
				}
			}
			for k := range b.want {
				if _, ok := a.want[k]; !ok {
					want, every = append(want, k), append(every, k)
				}
			}
			for all, want := range map[bool][]Key{false: want, true: every} {
				slices.SortFunc(want, Key.Compare)
				var got []Key
				diff(a.tree.root, b.tree.root, all, func(k Key, old, now int) {
					got = append(got, k)
					if old != a.want[k] || now != b.want[k] {
						t.Fatalf("diff of states %d and %d: %v was %d and is %d, want %d and %d", i, j, k, old, now, a.want[k], b.want[k])
					}
				})
				if d := cmp.Diff(got, want); d != "" {
					t.Fatalf("diff of states %d and %d, all %v (-got +want):\n%s", i, j, all, d)
				}
			}
		}
	}
}

// The shape is a function of the keys: the same keys put in another order give the same tree.
func TestShapeIsOfTheKeysAlone(t *testing.T) {
	var forward, backward tree[int]
	const n = 20000
	for i := range n {
		forward = forward.put(numbered(i), i)
		backward = backward.put(numbered(n-1-i), n-1-i)
	}
	if d := depth(forward.root); d > 60 || d != depth(backward.root) {
		t.Errorf("depth %d and %d: want the same, and at most 60", d, depth(backward.root))
	}
}

func numbered(i int) Key { return Key{"ns", fmt.Sprintf("svc-%05d", i)} }

func depth(b *branch[int]) int {
	if b == nil {
		return 0
	}
	return 1 + max(depth(b.left), depth(b.right))
}

// TestBuildIsManyPuts compares shapes too: what is built at once must be shared with what is made from it later.
func TestBuildIsManyPuts(t *testing.T) {
	for n := range 300 {
		var keys []Key
		var one tree[string]
		for i := range n {
			k := Key{"default", fmt.Sprintf("svc-%03d", i*7%307)}
			keys = append(keys, k)
			one = one.put(k, k.Name)
		}
		slices.SortFunc(keys, Key.Compare)
		if got := build(keys, func(k Key) string { return k.Name }); shape(got.root) != shape(one.root) || got.len() != n {
			t.Fatalf("%d keys: %s, not %s", n, shape(got.root), shape(one.root))
		}
	}
}

func shape(b *branch[string]) string {
	if b == nil {
		return "."
	}
	return fmt.Sprintf("(%s %d %s %s)", b.val, b.size, shape(b.left), shape(b.right))
}

// TestOfIsManyWiths gives the lists in any order, with slices of nobody, and some names twice.
func TestOfIsManyWiths(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var services []*corev1.Service
		var endpoints []*discoveryv1.EndpointSlice
		one := &Snapshot{}
		for range 40 {
			o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint("svc-", r.IntN(20))}}
			services, one = append(services, o), one.WithService(o)
			name := fmt.Sprint("svc-", r.IntN(25))
			e := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprint(name, "-", r.IntN(3)), Labels: map[string]string{discoveryv1.LabelServiceName: name}}}
			endpoints, one = append(endpoints, e), one.WithSlice(e)
		}
		if got, want := listing(Of(services, endpoints)), listing(one); got != want {
			t.Fatalf("got\n%s\nwant\n%s", got, want)
		}
	}
}

func listing(s *Snapshot) string {
	out := fmt.Sprintln(s.Len())
	for _, c := range Changes(nil, s, false) {
		out += fmt.Sprint(c.Key, c.Now != nil)
		if c.Now != nil {
			out += fmt.Sprintf(" %p", c.Now.Object)
		}
		for _, slice := range c.NowSlices {
			out += fmt.Sprintf(" %s %p", slice.Name, slice.Object)
		}
		out += "\n"
	}
	return out
}
