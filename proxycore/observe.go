package proxycore

import (
	"net/netip"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
)

// Observer is told of every Apply, for those who ask the node how it does: load balancers, and whoever collects metrics. Its
// calls come one at a time, from whoever applies: Queued, then Synced, then Cleaned where there was something to clean.
// Nothing is computed for it beyond what has changed.
type Observer interface {
	// Queued: a state is there, and not yet in force.
	Queued(Queued)
	// Synced: it is in force, or it could not be put in force.
	Synced(Synced)
	// Cleaned: stale connection-tracking entries were looked for.
	Cleaned(Cleaned)
	// Close stops what the observer serves. It may be called twice.
	Close() error
}

// Queued is what an Apply is about to do.
type Queued struct {
	Node     *cluster.Node // as the state has it; nil: not at all
	Services int           // how many differ from the state before
	Slices   int
	Triggers []time.Time // when what the changed slices tell of happened, where they say (endpoints.kubernetes.io/last-change-trigger-time)
}

// Synced is how programming ended.
type Synced struct {
	Err  error // nil: the state is in force
	Full bool  // the kernel was read and reconciled, not only changed
	// Checks are the health checks that differ from those at the last Synced without error. It is empty after an error:
	// what is not in force is not told.
	Checks  map[cluster.Key]HealthCheck
	NoLocal NoLocal
}

// Cleaned is how a look at connection tracking ended.
type Cleaned struct {
	Took    time.Duration
	Deleted uint64 // how many entries, where the Cleaner counts them
	Err     error
}

// HealthCheck is where a load balancer asks this node whether to send it traffic of a Service, and what to answer (rows
// LB-15, LB-17, LB-20). The zero value: nowhere.
type HealthCheck struct {
	Port  uint16
	Addrs []netip.Addr // sorted
	Ready [2]int       // of each family (IPv4, IPv6) how many endpoints are here and ready
}

// Equal reports whether both are the same.
func (h HealthCheck) Equal(o HealthCheck) bool {
	return h.Port == o.Port && h.Ready == o.Ready && slices.Equal(h.Addrs, o.Addrs)
}

// NoLocal counts Service ports that drop traffic here because their policy is Local and they have endpoints elsewhere only
// (row POL-16): by family (IPv4, IPv6).
type NoLocal struct{ Internal, External [2]int }

func (n NoLocal) plus(o NoLocal, sign int) NoLocal {
	for f := range 2 {
		n.Internal[f] += sign * o.Internal[f]
		n.External[f] += sign * o.External[f]
	}
	return n
}

// CompileCheck says where and what load balancers are answered about one Service on one node. Pure. Endpoints that
// terminate do not count even where they still get traffic, so that the node is drained (row LB-17). One address is one
// endpoint, however many ports it has (kubernetes pkg/proxy/endpointschangetracker.go: LocalReadyEndpoints).
func CompileCheck(svc *cluster.Service, endpoints []*cluster.Slice, view NodeView) (h HealthCheck) {
	if svc == nil || ofAnother(svc) {
		return h
	}
	spec := &svc.Object.Spec
	if spec.Type != corev1.ServiceTypeLoadBalancer || spec.ExternalTrafficPolicy != corev1.ServiceExternalTrafficPolicyLocal || spec.HealthCheckNodePort == 0 {
		return h
	}
	for _, a := range view.NodePorts {
		if !a.IsLoopback() && served(svc, a) {
			h.Addrs = append(h.Addrs, a)
		}
	}
	if len(h.Addrs) == 0 {
		return h
	}
	h.Port = uint16(spec.HealthCheckNodePort)
	for f := range h.Ready {
		ready := map[netip.Addr]bool{}
		for _, port := range spec.Ports {
			proto, err := cluster.ParseProto(string(port.Protocol))
			if err != nil {
				continue
			}
			for _, c := range candidates(nil, endpoints, port.Name, proto, f == 0) {
				if c.ready && c.placed && c.node == view.Name {
					ready[c.Addr()] = true
				}
			}
		}
		h.Ready[f] = len(ready)
	}
	return h
}

