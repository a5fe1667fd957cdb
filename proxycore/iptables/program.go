package iptables

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// side is one family: its commands, and what is in its tables while the backend knows it.
type side struct {
	is6    bool
	tool   tool
	node   node
	routes map[proxycore.Front]proxycore.Route
	groups map[group]map[proxycore.Front]bool
	local  map[netip.Addr]int // endpoints that are here → pools that have them
	trees  map[place]tree     // of each set
}

func (s *side) forget() {
	s.routes = map[proxycore.Front]proxycore.Route{}
	s.groups = map[group]map[proxycore.Front]bool{}
	s.local = map[netip.Addr]int{}
	s.trees = trees(nil)
}

func (s *side) put(r proxycore.Route) {
	s.routes[r.Front] = r
	g := groupOf(r)
	if s.groups[g] == nil {
		s.groups[g] = map[proxycore.Front]bool{}
	}
	s.groups[g][r.Front] = true
	for a := range hairpins(r) {
		s.local[a]++
	}
}

func (s *side) drop(f proxycore.Front) {
	r, ok := s.routes[f]
	if !ok {
		return
	}
	delete(s.routes, f)
	g := groupOf(r)
	if delete(s.groups[g], f); len(s.groups[g]) == 0 {
		delete(s.groups, g)
	}
	for a := range hairpins(r) {
		if s.local[a]--; s.local[a] == 0 {
			delete(s.local, a)
		}
	}
}

// hairpins are the addresses of the endpoints that may call themselves through the front.
func hairpins(r proxycore.Route) iter.Seq[netip.Addr] {
	return func(yield func(netip.Addr) bool) {
		for _, p := range pools(r) {
			for _, e := range p.Endpoints {
				if e.Here && !yield(e.Addr()) {
					return
				}
			}
		}
	}
}

func pools(r proxycore.Route) []proxycore.Pool {
	if r.Local == nil {
		return []proxycore.Pool{r.Pool}
	}
	return []proxycore.Pool{r.Pool, *r.Local}
}

// lay writes the rules of those groups, not yet planted.
func (s *side) lay(which map[group]bool) layout {
	l := layout{bodies: map[place]body{}, chains: map[place]bool{}}
	for _, g := range slices.SortedFunc(maps.Keys(which), compareGroups) {
		var routes []proxycore.Route
		for _, f := range slices.SortedFunc(maps.Keys(s.groups[g]), proxycore.Front.Compare) {
			routes = append(routes, s.routes[f])
		}
		l.lay(routes)
	}
	return l
}

func compareGroups(a, b group) int {
	if c := a.owner.Service.Compare(b.owner.Service); c != 0 {
		return c
	}
	if c := int(a.proto) - int(b.proto); c != 0 {
		return c
	}
	switch {
	case a.owner.Port < b.owner.Port:
		return -1
	case a.owner.Port > b.owner.Port:
		return 1
	}
	return 0
}

// all is everything that the family has: all groups, the fixed chains, and the hairpins.
func (s *side) all() (layout, map[place]tree) {
	which := map[group]bool{}
	for g := range s.groups {
		which[g] = true
	}
	l := s.lay(which)
	maps.Copy(l.bodies, s.node.fixed())
	l.items = append(l.items, item{place: hairpinSet, text: marked})
	for _, a := range slices.SortedFunc(maps.Keys(s.local), netip.Addr.Compare) {
		l.items = append(l.items, hairpin(a))
	}
	grown := trees(l.items)
	l.plantAll(grown)
	return l, grown
}

// Program puts a change in force: in each family the rules that drop or refuse, then nat, then away with what no longer does.
func (b *Backend) Program(ctx context.Context, c proxycore.Change) error {
	if b.closed {
		return errClosed
	}
	err := b.program(ctx, c)
	b.known = err == nil
	return err
}

