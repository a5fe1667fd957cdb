package oracle

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// Which endpoints are usable: rows CIP-20 to CIP-26, TERM-1, 2, 6, 7. Only the servers are compared.
func TestSelection(t *testing.T) {
	const http, dns = "pod/client 172.20.0.1:80/TCP", "pod/client 172.20.0.1:53/UDP"
	tcp := corev1.ProtocolTCP
	p := port
	nameless := p("http", 5000, tcp)
	nameless.Name = nil
	numberless := p("http", 5000, tcp)
	numberless.Port = nil
	defaultProto := p("http", 5000, tcp)
	defaultProto.Protocol = nil
	fqdn := slice("names", "10.1.0.1")
	fqdn.AddressType = "FQDN"
	fqdn6 := slice("names", "fd01::1")
	fqdn6.AddressType = "FQDN"
	mistyped := slice("a", "10.1.0.1")
	mistyped.AddressType = "IPv6"
	const one, two, both = "10.1.0.1:5000", "10.2.0.2:5000", "10.1.0.1:5000 10.2.0.2:5000"
	for _, c := range []struct {
		name  string
		state *History
		flow  string
		want  string
	}{
		{"CIP-20: removed", func() *History {
			h := in(state(slice("a", "10.1.0.1", "10.2.0.2")))
			h.since(state(slice("a", "10.2.0.2")), 1)
			return h
		}(), http, two},
		{"CIP-20: added", func() *History {
			h := in(state(slice("a", "10.1.0.1")))
			h.since(state(slice("a", "10.1.0.1", "10.2.0.2")), 1)
			return h
		}(), http, both},
		{"CIP-21: union of slices", in(state(slice("a", "10.1.0.1"), slice("b", "10.2.0.2"))), http, both},
		{"CIP-21: ports split over slices", in(state(sliceOf("a", ports(p("http", 5000, tcp)), "10.1.0.1"),
			sliceOf("b", ports(p("dns", 5000, corev1.ProtocolUDP)), "10.2.0.2"))), dns, two},
		{"CIP-10: a name, two numbers", in(state(sliceOf("a", ports(p("http", 5000, tcp)), "10.1.0.1"),
			sliceOf("b", ports(p("http", 5001, tcp)), "10.2.0.2"))), http, "10.1.0.1:5000 -10.2.0.2:5001"},
		{"CIP-22: no name", in(state(sliceOf("a", ports(nameless), "10.1.0.1"))), http, ""},
		{"CIP-22: no number", in(state(sliceOf("a", ports(numberless), "10.1.0.1"))), http, ""},
		{"CIP-22: number 0", in(state(sliceOf("a", ports(p("http", 0, tcp)), "10.1.0.1"))), http, ""},
		{"another name", in(state(sliceOf("a", ports(p("https", 5000, tcp)), "10.1.0.1"))), http, ""},
		{"the name under another protocol", in(state(sliceOf("a", ports(p("http", 5000, corev1.ProtocolUDP)), "10.1.0.1"))), http, ""},
		{"no protocol is TCP", in(state(sliceOf("a", ports(defaultProto), "10.1.0.1"))), http, one},
		{"CIP-23: no conditions", in(state(slice("a", "10.1.0.1"))), http, one},
		{"CIP-24: several addresses", in(state(slice("a", "10.1.0.1,10.2.0.2"))), http, one},
		{"CIP-25: twice is once", in(state(slice("a", "10.1.0.1", "10.2.0.2"), slice("b", "10.1.0.1"))), http, both},
		{"CIP-25: the copy that does not terminate", in(state(slice("a", "10.1.0.1 serving terminating"), slice("b", "10.1.0.1 ready serving"), slice("c", "10.2.0.2"))), http, both},
		{"CIP-25: whatever the order", in(state(slice("a", "10.1.0.1 ready serving"), slice("b", "10.1.0.1 serving terminating"), slice("c", "10.2.0.2"))), http, both},
		{"CIP-25: not ready beats terminating", in(state(slice("a", "10.1.0.1"), slice("b", "10.2.0.2 serving terminating"), slice("c", "10.2.0.2 serving"))), http, one},
		{"CIP-26: names", in(state(fqdn, slice("b", "10.2.0.2"))), http, two},
		{"CIP-26: names, asked by IPv6", in(state(fqdn6)), "pod/client [fd20::1]:80/TCP", ""},
		{"CIP-26: an IPv4 address in an IPv6 slice", in(state(mistyped, slice("b", "10.2.0.2"))), http, two},
		{"CIP-26: other family", in(state(slice("a", "fd01::1"), slice("b", "10.2.0.2"))), http, two},
		{"another Service's slice", in(state(func() (s *sliceT) {
			s = slice("a", "10.1.0.1")
			s.Labels["kubernetes.io/service-name"] = "other"
			return s
		}())), http, ""},
		{"TERM-1: ready, and one terminating", in(state(slice("a", "10.1.0.1 serving terminating", "10.2.0.2 ready serving"))), http, two},
		{"TERM-1: ready although terminating (publishNotReadyAddresses)", in(state(slice("a", "10.1.0.1 ready serving terminating", "10.2.0.2"))), http, both},
		{"TERM-2: only terminating", in(state(slice("a", "10.1.0.1 serving terminating", "10.2.0.2 serving terminating"))), http, both},
		{"TERM-6: terminating and not serving", in(state(slice("a", "10.1.0.1 terminating"))), http, ""},
		{"TERM-6: beside one that serves", in(state(slice("a", "10.1.0.1 terminating", "10.2.0.2 serving terminating"))), http, two},
		{"TERM-7: not ready", in(state(slice("a", "10.1.0.1 serving"))), http, ""},
		{"TERM-7: not ready is no fallback", in(state(slice("a", "10.1.0.1 serving", "10.2.0.2 serving terminating"))), http, two},
		{"TERM-7: not even serving", in(state(slice("a", "10.1.0.1 no"))), http, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := Expect(c.state, flow(c.flow), at(2), at(2))
			got := ""
			for _, k := range a.Cases {
				got += " " + k.Server.String()
			}
			for _, r := range a.Why {
				if r.Row == "M-12" {
					got += " -10.2.0.2:5001" // chosen, but nobody listens there
				}
			}
			if want := " " + c.want; got != want && (got != "" || c.want != "") {
				t.Errorf("got%s\nwant%s", got, want)
			}
			if c.want == "" && text(a) != "or refused" {
				t.Errorf("got %q: want refused", text(a))
			}
		})
	}
}
