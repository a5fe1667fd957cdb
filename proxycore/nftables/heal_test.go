package nftables

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Whatever somebody does to the tables, a Full change sets it right, and Check has seen it before.
func TestFullHeals(t *testing.T) {
	ns := namespace(t)
	node := podCIDRs("10.244.0.0/16", "fd00:244::/32", "10.245.0.0/16")
	node.ServiceCIDRs = []netip.Prefix{netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:96::/112")}
	for _, damage := range []string{
		"delete element ip svclab services { 10.96.0.1 . tcp . 80 }",
		"delete element ip svclab endpoints { 10.96.0.1 . tcp . 80 . 0 }",
		"add element ip svclab endpoints { 10.96.0.1 . tcp . 80 . 7 : 10.244.9.9 . 1 }",
		"add element ip svclab endpoints { 10.96.0.1 . tcp . 80 . 0x00ffffff : 10.244.9.9 . 1 }",
		"add element ip svclab endpoints { 10.96.9.9 . tcp . 80 . 0 : 10.244.9.9 . 1 }",
		"add element ip svclab services { 10.96.9.9 . tcp . 80 : 800:0 }",
		"add element ip svclab cluster-ips { 10.96.9.9 }",
		"delete element ip svclab cluster-ips { 10.96.0.1 }",
		"add element ip svclab hairpin { 10.244.9.9 . 10.244.9.9 }",
		"add element ip svclab hairpin { 10.244.9.9 . 10.244.9.8 }",
		"delete element ip6 svclab hairpin { fd00:244:1::2 . fd00:244:1::2 }",
		"delete element ip svclab live { 10.96.0.4 . tcp . 80 . LIVE }",
		"add element ip svclab live { 10.96.0.4 . tcp . 80 . 1:9 : 10.244.9.9 . 1 }",
		"add element ip svclab live { 10.96.0.4 . tcp . 80 . 0:9 : 10.244.9.9 . 1 }",
		"add element ip svclab live { 10.96.0.1 . tcp . 80 . 1:9 : 10.244.9.9 . 1 }",
		"delete element ip svclab ids { 10.96.0.4 . tcp . 80 . 1 }",
		"add element ip svclab ids { 10.96.0.4 . tcp . 80 . 5 : 1:9 }",
		"add element ip svclab ids { 10.96.9.9 . tcp . 80 . 0 : 1:9 }",
		"delete element ip svclab picks { 10.96.0.4 . tcp . 80 }",
		"add element ip svclab picks { 10.96.0.1 . tcp . 80 : 500:2 }",
		"flush map ip svclab by-pick",
		"flush chain ip svclab sticky-600",
		"flush chain ip6 svclab pick-1",
		"add element ip svclab by-pick { 100:9 : jump refuse }",
		"add element ip svclab masq-all { 10.96.0.1 . tcp . 80 }",
		"add element ip svclab masq-all { 10.96.9.9 . tcp . 80 }",
		"delete element ip svclab masq-all { 192.168.7.1 . tcp . 30080 }",
		"add element ip svclab cluster-ips { 192.168.7.1 }",
		"flush set ip svclab pods",
		"flush set ip svclab service-cidrs",
		"add element ip svclab service-cidrs { 10.98.0.0/16 }",
		"delete element ip svclab endpoints { 203.0.113.11 . tcp . 80 . 65536 }",
		"add element ip svclab endpoints { 203.0.113.11 . tcp . 80 . 65538 : 10.244.9.9 . 1 }",
		"add element ip svclab endpoints { 203.0.113.11 . tcp . 80 . 131072 : 10.244.9.9 . 1 }",
		"add element ip svclab endpoints { 10.96.0.1 . tcp . 80 . 65536 : 10.244.9.9 . 1 }",
		"flush map ip svclab local-live",
		"add element ip svclab local-live { 192.168.7.1 . tcp . 30081 . 1:9 : 10.244.9.9 . 1 }",
		"add element ip svclab local-live { 192.168.7.1 . tcp . 30081 . e112:aae9 : 10.244.9.9 . 1 }",
		"delete element ip svclab ids { 192.168.7.1 . tcp . 30081 . 65536 }",
		"flush map ip svclab local-picks",
		"add element ip svclab local-picks { 203.0.113.11 . tcp . 80 : 600:1 }",
		"flush map ip svclab by-local",
		"flush map ip svclab by-allowed",
		"delete element ip svclab by-service { 800:3 }",
		"add element ip svclab by-allowed { 600:1 : goto refuse }",
		"add element ip svclab by-local { 800:7 : goto refuse }",
		"delete element ip svclab internal { 203.0.113.11 . tcp . 80 }",
		"delete element ip svclab external { 192.168.7.1 . tcp . 30081 }",
		"add element ip svclab internal { 10.96.0.1 . tcp . 80 : 800:0 }",
		"add element ip svclab external { 10.96.9.9 . tcp . 80 : 800:0 }",
		"flush map ip svclab allowed",
		"add element ip svclab allowed { 10.96.0.1 . tcp . 80 : 800:0 }",
		"delete element ip svclab masq-node { 192.168.7.1 . tcp . 30081 }",
		"add element ip svclab masq-node { 192.168.7.1 . tcp . 30080 }",
		"add element ip svclab masq-node { 10.96.9.9 . tcp . 80 }",
		"flush set ip svclab source-ranges",
		"add element ip svclab source-ranges { 203.0.113.10 . tcp . 80 . 10.0.0.1-10.0.0.9 }",
		"add element ip svclab source-ranges { 203.0.113.10 . tcp . 80 . 10.0.0.1 }",
		"add element ip svclab source-ranges { 10.96.0.1 . tcp . 80 . 10.0.0.0/8 }",
		"add element ip svclab source-ranges { 10.96.9.9 . tcp . 80 . 10.0.0.0/8 }",
		"add element ip svclab source-ranges { 10.97.0.0-10.97.0.7 . tcp . 80-90 . 10.0.0.0/8 }",
		"delete element ip6 svclab source-ranges { 2001:db8::10 . tcp . 80 . 2001:db8:1::/48 }",
		"flush chain ip svclab etp-local",
		"flush chain ip svclab lb-1-local",
		"flush chain ip6 svclab source-check",
		"flush chain ip svclab lb-2",
		"flush chain ip6 svclab translated",
		"add rule ip svclab dispatch accept",
		"flush map ip svclab by-service",
		"add element ip svclab by-service { 100:9 : goto refuse }",
		"flush map ip svclab services",
		"delete table ip6 svclab",
		"flush ruleset",
	} {
		t.Run(damage, func(t *testing.T) {
			b := open(t, ns, Options{})
			program(t, b, full(node, small...))
			nft(t, ns, strings.Replace(damage, "LIVE", anID(b), 1))
			if err := b.Check(context.Background()); err == nil {
				t.Error("check saw nothing")
			} else {
				t.Log(err)
			}
			program(t, b, full(nil, small...))
			if d := cmp.Diff(dump(t, b), smallDump); d != "" {
				t.Errorf("not healed (-got +want):\n%s", d)
			}
			sent := b.transactions.Load()
			program(t, b, full(node, small...))
			if b.transactions.Load() != sent {
				t.Errorf("healing was not complete: %d transactions more", b.transactions.Load()-sent)
			}
		})
	}
}

// anID is an id of a sticky front, as nft reads it in a key.
func anID(b *Backend) string {
	p := b.sides[0].fronts.at(route("10.96.0.4:80/TCP").Front)
	id := p.pools[everywhere].ids[0]
	return fmt.Sprintf("%x:%x", id>>16, id&0xffff)
}

// Whatever somebody does to the tables, a Full change that fills the slots anew sets it right too.
func TestRefillHeals(t *testing.T) {
	ns := namespace(t)
	for _, damage := range []string{
		"add element ip svclab endpoints { 10.96.0.1 . tcp . 80 . 7 : 10.244.9.9 . 1 }",
		"add element ip svclab endpoints { 10.96.9.9 . tcp . 80 . 0 : 10.244.9.9 . 1 }",
		"delete element ip svclab endpoints { 10.96.0.1 . tcp . 80 . 0 }",
		"add element ip svclab services { 10.96.9.9 . tcp . 80 : 800:0 }",
		"flush map ip svclab endpoints",
		"flush map ip svclab services",
		"flush map ip svclab ids",
		"flush chain ip svclab lb-2",
		"delete table ip6 svclab",
		"add element ip svclab cluster-ips { 10.96.9.9 }",
	} {
		t.Run(damage, func(t *testing.T) {
			b := open(t, ns, Options{})
			b.readable = 0
			node := podCIDRs("10.244.0.0/15", "fd00:244::/32")
			program(t, b, full(node, small...))
			nft(t, ns, damage)
			program(t, b, full(nil, small...))
			if d := cmp.Diff(dump(t, b), smallDump); d != "" {
				t.Errorf("not healed (-got +want):\n%s", d)
			}
			program(t, b, full(nil, small[:3]...))
			dump(t, b)
		})
	}
}
