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
	claims map[Front]contest
	mine   map[cluster.Key][]Route // never changed once they are here: claims point into them
}

// contest is all claims to one front: nearly always one.
type contest struct {
	best claim
	rest []claim // best first
}

type claim struct {
	created time.Time
	route   *Route
}

func (c claim) compare(o claim) int {
	if d := c.created.Compare(o.created); d != 0 {
		return d
	}
	return c.route.Owner.Service.Compare(o.route.Owner.Service)
}

func newArbiter() *arbiter {
	return &arbiter{claims: map[Front]contest{}, mine: map[cluster.Key][]Route{}}
}

// set replaces the claims of one Service. before remembers, over several calls, what each touched front was when the change
// began; nil: nobody asks.
func (a *arbiter) set(svc cluster.Key, created time.Time, routes []Route, before map[Front]*Route) {
	was := a.mine[svc]
	for i := range was {
		a.touch(was[i].Front, before)
		a.withdraw(svc, was[i].Front)
	}
	for i := range routes {
		r := &routes[i]
		a.touch(r.Front, before)
		c := claim{created, r}
		all, contested := a.claims[r.Front]
		switch {
		case !contested:
			all.best = c
		case c.compare(all.best) < 0:
			all.rest = slices.Insert(slices.Clone(all.rest), 0, all.best)
			all.best = c
		default:
			all.rest = append(slices.Clone(all.rest), c)
			slices.SortStableFunc(all.rest, claim.compare)
		}
		a.claims[r.Front] = all
	}
	if len(routes) > 0 {
		a.mine[svc] = routes
	} else if len(was) > 0 {
		delete(a.mine, svc)
	}
}

// withdraw takes a Service's claim to a front back.
func (a *arbiter) withdraw(svc cluster.Key, f Front) {
	all := a.claims[f]
	mine := func(c claim) bool { return c.route.Owner.Service == svc }
	all.rest = slices.DeleteFunc(slices.Clone(all.rest), mine)
	switch {
	case !mine(all.best):
	case len(all.rest) == 0:
		delete(a.claims, f)
		return
	default:
		all.best, all.rest = all.rest[0], all.rest[1:]
	}
	a.claims[f] = all
}

func (a *arbiter) touch(f Front, before map[Front]*Route) {
	if before == nil {
		return
	}
	if _, seen := before[f]; !seen {
		before[f] = a.winner(f)
	}
}

// winner returns the route in force, which must not be changed; nil when nobody claims the front.
func (a *arbiter) winner(f Front) *Route { return a.claims[f].best.route }

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
		slices.SortFunc(list, func(a, b Route) int { return a.Front.Compare(b.Front) })
	}
	return c
}

// all returns every route in force, sorted.
func (a *arbiter) all() []Route {
	order := make([]*Route, 0, len(a.claims))
	for _, c := range a.claims {
		order = append(order, c.best.route)
	}
	slices.SortFunc(order, func(a, b *Route) int { return a.Front.Compare(b.Front) })
	out := make([]Route, len(order))
	for i, r := range order {
		out[i] = *r
	}
	return out
}
