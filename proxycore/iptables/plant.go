package iptables

import (
	"maps"
	"slices"
)

// trees are those of all sets, with the keys of some items.
func trees(items []item) map[place]tree {
	keys := map[place][]key{}
	for _, it := range items {
		if it.key != "" {
			keys[it.place] = append(keys[it.place], it.key)
		}
	}
	out := map[place]tree{}
	for _, s := range sets {
		slices.Sort(keys[s.place])
		out[s.place] = tree{s, keys[s.place]}
	}
	return out
}

// plantAll puts all items of a family in their chains, and adds those.
func (l *layout) plantAll(grown map[place]tree) {
	where := map[place]map[key]string{}
	for at, t := range grown {
		var p part
		p, where[at] = t.whole()
		l.add(p)
	}
	for i := range l.items {
		if it := &l.items[i]; it.key != "" {
			it.chain = where[it.place][it.key]
		}
	}
}

func (l *layout) add(p part) {
	for _, at := range p.chains {
		l.chains[at] = true
	}
	l.items = append(l.items, p.leads...)
}

// plant puts items in their chains.
func (l *layout) plant(grown map[place]tree) {
	for i := range l.items {
		if it := &l.items[i]; it.key != "" {
			it.chain = grown[it.place].chainOf(it.key)
		}
	}
}

// replant makes the trees fit the new items, and adds to both layouts what that changes: chains, rules that lead to them,
// and those of other groups that get another place.
func (s *side) replant(old, now *layout, touched map[group]bool) {
	before, after := s.trees, maps.Clone(s.trees)
	changed := map[place]*[2][]key{}
	for which, l := range []*layout{old, now} {
		for _, it := range l.items {
			if it.key != "" {
				if changed[it.place] == nil {
					changed[it.place] = &[2][]key{}
				}
				changed[it.place][which] = append(changed[it.place][which], it.key)
			}
		}
	}
	others := map[group]bool{}
	var parts [2][]part
	for _, set := range sets {
		c := changed[set.place]
		if c == nil {
			continue
		}
		t := before[set.place]
		grown := t.with(without(c[0], c[1]), without(c[1], c[0]))
		was, is, moved := differ(t, grown)
		parts[0], parts[1] = append(parts[0], was), append(parts[1], is)
		after[set.place] = grown
		for _, k := range moved {
			if f := k.front(); set.place != hairpinSet {
				if g := groupOf(s.routes[f]); !touched[g] {
					others[g] = true
				}
				continue
			}
			old.items, now.items = append(old.items, hairpin(k.addr())), append(now.items, hairpin(k.addr()))
		}
	}
	same := s.lay(others)
	for which, l := range []*layout{old, now} {
		l.items = append(l.items, same.items...)
		maps.Copy(l.bodies, same.bodies)
		l.plant([]map[place]tree{before, after}[which])
		for _, p := range parts[which] {
			l.add(p)
		}
	}
	s.trees = after
}

func without(keys, others []key) []key {
	other := make(map[key]bool, len(others))
	for _, k := range others {
		other[k] = true
	}
	return slices.DeleteFunc(slices.Clone(keys), func(k key) bool { return other[k] })
}
