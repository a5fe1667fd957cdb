// Package backendtest holds the promises of every proxycore.Backend as one test function: what a backend has in the
// kernel is a function of the state it was given last, whatever came before, and whichever process gave it.
package backendtest

import (
	"context"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/proxycore"
)

// Kernel is a node's kernel for one test, with nothing of a backend in it.
type Kernel struct {
	Open      func() (proxycore.Backend, error) // required: a fresh backend on this kernel, as a new process would open it
	Strangers func() (string, error)            // required: all there is in this kernel that is not the backend's, as text

	// Fault is optional: from now on, the backend's n-th next change of the kernel fails, and those after it, and with
	// n < 0 none fails. A change of the kernel is what it does at once: a transaction, a restore of one family.
	Fault func(b proxycore.Backend, n int)
}

// seed makes a run repeatable: the revisiting test prints it with its order.
const seed = 1

// Run checks the promises. newKernel is called for every test, so that tests share nothing.
func Run(t *testing.T, newKernel func(t *testing.T) Kernel) {
	t.Run("apply twice", func(t *testing.T) { eachState(t, newKernel, applyTwice) })
	t.Run("dirty kernel", func(t *testing.T) { eachState(t, newKernel, dirtyKernel) })
	t.Run("A B A", func(t *testing.T) { andBack(t, newKernel) })
	t.Run("revisit", func(t *testing.T) { revisit(t, newKernel) })
	t.Run("first change must be full", func(t *testing.T) { firstIsFull(t, newKernel) })
	if k := newKernel(t); k.Fault != nil {
		t.Run("failures", func(t *testing.T) { failures(t, k) })
	}
	t.Run("close", func(t *testing.T) { closing(t, newKernel) })
}

// world is a backend and what it was told last, from which changes are computed as proxycore.Proxy would.
type world struct {
	t       *testing.T
	kernel  Kernel
	backend proxycore.Backend
	now     State
	fresh   bool
}

func start(t *testing.T, k Kernel) *world {
	t.Helper()
	b, err := k.Open()
	if err != nil {
		t.Fatalf("open: %v", err)
	}
	w := &world{t: t, kernel: k, backend: b, fresh: true}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return w
}

// apply brings the backend to a state and returns what the kernel then does, checked.
func (w *world) apply(s State) string {
	w.t.Helper()
	c := change(w.now, s)
	if w.fresh {
		c = proxycore.Change{Full: true, Node: &s.Node, Add: s.Routes}
	}
	if err := w.backend.Program(context.Background(), c); err != nil {
		w.t.Fatalf("program %s: %v", s.Name, err)
	}
	w.now, w.fresh = s, false
	return w.dump()
}

func (w *world) dump() string {
	w.t.Helper()
	if err := w.backend.Check(context.Background()); err != nil {
		w.t.Fatalf("check in state %s: %v", w.now.Name, err)
	}
	d, err := w.backend.Dump(context.Background())
	if err != nil {
		w.t.Fatalf("dump in state %s: %v", w.now.Name, err)
	}
	return d
}

func (w *world) want(s State, got, want string) {
	w.t.Helper()
	if d := cmp.Diff(got, want); d != "" {
		w.t.Fatalf("state %s (-got +want):\n%s", s.Name, d)
	}
}

func eachState(t *testing.T, newKernel func(t *testing.T) Kernel, f func(t *testing.T, k Kernel, s State)) {
	for _, s := range States() {
		t.Run(s.Name, func(t *testing.T) { f(t, newKernel(t), s) })
	}
}

func applyTwice(t *testing.T, k Kernel, s State) {
	w := start(t, k)
	first := w.apply(s)
	w.want(s, first, s.Dump)
	w.want(s, w.apply(s), first)
	again := proxycore.Change{Node: &s.Node, Replace: s.Routes}
	if err := w.backend.Program(context.Background(), again); err != nil {
		t.Fatalf("replace every front by itself: %v", err)
	}
	w.want(s, w.dump(), first)
	w.fresh = true
	w.want(s, w.apply(s), first)
}

// dirtyKernel ends a process without Close after each other state, and lets a new one take over.
func dirtyKernel(t *testing.T, k Kernel, s State) {
	for _, before := range States() {
		dead, err := k.Open()
		if err != nil {
			t.Fatal(err)
		}
		if err := dead.Program(context.Background(), proxycore.Change{Full: true, Node: &before.Node, Add: before.Routes}); err != nil {
			t.Fatalf("program %s: %v", before.Name, err)
		}
		w := start(t, k)
		w.want(s, w.apply(s), s.Dump)
		if t.Failed() {
			t.Fatalf("the kernel was in state %s", before.Name)
		}
	}
}

// andBack goes from each state to each other and back: every way between two states in both directions.
func andBack(t *testing.T, newKernel func(t *testing.T) Kernel) {
	w := start(t, newKernel(t))
	states := States()
	for i, a := range states {
		w.want(a, w.apply(a), a.Dump)
		for _, b := range states[i+1:] {
			w.want(b, w.apply(b), b.Dump)
			w.want(a, w.apply(a), a.Dump)
		}
	}
}

// revisit walks through the states in a random order (tailscale's TestRouterStates): no state remembers another.
func revisit(t *testing.T, newKernel func(t *testing.T) Kernel) {
	h := fnv.New64a()
	fmt.Fprint(h, t.Name())
	rng := rand.New(rand.NewPCG(seed, h.Sum64()))
	states := States()
	w := start(t, newKernel(t))
	var order []string
	for range 60 {
		s := states[rng.IntN(len(states))]
		order = append(order, s.Name)
		if got := w.apply(s); got != s.Dump {
			t.Fatalf("seed %d, after %q (-got +want):\n%s", seed, order, cmp.Diff(got, s.Dump))
		}
	}
}

func firstIsFull(t *testing.T, newKernel func(t *testing.T) Kernel) {
	w := start(t, newKernel(t))
	s := States()[1]
	if err := w.backend.Program(context.Background(), proxycore.Change{Node: &s.Node, Add: s.Routes}); err == nil {
		t.Error("a backend that has not read the kernel took a change that is not Full")
	}
	w.want(s, w.apply(s), s.Dump)
}

func closing(t *testing.T, newKernel func(t *testing.T) Kernel) {
	k := newKernel(t)
	strangers := func() string {
		t.Helper()
		s, err := k.Strangers()
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	before := strangers()
	if before == "" {
		t.Fatal("there is no stranger in this kernel to be left alone")
	}
	for _, s := range States() {
		w := start(t, k)
		w.apply(s)
		if d := cmp.Diff(strangers(), before); d != "" {
			t.Errorf("state %s changed what is not the backend's (-got +want):\n%s", s.Name, d)
		}
		for range 2 {
			if err := w.backend.Close(); err != nil {
				t.Fatalf("close: %v", err)
			}
		}
		if d := cmp.Diff(strangers(), before); d != "" {
			t.Errorf("close changed what is not the backend's (-got +want):\n%s", d)
		}
		heir := start(t, k)
		if left := heir.dump(); left != "" {
			t.Errorf("close left behind:\n%s", left)
		}
	}
}
