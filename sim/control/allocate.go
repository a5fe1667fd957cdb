package control

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
)

// serviceBase is where cluster IPs begin.
const serviceBase = "10.96.0.0"

// ServiceCIDRs are what cluster IPs are given out from, one range a family; those that are written may be any.
func ServiceCIDRs() []netip.Prefix {
	return []netip.Prefix{netip.MustParsePrefix(serviceBase + "/16"), netip.PrefixFrom((&State{ipv6: true}).address(serviceBase, 0), 48).Masked()}
}

// Addresses that are given out, in both families: node N is 192.168.50.N with pods in 10.244.N.0/24, Services are in
// 10.96.0.0/16; in IPv6 the same digits behind fd00: (fd00:192:168:50::N). The first that nobody has is taken, so the same
// objects in the same order always get the same.

func (s *State) address(v4 string, last int) netip.Addr {
	a := netip.MustParseAddr(v4).As4()
	if !s.ipv6 {
		a[2], a[3] = a[2]+byte(last>>8), byte(last)
		return netip.AddrFrom4(a)
	}
	return netip.MustParseAddr(fmt.Sprintf("fd00:%d:%d:%d::%d", a[0], a[1], int(a[2])+last>>8, last&0xff))
}

func (s *State) firstFree(what, v4 string, from, to int, taken func(netip.Addr) bool) (netip.Addr, error) {
	for i := from; i <= to; i++ {
		if a := s.address(v4, i); !taken(a) && !s.reserved[a] {
			return a, nil
		}
	}
	return netip.Addr{}, fmt.Errorf("no address is left for %s", what)
}

func (s *State) defaultNode(o *corev1.Node) error {
	if len(o.Spec.PodCIDRs) == 0 && o.Spec.PodCIDR != "" {
		o.Spec.PodCIDRs = []string{o.Spec.PodCIDR}
	}
	hasIP := false
	for _, a := range o.Status.Addresses {
		hasIP = hasIP || a.Type == corev1.NodeInternalIP
	}
	if !hasIP {
		a, err := s.firstFree("node "+o.Name, "192.168.50.0", 1, 60000, func(a netip.Addr) bool { return s.nodeHas(a) })
		if err != nil {
			return err
		}
		o.Status.Addresses = append(o.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a.String()})
	}
	if len(o.Spec.PodCIDRs) == 0 {
		for n := 1; n < 256; n++ {
			p := netip.PrefixFrom(s.address(fmt.Sprintf("10.244.%d.0", n), 0), map[bool]int{false: 24, true: 64}[s.ipv6]).Masked()
			if !s.overlaps(p, o.Name) {
				o.Spec.PodCIDRs = []string{p.String()}
				break
			}
		}
	}
	if len(o.Spec.PodCIDRs) == 0 {
		return fmt.Errorf("no pod range is left for node %s", o.Name)
	}
	o.Spec.PodCIDR = o.Spec.PodCIDRs[0]
	return nil
}

func (s *State) nodeHas(a netip.Addr) bool {
	for n := range s.snapshot.Nodes() {
		for _, b := range n.Addresses {
			if a == b {
				return true
			}
		}
	}
	return false
}

func (s *State) overlaps(p netip.Prefix, except string) bool {
	for n := range s.snapshot.Nodes() {
		for _, q := range n.PodCIDRs {
			if n.Name != except && p.Overlaps(q) {
				return true
			}
		}
	}
	return false
}

// defaultPod gives a pod what a scheduler, an IPAM and a kubelet would: the first node, an address of its range (a
// host-network pod: the node's), and, without conditions, readiness. A deleted pod's address is not given out again: the
// lab keeps the pod alive, so that a proxy which still sends there is found out.
func (s *State) defaultPod(o *corev1.Pod) error {
	if o.Spec.NodeName == "" && len(s.order) > 0 {
		o.Spec.NodeName = s.order[0]
	}
	node := s.snapshot.Node(o.Spec.NodeName)
	if node == nil {
		return fmt.Errorf("pod/%s is on node %q, which is not there", o.Name, o.Spec.NodeName)
	}
	if len(o.Status.PodIPs) == 0 && o.Status.PodIP != "" {
		o.Status.PodIPs = []corev1.PodIP{{IP: o.Status.PodIP}}
	}
	if len(o.Status.PodIPs) == 0 {
		if err := s.givePodIP(o, node); err != nil {
			return err
		}
	}
	o.Status.PodIP = o.Status.PodIPs[0].IP
	if len(o.Status.Conditions) == 0 {
		o.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		if o.Status.Phase == "" {
			o.Status.Phase = corev1.PodRunning
		}
	}
	if o.Status.Phase == "" {
		o.Status.Phase = corev1.PodRunning
	}
	for i := range o.Spec.Containers {
		for j := range o.Spec.Containers[i].Ports {
			if p := &o.Spec.Containers[i].Ports[j]; p.Protocol == "" {
				p.Protocol = corev1.ProtocolTCP
			}
		}
	}
	return nil
}

func (s *State) givePodIP(o *corev1.Pod, node *cluster.Node) error {
	if o.Spec.HostNetwork {
		had := map[bool]bool{} // one a family, as the kubelet does
		for _, a := range node.Addresses {
			if !had[a.Is4()] {
				o.Status.PodIPs = append(o.Status.PodIPs, corev1.PodIP{IP: a.String()})
			}
			had[a.Is4()] = true
		}
		return nil
	}
	key := cluster.Key{Namespace: o.Namespace, Name: o.Name}
	free := func(a netip.Addr) bool { // the pod's own from before, or one that nobody ever had or will have
		who, taken := s.podIPs[a]
		return (!taken || who == key) && !s.reserved[a]
	}
	for _, cidr := range node.PodCIDRs {
		const first = 10 // below are gateways, by habit
		for n := first; ; n++ {
			a := inside(cidr, n)
			if !cidr.Contains(a) {
				break
			}
			if free(a) {
				o.Status.PodIPs = append(o.Status.PodIPs, corev1.PodIP{IP: a.String()})
				break
			}
		}
	}
	if len(o.Status.PodIPs) == 0 {
		return fmt.Errorf("no address is left for pod/%s in %v of node %s", o.Name, node.PodCIDRs, node.Name)
	}
	return nil
}

// inside is the n-th address of a range; in IPv6 its last digits are those of n in decimal, as in the image of an IPv4
// address: 10.244.1.10 and fd00:10:244:1::10.
func inside(cidr netip.Prefix, n int) netip.Addr {
	base := cidr.Masked().Addr()
	if base.Is4() {
		b := base.As4()
		binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(n))
		return netip.AddrFrom4(b)
	}
	digits, _ := strconv.ParseUint(strconv.Itoa(n), 16, 64)
	b := base.As16()
	binary.BigEndian.PutUint64(b[8:], binary.BigEndian.Uint64(b[8:])+digits)
	return netip.AddrFrom16(b)
}

// podReady is the kubelet's word; a pod with conditions but without Ready is not ready.
func podReady(o *corev1.Pod) bool {
	for _, c := range o.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
