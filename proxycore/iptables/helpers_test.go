package iptables

import (
	"context"
	"net/netip"
	"os/exec"
	"strings"
	"testing"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

func TestMain(m *testing.M) { nstest.Main(m) }

var flavours = []string{nft, legacy}

func eachFlavour(t *testing.T, f func(t *testing.T, flavour string)) {
	for _, flavour := range flavours {
		t.Run(flavour, func(t *testing.T) { f(t, flavour) })
	}
}

func namespace(t testing.TB) *nsnet.NS {
	t.Helper()
	nstest.Need(t, "nftables")
	return nstest.NS(t, "node")
}

func open(t testing.TB, ns *nsnet.NS, o Options) *Backend {
	t.Helper()
	o.Run = ns.Do
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

// sh runs a command line in the namespace; words in double quotes may have spaces.
func sh(t testing.TB, ns *nsnet.NS, command string) string {
	t.Helper()
	words := split(command)
	out, err := ns.Run(exec.Command(words[0], words[1:]...))
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func program(t testing.TB, b *Backend, c proxycore.Change) {
	t.Helper()
	if err := b.Program(context.Background(), c); err != nil {
		t.Fatal(err)
	}
}

// route reads "web 10.96.0.1:80/TCP here=10.244.1.2:8080 10.244.2.1:8080", or "... drop", "... all", "... 10s",
// "... from=10.0.0.0/8". Behind "local" are the endpoints of policy Local for others than pods and the node.
func route(s string) proxycore.Route {
	fields := strings.Fields(s)
	addr, proto, _ := strings.Cut(fields[1], "/")
	front := netip.MustParseAddrPort(addr)
	p, err := cluster.ParseProto(proto)
	if err != nil {
		panic(err)
	}
	r := proxycore.Route{
		Front: proxycore.Front{Addr: front.Addr(), Port: front.Port(), Proto: p},
		Owner: proxycore.Owner{Service: cluster.Key{Namespace: "default", Name: fields[0]}, Port: "http"},
	}
	pool := &r.Pool
	for _, f := range fields[2:] {
		switch {
		case f == "drop":
			pool.Empty = proxycore.Drop
		case f == "all":
			r.Kind, r.Masquerade = proxycore.NodePort, proxycore.MasqueradeAll
		case f == "local":
			pool = &proxycore.Pool{}
			r.Kind, r.Masquerade, r.Local = proxycore.NodePort, proxycore.MasqueradeNode, pool
		case strings.HasPrefix(f, "from="):
			r.Ranges = append(r.Ranges, netip.MustParsePrefix(f[len("from="):]))
		case strings.HasSuffix(f, "s"):
			r.Affinity = seconds(f[:len(f)-1])
		default:
			f, here := strings.CutPrefix(f, "here=")
			pool.Endpoints = append(pool.Endpoints, proxycore.Endpoint{AddrPort: netip.MustParseAddrPort(f), Here: here})
		}
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

func podCIDRs(cidrs ...string) *proxycore.NodeRules {
	n := &proxycore.NodeRules{}
	for _, c := range cidrs {
		n.Pods = append(n.Pods, netip.MustParsePrefix(c))
	}
	return n
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

// rules is iptables-save without comments, headers and counters.
func rules(t testing.TB, ns *nsnet.NS, save string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(sh(t, ns, save)) {
		if !strings.HasPrefix(line, "#") {
			if i := strings.IndexByte(line, '['); i >= 0 && line[0] == ':' {
				line = line[:i] + "\n"
			}
			b.WriteString(line)
		}
	}
	return b.String()
}
