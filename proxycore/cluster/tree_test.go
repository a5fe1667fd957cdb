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

// A tree that is built at once is the one that is made step by step, also of pairs in no order.
func TestBuild(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for _, n := range []int{0, 1, 2, 3, 100, 5000} {
		for _, ordered := range []bool{true, false} {
			var all []*branch[int]
			var want tree[int]
			for i := range n {
				k := Key{"ns", fmt.Sprintf("svc-%05d", i)}
				all = append(all, &branch[int]{key: k, rank: rank(k), val: i})
				want = want.put(k, i)
			}
			if !ordered {
				rng.Shuffle(n, func(i, j int) { all[i], all[j] = all[j], all[i] })
			}
			if got := build(all); !same(got.root, want.root) {
				t.Errorf("%d pairs, ordered %v: not the same tree", n, ordered)
			}
		}
	}
}

func same(a, b *branch[int]) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.key == b.key && a.val == b.val && a.size == b.size && same(a.left, b.left) && same(a.right, b.right)
}
