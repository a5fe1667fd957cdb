package control

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"svclab/proxycore/cluster"
)

// What the API server does to a Service: it keeps what it gave before, drops what does not belong to the type, writes the
// defaults, and gives addresses and NodePorts (k8s.io/kubernetes pkg/registry/core/service, pkg/apis/core/v1/defaults.go).
// Only the status is otherwise: here the file says what the cloud's controller would.

// defaultService brings a Service into the form that the API server would store; old is what it was, nil when it is new.
func (s *State) defaultService(o, old *corev1.Service) error {
	if old != nil {
		keepAllocated(o, old)
		dropForType(o, old)
	}
	setDefaults(o)
	if err := s.givePorts(o); err != nil {
		return err
	}
	if o.Spec.Type == corev1.ServiceTypeExternalName {
		return nil
	}
	return s.giveAddresses(o)
}

func numbered(o *corev1.Service) bool {
	return o.Spec.Type == corev1.ServiceTypeNodePort || o.Spec.Type == corev1.ServiceTypeLoadBalancer
}

// healthChecked: a load balancer asks each node whether it has local endpoints (pkg/api/service: NeedsHealthCheck).
func healthChecked(o *corev1.Service) bool {
	return o.Spec.Type == corev1.ServiceTypeLoadBalancer && o.Spec.ExternalTrafficPolicy == corev1.ServiceExternalTrafficPolicyLocal
}

// accessible from outside (pkg/api/service: ExternallyAccessible).
func accessible(o *corev1.Service) bool {
	return numbered(o) || o.Spec.Type == corev1.ServiceTypeClusterIP && len(o.Spec.ExternalIPs) > 0
}

func nodePorts(o *corev1.Service) map[int32]bool {
	out := map[int32]bool{}
	for _, p := range o.Spec.Ports {
		if p.NodePort != 0 {
			out[p.NodePort] = true
		}
	}
	return out
}

// keepAllocated: what a new version does not say stays as it was given (storage.go: patchAllocatedValues).
func keepAllocated(o, old *corev1.Service) {
	if old.Spec.Type != corev1.ServiceTypeExternalName && o.Spec.Type != corev1.ServiceTypeExternalName {
		if o.Spec.ClusterIP == "" && len(o.Spec.ClusterIPs) == 0 {
			o.Spec.ClusterIP, o.Spec.ClusterIPs = old.Spec.ClusterIP, slices.Clone(old.Spec.ClusterIPs)
		}
	}
	if numbered(old) && numbered(o) {
		used, byName := nodePorts(o), map[string]int32{}
		for _, p := range old.Spec.Ports {
			byName[p.Name] = p.NodePort
		}
		for i := range o.Spec.Ports {
			if p := &o.Spec.Ports[i]; p.NodePort == 0 && !used[byName[p.Name]] {
				p.NodePort = byName[p.Name]
			}
		}
	}
	if healthChecked(old) && healthChecked(o) && o.Spec.HealthCheckNodePort == 0 {
		o.Spec.HealthCheckNodePort = old.Spec.HealthCheckNodePort
	}
}

