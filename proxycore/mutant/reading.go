package mutant

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// Mutants in this file read objects wrongly, or are late to.

// terminatingCopyWins takes the worse of two copies of an endpoint (kubernetes/kubernetes#135593).
var terminatingCopyWins = Mutant{
	Name:     "terminating-copy-wins",
	Breaks:   "CIP-25",
	Scenario: "copies",
	Peaceful: "myservice",
	Sentence: "never answered, though its share is",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		leaving := map[string]bool{}
		for svc := range s.Services() {
			for slice := range s.Slices(svc.Key) {
				for _, e := range slice.Object.Endpoints {
					if e.Conditions.Terminating != nil && *e.Conditions.Terminating {
						leaving[e.Addresses[0]] = true
					}
				}
			}
		}
		return eachEndpoint(s, func(e *discoveryv1.Endpoint) bool {
			return !leaving[e.Addresses[0]] || e.Conditions.Terminating != nil && *e.Conditions.Terminating
		})
	},
}

// silenceIsNo takes conditions that are not given for false.
var silenceIsNo = Mutant{
	Name:     "silence-is-no",
	Breaks:   "CIP-23",
	Scenario: "terse",
	Peaceful: "myservice",
	Sentence: "never answered, though its share is",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachEndpoint(s, func(e *discoveryv1.Endpoint) bool { return e.Conditions.Ready != nil })
	},
}

// noNumberIsEveryPort takes a port without number for the Service's.
var noNumberIsEveryPort = Mutant{
	Name:     "no-number-is-every-port",
	Breaks:   "CIP-22",
	Scenario: "numberless",
	Peaceful: "myservice",
	Sentence: "no endpoint of default/",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachSlice(s, func(o *discoveryv1.EndpointSlice, _ cluster.Key) {
			for i := range o.Ports {
				if number := int32(8080); o.Ports[i].Port == nil {
					o.Ports[i].Port = &number
				}
			}
		})
	},
}

// readsToTheLetter leaves out Services whose addresses are spelt otherwise than the kernel would.
var readsToTheLetter = Mutant{
	Name:     "reads-to-the-letter",
	Breaks:   "CIP-27",
	Scenario: "spelling",
	Peaceful: "myservice",
	Sentence: "should have answered",
	State: unless(func(o *corev1.Service) bool {
		return slices.ContainsFunc(o.Spec.ClusterIPs, func(text string) bool {
			a, err := netip.ParseAddr(text)
			return err != nil || a.String() != text
		})
	}),
}

// oneServiceRange serves the first range of ClusterIPs only.
var oneServiceRange = Mutant{
	Name:     "one-service-range",
	Breaks:   "CIP-28",
	Scenario: "second-range",
	Peaceful: "nodeport",
	Sentence: "should have answered",
	State: unless(func(o *corev1.Service) bool {
		return !strings.HasPrefix(o.Spec.ClusterIP, "10.96.") && !strings.HasPrefix(o.Spec.ClusterIP, "fd00:10:96:")
	}),
}

// oneFamilyOnly takes a Service of two families for a mistake.
var oneFamilyOnly = Mutant{
	Name:     "one-family-only",
	Breaks:   "FAM-1",
	Scenario: "families",
	Peaceful: "myservice",
	Sentence: "should have answered",
	State:    unless(func(o *corev1.Service) bool { return len(o.Spec.ClusterIPs) > 1 }),
}

// takesTheOtherFamily serves a Service in IPv6 too, where it has no address.
var takesTheOtherFamily = Mutant{
	Name:     "takes-the-other-family",
	Breaks:   "FAM-2",
	Scenario: "one-family",
	Family:   "ipv6",
	Peaceful: "myservice",
	Sentence: "should have been reset",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachService(s, func(o *corev1.Service) {
			if len(o.Spec.ClusterIPs) == 1 && o.Spec.ClusterIP != corev1.ClusterIPNone {
				o.Spec.ClusterIPs = append(o.Spec.ClusterIPs, "fd00:10:96:ffff::1")
			}
		})
	},
}

// claimsPorts takes a port that the Service does not have.
var claimsPorts = Mutant{
	Name:     "claims-ports",
	Breaks:   "EXT-5",
	Scenario: "unused",
	Peaceful: "myservice",
	Sentence: "so nobody cares for the packet",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachService(s, func(o *corev1.Service) {
			if len(o.Spec.ExternalIPs) > 0 {
				o.Spec.Ports = append(o.Spec.Ports, corev1.ServicePort{Name: "claimed", Protocol: corev1.ProtocolTCP, Port: 81})
			}
		})
	},
}

