package iptables

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"svclab/proxycore"
)

// While chains are split and put together again around them, a front that stays is translated, one without endpoints is
// refused, and who may not call is kept out; also where restores are cut into pieces.
func TestTreesChangeWithoutGap(t *testing.T) {
	stays := []string{"web 203.0.113.1:80/TCP all from=192.168.7.2/32 here=10.244.1.2:8080 10.244.2.1:8080", "none 203.0.113.2:80/TCP"}
	const ours = "203.0.113.1:80"
	around := func(rng *rand.Rand) []proxycore.Route {
		lines := slices.Clone(stays)
		for i := range rng.IntN(60) {
			kind := []string{" 10.244.2.1:8080", " 10.244.2.1:8080 10.244.1.2:8080", ""}[i%3] + []string{" all", " all from=192.168.7.0/24"}[rng.IntN(2)]
			if i%4 == 0 {
				lines = append(lines, fmt.Sprintf("np-%d 203.0.113.1:%d/TCP%s", i, 1000+i*16, kind))
			} else {
				lines = append(lines, fmt.Sprintf("vip-%d 203.0.113.%d:80/TCP%s", i, 3+i*4, kind))
			}
		}
		return routesOf(lines...)
	}
	eachFlavour(t, func(t *testing.T, flavour string) {
		for _, limit := range []int{0, 10} {
			w := newRouted(t)
			if err := w.node.Sysctl("net.ipv4.icmp_ratelimit", "0"); err != nil {
				t.Fatal(err)
			}
			b := open(t, w.node, Options{Flavour: flavour, MaxRules: limit})
			now := around(rand.New(rand.NewPCG(2, 0)))
			program(t, b, proxycore.Change{Full: true, Node: podCIDRs("10.244.0.0/16"), Add: now})
			changes := func() { // as many as it takes to call that often among them; the i-th state is always the same
				for i := uint64(1); i <= 25 || w.calls.Load() < 25 && !t.Failed(); i++ {
					next := around(rand.New(rand.NewPCG(2, i)))
					c := between(now, next)
					if i%9 == 5 {
						c = proxycore.Change{Full: true, Node: podCIDRs("10.244.0.0/16"), Add: next}
					}
					program(t, b, c)
					now = next
				}
			}
			w.during("client 192.168.7.2", ours, 5*time.Second, func(heard string) bool {
				return !strings.HasPrefix(heard, "1") && !strings.HasPrefix(heard, "2")
			}, changes)
			w.during("client 192.168.7.2", "203.0.113.2:80", 5*time.Second, func(heard string) bool { return heard != "refused" }, changes)
			w.during("client 192.168.7.3", ours, 5*time.Millisecond, func(heard string) bool { return heard != "silence" }, changes)
			dump(t, b)
		}
	})
}
