package iptables

import (
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/nsnet/wire"
	"svclab/proxycore"
)

// routed is a node between a client, a pod and the rest of the world, which has an endpoint and whatever leaks.
type routed struct {
	t                       testing.TB
	node, client, pod, rest *nsnet.NS
	calls                   atomic.Int32 // that during has made
}

// Endpoint 1 is the pod, 2 is elsewhere, and 9 is who gets a packet to a VIP that nobody translates.
func newRouted(t testing.TB) *routed {
	t.Helper()
	nstest.Need(t, "veth")
	w := &routed{t: t, node: namespace(t), client: nstest.NS(t, "client"), pod: nstest.NS(t, "pod"), rest: nstest.NS(t, "rest")}
	for _, end := range []struct {
		ns   *nsnet.NS
		name string
	}{{w.client, "out"}, {w.pod, "pod0"}, {w.rest, "up"}} {
		if err := errors.Join(end.ns.LoopbackUp(), wire.Veth(wire.End{NS: w.node, Name: end.name}, wire.End{NS: end.ns, Name: "eth0"})); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.node.LoopbackUp(), w.node.Sysctl("net.ipv4.ip_forward", "1"), w.node.Sysctl("net.ipv6.conf.all.forwarding", "1")); err != nil {
		t.Fatal(err)
	}
	for _, x := range []struct {
		ns   *nsnet.NS
		args string
	}{
		{w.node, "addr add 192.168.7.1/24 dev out"}, {w.node, "addr add 192.168.8.1/24 dev up"}, {w.node, "addr add 10.244.1.1/24 dev pod0"},
		{w.node, "addr add fd00:7::1/64 dev out nodad"}, {w.node, "addr add fd00:8::1/64 dev up nodad"}, {w.node, "addr add fd00:244:1::1/64 dev pod0 nodad"},
		{w.node, "addr add 10.99.0.1/32 dev lo"}, {w.node, "route add default via 192.168.8.2"}, {w.node, "-6 route add default via fd00:8::2"},
		{w.client, "addr add 192.168.7.2/24 dev eth0"}, {w.client, "addr add 192.168.7.3/24 dev eth0"}, {w.client, "addr add fd00:7::2/64 dev eth0 nodad"},
		{w.client, "route add default via 192.168.7.1"}, {w.client, "-6 route add default via fd00:7::1"},
		{w.pod, "addr add 10.244.1.2/24 dev eth0"}, {w.pod, "addr add fd00:244:1::2/64 dev eth0 nodad"},
		{w.pod, "route add default via 10.244.1.1"}, {w.pod, "-6 route add default via fd00:244:1::1"},
		{w.rest, "addr add 192.168.8.2/24 dev eth0"}, {w.rest, "addr add 10.244.2.1/32 dev lo"}, {w.rest, "route add local 203.0.113.0/24 dev lo"},
		{w.rest, "addr add fd00:8::2/64 dev eth0 nodad"}, {w.rest, "addr add fd00:244:2::1/128 dev lo nodad"},
		{w.rest, "route add default via 192.168.8.1"}, {w.rest, "-6 route add default via fd00:8::1"},
	} {
		sh(t, x.ns, "ip "+x.args)
	}
	serve(t, w.pod, "10.244.1.2:8080", 1)
	serve(t, w.rest, "10.244.2.1:8080", 2)
	serve(t, w.pod, "[fd00:244:1::2]:8080", 1)
	serve(t, w.rest, "[fd00:244:2::1]:8080", 2)
	for i := range 8 {
		serve(t, w.rest, fmt.Sprintf("203.0.113.%d:80", i+1), 9)
	}
	return w
}

// hear is what becomes of a connection: "1 saw 192.168.7.2", "refused" or "silence".
func (w *routed) hear(from, to string, patience time.Duration) string {
	who, source, _ := strings.Cut(from, " ")
	ns := map[string]*nsnet.NS{"node": w.node, "client": w.client, "pod": w.pod}[who]
	answer, saw, err := callWithin(patience, ns, net.ParseIP(source), to)
	var late net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.As(err, &late) && late.Timeout():
		return "silence"
	case err != nil:
		return err.Error()
	}
	return fmt.Sprintf("%d saw %s", answer, saw)
}

// want checks lines like "client 192.168.7.2 > 192.168.7.1:30080: refused", all at once.
func (w *routed) want(lines string) {
	w.t.Helper()
	var all sync.WaitGroup
	for line := range strings.Lines(lines) {
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		from, rest, _ := strings.Cut(line, " > ")
		to, want, _ := strings.Cut(rest, ": ")
		patience := 5 * time.Second
		if want == "silence" {
			patience = time.Second / 2
		}
		all.Go(func() {
			if got := w.hear(from, to, patience); got != want {
				w.t.Errorf("%s > %s: %s, want %s", from, to, got, want)
			}
		})
	}
	all.Wait()
}

func podsOn(name string) *proxycore.NodeRules { return &proxycore.NodeRules{PodInterface: name} }

