package reflector

import (
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// decoder makes objects of protobuf, of Services and EndpointSlices only what a proxy reads (trim.go): the generated code makes
// some fifteen allocations for an endpoint, which were most of a first sync's time and memory. Here all texts of an object are
// one allocation, and those that many objects share, such as a node's name, are shared. It is for one goroutine.
type decoder struct {
	shared map[string]*string
	text   []byte // of the object at hand, before it is one string
	counts []int  // of each endpoint: how many addresses
	sizes  []int  // of each text
}

// manyShared is how many texts are shared before they are forgotten: names of nodes that are gone must not stay for ever.
const manyShared = 1 << 16

func (d *decoder) share(b []byte) *string {
	if p := d.shared[string(b)]; p != nil {
		return p
	}
	if d.shared == nil || len(d.shared) > manyShared {
		d.shared = map[string]*string{}
	}
	s := string(b)
	d.shared[s] = &s
	return &s
}

// meta reads what is kept of an ObjectMeta (k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto).
func (d *decoder) meta(b []byte, m *metav1.ObjectMeta) error {
	f := fields{rest: b}
	var name, version []byte
	for f.next() {
		switch f.num {
		case 1:
			name = f.data
		case 3:
			m.Namespace = *d.share(f.data)
		case 6:
			version = f.data
		case 8:
			if err := m.CreationTimestamp.Unmarshal(f.data); err != nil {
				return err
			}
		case 9:
			m.DeletionTimestamp = &metav1.Time{}
			if err := m.DeletionTimestamp.Unmarshal(f.data); err != nil {
				return err
			}
		case 11, 12:
			key, value, err := pair(f.data)
			if err != nil {
				return err
			}
			into, keeps := &m.Labels, keepsLabel
			if f.num == 12 {
				into, keeps = &m.Annotations, keepsAnnotation
			}
			if !keeps(string(key)) {
				continue
			}
			if *into == nil {
				*into = make(map[string]string, 1)
			}
			(*into)[*d.share(key)] = string(value)
		}
	}
	both := string(append(append(d.text[:0], name...), version...))
	m.Name, m.ResourceVersion = both[:len(name)], both[len(name):]
	return f.err
}

// service reads what is kept of a Service (k8s.io/api/core/v1/generated.proto).
func (d *decoder) service(b []byte) (*corev1.Service, error) {
	o := &corev1.Service{}
	f := fields{rest: b}
	for f.next() {
		var err error
		switch f.num {
		case 1:
			err = d.meta(f.data, &o.ObjectMeta)
		case 2:
			err = d.serviceSpec(f.data, &o.Spec)
		case 3:
			for s := (fields{rest: f.data}); s.next(); {
				if s.num == 1 && len(s.data) > 0 {
					err = o.Status.LoadBalancer.Unmarshal(s.data)
				}
			}
		}
		if err != nil {
			return nil, err
		}
	}
	return o, f.err
}

func (d *decoder) serviceSpec(b []byte, s *corev1.ServiceSpec) error {
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			s.Ports = append(s.Ports, corev1.ServicePort{})
			if err := d.servicePort(f.data, &s.Ports[len(s.Ports)-1]); err != nil {
				return err
			}
		case 3:
			s.ClusterIP = string(f.data)
		case 4:
			s.Type = corev1.ServiceType(*d.share(f.data))
		case 5:
			s.ExternalIPs = append(s.ExternalIPs, string(f.data))
		case 7:
			s.SessionAffinity = corev1.ServiceAffinity(*d.share(f.data))
		case 9:
			s.LoadBalancerSourceRanges = append(s.LoadBalancerSourceRanges, string(f.data))
		case 11:
			s.ExternalTrafficPolicy = corev1.ServiceExternalTrafficPolicy(*d.share(f.data))
		case 12:
			s.HealthCheckNodePort = int32(f.val)
		case 14:
			s.SessionAffinityConfig = &corev1.SessionAffinityConfig{}
			if err := s.SessionAffinityConfig.Unmarshal(f.data); err != nil {
				return err
			}
		case 18:
			ip := s.ClusterIP // the first of them, and written before them
			if ip != string(f.data) {
				ip = string(f.data)
			}
			s.ClusterIPs = append(s.ClusterIPs, ip)
		case 19:
			s.IPFamilies = append(s.IPFamilies, corev1.IPFamily(*d.share(f.data)))
		case 22:
			p := corev1.ServiceInternalTrafficPolicy(*d.share(f.data))
			s.InternalTrafficPolicy = &p
		}
	}
	return f.err
}

