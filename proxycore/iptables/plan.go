package iptables

import (
	"maps"
	"slices"
	"strings"

	"svclab/proxycore"
)

// unit is the operations that must not be torn apart: those of one Service port, mostly. An operation is a line; lines that
// are written together are one string.
type unit []string

// plan is what must be restored in one family, in this order.
type plan struct {
	bar     []unit // mangle: who may call a front, but not that everybody may: until then …
	reject  []unit // filter: the rules that come. Translated packets do not meet them, so they may be early …
	nat     []unit
	respect []unit // filter: … and late in going: at no moment is a front neither translated nor refused
	unbar   []unit // mangle: … what it was is no longer in force
}

func (p *plan) restores(limit int) []string {
	return slices.Concat(restores(mangle, p.bar, limit), restores(filter, p.reject, limit), restores(nat, p.nat, limit),
		restores(filter, p.respect, limit), restores(mangle, p.unbar, limit))
}

// first are the units of a table that are restored first, last those that are last.
func (p *plan) first(table string) *[]unit {
	return map[string]*[]unit{mangle: &p.bar, filter: &p.reject, nat: &p.nat}[table]
}

func (p *plan) last(table string) *[]unit {
	return map[string]*[]unit{mangle: &p.unbar, filter: &p.respect, nat: &p.nat}[table]
}

// compare says how to get from the old rules to the new ones.
func compare(old, now layout) (p plan) {
	home, root := homes(old, now)
	units := map[any]*[2]unit{} // writes, and after them deletions; of a group in nat, of a front in mangle
	var services, fronts []*[2]unit
	in := func(list *[]*[2]unit, key any) *[2]unit {
		if units[key] == nil {
			units[key] = &[2]unit{}
			*list = append(*list, units[key])
		}
		return units[key]
	}
	for _, at := range slices.SortedFunc(maps.Keys(now.chains), place.compare) {
		if !old.chains[at] {
			list := p.first(at.table)
			*list = append(*list, unit{":" + at.chain + " - [0:0]"})
		}
	}
	for _, at := range slices.SortedFunc(maps.Keys(now.bodies), place.compare) {
		b := now.bodies[at]
		if was, ok := old.bodies[at]; ok && sameRules(was.rules, b.rules) {
			continue
		}
		ops := write(at.chain, b.rules)
		switch at.table {
		case nat:
			u := in(&services, root(b.group))
			u[0] = append(u[0], ops...)
		case mangle:
			u := in(&fronts, b.front)
			u[0] = append(u[0], ops...)
		default:
			p.reject = append(p.reject, ops)
		}
	}
	going, coming := difference(old.items, now.items)
	moving := moves(going, coming)
	barred := map[proxycore.Front]bool{}
	for _, it := range now.items {
		if it.table == mangle {
			barred[it.front] = true
		}
	}
	var hairpins, stale []unit
	for _, it := range coming {
		op := "-A " + it.chain + " " + it.text
		switch {
		case it.branch || len(moving) > 0 && moving[it.rule()]:
			list := p.first(it.table)
			*list = append(*list, unit{op})
		case it.table == mangle:
			u := in(&fronts, it.front)
			u[0] = append(u[0], op)
		case it.table == filter:
			p.reject = append(p.reject, unit{op})
		case it.isHairpin():
			hairpins = append(hairpins, unit{op})
		default:
			g, _ := home(it)
			u := in(&services, g)
			u[0] = append(u[0], op)
		}
	}
	structure := map[string][]unit{}
	for _, it := range going {
		op := "-D " + it.chain + " " + it.text
		g, ok := home(it)
		switch {
		case it.branch || len(moving) > 0 && moving[it.rule()]:
			if !old.chains[it.place] || now.chains[it.place] { // else it goes with its chain
				structure[it.table] = append(structure[it.table], unit{op})
			}
		case it.table == mangle && barred[it.front]:
			u := in(&fronts, it.front)
			u[1] = append(u[1], op)
		case it.table == mangle:
			p.unbar = append(p.unbar, unit{op})
		case it.table == filter:
			p.respect = append(p.respect, unit{op})
		case it.isHairpin() || !ok:
			stale = append(stale, unit{op})
		default:
			u := in(&services, g)
			u[1] = append(u[1], op)
		}
	}
	for _, u := range fronts {
		p.bar = append(p.bar, slices.Concat(u[0], u[1]))
	}
	p.nat = append(p.nat, hairpins...)
	for _, u := range services {
		p.nat = append(p.nat, slices.Concat(u[0], u[1]))
	}
	p.nat = append(p.nat, stale...)
	for table, units := range structure {
		list := p.last(table)
		*list = append(*list, units...)
	}
	var gone []place
	for at := range old.bodies {
		if _, ok := now.bodies[at]; !ok {
			gone = append(gone, at)
		}
	}
	for at := range old.chains {
		if !now.chains[at] {
			gone = append(gone, at)
		}
	}
	slices.SortFunc(gone, place.compare)
	for _, op := range []string{"-F ", "-X "} { // a chain that goes may lead to another
		for _, at := range gone {
			list := p.last(at.table)
			*list = append(*list, unit{op + at.chain})
		}
	}
	return p
}

