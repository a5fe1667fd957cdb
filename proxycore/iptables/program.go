package iptables

import (
	"context"
	"errors"
	"fmt"
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
	routes map[proxycore.Front]proxycore.Route
	groups map[group]map[proxycore.Front]bool
	local  map[netip.Addr]int // endpoints that are here → pools that have them
	fixed  map[string]body
}

func (s *side) forget() {
	s.routes = map[proxycore.Front]proxycore.Route{}
	s.groups = map[group]map[proxycore.Front]bool{}
	s.local = map[netip.Addr]int{}
	s.fixed = nil
}

func (s *side) put(r proxycore.Route) {
	s.routes[r.Front] = r
	g := groupOf(r)
	if s.groups[g] == nil {
		s.groups[g] = map[proxycore.Front]bool{}
	}
	s.groups[g][r.Front] = true
	for _, e := range r.Pool.Endpoints {
		if e.Here {
			s.local[e.Addr()]++
		}
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
	for _, e := range r.Pool.Endpoints {
		if e.Here {
			if s.local[e.Addr()]--; s.local[e.Addr()] == 0 {
				delete(s.local, e.Addr())
			}
		}
	}
}

// lay writes the rules of those groups.
func (s *side) lay(which map[group]bool) layout {
	l := layout{bodies: map[string]body{}}
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
func (s *side) all() layout {
	which := map[group]bool{}
	for g := range s.groups {
		which[g] = true
	}
	l := s.lay(which)
	maps.Copy(l.bodies, s.fixed)
	l.items = append(l.items, item{place: place{nat, post}, text: marked})
	for _, a := range slices.SortedFunc(maps.Keys(s.local), netip.Addr.Compare) {
		l.items = append(l.items, hairpin(a))
	}
	return l
}

// Program puts a change in force: in each family the rules that refuse, then nat, then away with what no longer refuses.
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
		b.node = *c.Node
	}
	return b.each(func(s *side) error {
		if c.Full {
			return s.reconcile(ctx, c.Add, b.node, b.limit)
		}
		return s.change(ctx, c, b.node, b.limit)
	})
}

