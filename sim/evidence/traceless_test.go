package evidence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket/pcapgo"

	"svclab/nsnet"
	"svclab/proxycore/cluster"
	"svclab/sim/evidence"
	"svclab/sim/world"
)

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}

// left is what could be left behind on the nodes: tables, packet sockets, the packet log.
func left(t *testing.T, r *rig) string {
	t.Helper()
	var b strings.Builder
	sites, err := r.lab.Sites()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sites {
		if s.Host == nil || s.Host.Kind != world.Node {
			continue
		}
		out, err := s.NS.Run(exec.Command("nft", "list", "tables"))
		log, _ := s.NS.ReadFile("/proc/net/netfilter/nf_log")
		sockets, _ := s.NS.ReadFile("/proc/net/packet")
		fmt.Fprintf(&b, "%s: %s%v %s %s", s.Name, out, err, log, sockets)
	}
	return b.String()
}

func TestNothingIsLeft(t *testing.T) {
	for _, proxy := range []string{"nftables", "iptables-legacy"} {
		t.Run(proxy, func(t *testing.T) {
			r := open(t, proxy, false)
			flow := from(t, r, world.Pod, "client", r.service(t, "myservice", 80), cluster.TCP)
			cancelled, cancel := context.WithCancel(t.Context())
			cancel()
			once := func() {
				if _, err := evidence.Collect(t.Context(), r.lab, flow); err != nil {
					t.Fatal(err)
				}
				if _, err := evidence.Collect(cancelled, r.lab, flow); !errors.Is(err, context.Canceled) {
					t.Errorf("cancelled: %v", err)
				}
			}
			before := left(t, r)
			once() // opens what stays: the lab's own sockets
			files, goroutines := openFiles(t), runtime.NumGoroutine()
			for range 5 {
				once()
			}
			for end := time.Now().Add(5 * time.Second); runtime.NumGoroutine() > goroutines && time.Now().Before(end); {
				runtime.Gosched() // a server's goroutine that has not seen the RST yet
			}
			if n := runtime.NumGoroutine(); n > goroutines {
				t.Errorf("%d goroutines, %d before", n, goroutines)
			}
			if n := openFiles(t); n > files {
				t.Errorf("%d files, %d before", n, files)
			}
			if after := left(t, r); after != before {
				t.Errorf("before %s\nafter %s", before, after)
			}
		})
	}
}

// Where the packet log cannot be had, the counters of the rules stand for it, and it says so.
func TestWithoutTheLog(t *testing.T) {
	r := open(t, "iptables-legacy", false)
	evidence.WithoutLog(errors.New("not today"), func() {
		e, err := evidence.Collect(t.Context(), r.lab, from(t, r, world.Pod, "client", r.service(t, "far", 80), cluster.TCP))
		if err != nil {
			t.Fatal(err)
		}
		want := evidence.Missing{Site: "node/node-1", What: "which rules of ip_tables the packets met; the counters of its rules stand for them", Why: "not today"}
		if len(e.Missing) != 2 || e.Missing[0] != want {
			t.Errorf("missing: %+v", e.Missing)
		}
		found := false
		for _, c := range e.Counters {
			found = found || c.Site == "node/node-1" && strings.HasPrefix(c.Name, "nat:") && c.By == 1 && strings.Contains(c.Text, "-j DNAT --to-destination "+e.Seen.Server.String())
		}
		if !found {
			t.Errorf("no counter of the rule that translated: %+v", e.Counters)
		}
	})
}

