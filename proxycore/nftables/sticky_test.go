package nftables

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"svclab/nsnet"
	"svclab/proxycore"
)

// tell answers every connection and datagram to an address with a name and the address it saw.
func tell(t *testing.T, ns *nsnet.NS, addr, name string) {
	t.Helper()
	at := netip.MustParseAddrPort(addr)
	l, err := ns.ListenTCP(at)
	if err != nil {
		t.Fatal(err)
	}
	u, err := ns.ListenUDP(at)
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{}, 2)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				break
			}
			fmt.Fprint(c, name, " ", c.RemoteAddr().(*net.TCPAddr).IP)
			c.Close()
		}
		done <- struct{}{}
	}()
	go func() {
		b := make([]byte, 16)
		for {
			_, from, err := u.ReadFromUDPAddrPort(b)
			if err != nil {
				break
			}
			_, _ = u.WriteToUDPAddrPort([]byte(name+" "+from.Addr().String()), from)
		}
		done <- struct{}{}
	}()
	t.Cleanup(func() { l.Close(); u.Close(); <-done; <-done })
}

// hear is ask, where an answer must come.
func hear(t *testing.T, ns *nsnet.NS, network, from, to string) (who, source string) {
	t.Helper()
	who, source, err := ask(ns, network, from, to, 3*time.Second)
	if err != nil {
		t.Fatalf("%s %s: %v", network, to, err)
	}
	return who, source
}

func TestAffinity(t *testing.T) {
	ns := oneHost(t)
	for i := 1; i <= 3; i++ {
		tell(t, ns, fmt.Sprintf("10.244.1.1:808%d", i), fmt.Sprint(i))
		tell(t, ns, fmt.Sprintf("[fd00:244:1::1]:808%d", i), fmt.Sprint(i))
	}
	const each = 12
	state := func(options string, servers ...int) (all []proxycore.Route) {
		for i := range each {
			for _, x := range [][2]string{{"10.96.1.%d:80/TCP", "10.244.1.1"}, {"10.96.1.%d:80/UDP", "10.244.1.1"}, {"[fd00:96::%d]:80/TCP", "[fd00:244:1::1]"}} {
				line := fmt.Sprintf(x[0], i+1) + " " + options
				for _, s := range servers {
					line += fmt.Sprintf(" here=%s:808%d", x[1], s)
				}
				all = append(all, route(line))
			}
		}
		return all
	}
	ask := func() map[string]string {
		t.Helper()
		got := map[string]string{}
		for i := range each {
			for _, x := range [][2]string{{"tcp", "10.96.1.%d:80"}, {"udp", "10.96.1.%d:80"}, {"tcp", "[fd00:96::%d]:80"}} {
				to := fmt.Sprintf(x[1], i+1)
				got[x[0]+" "+to], _ = hear(t, ns, x[0], "", to)
			}
		}
		return got
	}
	moved := func(a, b map[string]string) (n int) {
		for k := range a {
			if a[k] != b[k] {
				n++
			}
		}
		return n
	}
	stay := func(when string, a map[string]string) {
		t.Helper()
		if n := moved(a, ask()); n != 0 {
			t.Errorf("%s: %d of %d moved", when, n, len(a))
		}
	}
	b := open(t, ns, Options{})
	program(t, b, proxycore.Change{Full: true, Add: state("sticky=2s", 1, 2, 3)})
	first := ask()
	count := map[string]int{}
	for _, who := range first {
		count[who]++
	}
	if len(count) < 2 { // with probability 3^-35
		t.Errorf("no spread: %v", count)
	}
	stay("at once", first)
	for range 2 {
		time.Sleep(1300 * time.Millisecond)
		stay("refreshed by the connection before", first)
	}
	time.Sleep(3200 * time.Millisecond)
	second := ask()
	if moved(first, second) == 0 {
		t.Error("after the timeout nobody moved")
	}
	program(t, b, proxycore.Change{Replace: state("sticky=600s", 1, 2, 3)})
	stay("another timeout", second)

	program(t, b, proxycore.Change{Replace: state("sticky=600s", 2, 3)})
	third := ask()
	for k, who := range third {
		if who == "1" || second[k] != "1" && who != second[k] {
			t.Errorf("server 1 is gone: %s went from %s to %s", k, second[k], who)
		}
	}
	stay("moved once", third)
	program(t, b, proxycore.Change{Replace: state("sticky=600s", 1, 2, 3)})
	stay("one server more", third)

	program(t, b, proxycore.Change{Full: true, Add: state("sticky=600s", 1, 2, 3)}) // chains that nobody needs any more go

	heir := open(t, ns, Options{})
	program(t, heir, proxycore.Change{Full: true, Add: state("sticky=600s", 1, 2, 3)})
	if heir.transactions.Load() != 0 {
		t.Errorf("a fresh backend sent %d transactions", heir.transactions.Load())
	}
	stay("a fresh backend", third)
	program(t, heir, proxycore.Change{Replace: state("", 1, 2, 3)})
	loose := maps.Clone(third)
	if moved(loose, ask()) == 0 {
		t.Error("without affinity nobody moved")
	}
	program(t, heir, proxycore.Change{Replace: state("sticky=600s", 1, 2, 3)})
	stay("sticky again", ask())
	if list := nft(t, ns, "list ruleset"); !strings.Contains(list, "timeout 2s expires") && !strings.Contains(list, "timeout 10m expires") {
		t.Error("nft lists no client in affinity")
	}
	dump(t, heir)
}

func TestMasqueradeOfFronts(t *testing.T) {
	ns := oneHost(t)
	tell(t, ns, "10.244.1.1:8081", "1")
	tell(t, ns, "192.168.7.1:22", "node")
	b := open(t, ns, Options{})
	program(t, b, full(podCIDRs("10.244.0.0/16"), "10.96.0.1:80/TCP 10.244.1.1:8081",
		"192.168.7.1:30080/TCP nodeport 10.244.1.1:8081", "203.0.113.5:80/TCP external 10.244.1.1:8081"))
	for _, x := range []struct {
		to, who string
		kept    bool
	}{
		{"10.96.0.1:80", "1", true},
		{"192.168.7.1:30080", "1", false},
		{"203.0.113.5:80", "1", false},
		{"192.168.7.1:22", "node", true}, // a port of the node that is no Service's
	} {
		const pod = "10.244.1.50"
		who, source := hear(t, ns, "tcp", pod, x.to)
		if who != x.who || (source == pod) != x.kept {
			t.Errorf("%s to %s: %q answered %s, want %q, source kept: %v", pod, x.to, who, source, x.who, x.kept)
		}
	}
	dump(t, b)
}