func (d *decoder) servicePort(b []byte, p *corev1.ServicePort) error {
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			p.Name = *d.share(f.data)
		case 2:
			p.Protocol = corev1.Protocol(*d.share(f.data))
		case 3:
			p.Port = int32(f.val)
		case 5:
			p.NodePort = int32(f.val)
		}
	}
	return f.err
}

func nodeOf(b []byte) (*corev1.Node, error) {
	o := &corev1.Node{}
	err := o.Unmarshal(b)
	trimNode(o)
	return o, err
}

func serviceCIDROf(b []byte) (*networkingv1.ServiceCIDR, error) {
	o := &networkingv1.ServiceCIDR{}
	err := o.Unmarshal(b)
	trimServiceCIDR(o)
	return o, err
}

// Conditions are shared by all endpoints: nobody writes to an object.
var yes, no = true, false

func truth(v uint64) *bool {
	if v != 0 {
		return &yes
	}
	return &no
}

// slice reads what is kept of an EndpointSlice (k8s.io/api/discovery/v1/generated.proto).
func (d *decoder) slice(b []byte) (*discoveryv1.EndpointSlice, error) {
	o := &discoveryv1.EndpointSlice{}
	endpoints, ports := 0, 0
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			if err := d.meta(f.data, &o.ObjectMeta); err != nil {
				return nil, err
			}
		case 2:
			endpoints++
		case 3:
			ports++
		case 4:
			o.AddressType = discoveryv1.AddressType(*d.share(f.data))
		}
	}
	if f.err != nil {
		return nil, f.err
	}
	if endpoints > 0 {
		o.Endpoints = make([]discoveryv1.Endpoint, endpoints)
	}
	if ports > 0 {
		o.Ports = make([]discoveryv1.EndpointPort, ports)
	}
	d.text, d.sizes, d.counts = d.text[:0], d.sizes[:0], d.counts[:0]
	endpoints, ports = 0, 0
	f = fields{rest: b}
	for f.next() {
		var err error
		switch f.num {
		case 2:
			err = d.endpoint(f.data, &o.Endpoints[endpoints])
			endpoints++
		case 3:
			err = d.endpointPort(f.data, &o.Ports[ports])
			ports++
		}
		if err != nil {
			return nil, err
		}
	}
	text, addresses := string(d.text), make([]string, len(d.sizes))
	for i, n := range d.sizes {
		addresses[i], text = text[:n], text[n:]
	}
	for i, n := range d.counts {
		if n > 0 {
			o.Endpoints[i].Addresses, addresses = addresses[:n:n], addresses[n:]
		}
	}
	return o, nil
}

// endpoint leaves the addresses in text, sizes and counts.
func (d *decoder) endpoint(b []byte, e *discoveryv1.Endpoint) error {
	count := 0
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			d.text = append(d.text, f.data...)
			d.sizes = append(d.sizes, len(f.data))
			count++
		case 2:
			c := fields{rest: f.data}
			for c.next() {
				switch c.num {
				case 1:
					e.Conditions.Ready = truth(c.val)
				case 2:
					e.Conditions.Serving = truth(c.val)
				case 3:
					e.Conditions.Terminating = truth(c.val)
				}
			}
			if c.err != nil {
				return c.err
			}
		case 6:
			e.NodeName = d.share(f.data)
		case 8:
			e.Hints = &discoveryv1.EndpointHints{}
			if err := e.Hints.Unmarshal(f.data); err != nil {
				return err
			}
		}
	}
	d.counts = append(d.counts, count)
	return f.err
}

func (d *decoder) endpointPort(b []byte, p *discoveryv1.EndpointPort) error {
	f := fields{rest: b}
	for f.next() {
		switch f.num {
		case 1:
			p.Name = d.share(f.data)
		case 2:
			proto := corev1.Protocol(*d.share(f.data))
			p.Protocol = &proto
		case 3:
			port := int32(f.val)
			p.Port = &port
		}
	}
	return f.err
}
