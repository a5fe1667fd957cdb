package rulesync

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"
)

var (
	front    = netip.MustParseAddrPort("10.96.0.10:80")
	old, new = netip.MustParseAddr("10.192.0.1"), netip.MustParseAddr("10.192.0.2")
)

// at is an answer n milliseconds after the write.
func at(began time.Time, n int, what outcome, server netip.Addr) seen {
	t := began.Add(time.Duration(n) * time.Millisecond)
	return seen{to: front, sent: t.Add(-time.Microsecond), at: t, what: what, server: server}
}

func TestWatches(t *testing.T) {
	began := time.Now()
	for name, c := range map[string]struct {
		w    *watch
		hear []seen
		took int // ms; -1: not done
	}{
		"a new endpoint":             {appears(front, new), []seen{at(began, 1, answered, old), at(began, 2, refused, netip.Addr{}), at(began, 3, answered, new), at(began, 4, answered, old)}, 3},
		"never the new one":          {appears(front, new), []seen{at(began, 1, answered, old), at(began, 2, silent, netip.Addr{})}, -1},
		"an answer from before":      {appears(front, new), []seen{at(began, -1, answered, new)}, -1},
		"gone, once is not enough":   {leaves(front, old, 2), []seen{at(began, 1, answered, new)}, -1},
		"gone after the last wrong":  {leaves(front, old, 2), append([]seen{at(began, 1, answered, new), at(began, 2, answered, old)}, many(began, 3, 20, answered, new)...), 3},
		"refusals say nothing":       {leaves(front, old, 2), many(began, 1, 100, refused, netip.Addr{}), -1},
		"no Service any more":        {ends(front), append([]seen{at(began, 1, refused, netip.Addr{}), at(began, 2, answered, old)}, many(began, 3, 20, silent, netip.Addr{})...), 3},
		"a Service that comes again": {ends(front), append(many(began, 1, 19, refused, netip.Addr{}), at(began, 20, answered, old)), -1},
	} {
		t.Run(name, func(t *testing.T) {
			c.w.began = began
			for _, s := range c.hear {
				c.w.take(s)
			}
			if c.w.done != (c.took >= 0) {
				t.Fatalf("done: %v", c.w.done)
			}
			if want := time.Duration(c.took) * time.Millisecond; c.w.done && c.w.took() != want {
				t.Errorf("took %s, want %s", c.w.took(), want)
			}
		})
	}
}

func many(began time.Time, first, n int, what outcome, server netip.Addr) (out []seen) {
	for i := range n {
		out = append(out, at(began, first+i, what, server))
	}
	return out
}

// The numbers are those of the design (section 7).
func TestEnough(t *testing.T) {
	for n, want := range map[int]int{1: 1, 2: 20, 10: 132} {
		if got := enough(n); got != want {
			t.Errorf("one of %d: %d, want %d", n, got, want)
		}
		if n > 1 && math.Pow(1-1/float64(n), float64(enough(n))) > 1e-6 {
			t.Errorf("one of %d is missed too often", n)
		}
	}
}

// The commit of a watch is the last before its packet.
func TestDate(t *testing.T) {
	began := time.Now()
	ms := func(n int) time.Time { return began.Add(time.Duration(n) * time.Millisecond) }
	for name, c := range map[string]struct {
		commits []int
		want    int // -1: none
	}{
		"two before": {[]int{1, 3}, 3}, "one after": {[]int{1, 20}, 1}, "seen just after": {[]int{12}, 10}, "none": {[]int{-5, 100}, -1},
	} {
		t.Run(name, func(t *testing.T) {
			w := appears(front, new)
			w.began = began
			w.take(at(began, 10, answered, new))
			o, found := observation{watches: []*watch{w}}, commits{}
			for _, n := range c.commits {
				found.times = append(found.times, ms(n))
			}
			o.date(&found)
			switch {
			case c.want < 0 && !w.commit.IsZero():
				t.Errorf("got %s", w.commit.Sub(began))
			case c.want >= 0 && !w.commit.Equal(ms(c.want)):
				t.Errorf("got %s, want %d ms", w.commit.Sub(began), c.want)
			}
		})
	}
}

func TestSegments(t *testing.T) {
	client, pod := netip.MustParseAddrPort("10.128.0.2:5000"), netip.MustParseAddrPort("10.192.7.9:8080")
	syn := make([]byte, ethernetSize+segmentSize)
	copy(syn, "\x02aaaaa\x02bbbbb\x08\x00")
	writeSegment(syn[ethernetSize:], client, pod, 7, 0, flagSYN)
	s, ok := parse(syn)
	if !ok || s.src != client || s.dst != pod || s.seq != 7 || !s.asksEndpoint() {
		t.Fatalf("got %+v", s)
	}
	answer := make([]byte, len(syn))
	writeAnswer(answer, syn, s)
	a, ok := parse(answer)
	if !ok || a.src != pod || a.dst != client || a.flags != flagSYN|flagACK || a.server() != pod.Addr() || string(answer[:6]) != "\x02bbbbb" {
		t.Errorf("got %+v", a)
	}
	for i := range answer { // no length of it may cost more than an answer
		parse(answer[:i])
	}
	ip := answer[ethernetSize:]
	if got := fold(sum(ip[:ipSize])); got != 0xffff {
		t.Errorf("the header's sum is %x", got)
	}
	if got := fold(sum(ip[12:20]) + 6 + tcpSize + sum(ip[ipSize:])); got != 0xffff {
		t.Errorf("the segment's sum is %x", got)
	}
}

func TestOwnMetrics(t *testing.T) {
	o, err := parseOwn(`# TYPE kubeproxy_sync_proxy_rules_duration_seconds histogram
kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv4",le="+Inf"} 3
kubeproxy_sync_proxy_rules_duration_seconds_sum{ip_family="IPv4"} 1.5
kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv4"} 3
kubeproxy_sync_proxy_rules_duration_seconds_bucket{ip_family="IPv6",le="+Inf"} 9
kubeproxy_sync_proxy_rules_duration_seconds_sum{ip_family="IPv6"} 9
kubeproxy_sync_proxy_rules_duration_seconds_count{ip_family="IPv6"} 9
# TYPE kubeproxy_sync_proxy_rules_service_changes_pending gauge
kubeproxy_sync_proxy_rules_service_changes_pending{ip_family="IPv4"} 1
kubeproxy_sync_proxy_rules_service_changes_pending{ip_family="IPv6"} 2
`)
	if err != nil || o.syncs != 3 || o.seconds != 1.5 || o.pending != 3 || o.netlink != -1 {
		t.Errorf("got %+v, %v", o, err)
	}
	if d := o.minus(own{syncs: 1, seconds: 1}); d.syncs != 2 || d.seconds != 0.5 {
		t.Errorf("difference %+v", d)
	}
}

// No job has more than what is left of the budget, nor a first sync that is done once more.
func TestShare(t *testing.T) {
	const left = time.Hour
	b := &bench{Options: Options{Sizes: []int{1000, 10000}, Proxies: []Contestant{{Name: "a"}, {Name: "b"}}, Repeat: 3}, rng: rand.New(rand.NewPCG(1, 2)), end: time.Now().Add(left)}
	jobs := b.plan()
	for i, j := range jobs {
		if got := b.share(i, jobs); got <= 0 || got > left {
			t.Errorf("job %d, again %v: it has %s of %s", i, j.again, got, left)
		}
	}
}
