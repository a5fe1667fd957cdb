package nftables

import (
	"bytes"
	"context"
	"encoding/hex"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"svclab/proxycore"
)

// The bytes of one element, attribute by attribute.
func TestElementBytes(t *testing.T) {
	r := route("10.96.0.1:80/TCP 10.244.1.2:8080")
	var w buffer
	w.element(appendSlot(nil, r.Front, 1), appendTarget(nil, r.Pool.Endpoints[0].AddrPort))
	want := strings.Join([]string{
		"2c00" + "0180", // NFTA_LIST_ELEM, nested
		"1800" + "0180", // NFTA_SET_ELEM_KEY, nested
		"1400" + "0100", // NFTA_DATA_VALUE
		"0a600001" + "06000000" + "00500000" + "01000000",
		"1000" + "0280", // NFTA_SET_ELEM_DATA, nested
		"0c00" + "0100", // NFTA_DATA_VALUE
		"0af40102" + "1f900000",
	}, "")
	if got := hex.EncodeToString(w.b); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if len(w.b) != elementSize(families[0].slotLen(), families[0].targetLen()) {
		t.Errorf("elementSize says %d, it is %d", elementSize(families[0].slotLen(), families[0].targetLen()), len(w.b))
	}
}

func TestKeysAreReadAsWritten(t *testing.T) {
	for _, s := range []string{"10.96.0.1:80/TCP 10.244.1.2:8080", "[fd00::1]:53/UDP [fd00:1::2]:5353", "255.255.255.255:65535/SCTP 0.0.0.0:1"} {
		r := route(s)
		f := families[familyIndex(r.Addr)]
		key := appendSlot(nil, r.Front, 65535)
		front, slot := f.readSlot(key)
		if front != r.Front || slot != 65535 || len(key) != f.slotLen() || len(key) != sets[endpoints].keyLen(f) {
			t.Errorf("%s: read %v slot %d of %d bytes", s, front, slot, len(key))
		}
		to := r.Pool.Endpoints[0].AddrPort
		data := appendTarget(nil, to)
		if got := f.readTarget(data); got != to || len(data) != sets[endpoints].dataLen(f) {
			t.Errorf("%s: read %v of %d bytes", s, got, len(data))
		}
	}
}

func TestNumbers(t *testing.T) {
	for number, chain := range map[uint32]string{
		poolNumber(1, everywhere): "lb-1", poolNumber(65535, everywhere): "lb-65535", poolNumber(2, local): "lb-2-local",
		pickNumber(7, everywhere): "pick-7", pickNumber(7, local): "pick-7-local",
		stickyNumber(3*time.Hour, everywhere): "sticky-10800", stickyNumber(3*time.Hour, local): "sticky-10800-local",
		toRefuse: "refuse", toIgnore: "ignore", toLocal: "etp-local", toCheck: "source-check",
		kindSticky: "", kindPick | maxSlots + 1: "", 0: "", kindPool: "", 2 * kindPool: "", 7*kindPool + 1: "", kindOther + 4: "",
	} {
		if got := chainOf(number); got != chain {
			t.Errorf("number %#x is %q, want %q", number, got, chain)
		}
	}
	for chain, want := range map[string]uint32{
		"lb-1": poolNumber(1, everywhere), "lb-65536": poolNumber(65536, everywhere), "lb-3-local": poolNumber(3, local),
		"pick-3": pickNumber(3, everywhere), "pick-3-local": pickNumber(3, local),
		"sticky-86400": stickyNumber(24*time.Hour, everywhere), "sticky-1-local": stickyNumber(time.Second, local),
		"etp-local": 0, "lb-local": 0, "lb--local": 0, "lb-1-loca": 0, "lb-1-local-local": 0, "source-check": 0,
		"lb-0": 0, "lb-01": 0, "lb-65537": 0, "lb-": 0, "refuse": 0, "lb-+1": 0, "sticky-16777216": 0, "pick": 0,
	} {
		if n, ok := numberOfChain(chain); ok != (want > 0) || ok && n != want {
			t.Errorf("numberOfChain(%s) = %#x, %v, want %#x", chain, n, ok, want)
		}
	}
}

