package world

import (
	"context"
	"net/netip"
	"time"
)

// HealthChecker is optional to a World whose proxies answer load balancers that ask for a node's health (rows LB-15 to
// LB-20).
type HealthChecker interface {
	// CheckHealth asks once. An error means that the world is broken.
	CheckHealth(ctx context.Context, c HealthCheck) (HealthAnswer, error)
	// HealthInForce reports whether Barrier holds for these answers too. kube-proxy changes them some time after its rules.
	HealthInForce() bool
}

// HealthCheck is one question: HTTP to a node's address.
type HealthCheck struct {
	From Place
	To   netip.AddrPort
	Wait time.Duration // how long to wait for an answer; 0 is 5 s
}

// HealthAnswer is what came of it.
type HealthAnswer struct {
	Outcome        Outcome // Answered, or why there was no connection
	Status         int
	Service        string // whose it is, by the body: "default/web"
	LocalEndpoints int    // by the body
	Weight         string // the header X-Load-Balancing-Endpoint-Weight
	ProxyHealthy   bool   // by the body
	Odd            string // what else is not as it should be: a header that is missing, a body that is no JSON
	At             time.Time
	Took           time.Duration
}