// dropForType: what belongs to the old type only, and was not changed at the same time, goes (strategy.go:
// dropTypeDependentFields).
func dropForType(o, old *corev1.Service) {
	now, was := &o.Spec, &old.Spec
	if was.Type != corev1.ServiceTypeExternalName && now.Type == corev1.ServiceTypeExternalName {
		if now.ClusterIP == was.ClusterIP && slices.Equal(now.ClusterIPs, was.ClusterIPs) {
			now.ClusterIP, now.ClusterIPs = "", nil
		}
		if slices.Equal(now.IPFamilies, was.IPFamilies) {
			now.IPFamilies = nil
		}
		if equal(now.IPFamilyPolicy, was.IPFamilyPolicy) {
			now.IPFamilyPolicy = nil
		}
	}
	before := nodePorts(old)
	fresh := func(p corev1.ServicePort) bool { return p.NodePort != 0 && !before[p.NodePort] }
	if numbered(old) && !numbered(o) && !slices.ContainsFunc(now.Ports, fresh) {
		for i := range now.Ports {
			now.Ports[i].NodePort = 0
		}
	}
	if healthChecked(old) && !healthChecked(o) && now.HealthCheckNodePort == was.HealthCheckNodePort {
		now.HealthCheckNodePort = 0
	}
	if was.Type == corev1.ServiceTypeLoadBalancer && now.Type != corev1.ServiceTypeLoadBalancer {
		if equal(now.AllocateLoadBalancerNodePorts, was.AllocateLoadBalancerNodePorts) {
			now.AllocateLoadBalancerNodePorts = nil
		}
		if equal(now.LoadBalancerClass, was.LoadBalancerClass) {
			now.LoadBalancerClass = nil
		}
	}
	if accessible(old) && !accessible(o) && now.ExternalTrafficPolicy == was.ExternalTrafficPolicy {
		now.ExternalTrafficPolicy = ""
	}
}

func equal[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// setDefaults is SetDefaults_Service; and without a load balancer there is none in the status (ValidateLoadBalancerStatus).
func setDefaults(o *corev1.Service) {
	spec := &o.Spec
	if spec.Type == "" {
		spec.Type = corev1.ServiceTypeClusterIP
	}
	for i := range spec.Ports {
		p := &spec.Ports[i]
		if p.Protocol == "" {
			p.Protocol = corev1.ProtocolTCP
		}
		if p.TargetPort == (intstr.IntOrString{}) {
			p.TargetPort = intstr.FromInt32(p.Port)
		}
	}
	if spec.SessionAffinity == "" {
		spec.SessionAffinity = corev1.ServiceAffinityNone
	}
	if spec.SessionAffinity == corev1.ServiceAffinityClientIP {
		defaultAffinity(spec)
	}
	if accessible(o) && spec.ExternalTrafficPolicy == "" {
		spec.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicyCluster
	}
	if spec.Type == corev1.ServiceTypeExternalName {
		spec.InternalTrafficPolicy = nil // as the API server reads it out
	} else if spec.InternalTrafficPolicy == nil {
		policy := corev1.ServiceInternalTrafficPolicyCluster
		spec.InternalTrafficPolicy = &policy
	}
	if spec.Type != corev1.ServiceTypeLoadBalancer {
		o.Status.LoadBalancer = corev1.LoadBalancerStatus{}
		return
	}
	if spec.AllocateLoadBalancerNodePorts == nil {
		yes := true
		spec.AllocateLoadBalancerNodePorts = &yes
	}
	for i := range o.Status.LoadBalancer.Ingress {
		if in := &o.Status.LoadBalancer.Ingress[i]; in.IP != "" && in.IPMode == nil {
			mode := corev1.LoadBalancerIPModeVIP
			in.IPMode = &mode
		}
	}
}

// defaultAffinity: kube-proxy does not start without the timeout.
func defaultAffinity(spec *corev1.ServiceSpec) {
	timeout := corev1.DefaultClientIPServiceAffinitySeconds
	switch c := spec.SessionAffinityConfig; {
	case c == nil || c.ClientIP == nil:
		spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &timeout}}
	case c.ClientIP.TimeoutSeconds == nil:
		c.ClientIP.TimeoutSeconds = &timeout
	}
}

// The range of NodePorts (--service-node-port-range).
const firstNodePort, lastNodePort = 30000, 32767

// ReservePorts returns the state with NodePorts that are never given out, since some Service is written with them, or will be.
func (s *State) ReservePorts(ports ...int32) *State {
	c := *s
	c.reservedPorts = maps.Clone(s.reservedPorts)
	if c.reservedPorts == nil {
		c.reservedPorts = map[int32]bool{}
	}
	for _, p := range ports {
		c.reservedPorts[p] = true
	}
	return &c
}

