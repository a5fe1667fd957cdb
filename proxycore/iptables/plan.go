package iptables

import (
	"maps"
	"slices"
	"strings"

	"svclab/proxycore"
)

// unit is the operations that must not be torn apart: those of one Service port, mostly.
type unit []string

// plan is what must be restored in one family, in this order.
type plan struct {
	reject  []unit // filter: the rules that come. Translated packets do not meet them, so they may be early …
	nat     []unit
	respect []unit // filter: … and late in going: at no moment is a front neither translated nor refused
}

// compare says how to get from the old rules to the new ones. A front that moved from one Service to another, and chains
// that got another owner, tie the units of both together.
func compare(old, now layout) (p plan) {
	fronts := map[proxycore.Front]group{}
	for _, it := range now.items {
		fronts[it.front] = it.group
	}
	tied := map[group]group{}
	root := func(g group) group {
		for {
			up, ok := tied[g]
			if !ok {
				return g
			}
			g = up
		}
	}
	home := func(it item) (g group, ok bool) {
		g, ok = fronts[it.front]
		if b, led := now.bodies[it.to]; led {
			if ok && root(g) != root(b.group) {
				tied[root(g)] = root(b.group)
			}
			g, ok = b.group, true
		}
		return g, ok
	}
	for _, it := range old.items {
		home(it)
	}

	units := map[group]*[2]unit{} // writes, and after them deletions
	var order []group
	unitOf := func(g group) *[2]unit {
		g = root(g)
		if units[g] == nil {
			units[g] = &[2]unit{}
			order = append(order, g)
		}
		return units[g]
	}
	for _, name := range slices.Sorted(maps.Keys(now.bodies)) {
		b := now.bodies[name]
		if was, ok := old.bodies[name]; !ok || !sameRules(was.rules, b.rules) {
			u := unitOf(b.group)
			u[0] = append(u[0], write(name, b.rules)...)
		}
	}
	have := map[string][]int{} // what is there of each rule: indexes in old.items
	key := func(it item) string { return it.table + " " + it.chain + " " + canon(it.text) }
	for i, it := range old.items {
		have[key(it)] = append(have[key(it)], i)
	}
	var hairpins, stale []unit
	for _, it := range now.items {
		if k := key(it); len(have[k]) > 0 {
			have[k] = have[k][1:]
			continue
		}
		op := "-A " + it.chain + " " + it.text
		switch {
		case it.table == filter:
			p.reject = append(p.reject, unit{op})
		case it.chain == post:
			hairpins = append(hairpins, unit{op})
		default:
			u := unitOf(it.group)
			u[0] = append(u[0], op)
		}
	}
	for _, i := range slices.Sorted(rest(have)) {
		it := old.items[i]
		op := "-D " + it.chain + " " + it.text
		g, ok := home(it)
		switch {
		case it.table == filter:
			p.respect = append(p.respect, unit{op})
		case it.chain == post || !ok:
			stale = append(stale, unit{op})
		default:
			u := unitOf(g)
			u[1] = append(u[1], op)
		}
	}
	p.nat = hairpins
	for _, g := range order {
		p.nat = append(p.nat, slices.Concat(units[g][0], units[g][1]))
	}
	p.nat = append(p.nat, stale...)
	for _, name := range slices.Sorted(maps.Keys(old.bodies)) {
		if _, ok := now.bodies[name]; !ok {
			p.nat = append(p.nat, unit{"-F " + name, "-X " + name})
		}
	}
	return p
}

func rest(have map[string][]int) func(yield func(int) bool) {
	return func(yield func(int) bool) {
		for _, list := range have {
			for _, i := range list {
				if !yield(i) {
					return
				}
			}
		}
	}
}

// write replaces a chain's rules, or makes the chain.
func write(chain string, rules []string) unit {
	u := unit{":" + chain + " - [0:0]"}
	for _, r := range rules {
		u = append(u, "-A "+chain+" "+r)
	}
	return u
}

// restores cuts units into the inputs of iptables-restore, each of limit operations at most (0: no limit) unless a unit
// alone has more.
func restores(table string, units []unit, limit int) (inputs []string) {
	var b strings.Builder
	size := 0
	flush := func() {
		if size > 0 {
			inputs = append(inputs, "*"+table+"\n"+b.String()+"COMMIT\n")
			b.Reset()
			size = 0
		}
	}
	for _, u := range units {
		if limit > 0 && size > 0 && size+len(u) > limit {
			flush()
		}
		for _, op := range u {
			b.WriteString(op)
			b.WriteByte('\n')
			size++
		}
	}
	flush()
	return inputs
}
