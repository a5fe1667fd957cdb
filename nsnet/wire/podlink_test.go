package wire

import (
	"fmt"
	"net/netip"
	"testing"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

// TestPodLink: pod to pod through the node, pod to node, node to pod, in both families; the addresses seen are the real ones,
// and nobody had to ask for hardware.
func TestPodLink(t *testing.T) {
	nstest.Need(t, "veth")
	node, a, b := newNode(t, "node-1"), newPod(t, "a"), newPod(t, "b")
	ok(t,
		PodLink(node, a, PodLinkOptions{NodeDev: "veth-a", V4: addr("10.0.1.1"), V6: addr("fd00:1::1")}),
		PodLink(node, b, PodLinkOptions{NodeDev: "veth-b", V4: addr("10.0.1.2"), V6: addr("fd00:1::2")}),
		Addr(node, "lo", prefix("192.168.50.1/32")), Addr(node, "lo", prefix("fd50::1/128")))

	for _, f := range []struct{ a, b, node string }{
		{"10.0.1.1", "10.0.1.2", "192.168.50.1"},
		{"fd00:1::1", "fd00:1::2", "fd50::1"},
	} {
		servers := map[string]netip.AddrPort{"b": serve(t, b, addr(f.b)), "node": serve(t, node, addr(f.node))}
		for _, flow := range []struct {
			name string
			from *nsnet.NS
			to   string
			seen string
		}{
			{"pod to pod", a, "b", f.a},
			{"pod to node", a, "node", f.a},
			{"node to pod", node, "b", f.node},
		} {
			if seen, err := ask(flow.from, servers[flow.to]); err != nil || seen != flow.seen {
				t.Errorf("%s: the server saw %q (%v), want %s", flow.name, seen, err, flow.seen)
			}
		}
	}
	for _, ns := range []*nsnet.NS{node, a, b} {
		if ips := learned(t, ns); len(ips) > 0 {
			t.Errorf("%s asked for the hardware of %s", ns.Name(), ips)
		}
	}
}

// TestPodLinkTakesFiveTurns pins what a pod's wire costs. Kernels before 6.8 are asked for the carrier more than once.
func TestPodLinkTakesFiveTurns(t *testing.T) {
	nstest.Need(t, "veth")
	node, pod := newNode(t, "node"), newPod(t, "pod")
	before := nsnet.Counted()
	ok(t, PodLink(node, pod, PodLinkOptions{NodeDev: "veth0", V4: addr("10.0.1.1"), V6: addr("fd00:1::1")}))
	got := nsnet.Counted().Sub(before)
	again := got.Exchanges - 5
	if want := (nsnet.Counts{Visits: 2, Exchanges: 5 + again, Messages: 14 + again}); got != want || again < 0 {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestPodLinkOneFamily(t *testing.T) {
	nstest.Need(t, "veth")
	for _, o := range []PodLinkOptions{
		{NodeDev: "p4", V4: addr("10.0.1.1"), PodDev: "net0"},
		{NodeDev: "p6", V6: addr("fd00:1::1"), PodDev: "net0"},
	} {
		node, pod := newNode(t, "node"), newPod(t, "pod")
		ok(t, PodLink(node, pod, o))
		for _, a := range []netip.Addr{o.V4, o.V6} {
			if !a.IsValid() {
				continue
			}
			ok(t, Addr(node, "lo", prefix("192.168.50.1/32")), Addr(node, "lo", prefix("fd50::1/128")))
			if _, err := ask(node, serve(t, pod, a)); err != nil {
				t.Errorf("%s: %v", a, err)
			}
		}
	}
}

func TestPodLinkErrors(t *testing.T) {
	nstest.Need(t, "veth")
	node, pod := newNode(t, "node-1"), newPod(t, "pod/web-1")
	wrong := "link pod pod/web-1 to node node-1: V4 or V6, or both, must be an address of that family"
	tests := []struct {
		name string
		o    PodLinkOptions
		want string
	}{
		{"no address", PodLinkOptions{NodeDev: "a"}, wrong},
		{"families swapped", PodLinkOptions{NodeDev: "a", V4: addr("fd00::1")}, wrong},
		{"a device that exists", PodLinkOptions{NodeDev: "lo", V4: addr("10.0.1.1")},
			"link pod pod/web-1 to node node-1: wire lo in namespace node-1 to eth0 in pod/web-1: file exists"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if err := PodLink(node, pod, test.o); err == nil || err.Error() != test.want {
				t.Errorf("got  %v\nwant %s", err, test.want)
			}
		})
	}
}

func TestPodMAC(t *testing.T) {
	for a, want := range map[string]string{"10.0.1.2": "0a:58:0a:00:01:02", "fd00:1::abcd:1": "0a:58:ab:cd:00:01"} {
		if got := PodMAC(addr(a)).String(); got != want {
			t.Errorf("PodMAC(%s) is %s, want %s", a, got, want)
		}
	}
}

// BenchmarkHundredPods makes a node with a hundred pods of both families: namespaces, settings, wires, addresses, routes.
func BenchmarkHundredPods(b *testing.B) {
	nstest.Need(b, "veth")
	for b.Loop() {
		var all []*nsnet.NS
		made := func(name string, prepare func(*nsnet.NS) error) *nsnet.NS {
			ns, err := nsnet.New(name)
			ok(b, err)
			all = append(all, ns)
			ok(b, prepare(ns))
			return ns
		}
		node := made("node", NodeSysctls)
		for i := range 100 {
			pod := made(fmt.Sprintf("pod-%d", i), HostSysctls)
			ok(b, PodLink(node, pod, PodLinkOptions{
				NodeDev: fmt.Sprintf("veth%d", i),
				V4:      netip.AddrFrom4([4]byte{10, 0, 1, byte(i)}),
				V6:      addr(fmt.Sprintf("fd00:1::%x", i+1)),
			}))
		}
		b.StopTimer()
		for _, ns := range all {
			ok(b, ns.Close())
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/100, "µs/pod")
}
