package kubeapi

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/duration"
)

// table is how kubectl prints a resource (kubernetes pkg/printers/internalversion/printers.go). A column that begins
// with ~ comes with -o wide only.
type table struct {
	columns []string
	row     func(object) []any
}

func (r *resource) tableOf(meta metav1.ListMeta, all []object, include string) *metav1.Table {
	t := &metav1.Table{TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "Table"}, ListMeta: meta, Rows: []metav1.TableRow{}}
	for _, name := range append([]string{"Name"}, r.table.columns...) {
		c := metav1.TableColumnDefinition{Name: name, Type: "string", Description: name}
		if name == "Name" {
			c.Format = "name"
		}
		if wide := strings.TrimPrefix(name, "~"); wide != name {
			c.Name, c.Description, c.Priority = wide, wide, 1
		}
		t.ColumnDefinitions = append(t.ColumnDefinitions, c)
	}
	for _, o := range all {
		row := metav1.TableRow{Cells: []any{o.GetName()}}
		if r.table.row != nil {
			row.Cells = append(row.Cells, r.table.row(o)...)
		}
		switch metav1.IncludeObjectPolicy(include) {
		case metav1.IncludeNone:
		case metav1.IncludeObject:
			row.Object = runtime.RawExtension{Object: o}
		default:
			row.Object = runtime.RawExtension{Object: partial(o)}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func partial(o object) *metav1.PartialObjectMetadata {
	return &metav1.PartialObjectMetadata{
		TypeMeta: metav1.TypeMeta{APIVersion: "meta.k8s.io/v1", Kind: "PartialObjectMetadata"},
		ObjectMeta: metav1.ObjectMeta{
			Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(), ResourceVersion: o.GetResourceVersion(),
			Labels: o.GetLabels(), Annotations: o.GetAnnotations(), CreationTimestamp: o.GetCreationTimestamp(),
		},
	}
}

// none is what kubectl prints where there is nothing.
const none = "<none>"

func orNone(list []string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ",")
}

func age(o object) string {
	at := o.GetCreationTimestamp()
	if at.IsZero() {
		return "<unknown>"
	}
	return duration.HumanDuration(time.Since(at.Time))
}

var serviceTable = table{[]string{"Type", "Cluster-IP", "External-IP", "Port(s)", "Age", "~Selector"}, func(o object) []any {
	s := o.(*corev1.Service)
	ip := s.Spec.ClusterIP
	if ip == "" {
		ip = none
	}
	outside := slices.Clone(s.Spec.ExternalIPs)
	for _, i := range s.Status.LoadBalancer.Ingress {
		outside = append(outside, i.IP+i.Hostname)
	}
	external := orNone(outside)
	if s.Spec.Type == corev1.ServiceTypeLoadBalancer && len(outside) == 0 {
		external = "<pending>"
	}
	if s.Spec.Type == corev1.ServiceTypeExternalName {
		external = s.Spec.ExternalName
	}
	var ports []string
	for _, p := range s.Spec.Ports {
		text := strconv.Itoa(int(p.Port))
		if p.NodePort > 0 {
			text += ":" + strconv.Itoa(int(p.NodePort))
		}
		ports = append(ports, text+"/"+string(p.Protocol))
	}
	return []any{string(s.Spec.Type), ip, external, orNone(ports), age(o), metav1.FormatLabelSelector(&metav1.LabelSelector{MatchLabels: s.Spec.Selector})}
}}

var nodeTable = table{[]string{"Status", "Roles", "Age", "Version", "~Internal-IP", "~External-IP", "~OS-Image", "~Kernel-Version", "~Container-Runtime"}, func(o object) []any {
	n := o.(*corev1.Node)
	state := "Unknown"
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			state = map[corev1.ConditionStatus]string{corev1.ConditionTrue: "Ready"}[c.Status]
			if state == "" {
				state = "NotReady"
			}
		}
	}
	var roles []string
	for l := range n.Labels {
		if role, ok := strings.CutPrefix(l, "node-role.kubernetes.io/"); ok {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	address := func(t corev1.NodeAddressType) string {
		for _, a := range n.Status.Addresses {
			if a.Type == t {
				return a.Address
			}
		}
		return none
	}
	unknown := func(s string) string {
		if s == "" {
			return "<unknown>"
		}
		return s
	}
	i := n.Status.NodeInfo
	return []any{state, orNone(roles), age(o), i.KubeletVersion, address(corev1.NodeInternalIP), address(corev1.NodeExternalIP),
		unknown(i.OSImage), unknown(i.KernelVersion), unknown(i.ContainerRuntimeVersion)}
}}

var podTable = table{[]string{"Ready", "Status", "Restarts", "Age", "~IP", "~Node", "~Nominated Node", "~Readiness Gates"}, func(o object) []any {
	p := o.(*corev1.Pod)
	ready := 0
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue {
			ready = len(p.Spec.Containers)
		}
	}
	state := string(p.Status.Phase)
	if p.DeletionTimestamp != nil {
		state = "Terminating"
	}
	text := func(s string) string {
		if s == "" {
			return none
		}
		return s
	}
	return []any{fmt.Sprintf("%d/%d", ready, len(p.Spec.Containers)), state, "0", age(o), text(p.Status.PodIP), text(p.Spec.NodeName),
		text(p.Status.NominatedNodeName), none}
}}

var namespaceTable = table{[]string{"Status", "Age"}, func(o object) []any {
	return []any{string(o.(*corev1.Namespace).Status.Phase), age(o)}
}}

// few lists at most three, as kubectl does.
func few(list []string) string {
	const most = 3
	if len(list) > most {
		return fmt.Sprintf("%s + %d more...", strings.Join(list[:most], ","), len(list)-most)
	}
	return orNone(list)
}

func hostPort(host string, port int32) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	return host + ":" + strconv.Itoa(int(port))
}

var endpointSliceTable = table{[]string{"AddressType", "Ports", "Endpoints", "Age"}, func(o object) []any {
	s := o.(*discoveryv1.EndpointSlice)
	var ports, list []string
	for _, p := range s.Ports {
		if p.Port == nil {
			ports = append(ports, "*")
		} else {
			ports = append(ports, strconv.Itoa(int(*p.Port)))
		}
	}
	for _, e := range s.Endpoints {
		list = append(list, strings.Join(e.Addresses, ","))
	}
	return []any{string(s.AddressType), unset(few(ports)), unset(few(list)), age(o)}
}}

// unset is what kubectl prints for a slice without ports or endpoints.
func unset(text string) string {
	if text == none {
		return "<unset>"
	}
	return text
}

var serviceCIDRTable = table{[]string{"CIDRs", "Age"}, func(o object) []any {
	return []any{orNone(o.(*networkingv1.ServiceCIDR).Spec.CIDRs), age(o)}
}}
