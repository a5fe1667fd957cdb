// Package kubeapi is as much of a Kubernetes API server as a Service proxy and kubectl ask for: list and watch, JSON,
// protobuf and tables, for the objects of one state of the cluster. It is fed whole states and computes what changed; it
// stores nothing on disk and knows neither users nor writes, but for events, which are accepted and told.
//
//	Set(state) ─► collections (items, log of events) ─► list, get, watch ─► JSON, protobuf, Table
//
// A watcher is a place in a collection's log, at which it reads at its own pace: one that is slow, lags or vanishes costs
// nobody else anything. One that lags too far behind is told 410 Gone and lists anew, as by a real server
// (https://kubernetes.io/docs/reference/using-api/api-concepts/).
package kubeapi

import (
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
)

// Options say how to serve. The zero value works.
type Options struct {
	History  int           // optional: how many events a watcher may lag behind; 0 is 65,536
	Bookmark time.Duration // optional: how often a watcher that asked for bookmarks gets one; 0 is a minute
	Log      *slog.Logger  // optional: told of events that a client has recorded, and of requests for what is not there
}

// Server is one API server. It is an http.Handler.
type Server struct {
	options Options

	mu          sync.RWMutex // guards all below
	last        *cluster.Snapshot
	version     uint64 // resourceVersion of the last change
	collections map[*resource]*collection
	changed     chan struct{} // closed, and replaced, when anything has changed
	endpoints   bool          // somebody has asked for Endpoints: from now on they are kept
	audience    map[audience]*tally

	http http.Server
	done chan struct{} // closed by Close: ends all watches
	once sync.Once
}

// New makes a server of the empty cluster.
func New(o Options) *Server {
	if o.History == 0 {
		o.History = 1 << 16
	}
	if o.Bookmark == 0 {
		o.Bookmark = time.Minute
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		options: o, version: 1, collections: map[*resource]*collection{}, changed: make(chan struct{}),
		audience: map[audience]*tally{}, done: make(chan struct{}),
	}
	for i := range resources {
		s.collections[&resources[i]] = &collection{resource: &resources[i], items: map[string]object{}}
	}
	s.http = http.Server{Handler: s, ReadHeaderTimeout: time.Minute}
	s.namespace(metav1.NamespaceDefault)
	return s
}

// Serve answers on the listener until Close.
func (s *Server) Serve(l net.Listener) error {
	err := s.http.Serve(l)
	if err == http.ErrServerClosed {
		return nil
	}
	return err
}

// Close ends every request. It may be called twice.
func (s *Server) Close() error {
	s.once.Do(func() { close(s.done) })
	return s.http.Close()
}

// Set makes the state the cluster's: what is new, other or gone becomes events, Nodes and Services before the
// EndpointSlices that lean on them. Objects are shared with the state, not copied, and never changed. It costs
// O(changes · log N), and returns before any watcher has read.
func (s *Server) Set(now *cluster.Snapshot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old := s.last
	s.last = now
	delta := cluster.Diff(old, now)
	before := s.version
	if !slices.Equal(old.ServiceCIDRs(), now.ServiceCIDRs()) {
		s.setServiceCIDRs(now.ServiceCIDRs())
	}
	for _, name := range delta.Nodes {
		if n := now.Node(name); n != nil {
			s.put(nodes, name, n.Object)
		} else {
			s.drop(nodes, name)
		}
	}
	for _, key := range delta.Pods {
		if p := now.Pod(key); p != nil {
			s.namespace(key.Namespace)
			s.put(pods, key.String(), p)
		} else {
			s.drop(pods, key.String())
		}
	}
	for _, key := range delta.Services {
		if svc := now.Service(key); svc != nil {
			s.namespace(key.Namespace)
			s.put(services, key.String(), svc.Object)
		} else {
			s.drop(services, key.String())
		}
	}
	for _, key := range delta.Services {
		s.setSlices(old, now, key)
	}
	if s.endpoints {
		for _, key := range delta.Services {
			s.setEndpoints(key)
		}
	}
	if s.version != before {
		close(s.changed)
		s.changed = make(chan struct{})
	}
}

// setServiceCIDRs makes them the one ServiceCIDR that a cluster has from its installation on.
func (s *Server) setServiceCIDRs(ranges []netip.Prefix) {
	const first = "kubernetes"
	if len(ranges) == 0 {
		s.drop(serviceCIDRs, first)
		return
	}
	o := &networkingv1.ServiceCIDR{ObjectMeta: metav1.ObjectMeta{Name: first}}
	for _, r := range ranges {
		o.Spec.CIDRs = append(o.Spec.CIDRs, r.String())
	}
	s.put(serviceCIDRs, first, o)
}

func (s *Server) setSlices(old, now *cluster.Snapshot, service cluster.Key) {
	stay := map[cluster.Key]bool{}
	for slice := range now.Slices(service) {
		stay[slice.Key] = true
		s.put(endpointSlices, slice.String(), slice.Object)
	}
	for slice := range old.Slices(service) {
		if !stay[slice.Key] && !s.elsewhere(now, slice, service) {
			s.drop(endpointSlices, slice.String())
		}
	}
}

// elsewhere: a slice whose label was changed is another Service's now, and is not gone.
func (s *Server) elsewhere(now *cluster.Snapshot, slice *cluster.Slice, was cluster.Key) bool {
	have := s.collections[endpointSlices].items[slice.String()]
	if have == nil {
		return false
	}
	is := cluster.Key{Namespace: have.GetNamespace(), Name: have.GetLabels()["kubernetes.io/service-name"]}
	if is == was {
		return false
	}
	for other := range now.Slices(is) {
		if other.Key == slice.Key {
			return true
		}
	}
	return false
}

func (s *Server) namespace(name string) {
	if s.collections[namespaces].items[name] == nil {
		s.put(namespaces, name, &corev1.Namespace{
			ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{corev1.LabelMetadataName: name}},
			Status:     corev1.NamespaceStatus{Phase: corev1.NamespaceActive},
		})
	}
}
