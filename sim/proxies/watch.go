package proxies

import (
	"net"
	"net/netip"

	"svclab/nsnet"
	"svclab/proxycore"
	"svclab/proxycore/health"
)

// Where a node's own proxy answers, as kube-proxy does; but for /healthz on loopback only, for those who are on the node.
var healthzAt = netip.MustParseAddrPort("127.0.0.1:10256")

// watch is who answers questions about one node's proxy.
func watch(ns *nsnet.NS) ([]proxycore.Observer, error) {
	listen := func(at netip.AddrPort) (net.Listener, error) { return ns.ListenTCP(at) }
	checks, err := health.New(health.Options{Listen: listen, Healthz: healthzAt})
	if err != nil {
		return nil, err
	}
	return []proxycore.Observer{checks}, nil
}
