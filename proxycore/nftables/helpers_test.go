package nftables

import (
	"context"
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func namespace(t testing.TB) *nsnet.NS {
	t.Helper()
	nstest.Need(t, "nftables")
	return nstest.NS(t, "node")
}

func open(t testing.TB, ns *nsnet.NS, o Options) *Backend {
	t.Helper()
	o.NetNS = ns.FD()
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return b
}

func nft(t testing.TB, ns *nsnet.NS, command string) string {
	t.Helper()
	out, err := ns.Run(exec.Command("nft", strings.Fields(command)...))
	if err != nil {
		t.Fatalf("nft %s: %v\n%s", command, err, out)
	}
	return string(out)
}

func program(t testing.TB, b *Backend, c proxycore.Change) {
	t.Helper()
	if err := b.Program(context.Background(), c); err != nil {
		t.Fatal(err)
	}
}

// route reads "10.96.0.1:80/TCP here=10.244.1.2:8080 10.244.2.1:8080", or "... drop"; "sticky=3s" is affinity,
// "nodeport" and "external" are kinds, "from=192.168.0.0/24" is a source range, and after "local" are the endpoints of a
// Local policy.
func route(s string) proxycore.Route {
	fields := strings.Fields(s)
	addr, proto, _ := strings.Cut(fields[0], "/")
	front := netip.MustParseAddrPort(addr)
	p, err := cluster.ParseProto(proto)
	if err != nil {
		panic(err)
	}
	r := proxycore.Route{Front: proxycore.Front{Addr: front.Addr(), Port: front.Port(), Proto: p}}
	pool := &r.Pool
	for _, f := range fields[1:] {
		switch f {
		case "drop":
			pool.Empty = proxycore.Drop
			continue
		case "local":
			r.Local, r.Masquerade = &proxycore.Pool{}, proxycore.MasqueradeNode
			pool = r.Local
			continue
		case "nodeport":
			r.Kind, r.Masquerade = proxycore.NodePort, proxycore.MasqueradeAll
			continue
		case "loadbalancer":
			r.Kind, r.Masquerade = proxycore.LoadBalancer, proxycore.MasqueradeAll
			continue
		case "external":
			r.Kind, r.Masquerade = proxycore.ExternalIP, proxycore.MasqueradeAll
			continue
		}
		if t, ok := strings.CutPrefix(f, "sticky="); ok {
			if r.Affinity, err = time.ParseDuration(t); err != nil {
				panic(err)
			}
			continue
		}
		if p, ok := strings.CutPrefix(f, "from="); ok {
			r.Ranges = append(r.Ranges, netip.MustParsePrefix(p))
			continue
		}
		f, here := strings.CutPrefix(f, "here=")
		pool.Endpoints = append(pool.Endpoints, proxycore.Endpoint{AddrPort: netip.MustParseAddrPort(f), Here: here})
	}
	return r
}

func routesOf(lines ...string) (out []proxycore.Route) {
	for _, l := range lines {
		out = append(out, route(l))
	}
	return out
}

func full(node *proxycore.NodeRules, lines ...string) proxycore.Change {
	return proxycore.Change{Full: true, Node: node, Add: routesOf(lines...)}
}

func dump(t testing.TB, b *Backend) string {
	t.Helper()
	if err := b.Check(context.Background()); err != nil {
		t.Fatalf("check: %v", err)
	}
	d, err := b.Dump(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func podCIDRs(cidrs ...string) *proxycore.NodeRules {
	n := &proxycore.NodeRules{}
	for _, c := range cidrs {
		n.Pods = append(n.Pods, netip.MustParsePrefix(c))
	}
	return n
}

func ip(t testing.TB, ns *nsnet.NS, command string) {
	t.Helper()
	if out, err := ns.Run(exec.Command("ip", strings.Fields(command)...)); err != nil {
		t.Fatalf("ip %s: %v\n%s", command, err, out)
	}
}