// ignoresUnplaced asks no endpoint of which nobody says where it runs.
var ignoresUnplaced = Mutant{
	Name:     "ignores-unplaced",
	Breaks:   "CIP-21",
	Scenario: "hairpin-unnamed",
	Peaceful: "myservice",
	Sentence: "should have answered",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachEndpoint(s, func(e *discoveryv1.Endpoint) bool { return e.NodeName != nil })
	},
}

// shutsWhileLeaving serves nobody while a pod of the Service is on its way out.
var shutsWhileLeaving = Mutant{
	Name:     "shuts-while-leaving",
	Breaks:   "CT-8",
	Scenario: "udp-draining",
	Peaceful: "myservice",
	Sentence: "should have answered",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachSlice(s, func(o *discoveryv1.EndpointSlice, _ cluster.Key) {
			if slices.ContainsFunc(o.Endpoints, func(e discoveryv1.Endpoint) bool { return e.Conditions.Terminating != nil && *e.Conditions.Terminating }) {
				o.Endpoints = nil
			}
		})
	},
}

// onePolicyForAll takes externalTrafficPolicy for the ClusterIP's too.
var onePolicyForAll = Mutant{
	Name:     "one-policy-for-all",
	Breaks:   "POL-11",
	Scenario: "no-outside",
	Also:     []string{"external-local"},
	Peaceful: "vip",
	Sentence: "should have answered",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		return eachService(s, func(o *corev1.Service) {
			if policy := corev1.ServiceInternalTrafficPolicyLocal; o.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal {
				o.Spec.InternalTrafficPolicy = &policy
			}
		})
	},
}

// forgetsItsNode does not find the object of its own node.
var forgetsItsNode = Mutant{
	Name:     "forgets-its-node",
	Breaks:   "LB-19",
	Scenario: "health-check-addresses",
	Peaceful: "ports",
	Sentence: "should have been 200",
	State: func(s *cluster.Snapshot) *cluster.Snapshot {
		now := s
		for n := range s.Nodes() {
			now = now.WithoutNode(n.Name)
		}
		return now
	},
}

// unless leaves out those Services, as if they were not there.
func unless(wrong func(o *corev1.Service) bool) func(s *cluster.Snapshot) *cluster.Snapshot {
	return func(s *cluster.Snapshot) *cluster.Snapshot {
		now := s
		for svc := range s.Services() {
			if wrong(svc.Object) {
				now = now.WithoutService(svc.Key)
			}
		}
		return now
	}
}

// withdrawsNothing leaves a front in force that nobody has any more.
var withdrawsNothing = Mutant{
	Name:     "withdraws-nothing",
	Breaks:   "CIP-15",
	Scenario: "external-name",
	Peaceful: "myservice",
	Sentence: "any more",
	Backend: func(b proxycore.Backend, _ int) proxycore.Backend {
		left := map[proxycore.Front]bool{}
		return &edited{inner{b}, func(c proxycore.Change) proxycore.Change {
			if c.Full {
				clear(left)
				return c
			}
			for _, r := range c.Remove {
				left[r.Front] = true
			}
			out := proxycore.Change{Node: c.Node, Replace: slices.Clone(c.Replace)}
			for _, r := range c.Add {
				if left[r.Front] {
					delete(left, r.Front)
					out.Replace = append(out.Replace, r)
				} else {
					out.Add = append(out.Add, r)
				}
			}
			return out
		}}
	},
}

// losesTheLastChange leaves a change for later that comes right after another, and forgets it.
var losesTheLastChange = Mutant{
	Name:     "loses-the-last-change",
	Breaks:   "LIFE-4",
	Scenario: "burst",
	Peaceful: "myservice",
	Sentence: "never answered, though its share is",
	Backend:  func(b proxycore.Backend, _ int) proxycore.Backend { return &hasty{inner: inner{b}} },
}

type hasty struct {
	inner
	last time.Time // of a change
}

func (h *hasty) Program(ctx context.Context, c proxycore.Change) error {
	if !c.Full && len(c.Add)+len(c.Remove) == 0 {
		soon := time.Since(h.last) < time.Second/2
		h.last = time.Now()
		if soon {
			return nil
		}
	}
	return h.inner.Program(ctx, c)
}
