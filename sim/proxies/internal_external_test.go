package proxies_test

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"svclab/sim/lab"
	"svclab/sim/oracle/oracletest"
	"svclab/sim/proxies"
	"svclab/sim/world"
)

// The flows of upstream's TestInternalExternalMasquerade under its four settings, as packets, on every proxy: what they
// must do is literal, no oracle is asked.
func TestInternalExternalMasquerade(t *testing.T) {
	for _, name := range []string{"nftables", "iptables-nft", "iptables-legacy", "kube-proxy/nftables", "kube-proxy/iptables"} {
		for _, ipv6 := range []bool{false, true} {
			for _, s := range oracletest.InternalExternalSettings {
				t.Run(fmt.Sprintf("%s/IPv6 %v/%s", name, ipv6, s.Name), func(t *testing.T) {
					t.Parallel()
					internalExternal(t, named(t, name), s, ipv6)
				})
			}
		}
	}
}

func internalExternal(t *testing.T, p proxies.Proxy, s oracletest.Setting, ipv6 bool) {
	top := oracletest.Topology(ipv6)
	top.Settings, top.Mode = s.Settings(), p.Mode
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	l, err := lab.Open(ctx, lab.Options{Topology: top, Proxy: p.Opener(top)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if err := l.Apply(ctx, oracletest.State(ipv6)); err != nil {
		t.Fatal(err)
	}
	if err := l.Barrier(ctx); err != nil {
		t.Fatal(err)
	}
	checked := 0
	for _, c := range s.Cases(ipv6) {
		if c.Localhost && !top.Settings.LocalhostNodePorts(top.Mode) {
			continue
		}
		checked++
		if wrong := literally(ctx, l, top, c); wrong != "" {
			t.Errorf("%s: %s", c.Name, wrong)
		}
	}
	if checked < 28 {
		t.Errorf("%d flows checked", checked)
	}
}

// literally sends the flow often enough to miss one of two endpoints with probability 1e-6.
func literally(ctx context.Context, l *lab.Lab, top *world.Topology, c oracletest.Case) string {
	const often = 20
	var mu sync.Mutex
	var wrong []string
	seen := map[string]int{}
	say := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	node := top.Find(world.Place{Kind: world.Node, Name: "node-1"})
	var wait sync.WaitGroup
	for range often {
		wait.Go(func() {
			f := c.Flow
			if len(c.Lost) > 0 {
				f.Wait = 500 * time.Millisecond
			}
			o, err := l.Send(ctx, f)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case err != nil:
				say("%v", err)
				return
			case o.Outcome == world.Silent && len(c.Lost) > 0:
				seen["silent"]++
				return
			case o.Outcome != world.Answered:
				say("%s", o.Outcome)
				return
			}
			who := "?"
			for _, h := range top.Pods {
				if slices.Contains(h.Addrs, o.Server.Addr()) {
					who = h.Name
				}
			}
			seen[who]++
			own := top.Find(f.From).Addrs
			ofNode := slices.Contains(node.Addrs, o.Source.Addr()) || strings.HasPrefix(who, "local-") && o.Source.Addr().IsLinkLocalUnicast()
			if masqueraded := ofNode; c.Masquerade && !masqueraded || !c.Masquerade && !slices.Contains(own, o.Source.Addr()) && !(f.From.Kind == world.Node && ofNode) {
				say("%s saw %s, masquerade %v", who, o.Source.Addr(), c.Masquerade)
			}
			if o.Peer != f.To && o.Peer != (netip.AddrPort{}) {
				say("the client talks to %s", o.Peer)
			}
		})
	}
	wait.Wait()
	for _, name := range c.Servers {
		if seen[name] == 0 {
			say("%s never answered", name)
		}
	}
	for name := range seen {
		if name != "silent" && !slices.Contains(c.Servers, name) {
			say("%s answered %d times", name, seen[name])
		}
	}
	if len(c.Lost) > 0 && seen["silent"] == 0 {
		say("no flow was lost on %v", c.Lost)
	}
	slices.Sort(wrong)
	return strings.Join(slices.Compact(wrong), "; ")
}
