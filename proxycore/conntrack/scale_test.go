package conntrack

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet/nstest"
	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// fill makes n UDP entries from different clients to a front, answered by that endpoint, as if packets had.
func fill(t testing.TB, c *Cleaner, n int, front, endpoint netip.AddrPort) {
	t.Helper()
	nested := func(typ uint16, attrs ...netlink.Attribute) netlink.Attribute {
		data, err := netlink.MarshalAttributes(attrs)
		if err != nil {
			t.Fatal(err)
		}
		return netlink.Attribute{Type: typ | unix.NLA_F_NESTED, Data: data}
	}
	port := func(p uint16) []byte { return binary.BigEndian.AppendUint16(nil, p) }
	tuple := func(typ uint16, from, to netip.AddrPort) netlink.Attribute {
		return nested(typ,
			nested(ctaTupleIP, netlink.Attribute{Type: ctaIPv4Src, Data: from.Addr().AsSlice()}, netlink.Attribute{Type: ctaIPv4Dst, Data: to.Addr().AsSlice()}),
			nested(ctaTupleProto, netlink.Attribute{Type: ctaProtoNum, Data: []byte{unix.IPPROTO_UDP}},
				netlink.Attribute{Type: ctaProtoSrcPort, Data: port(from.Port())}, netlink.Attribute{Type: ctaProtoDstPort, Data: port(to.Port())}))
	}
	const newEntry, perClient = 0, 50_000
	for i := range n {
		a := netip.MustParseAddr("10.1.0.1").As4()
		a[3] += byte(i / perClient)
		client := netip.AddrPortFrom(netip.AddrFrom4(a), uint16(1024+i%perClient))
		attrs, err := netlink.MarshalAttributes([]netlink.Attribute{
			tuple(ctaTupleOrig, client, front), tuple(ctaTupleReply, endpoint, client),
			{Type: ctaTimeout, Data: binary.BigEndian.AppendUint32(nil, 600)},
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.ask(context.Background(), newEntry, netlink.Acknowledge|netlink.Create|netlink.Excl, unix.AF_INET, attrs); err != nil {
			t.Fatal(fmt.Errorf("entry %d: %w", i, err))
		}
	}
}

func TestCleanAmong100000Entries(t *testing.T) {
	nstest.Need(t, "nftables")
	c, err := New(nstest.NS(t, "node").FD())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	ours, strangers := netip.MustParseAddrPort("10.96.0.1:53"), netip.MustParseAddrPort("10.96.0.2:53")
	gone, current := netip.MustParseAddrPort("10.244.1.1:5353"), netip.MustParseAddrPort("10.244.1.2:5353")
	fill(t, c, 100_000, strangers, netip.MustParseAddrPort("10.244.1.9:5353"))
	fill(t, c, 500, ours, gone)
	clean := func(front netip.AddrPort, keep ...netip.AddrPort) time.Duration {
		t.Helper()
		began := time.Now()
		err := c.Clean(context.Background(), map[proxycore.Front][]netip.AddrPort{{Addr: front.Addr(), Port: front.Port(), Proto: cluster.UDP}: keep})
		if err != nil {
			t.Fatal(err)
		}
		return time.Since(began)
	}
	left := func() int {
		t.Helper()
		list, err := c.Entries(context.Background(), unix.IPPROTO_UDP)
		if err != nil {
			t.Fatal(err)
		}
		return len(list)
	}
	few := clean(ours, current)
	if n := left(); n != 100_000 {
		t.Errorf("%d entries are left, want the 100,000 that are not ours", n)
	}
	all := clean(strangers)
	if n := left(); n != 0 {
		t.Errorf("%d entries are left, want none", n)
	}
	t.Logf("500 of 100,500 entries deleted in %s, 100,000 of 100,000 in %s", few, all)
}
