package control

import (
	"cmp"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"svclab/proxycore/cluster"
)

// maxEndpoints is the real controller's default for a slice (--max-endpoints-per-slice).
const maxEndpoints = 100

// managedBy is what the real controller writes (k8s.io/kubernetes pkg/controller/endpointslice).
const managedBy = "endpointslice-controller.k8s.io"

func hasSelector(o *corev1.Service) bool {
	return len(o.Spec.Selector) > 0 && o.Spec.Type != corev1.ServiceTypeExternalName
}

// derive brings the slices of every Service up to date that selects the pod as it was or as it is; either may be nil.
func (s *State) derive(namespace string, was, is *corev1.Pod) {
	var touched []cluster.Key
	for k := range s.byNS[namespace] {
		sel := labels.SelectorFromSet(s.services[k].Spec.Selector)
		if was != nil && sel.Matches(labels.Set(was.Labels)) || is != nil && sel.Matches(labels.Set(is.Labels)) {
			touched = append(touched, k)
		}
	}
	slices.SortFunc(touched, cluster.Key.Compare)
	for _, k := range touched {
		s.deriveService(k)
	}
}

// deriveAll brings the slices of every Service up to date.
func (s *State) deriveAll() {
	for _, keys := range s.byNS {
		for k := range keys {
			s.deriveService(k)
		}
	}
}

// deriveService computes the slices of one Service anew. A slice whose content is as before stays the very object that it
// was, so that nobody downstream sees a change.
func (s *State) deriveService(k cluster.Key) {
	before := map[string]*discoveryv1.EndpointSlice{}
	for _, o := range s.derived[k] {
		before[o.Name] = o
	}
	var now []*discoveryv1.EndpointSlice
	if svc := s.services[k]; svc != nil && hasSelector(svc) {
		now = s.slicesOf(svc)
	}
	for i, o := range now {
		if old := before[o.Name]; old != nil && reflect.DeepEqual(old, o) {
			now[i] = old
		} else {
			s.snapshot = s.snapshot.WithSlice(o)
		}
		delete(before, o.Name)
	}
	for name := range before {
		s.snapshot = s.snapshot.WithoutSlice(k, cluster.Key{Namespace: k.Namespace, Name: name})
	}
	if now == nil {
		delete(s.derived, k)
	} else {
		s.derived[k] = now
	}
}

// slicesOf follows k8s.io/endpointslice/reconciler.go: one set of slices a family; within it, pods with the same ports
// together (a named port may differ between pods), at most 100 a slice; one empty slice when there is nobody.
func (s *State) slicesOf(svc *corev1.Service) (out []*discoveryv1.EndpointSlice) {
	var pods []*corev1.Pod
	sel := labels.SelectorFromSet(svc.Spec.Selector)
	for k, p := range s.pods {
		if k.Namespace == svc.Namespace && sel.Matches(labels.Set(p.Labels)) && p.Status.Phase != corev1.PodFailed && p.Status.Phase != corev1.PodSucceeded {
			pods = append(pods, p)
		}
	}
	slices.SortFunc(pods, func(a, b *corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	for _, family := range svc.Spec.IPFamilies {
		groups := map[string][]discoveryv1.Endpoint{}
		ports := map[string][]discoveryv1.EndpointPort{}
		var order []string
		for _, p := range pods {
			ip := podIP(p, family)
			if ip == "" {
				continue
			}
			resolved := resolvePorts(svc, p)
			id := portsID(resolved)
			if groups[id] == nil {
				order = append(order, id)
				ports[id] = resolved
			}
			groups[id] = append(groups[id], s.endpoint(svc, p, ip))
		}
		n := 0
		add := func(ports []discoveryv1.EndpointPort, endpoints []discoveryv1.Endpoint) {
			n++
			out = append(out, newSlice(svc, family, n, ports, endpoints))
		}
		slices.SortFunc(order, cmp.Compare[string])
		for _, id := range order {
			for part := range slices.Chunk(groups[id], maxEndpoints) {
				add(ports[id], part)
			}
		}
		if n == 0 {
			add(nil, []discoveryv1.Endpoint{})
		}
	}
	return out
}

func newSlice(svc *corev1.Service, family corev1.IPFamily, n int, ports []discoveryv1.EndpointPort, endpoints []discoveryv1.Endpoint) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		TypeMeta: metav1.TypeMeta{APIVersion: "discovery.k8s.io/v1", Kind: "EndpointSlice"},
		ObjectMeta: metav1.ObjectMeta{
			Namespace: svc.Namespace,
			Name:      fmt.Sprintf("%s-%s-%d", svc.Name, strings.ToLower(string(family)), n),
			Labels:    sliceLabels(svc),
		},
		AddressType: discoveryv1.AddressType(family),
		Ports:       ports,
		Endpoints:   endpoints,
	}
}