// Packets that end without a rule's doing: the route, the log of counters and the last sighting say what can be said.
func TestEndsWithoutARule(t *testing.T) {
	r := open(t, "nftables", false)
	node := siteOf(t, r, "node/node-1")
	target := r.addr(t, world.Pod, "web-2")
	flow := from(t, r, world.Pod, "client", netip.AddrPortFrom(target, 5000), cluster.TCP)
	collect := func(f world.Flow) *evidence.Evidence {
		t.Helper()
		e, err := evidence.Collect(t.Context(), r.lab, f)
		if err != nil {
			t.Fatal(err)
		}
		return e
	}
	run := func(words ...string) {
		t.Helper()
		if _, err := node.Run(exec.Command("ip", words...)); err != nil {
			t.Fatal(err)
		}
	}
	run("route", "add", "blackhole", target.String())
	e := collect(flow)
	if end := packet(t, e, "SYN").End; end.Fate != evidence.Stopped || end.Site != "node/node-1" || end.Route == nil || end.Route.Kind != "blackhole" && end.Route.Error == "" {
		t.Errorf("blackhole: %+v", end)
	}
	run("route", "del", "blackhole", target.String())

	flow.To = netip.AddrPortFrom(target, 5001) // nobody listens
	e = collect(flow)
	outcome(t, e, world.Reset)
	if p := packet(t, e, "RST ACK"); p.Way != evidence.Back || p.End.Fate != evidence.Delivered {
		t.Errorf("reset: %+v", p)
	}

	flow.To = netip.MustParseAddrPort("198.18.0.1:80") // nobody's
	e = collect(flow)
	if end := packet(t, e, "SYN").End; end.Fate != evidence.Leaked || end.Site != "sink" || !e.Seen.Leaked {
		t.Errorf("leak: %+v, %+v", end, e.Seen)
	}

	if err := node.Sysctl("net.ipv4.ip_forward", "0"); err != nil {
		t.Fatal(err)
	}
	flow.To = netip.AddrPortFrom(target, 5000)
	e = collect(flow)
	counted := false
	for _, c := range e.Counters {
		counted = counted || c.Site == "node/node-1" && c.Name == "Ip:InAddrErrors"
	}
	if end := packet(t, e, "SYN").End; end.Fate != evidence.Stopped || end.Site != "node/node-1" || !counted {
		t.Errorf("no forwarding: %+v, %+v", end, e.Counters)
	}
}

func siteOf(t *testing.T, r *rig, name string) *nsnet.NS {
	t.Helper()
	sites, err := r.lab.Sites()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range sites {
		if s.Name == name {
			return s.NS
		}
	}
	t.Fatalf("no site %s", name)
	return nil
}

// Echoes are watched too, and a socket's second datagram.
func TestOtherFlows(t *testing.T) {
	for _, is6 := range []bool{false, true} {
		r := open(t, "nftables", is6)
		flow := from(t, r, world.Pod, "client", netip.AddrPortFrom(r.addr(t, world.Pod, "web-2"), 0), cluster.ICMP)
		e, err := evidence.Collect(t.Context(), r.lab, flow)
		if err != nil {
			t.Fatal(err)
		}
		outcome(t, e, world.Answered)
		if got := fmt.Sprint(ways(e)); got != "[there ICMP echo request back ICMP echo reply]" {
			t.Errorf("got %s", got)
		}
		complete(t, e)
		flow = from(t, r, world.Pod, "client", r.service(t, "dns", 53), cluster.UDP)
		flow.Session = "s"
		first, err := evidence.Collect(t.Context(), r.lab, flow)
		if err != nil {
			t.Fatal(err)
		}
		answered(t, r, first, 5353)
		if e, err = evidence.Collect(t.Context(), r.lab, flow); err != nil {
			t.Fatal(err)
		}
		complete(t, e)
		h := walk(t, e, e.Packets[0], "node/node-1").Hooks[0]
		if e.Flow.Client != first.Flow.Client || e.Seen.Server != first.Seen.Server || len(h.Rules) != 0 || h.After == nil || h.After.Dst != e.Seen.Server {
			t.Errorf("the second datagram of a socket is translated without a rule: %+v", h)
		}
	}
}

// The captures can be written, with a comment for each packet.
func TestPcapng(t *testing.T) {
	r := open(t, "nftables", false)
	e, err := evidence.Collect(t.Context(), r.lab, from(t, r, world.Pod, "client", r.service(t, "far", 80), cluster.TCP))
	if err != nil {
		t.Fatal(err)
	}
	var file bytes.Buffer
	if err := e.WritePcapng(&file); err != nil {
		t.Fatal(err)
	}
	f, err := pcapgo.NewNgReader(&file, pcapgo.DefaultNgReaderOptions)
	if err != nil {
		t.Fatal(err)
	}
	var path []string
	for {
		_, info, options, err := f.ReadPacketDataWithOptions()
		if err != nil {
			break
		}
		face, _ := f.Interface(info.InterfaceIndex)
		if strings.Contains(options.Comments[0], ": SYN,") {
			path = append(path, face.Name+" "+options.Comments[0][strings.LastIndex(options.Comments[0], " ")+1:])
		}
	}
	want := "pod/client eth0 leaves|node/node-1 pod1 arrives|node/node-1 eth0 leaves|underlay port2 arrives|underlay port3 leaves|node/node-2 eth0 arrives|node/node-2 pod3 leaves|pod/web-2 eth0 arrives"
	if got := strings.Join(path, "|"); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var none evidence.Evidence
	if err := none.WritePcapng(&file); err == nil {
		t.Error("evidence without frames was written")
	}
}
