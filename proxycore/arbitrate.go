package proxycore

import (
	"cmp"
	"slices"
	"time"

	"svclab/proxycore/cluster"
)

// arbiter settles who owns a front that two Services claim (an externalIP, a NodePort, a ClusterIP pasted twice): the
// older Service, and among equals the first by name, so that every node decides alike; when the winner goes, the next
// appears. It holds every claim, so a change costs no more than the claims it touches.
type arbiter struct {
	best   map[FrontKey]*Route   // in force
	rivals map[FrontKey][]*Route // every claim to a front that several Services claim, best first
	mine   map[cluster.Key]claims
}

// claims are those of one Service. The maps point into routes, which never change.
type claims struct {
	created time.Time
	routes  []Route
}

func newArbiter() *arbiter {
	return &arbiter{best: map[FrontKey]*Route{}, rivals: map[FrontKey][]*Route{}, mine: map[cluster.Key]claims{}}
}

// expect makes room for so many Services more.
func (a *arbiter) expect(services int) {
	if len(a.mine) == 0 && services > 0 {
		a.best, a.mine = make(map[FrontKey]*Route, services), make(map[cluster.Key]claims, services)
	}
}

// set replaces the claims of one Service, and adds to before, which is kept over several calls, what each touched front was
// when the change began. Nil: nobody asks.
func (a *arbiter) set(svc cluster.Key, created time.Time, routes []Route, before map[FrontKey]*Route) {
	old := a.mine[svc].routes
	if len(routes) == 0 {
		if len(old) == 0 {
			return
		}
		delete(a.mine, svc)
	} else {
		a.mine[svc] = claims{created, routes}
	}
	for i := range old {
		f := old[i].Key()
		a.touch(f, before)
		a.withdraw(f, &old[i])
	}
	for i := range routes {
		f := routes[i].Key()
		a.touch(f, before)
		a.claim(f, &routes[i])
	}
}

func (a *arbiter) claim(f FrontKey, r *Route) {
	best := a.best[f]
	if best == nil {
		a.best[f] = r
		return
	}
	all := a.rivals[f]
	if all == nil {
		all = []*Route{best}
	}
	all = append(all, r)
	slices.SortStableFunc(all, func(x, y *Route) int {
		return cmp.Or(a.mine[x.Owner.Service].created.Compare(a.mine[y.Owner.Service].created), x.Owner.Service.Compare(y.Owner.Service))
	})
	a.rivals[f], a.best[f] = all, all[0]
}

func (a *arbiter) withdraw(f FrontKey, r *Route) {
	all := slices.DeleteFunc(a.rivals[f], func(x *Route) bool { return x == r })
	switch len(all) {
	case 0:
		delete(a.best, f)
	case 1:
		delete(a.rivals, f)
		a.best[f] = all[0]
	default:
		a.rivals[f], a.best[f] = all, all[0]
	}
}

func (a *arbiter) touch(f FrontKey, before map[FrontKey]*Route) {
	if before == nil {
		return
	}
	if _, seen := before[f]; !seen {
		before[f] = a.best[f]
	}
}

// winner returns the route in force, nil when nobody claims the front. It must not be changed.
func (a *arbiter) winner(f Front) *Route { return a.best[f.Key()] }

// change compares the touched fronts with what they were, sorted by front.
func (a *arbiter) change(before map[FrontKey]*Route) (c Change) {
	for f, old := range before {
		now := a.best[f]
		switch {
		case old == nil && now != nil:
			c.Add = append(c.Add, *now)
		case old != nil && now == nil:
			c.Remove = append(c.Remove, *old)
		case old != nil && now != nil && !old.equal(now):
			c.Replace = append(c.Replace, *now)
		}
	}
	for _, list := range [][]Route{c.Remove, c.Add, c.Replace} {
		slices.SortFunc(list, compareRoutes)
	}
	return c
}

// all returns every route in force, sorted.
func (a *arbiter) all() []Route {
	order := make([]*Route, 0, len(a.best))
	for _, r := range a.best {
		order = append(order, r)
	}
	slices.SortFunc(order, func(x, y *Route) int { return x.Front.Compare(y.Front) })
	out := make([]Route, len(order))
	for i, r := range order {
		out[i] = *r
	}
	return out
}

func compareRoutes(a, b Route) int { return a.Front.Compare(b.Front) }