// A chain that comes with a new size of a pool names no set: for a rule that does, the kernel walks through all its elements.
func TestChainsOfSizesNameNoSet(t *testing.T) {
	for _, f := range families {
		for half := range 2 {
			for _, c := range []chainSpec{f.pool(7, half), f.pick(7, half)} {
				for _, r := range c.rules {
					var w buffer
					r.body(&w, "svclab", c.name)
					for _, s := range sets {
						if bytes.Contains(w.b, []byte(s.name+"\x00")) {
							t.Errorf("chain %s, rule %q: it names %s", c.name, r.comment, s.name)
						}
					}
				}
			}
		}
	}
	var w buffer
	families[0].bySlot(local)[1].rules[0].body(&w, "svclab", "to-endpoint-local")
	if !bytes.Contains(w.b, []byte("endpoints\x00")) {
		t.Error("to-endpoint-local does not name endpoints: the test would see nothing")
	}
}

// A message holds at most 64 KB of elements, in whole elements, and nothing is lost between messages.
func TestListsAreCut(t *testing.T) {
	var tx transaction
	tx.table = "svclab"
	tx.reset(7)
	const n = 5000
	f := route("[fd00::1]:80/TCP").Front
	for i := range n {
		tx.addElement(1, endpoints, appendSlot(nil, f, i), appendTarget(nil, netip.AddrPortFrom(f.Addr, uint16(i))))
	}
	size := tx.size
	seen, lists, seq := 0, 0, uint32(7)
	for m := range messages(tx.compose()) {
		if seq++; m.seq != seq {
			t.Errorf("message %d has number %d", seq, m.seq)
		}
		if m.typ != nftables<<8|unix.NFT_MSG_NEWSETELEM {
			continue
		}
		lists++
		for _, e := range attrs(attr(m.body[bodyHeader:], unix.NFTA_SET_ELEM_LIST_ELEMENTS)) {
			_, slot := families[1].readSlot(attr(e, unix.NFTA_SET_ELEM_KEY, unix.NFTA_DATA_VALUE))
			if int(slot) != seen {
				t.Fatalf("slot %d where %d should be", slot, seen)
			}
			seen++
		}
	}
	if seen != n || lists != (size+maxList-1)/maxList {
		t.Errorf("%d elements in %d messages, want %d in %d", seen, lists, n, (size+maxList-1)/maxList)
	}
}

// Random pools, one after the other: slots are 0…N−1 with the wanted endpoints, who stays in a slot below N does not
// move, and no more steps are made than needed.
func TestReslot(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	var s slotter
	var p pool
	shared := 0
	for round := range 5000 {
		var want []proxycore.Endpoint
		for i := range 12 {
			for rng.IntN(3) == 0 {
				want = append(want, proxycore.Endpoint{AddrPort: netip.AddrPortFrom(vip(i), 80), Here: i%2 == round%2})
			}
		}
		if round%50 == 1 { // the slots as they are, perhaps here and not there
			want = slices.Clone(p.slots)
			for i := range want {
				want[i].Here = !want[i].Here
			}
			want = slices.DeleteFunc(want, func(e proxycore.Endpoint) bool { return !e.IsValid() })
		}
		before, given := slices.Clone(p.slots), slices.Clone(want)
		next, steps := s.reslot(p, want)
		now, kernel := next.slots, slices.Clone(before)
		kernel = append(kernel, make([]proxycore.Endpoint, max(0, len(now)-len(kernel)))...)
		for _, st := range steps {
			if kernel[st.slot] != st.old {
				t.Fatalf("round %d: step %v, but there is %v", round, st, kernel[st.slot])
			}
			kernel[st.slot] = st.now
		}
		for _, e := range kernel[len(now):] {
			if e.IsValid() {
				t.Fatalf("round %d: %v stays behind the end", round, e)
			}
		}
		if d := cmp.Diff(texts(kernel[:len(now)]), texts(now)); d != "" {
			t.Fatalf("round %d: steps lead elsewhere (-got +want):\n%s", round, d)
		}
		if !slices.Equal(slices.Sorted(slices.Values(texts(now))), slices.Sorted(slices.Values(texts(want)))) {
			t.Fatalf("round %d: slots %v, want %v", round, texts(now), texts(want))
		}
		gone, come := surplus(before, want), surplus(want, before)
		moved := 0
		for _, st := range steps {
			if st.old.AddrPort != st.now.AddrPort {
				moved++
			}
		}
		if limit := max(gone, come) + max(0, gone-come); moved > limit {
			t.Fatalf("round %d: %d slots changed for %d that go and %d that come", round, moved, gone, come)
		}
		if !slices.Equal(want, given) {
			t.Fatalf("round %d: the list of the Route was changed", round)
		}
		if p = next; !p.own && len(now) > 0 {
			shared++
		}
		if rng.IntN(20) == 0 && len(now) > 0 { // a damaged kernel
			p = pool{slots: slices.Clone(now), own: true}
			p.slots[rng.IntN(len(now))] = proxycore.Endpoint{}
		}
	}
	if shared == 0 {
		t.Error("no pool shared its list with its Route")
	}
}