// difference is what is only there of old items, and only of new ones, each in its order. Most are the same to the letter.
func difference(old, now []item) (going, coming []item) {
	going, coming = unmatched(old, now, func(it item) string { return it.text })
	return unmatched(going, coming, func(it item) string { return canon(it.text) })
}

func unmatched(old, now []item, text func(item) string) (going, coming []item) {
	if len(old) == 0 || len(now) == 0 {
		return old, now
	}
	type rule struct {
		place
		text string
	}
	have := make(map[rule]int, len(old)) // how often
	for _, it := range old {
		have[rule{it.place, text(it)}]++
	}
	for _, it := range now {
		r := rule{it.place, text(it)}
		if have[r] == 0 {
			coming = append(coming, it)
		} else {
			have[r]--
		}
	}
	for _, it := range slices.Backward(old) { // of those that are there too often the last go
		if r := (rule{it.place, text(it)}); have[r] > 0 {
			going = append(going, it)
			have[r]--
		}
	}
	slices.Reverse(going)
	return going, coming
}

// rule is an item wherever in its tree it stands.
type rule struct {
	set  place
	text string
}

func (i item) rule() rule {
	s, _ := setOf(i.place)
	return rule{s.place, canon(i.text)}
}

func (i item) isHairpin() bool {
	s, _ := setOf(i.place)
	return s.place == hairpinSet
}

// moves are the rules that only change their place in a tree: they are there twice for a while, so that trees are rebuilt
// before Services change and after, and no Service is touched.
func moves(going, coming []item) map[rule]bool {
	both := map[rule]bool{}
	if len(going) == 0 || len(coming) == 0 {
		return both
	}
	old := map[rule]bool{}
	for _, it := range going {
		old[it.rule()] = true
	}
	for _, it := range coming {
		if r := it.rule(); old[r] && !it.branch {
			both[r] = true
		}
	}
	return both
}

// homes says to which group's unit a rule of nat belongs, if any, and which group's unit is that of a group. A front that
// moved from one Service to another, and chains that got another owner, tie the units of both together.
func homes(old, now layout) (home func(item) (group, bool), root func(group) group) {
	fronts := map[proxycore.Front]group{}
	for _, it := range now.items {
		fronts[it.front] = it.group
	}
	tied := map[group]group{}
	root = func(g group) group {
		for {
			up, ok := tied[g]
			if !ok {
				return g
			}
			g = up
		}
	}
	home = func(it item) (g group, ok bool) {
		g, ok = fronts[it.front]
		if b, led := now.bodies[place{nat, it.to}]; led && it.table == nat {
			if ok && root(g) != root(b.group) {
				tied[root(g)] = root(b.group)
			}
			g, ok = b.group, true
		}
		return root(g), ok
	}
	for _, it := range old.items {
		home(it)
	}
	return home, root
}

// write replaces a chain's rules, or makes the chain.
func write(chain string, rules []string) unit {
	size := len(chain) + 10
	for _, r := range rules {
		size += len(chain) + len(r) + 5
	}
	var b strings.Builder
	b.Grow(size)
	for _, s := range []string{":", chain, " - [0:0]"} {
		b.WriteString(s)
	}
	for _, r := range rules {
		for _, s := range []string{"\n-A ", chain, " ", r} {
			b.WriteString(s)
		}
	}
	return unit{b.String()}
}

// restores cuts units into the inputs of iptables-restore, each of limit operations at most (0: no limit) unless a unit
// alone has more.
func restores(table string, units []unit, limit int) (inputs []string) {
	var ops []string
	size, length := 0, 0
	flush := func() {
		if size == 0 {
			return
		}
		var b strings.Builder
		b.Grow(length + len(table) + 16)
		b.WriteString("*" + table + "\n")
		for _, op := range ops {
			b.WriteString(op)
			b.WriteByte('\n')
		}
		b.WriteString("COMMIT\n")
		inputs, ops, size, length = append(inputs, b.String()), ops[:0], 0, 0
	}
	for _, u := range units {
		n := 0
		for _, op := range u {
			n += 1 + strings.Count(op, "\n")
		}
		if limit > 0 && size > 0 && size+n > limit {
			flush()
		}
		size += n
		for _, op := range u {
			ops, length = append(ops, op), length+len(op)+1
		}
	}
	flush()
	return inputs
}
