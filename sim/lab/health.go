package lab

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"time"

	"golang.org/x/sys/unix"

	"svclab/sim/world"
)

// HealthInForce: a proxy that is a program of its own, which has an API server, changes its health checks after its rules.
func (l *Lab) HealthInForce() bool {
	l.looking.Lock()
	defer l.looking.Unlock()
	for _, n := range l.nodes {
		if _, foreign := n.proxy.(interface{ API() string }); foreign {
			return false
		}
	}
	return true
}

// CheckHealth asks as load balancers do, by HTTP on a connection of its own.
func (l *Lab) CheckHealth(ctx context.Context, c world.HealthCheck) (a world.HealthAnswer, err error) {
	p := l.places[c.From]
	if p == nil {
		return a, fmt.Errorf("health check of %s: the lab has no %s", c.To, c.From)
	}
	if c.Wait == 0 {
		c.Wait = patience
	}
	dial := func(ctx context.Context, network, to string) (conn net.Conn, err error) {
		err = p.ns.Do(func() error {
			d := net.Dialer{FallbackDelay: -1}
			conn, err = d.DialContext(ctx, network, to)
			return err
		})
		return conn, err
	}
	client := http.Client{Timeout: c.Wait, Transport: &http.Transport{DialContext: dial, DisableKeepAlives: true, DisableCompression: true}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.To.String()+"/healthz", nil)
	if err != nil {
		return a, err
	}
	a.At = time.Now()
	defer func() { a.Took = time.Since(a.At) }()
	r, err := client.Do(request)
	if err != nil {
		a.Outcome, a.Odd, err = met(ctx, err)
		return a, err
	}
	defer r.Body.Close()
	body, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		a.Odd = fmt.Sprintf("its body breaks off: %v", err)
	}
	readHealth(&a, r, body)
	return a, nil
}

// met is what a connection met instead of an answer.
func met(ctx context.Context, err error) (o world.Outcome, odd string, broken error) {
	var late net.Error
	switch {
	case ctx.Err() != nil:
		return 0, "", ctx.Err()
	case errors.Is(err, unix.ECONNREFUSED):
		return world.Reset, "", nil // or refused by ICMP, which this socket does not tell apart: nobody listens either way
	case errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH):
		return world.Unreachable, "", nil
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return world.Denied, "", nil
	case errors.As(err, &late) && late.Timeout():
		return world.Silent, "", nil
	}
	return world.Answered, fmt.Sprintf("it is no HTTP: %v", err), nil // somebody listens, and does not answer
}

// readHealth takes what upstream's servers say (kubernetes pkg/proxy/healthcheck/service_health.go).
func readHealth(a *world.HealthAnswer, r *http.Response, body []byte) {
	a.Outcome, a.Status, a.Weight = world.Answered, r.StatusCode, r.Header.Get("X-Load-Balancing-Endpoint-Weight")
	for name, want := range map[string]string{"Content-Type": "application/json", "X-Content-Type-Options": "nosniff"} {
		if got := r.Header.Get(name); got != want && a.Odd == "" {
			a.Odd = fmt.Sprintf("header %s is %q, and should be %q", name, got, want)
		}
	}
	var said struct {
		Service             struct{ Namespace, Name string }
		LocalEndpoints      int
		ServiceProxyHealthy bool
	}
	if err := json.Unmarshal(body, &said); err != nil {
		a.Odd = fmt.Sprintf("its body is no JSON: %v", err)
	}
	a.Service, a.LocalEndpoints, a.ProxyHealthy = said.Service.Namespace+"/"+said.Service.Name, said.LocalEndpoints, said.ServiceProxyHealthy
}
