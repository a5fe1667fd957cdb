package nftables

import (
	"context"
	"testing"

	"svclab/proxycore"
)

// Our own transactions are accounted for, those of others are noticed, and a Check that finds nothing wrong makes peace.
func TestTouched(t *testing.T) {
	ctx := context.Background()
	ns := namespace(t)
	b := open(t, ns, Options{})
	want := func(when string, want bool) {
		t.Helper()
		if got, err := b.Touched(ctx); err != nil || got != want {
			t.Fatalf("%s: touched %v, %v; want %v", when, got, err, want)
		}
	}
	check := func() {
		t.Helper()
		if err := b.Check(ctx); err != nil {
			t.Fatal(err)
		}
	}
	program(t, b, full(podCIDRs("10.244.0.0/16"), "10.96.0.1:80/TCP 10.244.1.1:8080"))
	want("everything was read, and mended", false)
	check()
	want("checked", false)
	line := "10.96.0.1:80/TCP 10.244.1.1:8080"
	for _, more := range []string{" 10.244.2.1:8080", " 10.244.2.2:8080", " 10.244.2.3:8080"} { // a new size of a pool is two transactions
		line += more
		program(t, b, proxycore.Change{Replace: routesOf(line)})
		want("after a change of our own", false)
	}
	sent := b.transactions.Load()
	nft(t, ns, "add table ip stranger")
	want("a stranger's table", true)
	check()
	want("checked again", false)
	if b.transactions.Load() != sent {
		t.Errorf("%d transactions more", b.transactions.Load()-sent)
	}
	nft(t, ns, "delete element ip svclab services { 10.96.0.1 . tcp . 80 }")
	want("an element gone", true)
	if err := b.Check(ctx); err == nil {
		t.Error("Check finds nothing wrong")
	}
	want("after a Check that found something", true)
}
