package nftables

import (
	"fmt"
	"testing"

	"svclab/proxycore"
)

// No transaction is larger than the socket takes without privilege, however much a change brings or takes away at once.
func TestTransactionsFit(t *testing.T) {
	const limit = 425_952 // the default of net.core.wmem_max, twice, less 32 (flat-layout.md, Q6)
	b := open(t, namespace(t), Options{MaxTransaction: limit})
	largest := 0
	b.fault = func() error { largest = max(largest, len(b.tx.out.b)); return nil }
	var many, ranges []proxycore.Route
	for i := range 9000 {
		many = append(many, route(fmt.Sprintf("10.%d.%d.%d:80/TCP here=10.244.%d.%d:8080", 100+i>>16, i>>8&255, i&255, i>>8&255, i&255)))
	}
	for i := range 5 {
		line := fmt.Sprintf("[2001:db8::%d]:80/TCP loadbalancer [fd00:244::1]:8080", i+1)
		for n := range 1000 {
			line += fmt.Sprintf(" from=2001:db8:%x::/48", 2*n+1)
		}
		ranges = append(ranges, route(line))
	}
	program(t, b, full(podCIDRs("10.244.0.0/16", "fd00:244::/32")))
	for _, c := range []proxycore.Change{{Add: many}, {Add: ranges}, {Remove: many}, {Remove: ranges}} {
		largest = 0
		program(t, b, c)
		dump(t, b)
		if largest == 0 || largest > limit {
			t.Errorf("adding %d, removing %d: a transaction of %d bytes, at most %d fit", len(c.Add), len(c.Remove), largest, limit)
		}
	}
}
