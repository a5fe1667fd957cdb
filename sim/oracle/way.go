package oracle

import (
	"net/netip"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Way is where the first packet of a flow goes by the last state, if nothing is known of its client and its socket.
type Way struct {
	Home string // the node of the place that it comes from, or by which it enters from outside
	// Service has the address and port that is called; the zero Key when none has. Its address alone: Address is true.
	Service cluster.Key
	Address bool
	// Translates is the node that puts an endpoint in the place of the address; "" when nobody does.
	Translates string
	// To are all that may be led to, those included that do not answer, sorted; none when the flow ends at Home or at
	// Translates.
	To []netip.AddrPort
}

// WayOf says where a flow goes; false when it comes from no place of the topology.
func WayOf(h *History, f world.Flow) (w Way, ok bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	q := h.about(f, h.last)
	if q == nil {
		return w, false
	}
	w.Home = q.home
	switch {
	case q.front != nil:
		w.Service, w.Translates = q.front.service, q.translates
		q.ask(reach)
		q.reached = true
	case q.service != nil:
		w.Service, w.Address = q.service.Key, true
	}
	q.ask(whither)
	for _, c := range q.choice {
		w.To = append(w.To, c.AddrPort)
	}
	return w, true
}

// Because is why nobody, or nobody else, may answer; empty where all who may be asked will.
func (a Answer) Because() string { return a.because }

// Endpoint is an address and port that EndpointSlices give to a Service's port, and their word on it.
type Endpoint struct {
	netip.AddrPort
	Ready, Serving, Terminating bool
}

// Used reports whether the endpoint gets new flows where a policy or a hint does not forbid it; others are the endpoints of
// the same port.
func (e Endpoint) Used(others []Endpoint) bool {
	if e.Ready || !e.Serving || !e.Terminating {
		return e.Ready
	}
	for _, o := range others {
		if o.Ready {
			return false
		}
	}
	return true
}

// Endpoints of a Service's port of that name and protocol, in one family, sorted.
func Endpoints(s *cluster.Snapshot, service cluster.Key, port string, proto cluster.Proto, ipv4 bool) (out []Endpoint) {
	for _, e := range newFacts(s).endpoints(service, port, proto, ipv4) {
		out = append(out, Endpoint{e.AddrPort, e.ready, e.serving, e.terminating})
	}
	return out
}

// Served reports whether proxies have to do with a Service: it is no mere name, and not left to another proxy.
func Served(s *cluster.Service) bool { return served(s.Object) }