func texts(list []proxycore.Endpoint) (out []string) {
	for _, e := range list {
		out = append(out, fmt.Sprint(e.AddrPort, e.Here))
	}
	return out
}

// surplus is how many of a are not in b.
func surplus(a, b []proxycore.Endpoint) (n int) {
	count := map[netip.AddrPort]int{}
	for _, e := range b {
		count[e.AddrPort]++
	}
	for _, e := range a {
		if count[e.AddrPort]--; count[e.AddrPort] < 0 {
			n++
		}
	}
	return n
}

func TestSpans(t *testing.T) {
	for _, x := range []struct{ in, want string }{
		{"", ""},
		{"10.0.0.0/8", "10.0.0.0/8"},
		{"10.0.0.0/9 10.128.0.0/9", "10.0.0.0/8"},
		{"10.0.2.0/24 10.0.0.0/24 10.0.1.0/24", "10.0.0.0/23 10.0.2.0/24"},
		{"10.0.0.0/8 10.1.0.0/16 10.2.3.4/32", "10.0.0.0/8"},
		{"0.0.0.0/0", "0.0.0.0/0"},
		{"255.255.255.255/32", "255.255.255.255/32"},
		{"10.0.0.1/32 10.0.0.3/32", "10.0.0.1/32 10.0.0.3/32"},
	} {
		var in []netip.Prefix
		for _, p := range strings.Fields(x.in) {
			in = append(in, netip.MustParsePrefix(p))
		}
		s := spans(in, 0)
		marks := boundaries(s)
		slices.Reverse(marks)
		var got []string
		for _, p := range prefixes(between(marks)) {
			got = append(got, p.String())
		}
		if strings.Join(got, " ") != x.want {
			t.Errorf("%s: got %v, want %s", x.in, got, x.want)
		}
	}
}

// Listings and errors that make no sense are survived.
func FuzzDecode(f *testing.F) {
	var tx transaction
	tx.table = "svclab"
	tx.reset(0)
	tx.layout(newSide(0), character{masqueradeOutside, "pod*"}, [numSets]int{})
	f.Add(slices.Clone(tx.compose()))
	f.Fuzz(func(t *testing.T, b []byte) {
		for m := range messages(b) {
			if len(m.body) >= bodyHeader {
				_ = describe(m, 100)
				_ = comment(attr(m.body[bodyHeader:], unix.NFTA_RULE_USERDATA))
			}
			_ = explain(b, m, unix.ENOENT)
		}
	})
}

// A small change costs few allocations: the time of a churning cluster is spent in the kernel.
func TestAllocations(t *testing.T) {
	b := open(t, namespace(t), Options{})
	program(t, b, full(nil, small...))
	one, two := routesOf("10.96.0.1:80/TCP 10.244.1.2:8080"), routesOf("10.96.0.1:80/TCP 10.244.1.9:8080")
	n := testing.AllocsPerRun(50, func() {
		for _, r := range [][]proxycore.Route{one, two} {
			if err := b.Program(context.Background(), proxycore.Change{Replace: r}); err != nil {
				t.Fatal(err)
			}
		}
	})
	if n > 40 {
		t.Errorf("two changes cost %.0f allocations", n)
	}
}