// sliceLabels are the Service's, but for those that are the controller's: whether it is headless goes by the cluster IP, not
// by the Service's own label (k8s.io/endpointslice/utils.go setEndpointSliceLabels).
func sliceLabels(svc *corev1.Service) map[string]string {
	out := map[string]string{}
	maps.Copy(out, svc.Labels)
	delete(out, corev1.IsHeadlessService)
	if svc.Spec.ClusterIP == corev1.ClusterIPNone || svc.Spec.ClusterIP == "" {
		out[corev1.IsHeadlessService] = ""
	}
	out[discoveryv1.LabelServiceName], out[discoveryv1.LabelManagedBy] = svc.Name, managedBy
	return out
}

func podIP(p *corev1.Pod, family corev1.IPFamily) string {
	for _, ip := range p.Status.PodIPs {
		if a, ok := cluster.ParseAddr(ip.IP); ok && familyOf(a) == family {
			return ip.IP
		}
	}
	return ""
}

// endpoint is that of k8s.io/endpointslice/utils.go podToEndpoint, with the hints of trafficdist/trafficdist.go.
func (s *State) endpoint(svc *corev1.Service, p *corev1.Pod, ip string) discoveryv1.Endpoint {
	serving := podReady(p)
	terminating := p.DeletionTimestamp != nil
	ready := svc.Spec.PublishNotReadyAddresses || serving && !terminating
	node := p.Spec.NodeName
	e := discoveryv1.Endpoint{
		Addresses:  []string{ip},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID},
		NodeName:   &node,
	}
	if zone := s.zone(node); zone != "" {
		e.Zone = &zone
	}
	if ready && svc.Spec.TrafficDistribution != nil {
		e.Hints = hints(*svc.Spec.TrafficDistribution, e)
	}
	return e
}

// zone is a node's; empty when it has none, or is not there.
func (s *State) zone(node string) string {
	if n := s.nodes[node]; n != nil {
		return n.Labels[corev1.LabelTopologyZone]
	}
	return ""
}

// hints say which zone, or node, a ready endpoint is for; without such a wish none. PreferClose is the older name of
// PreferSameZone, and nobody prefers a node without preferring its zone.
func hints(distribution string, e discoveryv1.Endpoint) *discoveryv1.EndpointHints {
	var h discoveryv1.EndpointHints
	switch distribution {
	case corev1.ServiceTrafficDistributionPreferSameNode:
		h.ForNodes = []discoveryv1.ForNode{{Name: *e.NodeName}}
	case corev1.ServiceTrafficDistributionPreferSameZone, corev1.ServiceTrafficDistributionPreferClose:
	default:
		return nil
	}
	if e.Zone != nil {
		h.ForZones = []discoveryv1.ForZone{{Name: *e.Zone}}
	}
	if h.ForZones == nil && h.ForNodes == nil {
		return nil
	}
	return &h
}

// resolvePorts finds the numbers of the target ports in one pod; a name that the pod does not have leaves that port out
// (k8s.io/endpointslice/utils.go getEndpointPorts).
func resolvePorts(svc *corev1.Service, p *corev1.Pod) (out []discoveryv1.EndpointPort) {
	for i := range svc.Spec.Ports {
		port := &svc.Spec.Ports[i]
		number, ok := targetPort(port, p)
		if !ok {
			continue
		}
		name, proto := port.Name, port.Protocol
		out = append(out, discoveryv1.EndpointPort{Name: &name, Protocol: &proto, Port: &number, AppProtocol: port.AppProtocol})
	}
	return out
}

func targetPort(port *corev1.ServicePort, p *corev1.Pod) (int32, bool) {
	if port.TargetPort.Type == intstr.Int {
		return port.TargetPort.IntVal, true
	}
	for _, c := range slices.Concat(p.Spec.Containers, restartable(p.Spec.InitContainers)) {
		for _, have := range c.Ports {
			if have.Name == port.TargetPort.StrVal && have.Protocol == port.Protocol {
				return have.ContainerPort, true
			}
		}
	}
	return 0, false
}

// restartable init containers are sidecars, whose ports count (KEP-753).
func restartable(in []corev1.Container) (out []corev1.Container) {
	for _, c := range in {
		if c.RestartPolicy != nil && *c.RestartPolicy == corev1.ContainerRestartPolicyAlways {
			out = append(out, c)
		}
	}
	return out
}

func portsID(ports []discoveryv1.EndpointPort) string {
	var b strings.Builder
	for _, p := range ports {
		fmt.Fprintf(&b, "%s/%s/%05d ", *p.Name, *p.Protocol, *p.Port)
	}
	return b.String()
}
