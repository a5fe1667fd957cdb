package cluster

import (
	"iter"
	"slices"
	"strings"
)

// tree is a persistent ordered map. Two trees with the same keys have the same shape (a treap whose priorities are
// hashes of the keys), and trees made from one another share what did not change: so diff costs
// O(changes · log N), whatever the order in which the trees came to be.
type tree[V comparable] struct{ root *branch[V] }

type branch[V comparable] struct {
	key         string
	rank        uint64 // a hash of key: the shape depends on nothing else
	val         V
	left, right *branch[V]
	size        int
}

// rank hashes with FNV-1a and a finalizer (FNV alone leaves similar keys with similar high bits).
func rank(key string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(key) {
		h = (h ^ uint64(key[i])) * 1099511628211
	}
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return h ^ h>>32
}

func (b *branch[V]) above(rank uint64, key string) bool {
	return b.rank > rank || b.rank == rank && b.key < key
}

func (b *branch[V]) len() int {
	if b == nil {
		return 0
	}
	return b.size
}

func (b *branch[V]) with(left, right *branch[V]) *branch[V] {
	if b.left == left && b.right == right {
		return b
	}
	return &branch[V]{b.key, b.rank, b.val, left, right, left.len() + right.len() + 1}
}

// split divides b into the keys below and above key, and the branch that has it, if any.
func (b *branch[V]) split(key string) (below, at, above *branch[V]) {
	switch {
	case b == nil:
		return nil, nil, nil
	case key == b.key:
		return b.left, b, b.right
	case key < b.key:
		below, at, above = b.left.split(key)
		return below, at, b.with(above, b.right)
	default:
		below, at, above = b.right.split(key)
		return b.with(b.left, below), at, above
	}
}

// join is the inverse of split: every key of l is below every key of r.
func join[V comparable](l, r *branch[V]) *branch[V] {
	switch {
	case l == nil:
		return r
	case r == nil:
		return l
	case l.above(r.rank, r.key):
		return l.with(l.left, join(l.right, r))
	default:
		return r.with(join(l, r.left), r.right)
	}
}

func (b *branch[V]) put(key string, rank uint64, val V) *branch[V] {
	switch {
	case b == nil:
		return &branch[V]{key: key, rank: rank, val: val, size: 1}
	case key == b.key:
		if val == b.val {
			return b
		}
		return &branch[V]{b.key, b.rank, val, b.left, b.right, b.size}
	case !b.above(rank, key):
		l, _, r := b.split(key)
		return &branch[V]{key, rank, val, l, r, l.len() + r.len() + 1}
	case key < b.key:
		return b.with(b.left.put(key, rank, val), b.right)
	default:
		return b.with(b.left, b.right.put(key, rank, val))
	}
}

func (b *branch[V]) drop(key string) *branch[V] {
	switch {
	case b == nil:
		return nil
	case key == b.key:
		return join(b.left, b.right)
	case key < b.key:
		return b.with(b.left.drop(key), b.right)
	default:
		return b.with(b.left, b.right.drop(key))
	}
}

func (b *branch[V]) walk(from string, yield func(string, V) bool) bool {
	if b == nil {
		return true
	}
	if b.key >= from && (!b.left.walk(from, yield) || !yield(b.key, b.val)) {
		return false
	}
	return b.right.walk(from, yield)
}

// build makes the tree of n pairs: the same as n puts, in O(N) where they are ordered, else in O(N · log N). Of pairs with the
// same key the last counts.
func build[V comparable](n int, at func(i int) (string, V)) tree[V] {
	all := make([]*branch[V], n)
	ordered := true
	for i := range all {
		key, val := at(i)
		all[i] = &branch[V]{key: key, rank: rank(key), val: val}
		ordered = ordered && (i == 0 || all[i-1].key <= key)
	}
	if !ordered {
		slices.SortStableFunc(all, func(a, b *branch[V]) int { return strings.Compare(a.key, b.key) })
	}
	var edge []*branch[V] // from the root along the right
	for i, b := range all {
		if i+1 < n && all[i+1].key == b.key {
			continue
		}
		for len(edge) > 0 && !edge[len(edge)-1].above(b.rank, b.key) {
			b.left = edge[len(edge)-1]
			edge = edge[:len(edge)-1]
		}
		if len(edge) > 0 {
			edge[len(edge)-1].right = b
		}
		edge = append(edge, b)
	}
	if len(edge) == 0 {
		return tree[V]{}
	}
	edge[0].count()
	return tree[V]{edge[0]}
}

func (b *branch[V]) count() int {
	if b == nil {
		return 0
	}
	b.size = b.left.count() + b.right.count() + 1
	return b.size
}

func (t tree[V]) put(key string, val V) tree[V] { return tree[V]{t.root.put(key, rank(key), val)} }
func (t tree[V]) drop(key string) tree[V]       { return tree[V]{t.root.drop(key)} }
func (t tree[V]) len() int                      { return t.root.len() }

func (t tree[V]) get(key string) (val V, ok bool) {
	for b := t.root; b != nil; {
		switch {
		case key == b.key:
			return b.val, true
		case key < b.key:
			b = b.left
		default:
			b = b.right
		}
	}
	return val, false
}

// from yields the pairs with keys of at least key, in order of their keys.
func (t tree[V]) from(key string) iter.Seq2[string, V] {
	return func(yield func(string, V) bool) { t.root.walk(key, yield) }
}

// diff calls changed, in order, with every key whose value is not the same in both trees.
func diff[V comparable](old, now *branch[V], changed func(key string)) {
	if old == now {
		return
	}
	top := now // the branch of higher rank is the root of the union
	if top == nil || old != nil && old.above(now.rank, now.key) {
		top = old
	}
	ol, o, or := old.split(top.key)
	nl, n, nr := now.split(top.key)
	diff(ol, nl, changed)
	if o == nil || n == nil || o.val != n.val {
		changed(top.key)
	}
	diff(or, nr, changed)
}
