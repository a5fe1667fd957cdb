package proxies_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/proxycore/cluster"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

// Every proxy of our own answers where kube-proxy does, and its successor after kill -9 too.
func TestHealthzAndMetrics(t *testing.T) {
	host := world.Host{Place: world.Place{Kind: world.Node, Name: "n1"}, Addrs: []netip.Addr{netip.MustParseAddr("192.168.50.1")}}
	state := (*cluster.Snapshot)(nil).WithNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n1"}})
	for name, mode := range map[string]string{"nftables": "nftables", "iptables-nft": "iptables", "nftables~no-hairpin": "nftables"} {
		t.Run(name, func(t *testing.T) {
			p, err := proxies.Find(name)
			if err != nil {
				t.Fatal(err)
			}
			nstest.Need(t, p.Powers...)
			ns := nstest.NS(t, "n1")
			open := p.Opener(&world.Topology{Nodes: []world.Host{host}})
			for range 2 {
				node, err := open(&host, ns)
				if err != nil {
					t.Fatal(err)
				}
				defer node.Close()
				if err := node.Apply(context.Background(), state); err != nil {
					t.Fatal(err)
				}
				for url, want := range map[string]string{
					"http://127.0.0.1:10256/healthz": `"nodeEligible":true,"healthy":true,"status":{"IPv4"`, "http://127.0.0.1:10256/livez": `"healthy":true`,
					"http://127.0.0.1:10249/metrics": "\nkubeproxy_sync_proxy_rules_duration_seconds_count 1\n", "http://127.0.0.1:10249/proxyMode": mode,
				} {
					if got := get(t, ns, url); !strings.Contains(got, want) {
						t.Errorf("%s: got %s, want %q in it", url, got, want)
					}
				}
				node.(interface{ Abandon() }).Abandon()
			}
		})
	}
}

func get(t *testing.T, ns *nsnet.NS, url string) string {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, to string) (c net.Conn, err error) {
		err = ns.Do(func() error {
			d := net.Dialer{FallbackDelay: -1}
			c, err = d.DialContext(ctx, network, to)
			return err
		})
		return c, err
	}}}
	r, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		t.Fatal(err)
	}
	return r.Status + "\n" + string(body)
}
