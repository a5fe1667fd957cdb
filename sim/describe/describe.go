// Package describe writes API objects as kubectl describe does, with its labels in its order (kubernetes
// staging/src/k8s.io/kubectl/pkg/describe/describe.go). What no lab has is left out, rather than shown as unknown: leases, events and
// resources of nodes, and of containers the probes and where volumes and environment come from.
package describe

import (
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"

	"svclab/proxycore/cluster"
)

// writer is one description: tabs align its columns, a level is two spaces.
type writer struct {
	tabs *tabwriter.Writer
	err  error
}

func write(w io.Writer, describe func(*writer)) error {
	out := &writer{tabs: tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)}
	describe(out)
	if out.err == nil {
		out.err = out.tabs.Flush()
	}
	return out.err
}

func (w *writer) line(level int, format string, args ...any) {
	if w.err == nil {
		_, w.err = fmt.Fprintf(w.tabs, strings.Repeat("  ", level)+format+"\n", args...)
	}
}

// pairs has a line for each key.
func (w *writer) pairs(title string, m map[string]string, between string) {
	if len(m) == 0 {
		w.line(0, "%s:\t<none>", title)
		return
	}
	title += ":"
	for _, k := range slices.Sorted(maps.Keys(m)) {
		w.line(0, "%s\t%s%s%s", title, k, between, m[k])
		title = ""
	}
}

// annotations are told as kubectl does: without its own, long ones below their key.
func (w *writer) annotations(m map[string]string) {
	const long = 140
	m = maps.Clone(m)
	delete(m, corev1.LastAppliedConfigAnnotation)
	for k, v := range m {
		if v = strings.TrimSuffix(v, "\n"); len(k)+len(v)+2 > long || strings.Contains(v, "\n") {
			text := ""
			for s := range strings.SplitSeq(v, "\n") {
				if len(s) > long-2 {
					s = s[:long-2] + "..."
				}
				text += "\n\t  " + s
			}
			m[k] = text
		} else {
			m[k] = " " + v
		}
	}
	w.pairs("Annotations", m, ":")
}

func (w *writer) meta(m *metav1.ObjectMeta) {
	w.line(0, "Name:\t%s", m.Name)
	w.line(0, "Namespace:\t%s", m.Namespace)
	w.pairs("Labels", m.Labels, "=")
	w.annotations(m.Annotations)
}

func unset(text string) string {
	if text == "" {
		return "<unset>"
	}
	return text
}

func none(text string) string {
	if text == "" {
		return "<none>"
	}
	return text
}

// Service writes a Service of a state.
func Service(out io.Writer, svc *corev1.Service, state *cluster.Snapshot) error {
	spec := &svc.Spec
	return write(out, func(w *writer) {
		w.meta(&svc.ObjectMeta)
		w.line(0, "Selector:\t%s", labels.FormatLabels(spec.Selector))
		w.line(0, "Type:\t%s", spec.Type)
		if spec.IPFamilyPolicy != nil {
			w.line(0, "IP Family Policy:\t%s", *spec.IPFamilyPolicy)
		}
		var families []string
		for _, f := range spec.IPFamilies {
			families = append(families, string(f))
		}
		w.line(0, "IP Families:\t%s", none(strings.Join(families, ",")))
		w.line(0, "IP:\t%s", spec.ClusterIP)
		w.line(0, "IPs:\t%s", none(strings.Join(spec.ClusterIPs, ",")))
		optional := func(label, text string) {
			if text != "" {
				w.line(0, "%s:\t%s", label, text)
			}
		}
		optional("External IPs", strings.Join(spec.ExternalIPs, ","))
		optional("Desired LoadBalancer IP", spec.LoadBalancerIP)
		optional("External Name", spec.ExternalName)
		optional("LoadBalancer Ingress", ingress(svc.Status.LoadBalancer.Ingress))
		for i := range spec.Ports {
			p := &spec.Ports[i]
			name := unset(p.Name)
			w.line(0, "Port:\t%s\t%d/%s", name, p.Port, p.Protocol)
			w.line(0, "TargetPort:\t%s/%s", p.TargetPort.String(), p.Protocol)
			if p.AppProtocol != nil {
				w.line(0, "AppProtocol:\t%s", *p.AppProtocol)
			}
			if p.NodePort != 0 {
				w.line(0, "NodePort:\t%s\t%d/%s", name, p.NodePort, p.Protocol)
			}
			w.line(0, "Endpoints:\t%s", endpointsOf(state, svc, p.Name))
		}
		w.line(0, "Session Affinity:\t%s", spec.SessionAffinity)
		optional("External Traffic Policy", string(spec.ExternalTrafficPolicy))
		if spec.InternalTrafficPolicy != nil {
			w.line(0, "Internal Traffic Policy:\t%s", *spec.InternalTrafficPolicy)
		}
		if spec.HealthCheckNodePort != 0 {
			w.line(0, "HealthCheck NodePort:\t%d", spec.HealthCheckNodePort)
		}
		optional("LoadBalancer Source Ranges", strings.Join(spec.LoadBalancerSourceRanges, ","))
		if spec.TrafficDistribution != nil {
			w.line(0, "Traffic Distribution:\t%s", *spec.TrafficDistribution)
		}
		w.line(0, "Events:\t<none>")
	})
}

