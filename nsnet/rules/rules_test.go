package rules_test

import (
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
	"svclab/nsnet/packet"
	"svclab/nsnet/rules"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func run(t *testing.T, ns *nsnet.NS, stdin string, command ...string) {
	t.Helper()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin = strings.NewReader(stdin)
	if _, err := ns.Run(cmd); err != nil {
		t.Fatal(err)
	}
}

const table = `
table ip t {
	map services { type ipv4_addr . inet_proto . inet_service : verdict; elements = { 10.96.0.1 . tcp . 80 : goto web } }
	map slots { type ipv4_addr . inet_service : ipv4_addr . inet_service; elements = { 10.96.0.1 . 80 : 10.1.1.1 . 5000 } }
	set ips { type ipv4_addr; elements = { 10.96.0.1 } }
	chain web { }
	chain c { ip daddr @ips ip daddr . meta l4proto . th dport vmap @services; }
}
`

func TestLookups(t *testing.T) {
	nstest.Need(t, "nftables")
	ns := nstest.NS(t, "node")
	run(t, ns, table, "nft", "-f", "-")
	c := rules.Chain{Family: "ip", Table: "t", Name: "c"}
	texts, err := rules.Texts(t.Context(), ns, []rules.Chain{c}, func(rules.Chain) bool { return false })
	if err != nil || len(texts) != 1 {
		t.Fatalf("%v %v", texts, err)
	}
	seen := func(dst string) rules.Seen {
		return rules.Seen{Packet: packet.Packet{Proto: 6, Src: netip.MustParseAddrPort("10.1.1.9:4000"), Dst: netip.MustParseAddrPort(dst)}, Original: netip.MustParseAddrPort("10.96.0.1:80")}
	}
	var text string
	for _, text = range texts {
	}
	for _, c := range []struct {
		text string
		p    rules.Seen
		want []rules.Lookup
	}{
		{text, seen("10.96.0.1:80"), []rules.Lookup{{Set: "ips", Key: "10.96.0.1", Found: true}, {Set: "services", Key: "10.96.0.1 . tcp . 80", Found: true, Data: "goto web"}}},
		{text, seen("10.96.0.1:81"), []rules.Lookup{{Set: "ips", Key: "10.96.0.1", Found: true}, {Set: "services", Key: "10.96.0.1 . tcp . 81"}}},
		{"dnat ip to ip daddr . th dport map @slots", seen("10.96.0.1:80"), []rules.Lookup{{Set: "slots", Key: "10.96.0.1 . 80", Found: true, Data: "10.1.1.1 . 5000"}}},
		{"ct original ip daddr @ips accept", seen("10.1.1.1:5000"), []rules.Lookup{{Set: "ips", Key: "10.96.0.1", Found: true}}},
		{"ct reply ip saddr @ips accept", seen("10.1.1.1:5000"), nil}, // nothing that headers tell: not asked, rather than wrongly
		{"iifname @ips accept", seen("10.1.1.1:5000"), nil},
	} {
		got, err := rules.Lookups(ns, rules.Chain{Family: "ip", Table: "t", Name: "c"}, c.text, c.p)
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s\ngot  %+v, %v\nwant %+v", c.text, got, err, c.want)
		}
	}
	if _, err := rules.Lookups(ns, c, "ip daddr @gone accept", seen("10.96.0.1:80")); err == nil || !strings.HasPrefix(err.Error(), "ask for set gone of table ip t: ") {
		t.Errorf("%v", err)
	}
}

// A line of iptables-nft-save belongs to the rule at the same place, whose handle need not ascend.
func TestTextsOfIptables(t *testing.T) {
	nstest.Need(t, "iptables-nft")
	ns := nstest.NS(t, "node")
	t.Setenv("XTABLES_LOCKFILE", t.TempDir()+"/lock")
	for _, port := range []string{"1", "2", "3"} {
		run(t, ns, "", "iptables-nft", "-t", "nat", "-I", "PREROUTING", "-p", "tcp", "--dport", port, "-j", "ACCEPT")
	}
	c := rules.Chain{Family: "ip", Table: "nat", Name: "PREROUTING"}
	texts, err := rules.Texts(t.Context(), ns, []rules.Chain{c}, func(rules.Chain) bool { return false })
	if err != nil || len(texts) != 3 {
		t.Fatalf("%v %v", texts, err)
	}
	var handles []uint64
	for r := range texts {
		handles = append(handles, r.Handle)
	}
	slices.Sort(handles)
	for i, want := range []string{"1", "2", "3"} { // the oldest has the lowest handle, and stands last
		if got := texts[rules.Rule{Chain: c, Handle: handles[i]}]; !strings.Contains(got, "--dport "+want+" -j ACCEPT") {
			t.Errorf("handle %d: %s", handles[i], got)
		}
	}
}

func TestUnknownExpressionsAreNotSpelled(t *testing.T) {
	nstest.Need(t, "nftables")
	ns := nstest.NS(t, "node")
	run(t, ns, "table ip t {\n chain c {\n ip daddr 10.0.0.1 limit rate 5/second accept\n }\n }\n", "nft", "-f", "-")
	if got, ok, err := rules.Spell(ns, rules.Chain{Family: "ip", Table: "t", Name: "c"}); ok || err != nil {
		t.Errorf("%+v %v", got, err)
	}
}