// givePorts gives the NodePorts that are not written, the first that nobody has: ports of one number and several protocols
// share theirs (alloc.go: initNodePorts), and a Service that only local endpoints answer has one for its health checks.
func (s *State) givePorts(o *corev1.Service) error {
	spec := &o.Spec
	wants := spec.Type == corev1.ServiceTypeNodePort || spec.Type == corev1.ServiceTypeLoadBalancer && *spec.AllocateLoadBalancerNodePorts
	lacks := func(p corev1.ServicePort) bool { return p.NodePort == 0 }
	if !(wants && slices.ContainsFunc(spec.Ports, lacks)) && !(healthChecked(o) && spec.HealthCheckNodePort == 0) {
		return nil
	}
	taken := maps.Clone(s.reservedPorts)
	if taken == nil {
		taken = map[int32]bool{}
	}
	own := cluster.Key{Namespace: o.Namespace, Name: o.Name}
	for k, other := range s.services {
		if k != own {
			maps.Copy(taken, nodePorts(other))
			taken[other.Spec.HealthCheckNodePort] = true
		}
	}
	maps.Copy(taken, nodePorts(o))
	taken[spec.HealthCheckNodePort] = true
	next := func() (int32, error) {
		for n := int32(firstNodePort); n <= lastNodePort; n++ {
			if !taken[n] {
				taken[n] = true
				return n, nil
			}
		}
		return 0, fmt.Errorf("no NodePort is left for service/%s", o.Name)
	}
	for i := range spec.Ports {
		p := &spec.Ports[i]
		if !wants || p.NodePort != 0 {
			continue
		}
		of := func(other corev1.ServicePort) bool {
			return other.Port == p.Port && other.Protocol != p.Protocol && other.NodePort != 0
		}
		if same := slices.IndexFunc(spec.Ports, of); same >= 0 {
			p.NodePort = spec.Ports[same].NodePort
			continue
		}
		n, err := next()
		if err != nil {
			return err
		}
		p.NodePort = n
	}
	if healthChecked(o) && spec.HealthCheckNodePort == 0 {
		n, err := next()
		if err != nil {
			return err
		}
		spec.HealthCheckNodePort = n
	}
	return nil
}

// giveAddresses gives a cluster IP, and writes the families that the addresses have.
func (s *State) giveAddresses(o *corev1.Service) error {
	spec := &o.Spec
	if spec.ClusterIP == "" && len(spec.ClusterIPs) > 0 {
		spec.ClusterIP = spec.ClusterIPs[0]
	}
	if spec.ClusterIP == "" {
		a, err := s.serviceIP(o)
		if err != nil {
			return err
		}
		spec.ClusterIP = a.String()
	}
	if len(spec.ClusterIPs) == 0 {
		spec.ClusterIPs = []string{spec.ClusterIP}
	}
	if len(spec.IPFamilies) == 0 {
		for _, text := range spec.ClusterIPs {
			if a, ok := cluster.ParseAddr(text); ok {
				spec.IPFamilies = append(spec.IPFamilies, familyOf(a))
			}
		}
		if spec.ClusterIP == corev1.ClusterIPNone {
			spec.IPFamilies = []corev1.IPFamily{map[bool]corev1.IPFamily{false: corev1.IPv4Protocol, true: corev1.IPv6Protocol}[s.ipv6]}
		}
	}
	return nil
}

func familyOf(a netip.Addr) corev1.IPFamily {
	if a.Is4() {
		return corev1.IPv4Protocol
	}
	return corev1.IPv6Protocol
}

// serviceIP is the first free one.
func (s *State) serviceIP(o *corev1.Service) (netip.Addr, error) {
	taken := map[netip.Addr]bool{}
	for svc := range s.snapshot.Services() {
		for _, a := range svc.ClusterIPs {
			taken[a] = true
		}
	}
	return s.firstFree("service/"+o.Name, serviceBase, 10, 60000, func(a netip.Addr) bool { return taken[a] })
}
