package iptables

import (
	"context"
	"fmt"
	"testing"

	"svclab/proxycore"
)

// More Services than an unprivileged restore takes at once, in both directions, and one restore for one change.
func TestManyServices(t *testing.T) {
	eachFlavour(t, func(t *testing.T, flavour string) {
		b := open(t, namespace(t), Options{Flavour: flavour, MaxRules: unprivilegedRules})
		var lines []string
		for i := range 300 {
			lines = append(lines, fmt.Sprintf("web-%d 10.96.%d.%d:80/TCP%s 10.244.1.1:80 10.244.1.2:80%s", i, i/200, i%200,
				[]string{"", " from=10.0.0.0/8 from=172.16.0.0/12", ""}[i%3], []string{"", "", " local drop"}[i%3]))
		}
		program(t, b, full(podCIDRs("10.244.0.0/16"), lines...))
		dump(t, b)
		if n := b.sides[0].tool.commits; n < 5 {
			t.Errorf("%d commits: the first restore was not cut", n)
		}
		before := b.sides[0].tool.restored + b.sides[1].tool.restored
		program(t, b, proxycore.Change{Replace: routesOf("web-7 10.96.0.7:80/TCP 10.244.1.1:80 10.244.1.2:80 here=10.244.1.3:80")})
		if n := b.sides[0].tool.restored + b.sides[1].tool.restored - before; n != 1 {
			t.Errorf("one change took %d restores", n)
		}
		program(t, b, full(podCIDRs("10.244.0.0/16")))
		if d := dump(t, b); d != "pods 10.244.0.0/16\n" {
			t.Errorf("nothing is left but %q", d)
		}
	})
}

// Whatever somebody does to our chains, Check sees it and a Full change sets it right.
func TestFullHeals(t *testing.T) {
	node := podCIDRs("10.244.0.0/16")
	node.Localhost = true
	lines := []string{"web 10.96.0.1:80/TCP here=10.244.1.2:80 10.244.2.1:80", "none 10.96.0.2:80/TCP",
		"local 203.0.113.1:80/TCP from=10.0.0.0/8 10.244.2.1:80 local drop"}
	chain := chainName(route(lines[0]).Front, inside)
	eachFlavour(t, func(t *testing.T, flavour string) {
		ns := namespace(t)
		for _, damage := range []string{
			"-t nat -F SVCLAB-CLUSTER", "-t nat -F SVCLAB-POST", "-t nat -F SVCLAB", "-t filter -F SVCLAB", "-t nat -D " + chain + " 1",
			"-t nat -N SVCLAB-STALE", "-t nat -A SVCLAB-CLUSTER -d 10.9.9.9/32 -p tcp --dport 1 -j " + chain,
			"-t nat -D PREROUTING 1", "-t nat -I OUTPUT -j SVCLAB", "-t nat -F", "-t filter -N SVCLAB-STALE", "-t nat -A SVCLAB-MASQ -j RETURN",
			"-t mangle -F SVCLAB", "-t mangle -F", "-t mangle -A SVCLAB -d 203.0.113.1/32 -p tcp --dport 80 -j DROP", "-t mangle -N SVCLAB-STALE",
			"-t nat -F SVCLAB-NEAR", "-t nat -F SVCLAB-OUTSIDE", "-t filter -F SVCLAB-FAR", "-t filter -F SVCLAB-FORWARD", "-t filter -F SVCLAB-GUARD",
			"-t filter -D INPUT 1", "-t filter -D FORWARD 1", "-t filter -I OUTPUT -j SVCLAB-GUARD",
		} {
			t.Run(damage, func(t *testing.T) {
				b := open(t, ns, Options{Flavour: flavour})
				program(t, b, full(node, lines...))
				want := dump(t, b)
				sh(t, ns, "iptables-"+flavour+" "+damage)
				if err := b.Check(context.Background()); err == nil {
					t.Error("check saw nothing")
				}
				program(t, b, full(node, lines...))
				if got := dump(t, b); got != want {
					t.Errorf("not healed: %s", got)
				}
			})
		}
	})
}
