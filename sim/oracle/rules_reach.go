package oracle

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"svclab/sim/world"
)

// inward: the Service is called by its ClusterIP; else by an address that is meant for the outside, whoever calls.
func (q *question) inward() bool { return q.by == byClusterIP }

// either policy, when a Service has both, shows by the other what it is not for.
func (q *question) policyRow(row string) string {
	if q.front.internalLocal && q.front.externalLocal {
		return "POL-13"
	}
	return row
}

// outRow is the row of a rule about traffic from outside, which has a row of its own for externalIPs.
func (q *question) outRow(row, external string) string {
	if q.by == byExternalIP {
		return external
	}
	return q.policyRow(row)
}

func (q *question) stays(row, why string) (Reason, bool) {
	q.local = true
	q.because = fmt.Sprintf("%s: only endpoints on node/%s count", why, q.translates)
	return Reason{row, q.because}, true
}

func internalStays(q *question) (Reason, bool) {
	if !q.inward() || !q.front.internalLocal {
		return Reason{}, false
	}
	row := "POL-1"
	switch {
	case q.isNode():
		row = "POL-3"
	case q.from.Kind == world.Client:
		row = "POL-5"
	}
	return q.stays(q.policyRow(row), q.front.name+" has internalTrafficPolicy Local")
}

func externalStays(q *question) (Reason, bool) {
	if q.inward() || !q.front.externalLocal || q.seen != stranger {
		return Reason{}, false
	}
	row, why := q.outRow("POL-7", "EXT-2"), fmt.Sprintf("%s has externalTrafficPolicy Local, and %s comes from outside", q.front.name, q.from)
	if q.from.Kind == world.Pod && !q.isNode() && !q.h.detects(q.facts, q.caller) {
		row, why = "POL-12", fmt.Sprintf("%s has externalTrafficPolicy Local, and nobody knows that %s is a pod", q.front.name, q.from)
	}
	return q.stays(row, why)
}

// As if the packet went out to the load balancer and came back in anywhere (kubernetes/kubernetes#123622).
func podShortCut(q *question) (Reason, bool) {
	if q.inward() || !q.front.externalLocal || q.seen != aPod {
		return Reason{}, false
	}
	return Reason{q.outRow("POL-9", "EXT-3"), fmt.Sprintf("%s has externalTrafficPolicy Local, but %s is a pod to node/%s, so every endpoint counts",
		q.front.name, q.from, q.translates)}, true
}

func nodeShortCut(q *question) (Reason, bool) {
	if q.inward() || !q.front.externalLocal || q.seen != own {
		return Reason{}, false
	}
	return Reason{q.outRow("POL-10", "EXT-3"), fmt.Sprintf("%s has externalTrafficPolicy Local, but %s is in node/%s itself, so every endpoint counts",
		q.front.name, q.from, q.translates)}, true
}

func otherPolicy(q *question) (Reason, bool) {
	s := q.service.Object
	switch {
	case !q.inward() && q.front.internalLocal:
		return Reason{"POL-6", "internalTrafficPolicy is for the ClusterIP only"}, true
	case q.inward() && q.front.externalLocal && q.front.outside:
		return Reason{"POL-11", "externalTrafficPolicy is not for the ClusterIP"}, true
	case q.inward() && s.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal:
		return Reason{"POL-14", "externalTrafficPolicy is for Services that can be called from outside, and this one cannot"}, true
	}
	return Reason{}, false
}
