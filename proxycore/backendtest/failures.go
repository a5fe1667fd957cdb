package backendtest

import (
	"context"
	"slices"
	"strings"
	"testing"

	"svclab/proxycore"
)

// failures lets a change fail at each of its boundaries: what the kernel then does is, for every Service, the old state
// or the new one or on the way between them; and the next change, which is Full, brings the new state.
func failures(t *testing.T, k Kernel) {
	w := start(t, k)
	states := States()
	seen := 0
	for i, a := range states {
		b := states[(i+1)%len(states)]
		for _, way := range [][2]State{{a, b}, {b, a}} {
			w.apply(way[0])
			for n := 0; ; n++ {
				if n > 100 {
					t.Fatalf("from %s to %s: a change of more than 100 steps", way[0].Name, way[1].Name)
				}
				k.Fault(w.backend, n)
				err := w.backend.Program(context.Background(), change(way[0], way[1]))
				k.Fault(w.backend, -1)
				if err == nil {
					w.now = way[1]
					w.want(way[1], w.dump(), way[1].Dump)
					break
				}
				seen++
				left, err := w.backend.Dump(context.Background())
				if err != nil {
					t.Fatalf("dump after a failure: %v", err)
				}
				if bad := between(left, way[0], way[1]); bad != "" {
					t.Fatalf("from %s to %s, failed at step %d: %s\n%s", way[0].Name, way[1].Name, n, bad, left)
				}
				if err := w.backend.Program(context.Background(), change(way[0], way[1])); err == nil {
					t.Fatal("a change that is not Full was taken after an error")
				}
				for _, s := range []State{way[1], way[0]} {
					w.fresh = true
					w.want(s, w.apply(s), s.Dump)
				}
			}
		}
	}
	if seen < 2*len(states) {
		t.Errorf("only %d failures were tried", seen)
	}
}

// between says what in a dump is neither of the one state nor of the other.
func between(dump string, a, b State) string {
	there := map[string]string{}
	for line := range strings.Lines(dump) {
		line = strings.TrimSuffix(line, "\n")
		front, fate, ok := strings.Cut(line, " ->")
		if !ok {
			continue // of the node
		}
		front, _, _ = strings.Cut(front, " ")
		there[front] = line
		old, now := lineOf(a, front), lineOf(b, front)
		if line == old || line == now {
			continue
		}
		known := strings.Fields(old + " " + now)
		for _, e := range strings.Fields(fate) {
			if !slices.Contains(known, e) {
				return front + " has " + e + " of neither state"
			}
		}
		if fate == "" {
			return front + " leads nowhere"
		}
	}
	for _, r := range b.Routes {
		f := r.Front.String()
		stays := slices.ContainsFunc(a.Routes, func(o proxycore.Route) bool { return o.Front == r.Front })
		if stays && there[f] == "" {
			return f + " is in both states, and not there"
		}
	}
	return ""
}

// lineOf is the line of a state's dump for a front.
func lineOf(s State, front string) string {
	for line := range strings.Lines(s.Dump) {
		if strings.HasPrefix(line, front+" ") {
			return strings.TrimSuffix(line, "\n")
		}
	}
	return ""
}
