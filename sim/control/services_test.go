package control

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"svclab/proxycore/cluster"
)

// spec writes what the API server gives and drops as one line.
func spec(o *corev1.Service) string {
	s := &o.Spec
	text := fmt.Sprintf("%s %s/%s", s.Type, s.ClusterIP, strings.Join(s.ClusterIPs, ","))
	for _, p := range s.Ports {
		text += fmt.Sprintf(" %d/%s→%d", p.Port, p.Protocol, p.NodePort)
	}
	text += fmt.Sprintf(" external %q", s.ExternalTrafficPolicy)
	if s.InternalTrafficPolicy != nil {
		text += fmt.Sprintf(" internal %q", *s.InternalTrafficPolicy)
	}
	if s.AllocateLoadBalancerNodePorts != nil {
		text += fmt.Sprintf(" allocate %v", *s.AllocateLoadBalancerNodePorts)
	}
	if s.HealthCheckNodePort != 0 {
		text += fmt.Sprintf(" health %d", s.HealthCheckNodePort)
	}
	for _, in := range o.Status.LoadBalancer.Ingress {
		text += fmt.Sprintf(" %s%s", in.IP, in.Hostname)
		if in.IPMode != nil {
			text += fmt.Sprintf("(%s)", *in.IPMode)
		}
	}
	return text
}

// A Service goes through its types, one patch after another; what each leaves is what an API server v1.36 would, where no
// controller takes the status away.
func TestServiceThroughItsTypes(t *testing.T) {
	s := mustWith(t, New(false).ReservePorts(30000, 30002), node("n1"), service("web", intstr.FromInt32(8080)))
	for _, step := range []struct{ patch, want string }{
		{`{}`, `ClusterIP 10.96.0.10/10.96.0.10 80/TCP→0 external "" internal "Cluster"`},
		{`{"spec":{"externalIPs":["192.0.2.1"]}}`, `ClusterIP 10.96.0.10/10.96.0.10 80/TCP→0 external "Cluster" internal "Cluster"`},
		{`{"spec":{"externalIPs":null}}`, `ClusterIP 10.96.0.10/10.96.0.10 80/TCP→0 external "" internal "Cluster"`},
		{`{"spec":{"type":"NodePort"}}`, `NodePort 10.96.0.10/10.96.0.10 80/TCP→30001 external "Cluster" internal "Cluster"`},
		{`{"spec":{"type":"LoadBalancer"}}`, `LoadBalancer 10.96.0.10/10.96.0.10 80/TCP→30001 external "Cluster" internal "Cluster" allocate true`},
		{`{"status":{"loadBalancer":{"ingress":[{"ip":"192.0.2.9"},{"ip":"192.0.2.8","ipMode":"Proxy"},{"hostname":"lb"}]}}}`,
			`LoadBalancer 10.96.0.10/10.96.0.10 80/TCP→30001 external "Cluster" internal "Cluster" allocate true 192.0.2.9(VIP) 192.0.2.8(Proxy) lb`},
		{`{"spec":{"externalTrafficPolicy":"Local"}}`,
			`LoadBalancer 10.96.0.10/10.96.0.10 80/TCP→30001 external "Local" internal "Cluster" allocate true health 30003 192.0.2.9(VIP) 192.0.2.8(Proxy) lb`},
		{`{"spec":{"externalTrafficPolicy":"Cluster"}}`,
			`LoadBalancer 10.96.0.10/10.96.0.10 80/TCP→30001 external "Cluster" internal "Cluster" allocate true 192.0.2.9(VIP) 192.0.2.8(Proxy) lb`},
		// A client that knows nothing of NodePorts replaces the list: the one with the same name keeps its own.
		{`{"spec":{"ports":[{"port":81}]}}`,
			`LoadBalancer 10.96.0.10/10.96.0.10 81/TCP→30001 external "Cluster" internal "Cluster" allocate true 192.0.2.9(VIP) 192.0.2.8(Proxy) lb`},
		{`{"spec":{"type":"ClusterIP"}}`, `ClusterIP 10.96.0.10/10.96.0.10 81/TCP→0 external "" internal "Cluster"`},
		{`{"spec":{"type":"LoadBalancer","allocateLoadBalancerNodePorts":false,"externalTrafficPolicy":"Local"}}`,
			`LoadBalancer 10.96.0.10/10.96.0.10 81/TCP→0 external "Local" internal "Cluster" allocate false health 30001`},
		{`{"spec":{"allocateLoadBalancerNodePorts":true}}`,
			`LoadBalancer 10.96.0.10/10.96.0.10 81/TCP→30003 external "Local" internal "Cluster" allocate true health 30001`},
		{`{"spec":{"allocateLoadBalancerNodePorts":false}}`,
			`LoadBalancer 10.96.0.10/10.96.0.10 81/TCP→30003 external "Local" internal "Cluster" allocate false health 30001`},
		{`{"spec":{"type":"ExternalName","externalName":"example.com"}}`, `ExternalName / 81/TCP→0 external ""`},
		{`{"spec":{"type":"ClusterIP","externalName":null}}`, `ClusterIP 10.96.0.10/10.96.0.10 81/TCP→0 external "" internal "Cluster"`},
		{`{"spec":{"type":"NodePort","ports":[{"name":"a","port":53},{"name":"b","port":53,"protocol":"UDP"},{"name":"c","port":54,"nodePort":30004},{"name":"d","port":55}]}}`,
			`NodePort 10.96.0.10/10.96.0.10 53/TCP→30001 53/UDP→30001 54/TCP→30004 55/TCP→30003 external "Cluster" internal "Cluster"`},
		// The type goes and a new NodePort comes: that is no slip of a client, so nothing is dropped.
		{`{"spec":{"type":"ClusterIP","ports":[{"port":80,"nodePort":30010}]}}`, `ClusterIP 10.96.0.10/10.96.0.10 80/TCP→30010 external "" internal "Cluster"`},
	} {
		was := spec(s.Get("service", "default", "web").(*corev1.Service))
		next, err := s.Merge("service", "default", "web", []byte(step.patch))
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(spec(next.Get("service", "default", "web").(*corev1.Service)), step.want); d != "" {
			t.Errorf("%s (-got +want):\n%s", step.patch, d)
		}
		if is := spec(s.Get("service", "default", "web").(*corev1.Service)); is != was {
			t.Errorf("%s: the state before changed from %s to %s", step.patch, was, is)
		}
		s = next
	}
}