func (b *Backend) program(ctx context.Context, c proxycore.Change) error {
	if !c.Full && !b.known {
		return errors.New("the first Change, and the one after an error, must be Full")
	}
	if c.Full && len(c.Remove)+len(c.Replace) > 0 {
		return errors.New("a Full change has nothing but Add")
	}
	for _, list := range [][]proxycore.Route{c.Add, c.Replace} {
		for _, r := range list {
			if err := supports(r); err != nil {
				return err
			}
		}
	}
	if !c.Full {
		if err := b.fits(c); err != nil {
			return err
		}
	}
	if c.Node != nil {
		if err := c.Node.Check(); err != nil {
			return err
		}
	}
	if c.Node != nil {
		b.node = *c.Node
	}
	return b.each(func(s *side) error {
		if c.Full {
			return s.reconcile(ctx, c.Add, b.node, b.limit)
		}
		return s.change(ctx, c, b.node, b.limit)
	})
}

// supports says what no backend can do, before anything is written.
func supports(r proxycore.Route) error {
	switch {
	case !r.Addr.IsValid() || r.Addr.Is4In6() || r.Addr.Zone() != "":
		return fmt.Errorf("front %v: not an address", r.Front)
	case r.Proto != cluster.TCP && r.Proto != cluster.UDP && r.Proto != cluster.SCTP:
		return fmt.Errorf("front %v: backend iptables cannot do %v", r.Front, r.Proto)
	case (r.Local != nil) != (r.Masquerade == proxycore.MasqueradeNode):
		return fmt.Errorf("front %v: one of Local and MasqueradeNode without the other", r.Front)
	}
	for _, p := range r.Ranges {
		if !p.IsValid() || p.Addr().Is4() != r.Addr.Is4() {
			return fmt.Errorf("front %v: source range %v is not of its family", r.Front, p)
		}
	}
	for _, p := range pools(r) {
		for _, e := range p.Endpoints {
			if !e.IsValid() || e.Addr().Is4() != r.Addr.Is4() {
				return fmt.Errorf("front %v: endpoint %v is not of its family", r.Front, e.AddrPort)
			}
		}
	}
	return nil
}

// fits: a change that is not Full goes from what is there.
func (b *Backend) fits(c proxycore.Change) error {
	for _, x := range []struct {
		verb string
		list []proxycore.Route
		want bool
	}{{"add", c.Add, false}, {"replace", c.Replace, true}, {"remove", c.Remove, true}} {
		for _, r := range x.list {
			_, have := b.sideOf(r.Front).routes[r.Front]
			switch {
			case have && !x.want:
				return fmt.Errorf("%s front %v: it is there already", x.verb, r.Front)
			case !have && x.want:
				return fmt.Errorf("%s front %v: it is not there", x.verb, r.Front)
			}
		}
	}
	return nil
}

// change writes the difference that some routes make.
func (s *side) change(ctx context.Context, c proxycore.Change, rules proxycore.NodeRules, limit int) error {
	led := s.node.jumps()
	p, bodies, err := s.step(c, rules)
	if err != nil {
		return err
	}
	return s.carryOut(ctx, p, led, bodies, limit)
}

