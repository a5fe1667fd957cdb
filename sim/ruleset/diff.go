package ruleset

import (
	"cmp"
	"slices"
	"strings"
)

// Change is what differs between two states of one node's rules, for one Service port, or for all of them.
type Change struct {
	Of    string  `json:"of"` // "default/web:http 80/TCP", "every Service", "not recognized"
	Title string  `json:"-"`
	Lines []Delta `json:"lines"`
}

// Delta is a line that came or went.
type Delta struct {
	Sign  string `json:"sign"` // "+" or "-"
	Entry        // as it is, or was
}

// Diff compares two states of a node. What is there twice because it is two Services' is told for each.
func Diff(old, now Node) (out []Change) {
	was, is := ports(old), ports(now)
	var keys []string
	for _, list := range [][]Service{old.Services, now.Services} {
		for _, s := range list {
			if k := s.name(); !slices.Contains(keys, k) {
				keys = append(keys, k)
			}
		}
	}
	slices.Sort(keys)
	add := func(of, title string, a, b []Entry) {
		if lines := deltas(a, b); len(lines) > 0 {
			out = append(out, Change{of, title, lines})
		}
	}
	for _, k := range keys {
		title := was[k].title()
		if _, there := is[k]; there {
			title = is[k].title()
		}
		add(k, title, was[k].Entries, is[k].Entries)
	}
	add("every Service", "what every Service meets", old.Shared, now.Shared)
	add("not recognized", "not recognized", old.Unknown, now.Unknown)
	return out
}

func ports(n Node) map[string]Service {
	out := map[string]Service{}
	for _, s := range n.Services {
		out[s.name()] = s
	}
	return out
}

// deltas are the lines that only one of two lists has, in the order in which the reader would meet them. A line that only changed
// its place among others is none.
func deltas(old, now []Entry) (out []Delta) {
	count := map[string]int{}
	for _, e := range now {
		count[e.identity()]++
	}
	for _, e := range old {
		if k := e.identity(); count[k] > 0 {
			count[k]--
		} else {
			out = append(out, Delta{"-", e})
		}
	}
	clear(count)
	for _, e := range old {
		count[e.identity()]++
	}
	for _, e := range now {
		if k := e.identity(); count[k] > 0 {
			count[k]--
		} else {
			out = append(out, Delta{"+", e})
		}
	}
	slices.SortStableFunc(out, func(a, b Delta) int {
		return cmp.Or(cmp.Compare(a.order, b.order), strings.Compare(a.Front, b.Front), cmp.Compare(a.section, b.section), strings.Compare(a.where, b.where))
	})
	return out
}

// identity is what makes two lines the same. The words may differ: a pod may have got the address of another.
func (e Entry) identity() string { return e.where + "\x00" + e.Front + "\x00" + e.Text }
