package cluster

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Random puts and drops, compared with a plain map after each; then every pair of states is compared by diff and by hand.
func TestTreeIsAMapAndDiffIsExact(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	type state struct {
		tree tree[int]
		want map[string]int
	}
	now := state{want: map[string]int{}}
	var states []state
	for i := range 400 {
		key := fmt.Sprintf("ns-%d/svc-%d", rng.IntN(3), rng.IntN(40))
		want := map[string]int{}
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
		got := map[string]int{}
		var order []string
		for k, v := range now.tree.from("") {
			got[k] = v
			order = append(order, k)
		}
		if d := cmp.Diff(got, now.want); d != "" {
			t.Fatalf("after %d changes (-got +want):\n%s", i, d)
		}
		if !slices.IsSorted(order) || now.tree.len() != len(want) {
			t.Fatalf("after %d changes: order %v, len %d of %d", i, order, now.tree.len(), len(want))
		}
		if i%20 == 0 {
			states = append(states, now)
		}
	}
	for i, a := range states {
		for j, b := range states {
			var want []string
			for k, v := range a.want {
				if w, ok := b.want[k]; !ok || v != w {
					want = append(want, k)
				}
			}
			for k := range b.want {
				if _, ok := a.want[k]; !ok {
					want = append(want, k)
				}
			}
			slices.Sort(want)
			var got []string
			diff(a.tree.root, b.tree.root, func(k string) { got = append(got, k) })
			if d := cmp.Diff(got, want); d != "" {
				t.Fatalf("diff of states %d and %d (-got +want):\n%s", i, j, d)
			}
		}
	}
}

// The shape is a function of the keys: the same keys put in another order give an equal diff cost, and one change in a
// large tree visits few branches.
func TestDiffVisitsFewBranches(t *testing.T) {
	var forward, backward tree[int]
	const n = 20000
	key := func(i int) string { return fmt.Sprintf("ns/svc-%05d", i) }
	for i := range n {
		forward = forward.put(key(i), i)
		backward = backward.put(key(n-1-i), n-1-i)
	}
	if d := depth(forward.root); d > 60 || d != depth(backward.root) {
		t.Errorf("depth %d and %d: want the same, and at most 60", d, depth(backward.root))
	}
	changed := forward.put(key(7777), -1).drop(key(123)).put("ns/new", 1)
	allocs := testing.AllocsPerRun(10, func() {
		count := 0
		diff(forward.root, changed.root, func(string) { count++ })
		if count != 3 {
			t.Errorf("diff found %d changes, want 3", count)
		}
	})
	if allocs > 500 {
		t.Errorf("diff of 3 changes among %d made %.0f allocations: want O(changes · log N)", n, allocs)
	}
}

func depth(b *branch[int]) int {
	if b == nil {
		return 0
	}
	return 1 + max(depth(b.left), depth(b.right))
}