func TestLocalPolicies(t *testing.T) {
	fronts := []string{
		"inner 10.96.0.1:80/TCP 10.244.2.1:8080",
		"cluster 192.168.7.1:30000/TCP all 10.244.2.1:8080",
		"web 192.168.7.1:30080/TCP 10.244.2.1:8080 local here=10.244.1.2:8080",
		"away 192.168.7.1:30081/TCP 10.244.2.1:8080 local drop",
		"none 192.168.7.1:30082/TCP local",
		"each 192.168.7.1:30083/TCP drop local", // no Service is so, but a change may pass there
		"vip 203.0.113.1:80/TCP 10.244.2.1:8080 local drop",
		"web [fd00:7::1]:30080/TCP [fd00:244:2::1]:8080 local here=[fd00:244:1::2]:8080",
		"away [fd00:7::1]:30081/TCP [fd00:244:2::1]:8080 local drop",
	}
	others := `
		client 192.168.7.2 > 192.168.7.1:30000: 2 saw 192.168.8.1
		client 192.168.7.2 > 192.168.7.1:30080: 1 saw 192.168.7.2
		client 192.168.7.2 > 192.168.7.1:30081: silence
		client 192.168.7.2 > 192.168.7.1:30082: refused
		client 192.168.7.2 > 192.168.7.1:30083: refused
		client 192.168.7.2 > 203.0.113.1:80: silence
		client fd00:7::2 > [fd00:7::1]:30080: 1 saw fd00:7::2
		client fd00:7::2 > [fd00:7::1]:30081: silence
		node 10.99.0.1 > 192.168.7.1:30000: 2 saw 192.168.8.1
		node 10.99.0.1 > 192.168.7.1:30080: 2 saw 192.168.8.1
		node 10.99.0.1 > 192.168.7.1:30081: 2 saw 192.168.8.1
		node 10.99.0.1 > 192.168.7.1:30082: refused
		node 10.99.0.1 > 192.168.7.1:30083: silence
		node 10.99.0.1 > 203.0.113.1:80: 2 saw 192.168.8.1
		node fd00:7::1 > [fd00:7::1]:30081: 2 saw fd00:8::1
		pod 10.244.1.2 > 192.168.7.1:30000: 2 saw 192.168.8.1
		pod 10.244.1.2 > 192.168.7.1:30082: refused
		`
	known := others + `
		pod 10.244.1.2 > 192.168.7.1:30080: 2 saw 10.244.1.2
		pod 10.244.1.2 > 192.168.7.1:30081: 2 saw 10.244.1.2
		pod 10.244.1.2 > 192.168.7.1:30083: silence
		pod 10.244.1.2 > 203.0.113.1:80: 2 saw 10.244.1.2
		pod fd00:244:1::2 > [fd00:7::1]:30081: 2 saw fd00:244:1::2
		`
	unknown := others + `
		pod 10.244.1.2 > 192.168.7.1:30080: 1 saw 10.244.1.1
		pod 10.244.1.2 > 192.168.7.1:30081: silence
		pod 10.244.1.2 > 192.168.7.1:30083: refused
		pod 10.244.1.2 > 203.0.113.1:80: silence
		pod fd00:244:1::2 > [fd00:7::1]:30081: silence
		`
	inner := func(client, node, pod string) string { // whom the endpoint of the ClusterIP sees
		return fmt.Sprintf("client 192.168.7.2 > 10.96.0.1:80: 2 saw %s\nnode 10.99.0.1 > 10.96.0.1:80: 2 saw %s\npod 10.244.1.2 > 10.96.0.1:80: 2 saw %s\n",
			client, node, pod)
	}
	const hidden = "192.168.8.1"
	podsSpared, allSpared := inner(hidden, hidden, "10.244.1.2"), inner("192.168.7.2", "10.99.0.1", "10.244.1.2")
	all := podCIDRs("10.244.0.0/16", "fd00:244::/32")
	all.MasqueradeAll = true
	eachFlavour(t, func(t *testing.T, flavour string) {
		w := newRouted(t)
		b := open(t, w.node, Options{Flavour: flavour})
		program(t, b, full(podCIDRs("10.244.0.0/16", "fd00:244::/32"), fronts...))
		w.want(known + podsSpared)
		for _, other := range []struct {
			node *proxycore.NodeRules
			want string
		}{
			{podsOn("pod*"), known + podsSpared},
			{&proxycore.NodeRules{}, unknown + allSpared},
			{podsOn("pod0"), known + podsSpared},
			{podsOn("pod"), unknown + inner(hidden, hidden, hidden)}, // the beginning of a name is none
			{all, known + inner(hidden, hidden, hidden)},
		} {
			program(t, b, proxycore.Change{Node: other.node})
			dump(t, b)
			w.want(other.want)
		}
	})
}

