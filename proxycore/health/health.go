// Package health answers those who ask how a node's proxy does: load balancers at the health-check NodePort of a Service
// whose external traffic policy is Local, and kubelets and clouds at /healthz and /livez. Status, headers and bodies are
// upstream's (kubernetes v1.36.3, pkg/proxy/healthcheck). It observes a proxycore.Proxy, and moves no threads: sockets come
// from a function.
package health

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// Options say how to serve.
type Options struct {
	Listen  func(netip.AddrPort) (net.Listener, error) // required: a TCP listener in the node's namespace
	Healthz netip.AddrPort                             // optional: where /healthz and /livez are answered; kube-proxy's is port 10256
	Also    map[netip.AddrPort]http.Handler            // optional: what else is served as long, such as metrics
	// Timeout is how long a state may wait to be in force before the proxy is unhealthy. 0 is a minute, upstream's: twice the
	// period after which a sync is tried again.
	Timeout time.Duration
	Now     func() time.Time            // optional: the clock
	Failed  func(error)                 // optional: told where listening or closing failed
	Count   func(path string, code int) // optional: told of each answer at /healthz and /livez
}

const (
	defaultTimeout = time.Minute
	patience       = 10 * time.Second // with somebody who connects and asks nothing
	// toBeDeleted is the taint by which the cluster autoscaler says that a node will go (row HC-2).
	toBeDeleted = "ToBeDeletedByClusterAutoscaler"
)

// Server is a proxycore.Observer.
type Server struct {
	options Options

	mu      sync.Mutex // guards what requests read
	node    *cluster.Node
	pending time.Time // since when a state has been waiting; zero: none is
	updated time.Time // when the last came in force
	checks  map[cluster.Key]*check
	proxy   []*door
	closed  bool

	unbound map[cluster.Key]bool // of checks: whose port could not be had; for whoever applies alone
}

var _ proxycore.Observer = (*Server)(nil)

// New answers /healthz from now on, and health checks as soon as it is told of any.
func New(o Options) (*Server, error) {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Failed == nil {
		o.Failed = func(error) {}
	}
	if o.Count == nil {
		o.Count = func(string, int) {}
	}
	s := &Server{options: o, checks: map[cluster.Key]*check{}, unbound: map[cluster.Key]bool{}}
	serve := maps.Clone(o.Also)
	if o.Healthz.IsValid() {
		mux := http.NewServeMux()
		mux.HandleFunc("/healthz", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, "/healthz", true) })
		mux.HandleFunc("/livez", func(w http.ResponseWriter, _ *http.Request) { s.answer(w, "/livez", false) })
		if serve == nil {
			serve = map[netip.AddrPort]http.Handler{}
		}
		serve[o.Healthz] = mux
	}
	for at, h := range serve {
		d, err := s.open(at, h)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("serve health and metrics: %w", err), s.Close())
		}
		s.proxy = append(s.proxy, d)
	}
	return s, nil
}

func (s *Server) now() time.Time { return s.options.Now() }

func (s *Server) fail(err error) {
	if err != nil {
		s.options.Failed(err)
	}
}

// Queued starts the clock, unless an older state is waiting still.
func (s *Server) Queued(q proxycore.Queued) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.node = q.Node
	if s.pending.IsZero() {
		s.pending = s.now()
	}
}

// Synced stops it, and makes the answers those of the state.
func (s *Server) Synced(y proxycore.Synced) {
	if y.Err != nil {
		return
	}
	s.mu.Lock()
	closed := s.closed
	s.pending, s.updated = time.Time{}, s.now()
	s.mu.Unlock()
	if !closed {
		s.sync(y.Checks)
	}
}

// Cleaned: entries of connection tracking say nothing of the rules.
func (s *Server) Cleaned(proxycore.Cleaned) {}

type state struct{ healthy, eligible bool }

// state is read under the lock. A node that is about to go, or that the cluster does not have, is to be drained, and its
// rules stay (row HC-2).
func (s *Server) state(now time.Time) state {
	return state{
		healthy: s.pending.IsZero() || now.Sub(s.pending) < s.options.Timeout,
		eligible: s.node != nil && s.node.Object.DeletionTimestamp.IsZero() &&
			!slices.ContainsFunc(s.node.Object.Spec.Taints, func(t corev1.Taint) bool { return t.Key == toBeDeleted }),
	}
}

// Health is the body of /healthz and /livez, in upstream's words (kubernetes pkg/proxy/healthcheck/proxy_health.go). One sync
// puts both families in force, so both have the same status.
type Health struct {
	LastUpdated  time.Time         `json:"lastUpdated"` // while all is well: now, as upstream has it
	CurrentTime  time.Time         `json:"currentTime"`
	NodeEligible *bool             `json:"nodeEligible,omitempty"` // not of /livez
	Healthy      bool              `json:"healthy"`
	Status       map[string]Status `json:"status,omitempty"`
}

// Status is one family's.
type Status struct {
	LastUpdated time.Time `json:"lastUpdated"`
	Healthy     bool      `json:"healthy"`
}

// answer is that of /healthz, which a node's eligibility counts for, or /livez (rows HC-1, HC-3).
func (s *Server) answer(w http.ResponseWriter, path string, forNode bool) {
	s.mu.Lock()
	now := s.now()
	is, updated := s.state(now), s.updated
	s.mu.Unlock()
	h := Health{LastUpdated: updated, CurrentTime: now, Healthy: is.healthy}
	if !updated.IsZero() {
		one := Status{updated, is.healthy}
		h.Status = map[string]Status{string(corev1.IPv4Protocol): one, string(corev1.IPv6Protocol): one}
	}
	well := is.healthy
	if forNode {
		h.NodeEligible = &is.eligible
		well = well && is.eligible
	}
	code := http.StatusServiceUnavailable
	if well {
		code, h.LastUpdated = http.StatusOK, now
	}
	s.options.Count(path, code)
	body, err := json.Marshal(h)
	if err != nil {
		panic(err) // a clock beyond the year 9999
	}
	write(w, code, body)
}

// Close frees every port. It may be called twice.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	var doors []*door
	for _, c := range s.checks {
		doors = append(doors, c.at...)
	}
	clear(s.checks)
	doors, s.proxy = append(doors, s.proxy...), nil
	s.mu.Unlock()
	var errs []error
	for _, d := range doors {
		errs = append(errs, d.close())
	}
	return errors.Join(errs...)
}
