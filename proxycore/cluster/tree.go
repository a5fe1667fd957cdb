package cluster

import (
	"iter"
	"slices"
)

// tree is a persistent map ordered by Key. Two trees with the same keys have the same shape (a treap whose priorities are
// hashes of the keys), and trees made from one another share what did not change: so diff costs
// O(changes · log N), whatever the order in which the trees came to be.
type tree[V comparable] struct{ root *branch[V] }

type branch[V comparable] struct {
	key         Key
	rank        uint64 // a hash of key: the shape depends on nothing else
	val         V
	left, right *branch[V]
	size        int
}

// visited is of tests: it is called for every branch that is looked at.
var visited func()

func look() {
	if visited != nil {
		visited()
	}
}

// rank hashes "namespace/name" with FNV-1a and a finalizer (FNV alone leaves similar keys with similar high bits).
func rank(key Key) uint64 {
	h := uint64(14695981039346656037)
	add := func(s string) {
		for i := range len(s) {
			h = (h ^ uint64(s[i])) * 1099511628211
		}
	}
	add(key.Namespace)
	add("/")
	add(key.Name)
	h = (h ^ h>>32) * 0xd6e8feb86659fd93
	return h ^ h>>32
}

func (b *branch[V]) above(rank uint64, key Key) bool {
	return b.rank > rank || b.rank == rank && b.key.Compare(key) < 0
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
func (b *branch[V]) split(key Key) (below, at, above *branch[V]) {
	if b == nil {
		return nil, nil, nil
	}
	look()
	switch c := key.Compare(b.key); {
	case c == 0:
		return b.left, b, b.right
	case c < 0:
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

func (b *branch[V]) put(key Key, rank uint64, val V) *branch[V] {
	if b == nil {
		return &branch[V]{key: key, rank: rank, val: val, size: 1}
	}
	look()
	switch c := key.Compare(b.key); {
	case c == 0:
		if val == b.val {
			return b
		}
		return &branch[V]{b.key, b.rank, val, b.left, b.right, b.size}
	case !b.above(rank, key):
		l, _, r := b.split(key)
		return &branch[V]{key, rank, val, l, r, l.len() + r.len() + 1}
	case c < 0:
		return b.with(b.left.put(key, rank, val), b.right)
	default:
		return b.with(b.left, b.right.put(key, rank, val))
	}
}

func (b *branch[V]) drop(key Key) *branch[V] {
	if b == nil {
		return nil
	}
	look()
	switch c := key.Compare(b.key); {
	case c == 0:
		return join(b.left, b.right)
	case c < 0:
		return b.with(b.left.drop(key), b.right)
	default:
		return b.with(b.left, b.right.drop(key))
	}
}

func (b *branch[V]) walk(yield func(Key, V) bool) bool {
	return b == nil || b.left.walk(yield) && yield(b.key, b.val) && b.right.walk(yield)
}

// build makes the tree of branches that have no neighbours yet, each with a key of its own: the same as so many puts, in O(N)
// where they are ordered, else in O(N · log N).
func build[V comparable](all []*branch[V]) tree[V] {
	order := func(a, b *branch[V]) int { return a.key.Compare(b.key) }
	if !slices.IsSortedFunc(all, order) {
		slices.SortFunc(all, order)
	}
	var edge []*branch[V] // from the root along the right
	for _, b := range all {
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
	edge[0].measure()
	return tree[V]{edge[0]}
}

func (b *branch[V]) measure() int {
	if b == nil {
		return 0
	}
	b.size = b.left.measure() + b.right.measure() + 1
	return b.size
}

func (t tree[V]) put(key Key, val V) tree[V] { return tree[V]{t.root.put(key, rank(key), val)} }
func (t tree[V]) drop(key Key) tree[V]       { return tree[V]{t.root.drop(key)} }
func (t tree[V]) len() int                   { return t.root.len() }

// get returns the value of a key, the zero value when there is none.
func (t tree[V]) get(key Key) (val V) {
	for b := t.root; b != nil; {
		look()
		switch c := key.Compare(b.key); {
		case c == 0:
			return b.val
		case c < 0:
			b = b.left
		default:
			b = b.right
		}
	}
	return val
}

// all yields the pairs in order of their keys.
func (t tree[V]) all() iter.Seq2[Key, V] {
	return func(yield func(Key, V) bool) { t.root.walk(yield) }
}

// diff calls changed, in order, with every key whose value is not the same in both trees, or with every key of either if all,
// and with both values; the zero value is that of a key that is not there.
func diff[V comparable](old, now *branch[V], all bool, changed func(key Key, old, now V)) {
	var none V
	switch {
	case old == now && !all:
		return
	case old == nil:
		now.walk(func(key Key, v V) bool { look(); changed(key, none, v); return true })
		return
	case now == nil:
		old.walk(func(key Key, v V) bool { look(); changed(key, v, none); return true })
		return
	}
	look()
	top := now // the branch of higher rank is the root of the union
	if old.above(now.rank, now.key) {
		top = old
	}
	ol, o, or := old.split(top.key)
	nl, n, nr := now.split(top.key)
	diff(ol, nl, all, changed)
	switch {
	case o == nil:
		changed(top.key, none, n.val)
	case n == nil:
		changed(top.key, o.val, none)
	case all || o.val != n.val:
		changed(top.key, o.val, n.val)
	}
	diff(or, nr, all, changed)
}