func TestSourceRanges(t *testing.T) {
	eachFlavour(t, func(t *testing.T, flavour string) {
		w := newRouted(t)
		w.want("client 192.168.7.2 > 203.0.113.1:80: 9 saw 192.168.7.2") // a leak would be seen
		b := open(t, w.node, Options{Flavour: flavour})
		program(t, b, full(podCIDRs("10.244.0.0/16"),
			"one 203.0.113.1:80/TCP all from=192.168.7.0/24 10.244.2.1:8080",
			"two 203.0.113.2:80/TCP all from=192.168.7.2/32 from=10.244.0.0/16 10.244.2.1:8080",
			"none 203.0.113.3:80/TCP all from=192.168.7.2/32 from=10.244.0.0/16",
			"local 203.0.113.4:80/TCP from=192.168.7.2/32 from=10.244.0.0/16 10.244.2.1:8080 local here=10.244.1.2:8080",
			"away 203.0.113.5:80/TCP from=192.168.7.2/32 local"))
		w.want(`
			client 192.168.7.2 > 203.0.113.1:80: 2 saw 192.168.8.1
			pod 10.244.1.2 > 203.0.113.1:80: silence
			node 10.99.0.1 > 203.0.113.1:80: silence
			node 192.168.7.1 > 203.0.113.1:80: 2 saw 192.168.8.1
			client 192.168.7.2 > 203.0.113.2:80: 2 saw 192.168.8.1
			client 192.168.7.3 > 203.0.113.2:80: silence
			pod 10.244.1.2 > 203.0.113.2:80: 2 saw 192.168.8.1
			client 192.168.7.2 > 203.0.113.3:80: refused
			client 192.168.7.3 > 203.0.113.3:80: silence
			pod 10.244.1.2 > 203.0.113.3:80: refused
			node 192.168.7.1 > 203.0.113.3:80: silence
			client 192.168.7.2 > 203.0.113.4:80: 1 saw 192.168.7.2
			client 192.168.7.3 > 203.0.113.4:80: silence
			pod 10.244.1.2 > 203.0.113.4:80: 2 saw 10.244.1.2
			node 192.168.7.1 > 203.0.113.4:80: silence
			client 192.168.7.2 > 203.0.113.5:80: refused
			client 192.168.7.3 > 203.0.113.5:80: silence`)
	})
}

// during calls while changes are made, and says how often.
func (w *routed) during(from, to string, patience time.Duration, bad func(heard string) bool, changes func()) int {
	w.t.Helper()
	done := make(chan struct{})
	var all sync.WaitGroup
	w.calls.Store(0)
	all.Go(func() {
		for ; ; w.calls.Add(1) {
			if heard := w.hear(from, to, patience); bad(heard) {
				w.t.Errorf("%s heard %s of %s", from, heard, to)
				return
			}
			select {
			case <-done:
				return
			default:
			}
		}
	})
	changes()
	close(done)
	all.Wait()
	return int(w.calls.Load())
}

// While the ranges and the endpoints of a front change, nobody inside of all ranges is left out, and nobody outside of all
// is let in, also while the front goes and comes.
func TestRangesChangeWithoutGap(t *testing.T) {
	const to = "203.0.113.1:80"
	lines := []string{
		"web 203.0.113.1:80/TCP all from=192.168.7.2/32 10.244.2.1:8080",
		"web 203.0.113.1:80/TCP all from=10.0.0.0/8 from=192.168.7.2/32 10.244.2.1:8080",
		"web 203.0.113.1:80/TCP from=192.168.7.2/32 10.244.1.2:8080 local 10.244.2.1:8080",
		"web 203.0.113.1:80/TCP from=172.16.0.0/12 from=192.168.7.2/32 10.244.2.1:8080 local 10.244.1.2:8080 10.244.2.1:8080",
	}
	node := podCIDRs("10.244.0.0/16")
	eachFlavour(t, func(t *testing.T, flavour string) {
		w := newRouted(t)
		b := open(t, w.node, Options{Flavour: flavour})
		program(t, b, full(node, lines[0]))
		calls := w.during("client 192.168.7.2", to, 5*time.Second, func(heard string) bool { return !strings.HasPrefix(heard, "1") && !strings.HasPrefix(heard, "2") }, func() {
			for i := range 40 {
				c := proxycore.Change{Replace: routesOf(lines[(i*7+i/4)%len(lines)])}
				if i%9 == 5 {
					c = full(node, lines[i%len(lines)])
				}
				program(t, b, c)
			}
		})
		if calls < 20 {
			t.Errorf("only %d connections in 40 changes", calls)
		}
		calls = w.during("client 192.168.7.3", to, 5*time.Millisecond, func(heard string) bool { return heard != "silence" && !strings.HasPrefix(heard, "9") }, func() {
			for i := range 40 {
				r := routesOf(lines[i%len(lines)])
				program(t, b, proxycore.Change{Replace: r})
				program(t, b, proxycore.Change{Remove: r})
				program(t, b, proxycore.Change{Add: r})
			}
		})
		if calls < 40 {
			t.Errorf("only %d attempts in 120 changes", calls)
		}
	})
}
