package proxycore

import (
	"slices"
	"time"

	"svclab/proxycore/cluster"
)

// arbiter settles who owns a front that two Services claim (an externalIP, a NodePort, a ClusterIP pasted twice): the
// older Service, and among equals the first by name, so that every node decides alike; when the winner goes, the next
// appears. It holds every claim, so a change costs no more than the claims it touches.
type arbiter struct {
	claims map[Front][]claim // best first
	mine   map[cluster.Key][]Route
}

type claim struct {
	created time.Time
	route   Route
}

func newArbiter() *arbiter {
	return &arbiter{claims: map[Front][]claim{}, mine: map[cluster.Key][]Route{}}
}

// set replaces the claims of one Service, and adds to change what that does to the fronts. before remembers, over
// several calls, what each touched front was when the change began.
func (a *arbiter) set(svc cluster.Key, created time.Time, routes []Route, before map[Front]*Route) {
	for _, r := range a.mine[svc] {
		a.touch(r.Front, before)
		left := slices.DeleteFunc(a.claims[r.Front], func(c claim) bool { return c.route.Owner.Service == svc })
		if len(left) == 0 {
			delete(a.claims, r.Front)
		} else {
			a.claims[r.Front] = left
		}
	}
	for _, r := range routes {
		a.touch(r.Front, before)
		all := append(a.claims[r.Front], claim{created, r})
		slices.SortStableFunc(all, func(x, y claim) int {
			if c := x.created.Compare(y.created); c != 0 {
				return c
			}
			return x.route.Owner.Service.Compare(y.route.Owner.Service)
		})
		a.claims[r.Front] = all
	}
	if len(routes) == 0 {
		delete(a.mine, svc)
	} else {
		a.mine[svc] = routes
	}
}

func (a *arbiter) touch(f Front, before map[Front]*Route) {
	if _, seen := before[f]; !seen {
		before[f] = a.winner(f)
	}
}

// winner returns a copy of the route in force, nil when nobody claims the front.
func (a *arbiter) winner(f Front) *Route {
	if all := a.claims[f]; len(all) > 0 {
		r := all[0].route
		return &r
	}
	return nil
}

// change compares the touched fronts with what they were, sorted by front.
func (a *arbiter) change(before map[Front]*Route) (c Change) {
	for f, old := range before {
		now := a.winner(f)
		switch {
		case old == nil && now != nil:
			c.Add = append(c.Add, *now)
		case old != nil && now == nil:
			c.Remove = append(c.Remove, *old)
		case old != nil && now != nil && !old.Equal(*now):
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
	out := make([]Route, 0, len(a.claims))
	for f := range a.claims {
		out = append(out, *a.winner(f))
	}
	slices.SortFunc(out, compareRoutes)
	return out
}

func compareRoutes(a, b Route) int { return a.Front.Compare(b.Front) }
