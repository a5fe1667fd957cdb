package proxies

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"time"

	"svclab/nsnet"
	"svclab/proxycore/cluster"
	"svclab/proxycore/metrics"
	"svclab/proxycore/reflector"
)

// Process is one of our own proxies as a process of its own, as kube-proxy is one: fed by an API server, in the network
// namespace in which it was started.
type Process struct {
	Backend  string            // required: which of All
	Feed     reflector.Options // required: API and Node
	Settings cluster.Settings
	Healthz  netip.AddrPort // optional: where /healthz and /livez are answered
	Metrics  netip.AddrPort // optional: where /metrics is
	Log      *slog.Logger   // required
}

// Agent is the product that the process names in its requests.
const Agent = "svclab"

// Check says what is wrong with what the process was told, before anything is touched.
func (p Process) Check() error {
	if _, err := p.proxy(); err != nil {
		return err
	}
	switch p.Settings.DetectLocalMode {
	case cluster.DetectClusterCIDR:
		if len(p.Settings.ClusterCIDRs) == 0 {
			return fmt.Errorf("mode %s needs the ranges of all pods, such as 10.244.0.0/16", p.Settings.DetectLocalMode)
		}
	case cluster.DetectBridgeInterface, cluster.DetectInterfaceNamePrefix:
		if p.Settings.Interface == "" {
			return fmt.Errorf("mode %s needs the name of the interface, or how the names of all begin", p.Settings.DetectLocalMode)
		}
	}
	_, err := reflector.New(p.Feed)
	return err
}

func (p Process) proxy() (Proxy, error) {
	for _, have := range All {
		if have.Name == p.Backend {
			return have, nil
		}
	}
	if p.Backend == "iptables" {
		return standard(), nil
	}
	var names []string
	for _, have := range All {
		names = append(names, have.Name)
	}
	return Proxy{}, fmt.Errorf("there is no backend %q; there are %s, and iptables, which is what the machine calls so", p.Backend, strings.Join(names, ", "))
}

// Run serves until the context ends, whose error it returns; the rules stay in force, as kube-proxy's do, so that a successor
// finds them and no packet is lost between the two.
func (p Process) Run(ctx context.Context) error {
	tuned := frugal()
	proxy, err := p.proxy()
	if err != nil {
		return err
	}
	p.Feed.Log = p.Log
	feed, err := reflector.New(p.Feed)
	if err != nil {
		return err
	}
	ns, err := nsnet.Current()
	if err != nil {
		return err
	}
	defer ns.Close()
	made, err := proxy.open(ns, core{
		node: p.Feed.Node, settings: p.Settings, healthz: p.Healthz, metrics: p.Metrics, more: func() []metrics.Counter { return counters(feed) },
		failed: func(err error) { p.Log.Error("serve health", "error", err) },
	})
	if err != nil {
		return err
	}
	defer made.Abandon()
	p.Log.Info("start", "backend", proxy.Name, "node", p.Feed.Node, "api", p.Feed.API)
	began, first := time.Now(), true
	return feed.Run(ctx, func(ctx context.Context, s *cluster.Snapshot) error {
		at := time.Now()
		if err := made.Apply(ctx, s); err != nil {
			return err
		}
		if first {
			first = false
			p.Log.Info("in sync", "services", s.Len(), "after", time.Since(began), "of which apply", time.Since(at))
			tuned()
		}
		return nil
	})
}

// Cleanup removes what a process with this backend has written, whether it runs or not.
func (p Process) Cleanup() error {
	proxy, err := p.proxy()
	if err != nil {
		return err
	}
	ns, err := nsnet.Current()
	if err != nil {
		return err
	}
	backend, err := proxy.Backend(ns)
	if err != nil {
		return errors.Join(err, ns.Close())
	}
	return errors.Join(backend.Close(), ns.Close())
}

// counters are what the feed has read, for metrics.
func counters(feed *reflector.Reflector) (out []metrics.Counter) {
	for _, kind := range []struct {
		name, help string
		of         func(reflector.Count) uint64
	}{
		{"svclab_feed_received_total", "Objects in lists, and events, that the API server has handed over", func(c reflector.Count) uint64 { return c.Received }},
		{"svclab_feed_in_force_total", "Of those received the ones that are in force", func(c reflector.Count) uint64 { return c.InForce }},
		{"svclab_feed_failures_total", "Lists and watches that failed", func(c reflector.Count) uint64 { return c.Failures }},
	} {
		for _, c := range feed.Counts() {
			out = append(out, metrics.Counter{Name: kind.name, Help: kind.help, Labels: []string{"resource", c.Resource}, Value: float64(kind.of(c))})
		}
	}
	return out
}