// NodePorts are given out in order, and never twice; of a replaced Service they stay.
func TestNodePorts(t *testing.T) {
	numbered := func(name string, written int32) *corev1.Service {
		o := service(name, intstr.FromInt32(8080))
		o.Spec.Type, o.Spec.Ports[0].NodePort = corev1.ServiceTypeNodePort, written
		return o
	}
	s := mustWith(t, New(false), node("n1"), numbered("a", 0), numbered("b", 30009), numbered("c", 0), numbered("b", 0), numbered("a", 0))
	var got []string
	for _, name := range []string{"a", "b", "c"} {
		o := s.Get("service", "default", name).(*corev1.Service)
		got = append(got, fmt.Sprint(o.Spec.ClusterIP, " ", o.Spec.Ports[0].NodePort))
	}
	if d := cmp.Diff(got, []string{"10.96.0.10 30000", "10.96.0.11 30009", "10.96.0.12 30001"}); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
	reserved := New(false)
	for n := int32(firstNodePort); n < lastNodePort; n++ {
		reserved = reserved.ReservePorts(n)
	}
	s = mustWith(t, reserved, node("n1"), numbered("last", 0))
	if _, err := s.With(numbered("more", 0)); err == nil || err.Error() != "no NodePort is left for service/more" {
		t.Errorf("error %v", err)
	}
}

