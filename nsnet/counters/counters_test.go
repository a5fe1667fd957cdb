package counters_test

import (
	"maps"
	"testing"

	"svclab/nsnet/counters"
	"svclab/nsnet/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

func TestRead(t *testing.T) {
	ns := nstest.NS(t, "node")
	before, err := counters.Read(ns)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"Ip:InAddrErrors", "TcpExt:IPReversePathFilter", "IpExt:InNoRoutes", "Ip6:InNoRoutes", "Icmp6:OutMsgs", "Udp6:NoPorts"} {
		if _, ok := before[name]; !ok {
			t.Errorf("there is no %s", name)
		}
	}
	now := maps.Clone(before)
	now["Ip:InAddrErrors"] += 2
	now["New"] = 1
	if got := now.Since(before); !maps.Equal(got, counters.Counters{"Ip:InAddrErrors": 2, "New": 1}) {
		t.Errorf("got %v", got)
	}
}
