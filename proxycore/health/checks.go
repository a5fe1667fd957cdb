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
	"strconv"
	"syscall"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// check is what is served of one Service.
type check struct {
	proxycore.HealthCheck
	at []*door // one an address; none while listening fails
}

// door is one listener and who answers at it.
type door struct {
	ln     net.Listener
	server *http.Server
	done   chan struct{}
}

// open listens and answers until close. The socket is there when it returns.
func (s *Server) open(at netip.AddrPort, h http.Handler) (*door, error) {
	ln, err := s.options.Listen(at)
	if err != nil {
		return nil, err
	}
	return serve(ln, h), nil
}

func serve(ln net.Listener, h http.Handler) *door {
	d := &door{ln, &http.Server{Handler: h, ReadHeaderTimeout: patience}, make(chan struct{})}
	go func() {
		defer close(d.done)
		_ = d.server.Serve(ln) // ends with Close; an accept that fails for good is met by whoever asks
	}()
	return d
}

// close ends with every connection broken and the port free: it is shut down before, since a program that somebody else in
// this process is starting holds a copy of the socket until it runs, and with it the port.
func (d *door) close() error {
	if c, ok := d.ln.(syscall.Conn); ok {
		if raw, err := c.SyscallConn(); err == nil {
			_ = raw.Control(func(fd uintptr) { _ = syscall.Shutdown(int(fd), syscall.SHUT_RDWR) }) // closed below, come what may
		}
	}
	err := d.server.Close()
	<-d.done
	return err
}

// sync takes in the checks that have changed, and tries again where listening failed before. What cannot be bound is no
// failure of the node's rules: they are in force, and the others are served (row LB-19).
func (s *Server) sync(changed map[cluster.Key]proxycore.HealthCheck) {
	s.mu.Lock()
	var shut []*door
	for key, want := range changed {
		have := s.checks[key]
		if have != nil && want.Port == have.Port && slices.Equal(want.Addrs, have.Addrs) {
			have.HealthCheck = want // a number has changed: the socket stays
			continue
		}
		if have != nil {
			shut = append(shut, have.at...)
			delete(s.checks, key)
			delete(s.unbound, key)
		}
		if want.Port != 0 {
			s.checks[key] = &check{HealthCheck: want}
			s.unbound[key] = true
		}
	}
	s.mu.Unlock()

	// Ports that two Services exchange are free first.
	for _, d := range shut {
		s.fail(d.close())
	}
	for _, key := range slices.SortedFunc(maps.Keys(s.unbound), cluster.Key.Compare) {
		c := s.checks[key]
		at, err := s.listenAll(key, c.HealthCheck)
		if err != nil {
			s.options.Failed(err)
			continue
		}
		delete(s.unbound, key)
		s.mu.Lock()
		c.at = at
		s.mu.Unlock()
	}
}

// listenAll is everywhere or nowhere: a node that answers at half of its addresses would be found out late.
func (s *Server) listenAll(key cluster.Key, h proxycore.HealthCheck) (at []*door, err error) {
	for _, a := range h.Addrs {
		d, err := s.open(netip.AddrPortFrom(a, h.Port), answer{s, key, a.Is6()})
		if err != nil {
			for _, d := range at {
				err = errors.Join(err, d.close())
			}
			return nil, fmt.Errorf("serve the health check of %s at port %d: %w", key, h.Port, err)
		}
		at = append(at, d)
	}
	return at, nil
}

// answer is the health check of one Service, for those who ask in one family: endpoints of the other are of no use to them.
type answer struct {
	server *Server
	key    cluster.Key
	is6    bool
}

// Check is the body of the answer, in upstream's words (kubernetes pkg/proxy/healthcheck/service_health.go).
type Check struct {
	Service struct {
		Namespace string `json:"namespace"`
		Name      string `json:"name"`
	} `json:"service"`
	LocalEndpoints      int  `json:"localEndpoints"`
	ServiceProxyHealthy bool `json:"serviceProxyHealthy"`
}

// ServeHTTP answers whatever is asked: load balancers differ in path and method.
func (a answer) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	a.server.mu.Lock()
	c := Check{LocalEndpoints: 0, ServiceProxyHealthy: a.server.state(a.server.now()).healthy}
	if have := a.server.checks[a.key]; have != nil { // nil: about to be closed
		c.LocalEndpoints = have.Ready[btoi(a.is6)]
	}
	a.server.mu.Unlock()
	c.Service.Namespace, c.Service.Name = a.key.Namespace, a.key.Name
	code := http.StatusOK
	if c.LocalEndpoints == 0 || !c.ServiceProxyHealthy {
		code = http.StatusServiceUnavailable
	}
	body, err := json.MarshalIndent(c, "", "\t")
	if err != nil {
		panic(err) // two names, a number and a word
	}
	w.Header().Set("X-Load-Balancing-Endpoint-Weight", strconv.Itoa(c.LocalEndpoints))
	write(w, code, body)
}

func write(w http.ResponseWriter, code int, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(code)
	_, _ = w.Write(body) // whoever asked has gone
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
