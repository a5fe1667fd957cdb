package oracle

import (
	"net/netip"
	"testing"
	"time"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// An error is what the user reads, so it is compared whole.
func TestPermitsSentences(t *testing.T) {
	web := both("web-1", "web-2")
	const pod, udp, outside = "pod/client 172.20.0.1:80/TCP", "pod/client 172.20.0.1:53/UDP", "client/laptop 172.20.0.1:80/TCP"
	silent := world.Observation{Outcome: world.Silent, Took: 5 * time.Second}
	refused := world.Observation{Outcome: world.Refused, ICMPFrom: netip.MustParseAddr("169.254.1.1")}
	replaced := func() *History { // web-2 goes at 10, behind a barrier at 10.1
		h := in(web)
		h.Begin(both("web-1", "web-3"), at(10))
		h.Done(at(10.1))
		return h
	}
	conditions := func(endpoints ...string) func() *History {
		return func() *History { return in(state(slice("a", endpoints...))) }
	}
	applied := func(s *cluster.Snapshot) func() *History { return func() *History { return in(s) } }
	for _, c := range []struct {
		name    string
		history func() *History
		flow    string
		at      float64
		saw     world.Observation
		want    string
	}{
		{"right", replaced, pod, 11.3, answered("10.1.0.1:5000", "10.1.0.9"), ""},
		{"right, other endpoint", replaced, pod, 11.3, answered("10.2.0.3:5000", "10.1.0.9"), ""},
		{"refusal", applied(both()), pod, 1, refused, ""},
		{"link-local address of the pod's own link", applied(web), "pod/web-1 172.20.0.1:80/TCP", 1, answered("10.1.0.1:5000", "169.254.1.1"), ""},
		{"node address in its place", applied(web), "pod/web-1 172.20.0.1:80/TCP", 1, answered("10.1.0.1:5000", "192.0.2.1"), ""},

		{"removed endpoint", replaced, pod, 11.3, answered("10.2.0.2:5000", "10.1.0.9"),
			"answered by pod/web-2 (10.2.0.2:5000), which is no endpoint of default/myservice:80 any more (removed 1.2 s before); " +
				"pod/web-1 or pod/web-3 should have answered"},
		{"no endpoint ever", applied(web), pod, 1, answered("10.2.0.3:5000", "10.1.0.9"),
			"answered by pod/web-3 (10.2.0.3:5000), which is no endpoint of default/myservice:80; pod/web-1 or pod/web-2 should have answered"},
		{"not ready", conditions("10.1.0.1", "10.2.0.2 serving"), pod, 1, answered("10.2.0.2:5000", "10.1.0.9"),
			"answered by pod/web-2 (10.2.0.2:5000), which is an endpoint of default/myservice:80 that is not ready; pod/web-1 should have answered"},
		{"terminating", conditions("10.1.0.1", "10.2.0.2 serving terminating"), pod, 1, answered("10.2.0.2:5000", "10.1.0.9"),
			"answered by pod/web-2 (10.2.0.2:5000), which is a terminating endpoint of default/myservice:80, which has ready ones; pod/web-1 should have answered"},
		{"nobody's address answers", applied(web), pod, 1, answered("10.7.7.7:5000", "10.1.0.9"),
			"answered by 10.7.7.7:5000 (nobody has that address), which is no endpoint of default/myservice:80; pod/web-1 or pod/web-2 should have answered"},
		{"silence", applied(web), pod, 1, silent, "silent for 5 s, but pod/web-1 or pod/web-2 should have answered"},
		{"leak", applied(web), pod, 1, world.Observation{Outcome: world.Silent, Took: 300 * time.Millisecond, Leaked: true},
			"silent for 300 ms (the packet left its node by the default route), but pod/web-1 or pod/web-2 should have answered"},
		{"ICMP", applied(web), pod, 1, refused, "refused by ICMP from 169.254.1.1, but pod/web-1 or pod/web-2 should have answered"},
		{"ICMP from a node", applied(web), udp, 1, world.Observation{Outcome: world.Unreachable, ICMPFrom: netip.MustParseAddr("192.0.2.1")},
			"reported unreachable by ICMP from 192.0.2.1 (node/node-1), but pod/web-1 or pod/web-2 should have answered"},
		{"ICMP from who knows", applied(web), udp, 1, world.Observation{Outcome: world.Refused}, "refused by ICMP, but pod/web-1 or pod/web-2 should have answered"},
		{"reset", applied(web), pod, 1, world.Observation{Outcome: world.Reset}, "reset, but pod/web-1 or pod/web-2 should have answered"},
		{"EPERM", applied(web), "node/node-1 172.20.0.1:53/UDP", 1, world.Observation{Outcome: world.Denied},
			"denied by the client's own kernel (EPERM), but pod/web-1 or pod/web-2 should have answered"},

		{"answer without endpoints", applied(both()), pod, 1, answered("10.1.0.1:5000", "10.1.0.9"),
			"answered by pod/web-1 (10.1.0.1:5000), which is no endpoint of default/myservice:80; should have been refused: default/myservice:80 has no ready endpoint"},
		{"silence without endpoints", applied(both()), pod, 1, silent, "silent for 5 s, but should have been refused: default/myservice:80 has no ready endpoint"},
		{"reset where refusal is right", applied(both()), "node/node-1 172.20.0.1:53/UDP", 1, world.Observation{Outcome: world.Reset},
			"reset, but should have been denied (EPERM) or been refused: default/myservice:53 has no ready endpoint"},
		{"answer at an unused port", applied(web), "pod/client 172.20.0.1:81/TCP", 1, answered("10.1.0.1:5000", "10.1.0.9"),
			"answered by pod/web-1 (10.1.0.1:5000), but should have been refused or met silence: " +
				"172.20.0.1 is the ClusterIP of default/myservice, which has no port 81/TCP"},
		{"answer of a deleted Service", func() *History { h := in(web); h.since(nil, 3); return h }, pod, 4, answered("10.1.0.1:5000", "10.1.0.9"),
			"answered by pod/web-1 (10.1.0.1:5000), which is no endpoint of default/myservice:80 any more (removed 1 s before); " +
				"should have met silence or been reported unreachable: 172.20.0.1 belongs to no Service and to no place"},
		{"answer where one endpoint is deaf", conditions("10.1.0.1", "10.1.0.4"), pod, 1, silent,
			"silent for 5 s, but pod/web-1 should have answered, or it should have been reset: pod/old does not listen on port 5000/TCP"},
		{"somebody else answers for a pod", applied(web), "pod/client 10.2.0.3:5000/TCP", 1, answered("10.2.0.2:5000", "10.1.0.9"),
			"answered by pod/web-2 (10.2.0.2:5000), but pod/web-3 should have answered"},

		{"pod masqueraded", applied(web), pod, 1, answered("10.2.0.2:5000", "192.0.2.1"),
			"pod/web-2 saw node/node-1's address 192.0.2.1, but should have seen pod/client's address 10.1.0.9: pod/client is a pod, so its own address is kept"},
		{"outside client not masqueraded", applied(web), outside, 1, answered("10.1.0.1:5000", "203.0.113.7"),
			"pod/web-1 saw client/laptop's address 203.0.113.7, but should have seen node/node-1's address 192.0.2.1: " +
				"client/laptop is outside the cluster, so the node by which it enters, node/node-1, puts its own address in place"},
		{"hairpin with its own address", applied(web), "pod/web-1 172.20.0.1:80/TCP", 1, answered("10.1.0.1:5000", "10.1.0.1"),
			"pod/web-1 saw pod/web-1's address 10.1.0.1, but should have seen node/node-1's address 192.0.2.1: " +
				"pod/web-1 calls itself through the Service, so it sees an address of its node, node/node-1, and not its own"},
		{"link-local address on another node", applied(web), outside, 1, answered("10.2.0.2:5000", "169.254.1.1"),
			"pod/web-2 saw the link-local address 169.254.1.1, but should have seen node/node-1's address 192.0.2.1: " +
				"client/laptop is outside the cluster, so the node by which it enters, node/node-1, puts its own address in place"},
		{"unknown source", applied(web), "node/node-1 172.20.0.1:80/TCP", 1, answered("10.1.0.1:5000", "172.20.0.1"),
			"pod/web-1 saw the unknown address 172.20.0.1, but should have seen node/node-1's address 192.0.2.1: node/node-1 shows an address of its own"},
		{"reply not translated back", applied(web), pod, 1, func() world.Observation {
			o := answered("10.1.0.1:5000", "10.1.0.9")
			o.Peer = o.Server
			return o
		}(), "answered by pod/web-1 (10.1.0.1:5000), but the answer came from 10.1.0.1:5000: the client should see only the address it called, 172.20.0.1:80"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := ""
			if err := Expect(c.history(), flow(c.flow), at(c.at), at(c.at)).Permits(c.saw); err != nil {
				got = err.Error()
			}
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestEither(t *testing.T) {
	for want, words := range map[string][]string{
		"": nil, "a": {"a"}, "a or b": {"a", "b"}, "a, b or c": {"a", "b", "c"}, "a, b, c, d or e": {"a", "b", "c", "d", "e"},
		"a, b, c, d or one of 2 more": {"a", "b", "c", "d", "e", "f"},
	} {
		if got := either(words); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