func ingress(list []corev1.LoadBalancerIngress) string {
	var out []string
	for _, in := range list {
		text := in.Hostname
		if in.IP != "" {
			text = in.IP
			if in.IPMode != nil {
				text += fmt.Sprintf(" (%s)", *in.IPMode)
			}
		}
		out = append(out, text)
	}
	return strings.Join(out, ", ")
}

// endpointsOf lists the ready endpoints of a port, three at most.
func endpointsOf(state *cluster.Snapshot, svc *corev1.Service, port string) string {
	var all []string
	slicesOf := 0
	for sl := range state.Slices(cluster.Key{Namespace: svc.Namespace, Name: svc.Name}) {
		slicesOf++
		ready := func(e discoveryv1.Endpoint) bool {
			return len(e.Addresses) > 0 && (e.Conditions.Ready == nil || *e.Conditions.Ready)
		}
		for _, e := range sl.Object.Endpoints {
			if len(sl.Object.Ports) == 0 && ready(e) { // a headless Service may have no ports
				all = append(all, e.Addresses[0])
			}
		}
		for _, p := range sl.Object.Ports {
			if p.Port == nil || p.Name != nil && *p.Name != port || p.Name == nil && port != "" {
				continue
			}
			for _, e := range sl.Object.Endpoints {
				if ready(e) {
					all = append(all, net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(*p.Port))))
				}
			}
		}
	}
	const most = 3
	switch {
	case slicesOf == 0:
		return "<none>"
	case len(all) > most:
		return fmt.Sprintf("%s + %d more...", strings.Join(all[:most], ","), len(all)-most)
	}
	return strings.Join(all, ",")
}

// EndpointSlice writes an EndpointSlice.
func EndpointSlice(out io.Writer, s *discoveryv1.EndpointSlice) error {
	return write(out, func(w *writer) {
		w.meta(&s.ObjectMeta)
		w.line(0, "AddressType:\t%s", s.AddressType)
		if len(s.Ports) == 0 {
			w.line(0, "Ports: <unset>")
		} else {
			w.line(0, "Ports:")
			w.line(1, "Name\tPort\tProtocol")
			w.line(1, "----\t----\t--------")
			for _, p := range s.Ports {
				port := "<unset>"
				if p.Port != nil {
					port = strconv.Itoa(int(*p.Port))
				}
				w.line(1, "%s\t%s\t%s", unset(deref(p.Name)), port, deref(p.Protocol))
			}
		}
		if len(s.Endpoints) == 0 {
			w.line(0, "Endpoints: <none>")
		} else {
			w.line(0, "Endpoints:")
		}
		for _, e := range s.Endpoints {
			w.line(1, "- Addresses:\t%s", none(strings.Join(e.Addresses, ", ")))
			w.line(2, "Conditions:")
			ready := "<unset>"
			if e.Conditions.Ready != nil {
				ready = strconv.FormatBool(*e.Conditions.Ready)
			}
			w.line(3, "Ready:\t%s", ready)
			w.line(2, "Hostname:\t%s", unset(deref(e.Hostname)))
			if e.TargetRef != nil {
				w.line(2, "TargetRef:\t%s/%s", e.TargetRef.Kind, e.TargetRef.Name)
			}
			w.line(2, "NodeName:\t%s", unset(deref(e.NodeName)))
			w.line(2, "Zone:\t%s", unset(deref(e.Zone)))
		}
		w.line(0, "Events:\t<none>")
	})
}

func deref[T ~string](p *T) string {
	if p == nil {
		return ""
	}
	return string(*p)
}