// supports says what this backend cannot do yet, before anything is written.
func supports(r proxycore.Route) error {
	var what string
	switch {
	case !r.Addr.IsValid() || r.Addr.Is4In6() || r.Addr.Zone() != "":
		return fmt.Errorf("front %v: not an address", r.Front)
	case r.Proto != cluster.TCP && r.Proto != cluster.UDP && r.Proto != cluster.SCTP:
		what = r.Proto.String()
	case r.Local != nil || r.Masquerade == proxycore.MasqueradeNode:
		what = "externalTrafficPolicy Local"
	case r.Ranges != nil:
		what = "loadBalancerSourceRanges"
	}
	if what != "" {
		return fmt.Errorf("front %v: backend iptables cannot do %s yet", r.Front, what)
	}
	for _, e := range r.Pool.Endpoints {
		if !e.IsValid() || e.Addr().Is4() != r.Addr.Is4() {
			return fmt.Errorf("front %v: endpoint %v is not of its family", r.Front, e.AddrPort)
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
func (s *side) change(ctx context.Context, c proxycore.Change, node proxycore.NodeRules, limit int) error {
	touched := map[group]bool{}
	was := maps.Clone(s.local)
	each := func(list []proxycore.Route, f func(r proxycore.Route)) {
		for _, r := range list {
			if r.Addr.Is6() == s.is6 {
				f(r)
			}
		}
	}
	mark := func(r proxycore.Route) {
		if old, ok := s.routes[r.Front]; ok {
			touched[groupOf(old)] = true
		}
		touched[groupOf(r)] = true
	}
	for _, list := range [][]proxycore.Route{c.Remove, c.Replace, c.Add} {
		each(list, mark)
	}
	old := s.lay(touched)
	for _, list := range [][]proxycore.Route{c.Remove, c.Replace, c.Add} {
		each(list, func(r proxycore.Route) { s.drop(r.Front) })
	}
	for _, list := range [][]proxycore.Route{c.Replace, c.Add} {
		each(list, s.put)
	}
	now := s.lay(touched)
	hairpins := func(l *layout, have, other map[netip.Addr]int) {
		for _, a := range slices.SortedFunc(maps.Keys(have), netip.Addr.Compare) {
			if other[a] == 0 {
				l.items = append(l.items, hairpin(a))
			}
		}
	}
	hairpins(&old, was, s.local)
	hairpins(&now, s.local, was)
	if c.Node != nil {
		maps.Copy(old.bodies, s.fixed)
		s.fixed = nodeBodies(node, s.is6)
		maps.Copy(now.bodies, s.fixed)
	}
	return s.carryOut(ctx, compare(old, now), limit)
}

// reconcile reads the kernel and writes the difference to all that is wanted.
func (s *side) reconcile(ctx context.Context, routes []proxycore.Route, node proxycore.NodeRules, limit int) error {
	s.forget()
	for _, r := range routes {
		if r.Addr.Is6() == s.is6 {
			s.put(r)
		}
	}
	s.fixed = nodeBodies(node, s.is6)
	k, err := s.tool.save(ctx)
	if err != nil {
		return err
	}
	now := s.all()
	p := compare(k.layout(), now)
	// A chain must be there before a rule is added to it or a jump leads to it.
	var missing [2]unit
	for _, p := range sets {
		if _, ok := k.chains[p]; !ok {
			i := 0
			if p.table == nat {
				i = 1
			}
			missing[i] = append(missing[i], ":"+p.chain+" - [0:0]")
		}
	}
	if len(missing[0]) > 0 {
		p.reject = slices.Insert(p.reject, 0, missing[0])
	}
	for name := range s.fixed { // they lead to one another, whichever is written first
		if _, ok := k.chains[place{nat, name}]; !ok {
			missing[1] = append(missing[1], ":"+name+" - [0:0]")
		}
	}
	if len(missing[1]) > 0 {
		slices.Sort(missing[1])
		p.nat = slices.Insert(p.nat, 0, missing[1])
	}
	for _, pl := range k.places() { // chains in filter that are not of this layout
		if pl.table == filter && pl.chain != top {
			p.respect = append(p.respect, unit{"-F " + pl.chain, "-X " + pl.chain})
		}
	}
	absent, extra := sortJumps(k.jumps)
	for _, j := range absent {
		if op := (unit{"-I " + j.chain + " 1 " + j.text}); j.table == filter {
			p.reject = append(p.reject, op)
		} else {
			p.nat = append(p.nat, op)
		}
	}
	// Nobody's jump may hold a chain that goes.
	lost := slices.DeleteFunc(slices.Clone(k.jumps), func(j jump) bool {
		to := place{j.table, parseRule(j.text).target}
		_, stays := now.bodies[to.chain]
		return isSet(to) || to.table == nat && stays
	})
	for _, j := range lost {
		if err := s.tool.remove(j); err != nil {
			return err
		}
	}
	if err := s.carryOut(ctx, p, limit); err != nil {
		return err
	}
	for _, j := range extra {
		if err := s.tool.remove(j); err != nil {
			return err
		}
	}
	return nil
}

func (s *side) carryOut(ctx context.Context, p plan, limit int) error {
	return s.tool.restore(ctx, slices.Concat(restores(filter, p.reject, limit), restores(nat, p.nat, limit), restores(filter, p.respect, limit)))
}

// sortJumps tells which of our jumps are missing, in the order in which they are put in, and what else leads into our chains.
func sortJumps(have []jump) (missing, extra []jump) {
	found := make([]bool, len(jumps))
	for _, h := range have {
		i := slices.IndexFunc(jumps, func(j jump) bool {
			return j.table == h.table && j.chain == h.chain && canon(j.text) == canon(h.text)
		})
		if i < 0 || found[i] {
			extra = append(extra, h)
		} else {
			found[i] = true
		}
	}
	for i, j := range jumps {
		if !found[i] {
			missing = append(missing, j)
		}
	}
	return missing, extra
}