// step is what a change writes, and the chains besides those of sets that are there then, as far as it touches them.
func (s *side) step(c proxycore.Change, rules proxycore.NodeRules) (plan, map[place]body, error) {
	touched := map[group]bool{}
	endpoints := map[netip.Addr]bool{} // before: whether they were here
	each := func(list []proxycore.Route, f func(r proxycore.Route)) {
		for _, r := range list {
			if r.Addr.Is6() == s.is6 {
				f(r)
			}
		}
	}
	mark := func(r proxycore.Route) {
		touched[groupOf(r)] = true
		for a := range hairpins(r) {
			endpoints[a] = s.local[a] > 0
		}
	}
	for _, list := range [][]proxycore.Route{c.Remove, c.Replace, c.Add} {
		each(list, func(r proxycore.Route) {
			if old, ok := s.routes[r.Front]; ok {
				mark(old)
			}
			mark(r)
		})
	}
	old := s.lay(touched)
	for _, list := range [][]proxycore.Route{c.Remove, c.Replace, c.Add} {
		each(list, func(r proxycore.Route) { s.drop(r.Front) })
	}
	for _, list := range [][]proxycore.Route{c.Replace, c.Add} {
		each(list, s.put)
	}
	now := s.lay(touched)
	for _, a := range slices.SortedFunc(maps.Keys(endpoints), netip.Addr.Compare) {
		switch was, is := endpoints[a], s.local[a] > 0; {
		case was && !is:
			old.items = append(old.items, hairpin(a))
		case is && !was:
			now.items = append(now.items, hairpin(a))
		}
	}
	s.replant(&old, &now, touched)
	if c.Node != nil {
		maps.Copy(old.bodies, s.node.fixed())
		s.node.NodeRules = rules
		if err := s.remember(&kernel{}); err != nil {
			return plan{}, nil, err
		}
		maps.Copy(now.bodies, s.node.fixed())
	}
	return compare(old, now), now.bodies, nil
}

// reconcile reads the kernel and writes the difference to all that is wanted.
func (s *side) reconcile(ctx context.Context, routes []proxycore.Route, rules proxycore.NodeRules, limit int) error {
	s.forget()
	for _, r := range routes {
		if r.Addr.Is6() == s.is6 {
			s.put(r)
		}
	}
	k, err := s.tool.save(ctx)
	if err != nil {
		return err
	}
	s.node.NodeRules = rules
	if err := s.remember(k); err != nil {
		return err
	}
	var now layout
	now, s.trees = s.all()
	p := compare(k.layout(), now)
	// A chain must be there before a rule leads to it, whichever is written first.
	for _, table := range []string{mangle, filter, nat} {
		var missing unit
		for _, at := range slices.SortedFunc(maps.Keys(s.node.fixed()), place.compare) {
			if _, ok := k.chains[at]; !ok && at.table == table {
				missing = append(missing, ":"+at.chain+" - [0:0]")
			}
		}
		if list := p.first(table); len(missing) > 0 {
			*list = slices.Insert(*list, 0, missing)
		}
	}
	return s.carryOut(ctx, p, k.jumps, now.bodies, limit)
}

// carryOut restores a plan. Among the jumps that are there, those that hold a chain that goes are taken out before, what is
// missing is put in, and what else is too much is taken out when nothing needs it any more.
func (s *side) carryOut(ctx context.Context, p plan, have []jump, stay map[place]body, limit int) error {
	absent, extra := sortJumps(have, s.node.jumps())
	for _, j := range absent {
		list := p.first(j.table)
		*list = append(*list, unit{"-I " + j.chain + " 1 " + j.text})
	}
	late := slices.DeleteFunc(slices.Clone(extra), func(j jump) bool {
		to := place{j.table, parseRule(j.text).target}
		_, stays := stay[to]
		_, inSet := setOf(to)
		return !inSet && !stays
	})
	for _, j := range extra {
		if !slices.Contains(late, j) {
			if err := s.tool.remove(j); err != nil {
				return err
			}
		}
	}
	if err := s.tool.restore(ctx, p.restores(limit)); err != nil {
		return err
	}
	for _, j := range late {
		if err := s.tool.remove(j); err != nil {
			return err
		}
	}
	return s.letOut()
}

// sortJumps tells which of our jumps are missing, in the order in which they are put in, and what else leads into our chains.
func sortJumps(have, wanted []jump) (missing, extra []jump) {
	found := make([]bool, len(wanted))
	for _, h := range have {
		i := slices.IndexFunc(wanted, func(j jump) bool {
			return j.table == h.table && j.chain == h.chain && canon(j.text) == canon(h.text)
		})
		if i < 0 || found[i] {
			extra = append(extra, h)
		} else {
			found[i] = true
		}
	}
	for i, j := range wanted {
		if !found[i] {
			missing = append(missing, j)
		}
	}
	return missing, extra
}