// noLocal counts the ports of one Service, from its routes on this node.
func noLocal(routes []Route) (n NoLocal) {
	type port struct {
		name     string
		external bool
		family   int
	}
	seen := map[port]bool{}
	for i := range routes {
		r := &routes[i]
		p := port{r.Owner.Port, r.Local != nil, btoi(r.Addr.Is6())}
		drops := r.Pool.drops()
		if p.external {
			drops = r.Local.drops()
		}
		if !drops || seen[p] {
			continue
		}
		seen[p] = true
		if p.external {
			n.External[p.family]++
		} else {
			n.Internal[p.family]++
		}
	}
	return n
}

func (p Pool) drops() bool { return len(p.Endpoints) == 0 && p.Empty == Drop }

// watched is what a Proxy keeps for its observers.
type watched struct {
	observers []Observer
	checks    map[cluster.Key]HealthCheck // as compiled; those that are nowhere are not in it
	unsaid    map[cluster.Key]bool        // whose check may differ from what the observers know
	without   map[cluster.Key]NoLocal     // those that are zero are not in it
	noLocal   NoLocal                     // their sum
}

func newWatched(observers []Observer) *watched {
	return &watched{observers: observers, checks: map[cluster.Key]HealthCheck{}, unsaid: map[cluster.Key]bool{}, without: map[cluster.Key]NoLocal{}}
}

// set takes in what was compiled of one Service.
func (w *watched) set(key cluster.Key, svc *cluster.Service, endpoints []*cluster.Slice, routes []Route, view NodeView) {
	if len(w.observers) == 0 {
		return
	}
	if now, was := CompileCheck(svc, endpoints, view), w.checks[key]; !now.Equal(was) {
		w.unsaid[key] = true
		if now.Port == 0 {
			delete(w.checks, key)
		} else {
			w.checks[key] = now
		}
	}
	now := noLocal(routes)
	w.noLocal = w.noLocal.plus(w.without[key], -1).plus(now, 1)
	if now == (NoLocal{}) {
		delete(w.without, key)
	} else {
		w.without[key] = now
	}
}

// queued tells of a state, given which Services or slices of theirs differ from the one before, or may.
func (w *watched) queued(node *cluster.Node, changes []cluster.Change) {
	if len(w.observers) == 0 {
		return
	}
	q := Queued{Node: node}
	for i := range changes {
		c := &changes[i]
		if c.Old != c.Now {
			q.Services++
		}
		old := c.OldSlices
		for _, s := range c.NowSlices {
			gone := 0
			for gone < len(old) && old[gone].Name < s.Name {
				gone++
			}
			q.Slices, old = q.Slices+gone, old[gone:]
			same := len(old) > 0 && old[0] == s
			if !same {
				q.Slices++
				if t, err := time.Parse(time.RFC3339Nano, s.Object.Annotations[corev1.EndpointsLastChangeTriggerTime]); err == nil {
					q.Triggers = append(q.Triggers, t)
				}
			}
			if len(old) > 0 && old[0].Name == s.Name {
				old = old[1:]
			}
		}
		q.Slices += len(old)
	}
	for _, o := range w.observers {
		o.Queued(q)
	}
}

// synced tells how it ended. What could not be told because of an error is told after the next that succeeds.
func (w *watched) synced(full bool, err error) {
	if len(w.observers) == 0 {
		return
	}
	s := Synced{Full: full, Err: err, NoLocal: w.noLocal}
	if err == nil {
		s.Checks = make(map[cluster.Key]HealthCheck, len(w.unsaid))
		for key := range w.unsaid {
			s.Checks[key] = w.checks[key]
		}
		w.unsaid = map[cluster.Key]bool{} // a map that was large once stays slow to go through
	}
	for _, o := range w.observers {
		o.Synced(s)
	}
}

func (w *watched) cleaned(c Cleaned) {
	for _, o := range w.observers {
		o.Cleaned(c)
	}
}

// deletedBy is how many entries a Cleaner has deleted so far, where it counts them.
func deletedBy(c Cleaner) uint64 {
	if n, ok := c.(interface{ Deleted() uint64 }); ok {
		return n.Deleted()
	}
	return 0
}
