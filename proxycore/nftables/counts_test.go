package nftables

import (
	"context"
	"fmt"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// What a change costs in netlink does not vary between machines or runs. So it is pinned: times say on this machine what
// these say on all.

type counts struct {
	transactions, messages, elements int // elements: added and deleted
	bytes                            int
}

// counted collects what the backend sends.
func counted(b *Backend, into *counts) {
	b.fault = func() error {
		into.transactions++
		into.bytes += len(b.tx.out.b)
		for m := range messages(b.tx.out.b) {
			into.messages++
			if m.typ == nftables<<8|unix.NFT_MSG_NEWSETELEM || m.typ == nftables<<8|unix.NFT_MSG_DELSETELEM {
				for range attrs(attr(m.body[bodyHeader:], unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
					into.elements++
				}
			}
		}
		return nil
	}
}

// Each kind of change costs the same among 1,000 Services and among 50,000: the same bytes, and the same allocations in the
// whole of Apply.
func TestCountsOfAChange(t *testing.T) {
	want := map[string]counts{
		"endpoint replaced": {1, 4, 2, 216},
		"endpoint added":    {1, 5, 3, 300}, // the endpoint's element, and the front's number twice
		"endpoint removed":  {1, 5, 3, 284},
		"service added":     {1, 5, 12, 688},
		"service removed":   {1, 5, 12, 516},
	}
	// Allocations there and back. AllocsPerRun takes the average and rounds it down, so what a map or a list needs to grow
	// once in a while does not show, and nothing else varies: no tolerance.
	allocations := map[string]float64{"endpoint replaced": 48, "endpoint added": 49, "service added": 48}
	for _, n := range []int{1000, 50000} {
		if n > 1000 && testing.Short() {
			t.Log("50,000 Services are left out with -short; CI runs them without")
			continue
		}
		b := open(t, namespace(t), Options{})
		p := proxycore.New(proxycore.Config{Node: "node-1"}, b, nil)
		base := state(n)
		apply := func(s *cluster.Snapshot) {
			if err := p.Apply(context.Background(), s); err != nil {
				t.Fatal(err)
			}
		}
		apply(base)
		const at = 500
		plain := upTo(10)
		for _, c := range []struct {
			there, back string
			to          *cluster.Snapshot
		}{
			{"endpoint replaced", "endpoint replaced", base.WithSlice(sliceOf(at, append(upTo(9), 15)...))},
			{"endpoint added", "endpoint removed", base.WithSlice(sliceOf(at, upTo(11)...))},
			{"service added", "service removed", base.WithService(serviceOf(60000)).WithSlice(sliceOf(60000, plain...))},
		} {
			apply(c.to) // chains of new sizes come, and stay
			apply(base)
			for _, way := range []struct {
				name string
				to   *cluster.Snapshot
			}{{c.there, c.to}, {c.back, base}} {
				var got counts
				counted(b, &got)
				bytes, transactions := b.Sent()
				apply(way.to)
				b.fault = nil
				if got != want[way.name] {
					t.Errorf("%d Services, %s: %+v, want %+v", n, way.name, got, want[way.name])
				}
				if moreBytes, more := b.Sent(); int(moreBytes-bytes) != got.bytes || int(more-transactions) != got.transactions {
					t.Errorf("%d Services, %s: Sent tells of %d bytes and %d transactions, there were %+v", n, way.name, moreBytes-bytes, more-transactions, got)
				}
			}
			if got := testing.AllocsPerRun(50, func() { apply(c.to); apply(base) }); got != allocations[c.there] {
				t.Errorf("%d Services, %s and back: %.0f allocations, want %.0f", n, c.there, got, allocations[c.there])
			}
		}
	}
}

// A first sync sends one element a Service port and address, one a ClusterIP, one an endpoint, and the layout.
func TestCountsOfAFirstSync(t *testing.T) {
	want := map[int]counts{0: {1, 202, 18, 49600}, 1000: {2, 216, 12021, 542560}, 10000: {2, 289, 120021, 4974356}}
	piping := map[int]counts{0: {1, 0, 0, 49600}, 1000: {4, 0, 0, 542848}, 10000: {27, 0, 0, 4977696}} // transactions and bytes alone
	for _, n := range []int{0, 1000, 10000} {
		b := open(t, namespace(t), Options{})
		var got counts
		counted(b, &got)
		if err := proxycore.New(proxycore.Config{Node: "node-1"}, b, nil).Apply(context.Background(), state(n)); err != nil {
			t.Fatal(err)
		}
		b.fault = nil
		if got != want[n] {
			t.Errorf("%d Services: %+v, want %+v", n, got, want[n])
		}
		if more := got.elements - want[0].elements - 3; n > 0 && more != 12*n {
			t.Errorf("%d Services of 10 endpoints: %d elements more than the layout and lb-10, want %d", n, more, 12*n)
		}
		// The pipeline sends the same elements in more transactions. A fault to come switches it off.
		piped := open(t, namespace(t), Options{})
		if err := proxycore.New(proxycore.Config{Node: "node-1"}, piped, nil).Apply(context.Background(), state(n)); err != nil {
			t.Fatal(err)
		}
		bytes, transactions := piped.Sent()
		if got := (counts{transactions: int(transactions), bytes: int(bytes)}); got != piping[n] {
			t.Errorf("%d Services, pipelined: %+v, want %+v", n, got, piping[n])
		}
		if got, want := dump(t, piped), dump(t, b); got != want {
			t.Errorf("%d Services: the kernel does not hold the same after a pipelined sync", n)
		}
	}
}

func state(n int) *cluster.Snapshot {
	s := (*cluster.Snapshot)(nil).WithNode(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "node-1"}})
	for i := range n {
		s = s.WithService(serviceOf(i)).WithSlice(sliceOf(i, upTo(10)...))
	}
	return s
}

func serviceOf(i int) *corev1.Service {
	return &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: fmt.Sprintf("svc-%05d", i)},
		Spec:       corev1.ServiceSpec{ClusterIP: vip(i).String(), Ports: []corev1.ServicePort{{Port: 80}}},
	}
}

func sliceOf(i int, endpoints ...int) *discoveryv1.EndpointSlice {
	name, port, node, none := fmt.Sprintf("svc-%05d", i), int32(8080), "node-2", ""
	s := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: name}},
		AddressType: "IPv4", Ports: []discoveryv1.EndpointPort{{Name: &none, Port: &port}},
	}
	for _, e := range endpoints {
		k := i*16 + e
		s.Endpoints = append(s.Endpoints, discoveryv1.Endpoint{Addresses: []string{netip.AddrFrom4([4]byte{10, byte(128 + k>>16), byte(k >> 8), byte(k)}).String()}, NodeName: &node})
	}
	return s
}

func upTo(n int) (list []int) {
	for e := range n {
		list = append(list, e)
	}
	return list
}