func zoned(name, zone string) *corev1.Node {
	n := node(name)
	if zone != "" {
		n.Labels = map[string]string{corev1.LabelTopologyZone: zone}
	}
	return n
}

func on(node string) podOption { return func(p *corev1.Pod) { p.Spec.NodeName = node } }

// Hints are for ready endpoints, of what they have: a zone or none, a node.
func TestHints(t *testing.T) {
	print := func(s *State) (out string) {
		for sl := range s.Snapshot().Slices(cluster.Key{Namespace: "default", Name: "web"}) {
			for _, e := range sl.Object.Endpoints {
				out += e.TargetRef.Name
				if e.Zone != nil {
					out += "@" + *e.Zone
				}
				if e.Hints != nil {
					for _, z := range e.Hints.ForZones {
						out += "+z:" + z.Name
					}
					for _, n := range e.Hints.ForNodes {
						out += "+n:" + n.Name
					}
				}
				out += " "
			}
		}
		return strings.TrimSpace(out)
	}
	for distribution, want := range map[string]string{
		"":               "a@east b@west c d@west e@west",
		"PreferClose":    "a@east+z:east b@west+z:west c d@west e@west",
		"PreferSameZone": "a@east+z:east b@west+z:west c d@west e@west",
		"PreferSameNode": "a@east+z:east+n:n1 b@west+z:west+n:n2 c+n:n3 d@west e@west",
	} {
		svc := service("web", intstr.FromInt32(8080))
		if distribution != "" {
			svc.Spec.TrafficDistribution = &distribution
		}
		s := mustWith(t, New(false), zoned("n1", "east"), zoned("n2", "west"), zoned("n3", ""), svc,
			pod("a", on("n1")), pod("b", on("n2")), pod("c", on("n3")), pod("d", on("n2"), ready("False")), pod("e", on("n2"), ready("True"), terminating))
		if d := cmp.Diff(print(s), want); d != "" {
			t.Errorf("%q (-got +want):\n%s", distribution, d)
		}
		moved := mustWith(t, s, zoned("n2", "north"))
		if d := cmp.Diff(print(moved), strings.ReplaceAll(want, "west", "north")); d != "" {
			t.Errorf("%q after the node's zone changed (-got +want):\n%s", distribution, d)
		}
	}
}

// Slices have their Service's labels; headless is what has no cluster IP, whatever the Service's label says.
func TestSliceLabels(t *testing.T) {
	labels := func(svc *corev1.Service) map[string]string {
		svc.Labels = map[string]string{"app": "shop", "service.kubernetes.io/headless": "yes", discoveryv1.LabelManagedBy: "me"}
		for sl := range mustWith(t, New(false), node("n1"), svc).Snapshot().Slices(cluster.Key{Namespace: "default", Name: "web"}) {
			return sl.Object.Labels
		}
		return nil
	}
	want := map[string]string{"app": "shop", discoveryv1.LabelServiceName: "web", discoveryv1.LabelManagedBy: managedBy}
	if d := cmp.Diff(labels(service("web", intstr.FromInt32(80))), want); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
	none := service("web", intstr.FromInt32(80))
	none.Spec.ClusterIP = corev1.ClusterIPNone
	want["service.kubernetes.io/headless"] = ""
	if d := cmp.Diff(labels(none), want); d != "" {
		t.Errorf("headless (-got +want):\n%s", d)
	}
}

// A pod in its node's network has one address a family, however many the node has.
func TestHostNetworkAddresses(t *testing.T) {
	n := node("n1")
	for _, a := range []string{"192.168.50.1", "192.168.60.1", "fd00::1", "fd00::2"} {
		n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
	}
	s := mustWith(t, New(false), n, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p"}, Spec: corev1.PodSpec{HostNetwork: true}})
	if d := cmp.Diff(s.Pods()[0].Status.PodIPs, []corev1.PodIP{{IP: "192.168.50.1"}, {IP: "fd00::1"}}); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
}
