package scenario

import (
	"bytes"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// Variants are the scenario for each family that it can be run in. One that has only IPv4 addresses, or none, is run as
// it is and once more with every address turned into IPv6; one that has only IPv6 addresses, as it is; one that has
// both, twice, with probes to either. The receiver is never changed.
func (s *Scenario) Variants() []*Scenario {
	var have families
	// The callback returns what it is given, so that nothing changes; and it changes only a copy.
	s.mapped(have.visit, nil)
	as := func(f Family, v *Scenario) *Scenario {
		c := *v
		c.Family = f
		return &c
	}
	switch {
	case have.v4 && have.v6:
		return []*Scenario{as(IPv4, s), as(IPv6, s)}
	case have.v6:
		return []*Scenario{as(IPv6, s)}
	}
	m := image{numeric: have.uneven}
	return []*Scenario{as(IPv4, s), as(IPv6, s.mapped(m.text, m.addr))}
}

// Dual is the scenario for both families at once: everything has an address of each, and each question is asked in both.
// One that has addresses of both families by itself, or of IPv6 only, has no such variant: false.
func (s *Scenario) Dual() (*Scenario, bool) {
	v := s.Variants()
	var have families
	s.mapped(have.visit, nil)
	if have.v6 {
		return nil, false
	}
	c := *v[0]
	c.Family, c.Twin = Dual, v[1]
	return &c, true
}

// mapped is a deep copy with every address, range and family name changed by text, and parsed addresses by addr (nil:
// by text).
func (s *Scenario) mapped(text func(string) string, addr func(netip.Addr) netip.Addr) *Scenario {
	if addr == nil {
		addr = func(a netip.Addr) netip.Addr { text(a.String()); return a }
	}
	c := *s
	m := mapper{text, addr, map[runtime.Object]runtime.Object{}}
	c.Clients = slices.Clone(s.Clients)
	for i := range c.Clients {
		c.Clients[i].Addresses = slices.Clone(c.Clients[i].Addresses)
		for j, a := range c.Clients[i].Addresses {
			c.Clients[i].Addresses[j] = addr(a)
		}
	}
	c.Settings.ClusterCIDRs = m.prefixes(s.Settings.ClusterCIDRs)
	c.Settings.NodePortAddresses = m.prefixes(s.Settings.NodePortAddresses)
	c.Objects = m.objects(s.Objects)
	c.Steps = slices.Clone(s.Steps)
	for i, step := range c.Steps {
		if step.Probe != nil {
			c.Steps[i].Probe = m.probe(step.Probe)
		}
		if step.Change != nil {
			c.Steps[i].Change = m.change(step.Change)
		}
		if step.Restart != nil && step.Restart.During != nil {
			r := *step.Restart
			r.During = m.probe(r.During)
			c.Steps[i].Restart = &r
		}
	}
	return &c
}

type mapper struct {
	text func(string) string
	addr func(netip.Addr) netip.Addr
	done map[runtime.Object]runtime.Object // an object that a step applies by name stays one with the file's
}

func (m mapper) objects(in []Object) []Object {
	out := slices.Clone(in)
	for i := range out {
		copied, ok := m.done[out[i].Object]
		if !ok {
			copied = out[i].Object.DeepCopyObject()
			m.done[out[i].Object] = copied
			m.object(copied)
		}
		out[i].Object = copied
	}
	return out
}

func (m mapper) probe(p *Probe) *Probe {
	c := *p
	c.To = slices.Clone(p.To)
	for i, t := range c.To {
		if t.Addr.IsValid() {
			c.To[i].Addr = netip.AddrPortFrom(m.addr(t.Addr.Addr()), t.Addr.Port())
		}
	}
	return &c
}

func (m mapper) change(ch *Change) *Change {
	c := *ch
	c.Apply = m.objects(ch.Apply)
	c.Merge = slices.Clone(ch.Merge)
	for i := range c.Merge {
		c.Merge[i].JSON = m.patch(c.Merge[i].JSON)
	}
	if ch.During != nil {
		c.During = m.probe(ch.During)
	}
	return &c
}

// object changes an object in place.
func (m mapper) object(o runtime.Object) {
	switch o := o.(type) {
	case *corev1.Service:
		m.service(o)
	case *corev1.Pod:
		m.string(&o.Status.PodIP)
		m.string(&o.Status.HostIP)
		for i := range o.Status.PodIPs {
			m.string(&o.Status.PodIPs[i].IP)
		}
		for i := range o.Status.HostIPs {
			m.string(&o.Status.HostIPs[i].IP)
		}
	case *corev1.Node:
		m.string(&o.Spec.PodCIDR)
		m.strings(o.Spec.PodCIDRs)
		for i, a := range o.Status.Addresses {
			if a.Type == corev1.NodeInternalIP || a.Type == corev1.NodeExternalIP {
				m.string(&o.Status.Addresses[i].Address)
			}
		}
	case *discoveryv1.EndpointSlice:
		o.AddressType = discoveryv1.AddressType(m.text(string(o.AddressType)))
		for i := range o.Endpoints {
			m.strings(o.Endpoints[i].Addresses)
		}
	}
}

func (m mapper) service(o *corev1.Service) {
	s := &o.Spec
	m.string(&s.ClusterIP)
	m.string(&s.LoadBalancerIP)
	m.strings(s.ClusterIPs)
	m.strings(s.ExternalIPs)
	m.strings(s.LoadBalancerSourceRanges)
	for i, f := range s.IPFamilies {
		s.IPFamilies[i] = corev1.IPFamily(m.text(string(f)))
	}
	if s.IPFamilyPolicy != nil && *s.IPFamilyPolicy == corev1.IPFamilyPolicyRequireDualStack {
		m.text("IPv4") // says both, whether it has addresses yet or not
		m.text("IPv6")
	}
	for i := range o.Status.LoadBalancer.Ingress {
		m.string(&o.Status.LoadBalancer.Ingress[i].IP)
	}
}

func (m mapper) string(s *string) {
	if *s != "" {
		*s = m.text(strings.TrimSpace(*s)) // source ranges may have blanks around them, as the API server lets them
	}
}

func (m mapper) strings(s []string) {
	for i := range s {
		m.string(&s[i])
	}
}

func (m mapper) prefixes(in []netip.Prefix) []netip.Prefix {
	out := slices.Clone(in)
	for i, r := range out {
		out[i] = netip.MustParsePrefix(m.text(r.String()))
	}
	return out
}

// patch maps what is an address by its form, at any depth: a patch is a fragment, so that its fields have no types
// here. Labels and annotations may look like addresses and are none.
func (m mapper) patch(text []byte) []byte {
	var v any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // a number is to come out as it went in
	if dec.Decode(&v) != nil {
		return text // Parse has made it: it is JSON
	}
	before, _ := json.Marshal(v)
	after, err := json.Marshal(m.any(v))
	if err != nil || bytes.Equal(before, after) {
		return slices.Clone(text)
	}
	return after
}

func (m mapper) any(v any) any {
	switch v := v.(type) {
	case string:
		return m.text(v)
	case []any:
		for i := range v {
			v[i] = m.any(v[i])
		}
	case map[string]any:
		for k := range v {
			if k != "metadata" {
				v[k] = m.any(v[k])
			}
		}
	}
	return v
}
