package kubeapi

import (
	"net/http"
	"strings"
	"sync/atomic"

	discoveryv1 "k8s.io/api/discovery/v1"
)

// audience is one client program, by the product that its User-Agent names, and one resource.
type audience struct {
	agent string
	*resource
}

// tally is what an audience has been handed.
type tally struct {
	told    atomic.Uint64       // objects in lists, and events
	reached map[*watcher]uint64 // of each watcher under way: up to which version it has been told everything; 0 at first
}

// tally is kept under the server's lock.
func (s *Server) tally(r *http.Request, res *resource) *tally {
	agent, _, _ := strings.Cut(r.UserAgent(), "/")
	key := audience{agent, res}
	if s.audience[key] == nil {
		s.audience[key] = &tally{reached: map[*watcher]uint64{}}
	}
	return s.audience[key]
}

// hand counts objects; but not slices of names, which proxies lay aside before they count (endpointschangetracker.go:82).
func (t *tally) hand(objects ...object) {
	for _, o := range objects {
		if s, ok := o.(*discoveryv1.EndpointSlice); !ok || s.AddressType != discoveryv1.AddressTypeFQDN {
			t.told.Add(1)
		}
	}
}

// Handed says how many objects of a resource ("services", "endpointslices"), in lists and as events, a client program has
// been handed so far, slices of names left out, and whether that is all there is: it watches, and has been told everything that has happened.
func (s *Server) Handed(agent, resource string) (objects uint64, all bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for key, t := range s.audience {
		if key.agent != agent || key.name != resource {
			continue
		}
		objects += t.told.Load()
		c := s.collections[key.resource]
		last := uint64(0)
		if n := len(c.log); n > 0 {
			last = c.log[n-1].version
		}
		for _, version := range t.reached {
			all = version >= max(last, 1)
			if !all {
				return objects, false
			}
		}
	}
	return objects, all
}
