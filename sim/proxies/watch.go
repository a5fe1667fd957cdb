package proxies

import (
	"net"
	"net/http"
	"net/netip"
	"strings"

	"svclab/nsnet"
	"svclab/proxycore"
	"svclab/proxycore/health"
	"svclab/proxycore/metrics"
)

// Where a node's own proxy answers, as kube-proxy does; but at /healthz on loopback only, for those who are on the node.
var (
	healthzAt = netip.MustParseAddrPort("127.0.0.1:10256")
	metricsAt = netip.MustParseAddrPort("127.0.0.1:10249")
)

// watch is who answers questions about the node's proxy.
func (p Proxy) watch(ns *nsnet.NS, c core, sent proxycore.Meter) ([]proxycore.Observer, error) {
	mode, _, _ := strings.Cut(strings.ReplaceAll(p.Name, "~", "-"), "-") // iptables-legacy is mode iptables
	figures := metrics.New(metrics.Options{Mode: mode, More: c.more, Sent: sent})
	also := map[netip.AddrPort]http.Handler{}
	if c.metrics.IsValid() {
		also[c.metrics] = figures
	}
	checks, err := health.New(health.Options{
		Listen:  func(at netip.AddrPort) (net.Listener, error) { return ns.ListenTCP(at) },
		Healthz: c.healthz,
		Also:    also,
		Count:   figures.Answered,
		Failed:  c.failed,
	})
	if err != nil {
		return nil, err
	}
	return []proxycore.Observer{figures, checks}, nil
}
