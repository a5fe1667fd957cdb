package engine

import (
	"fmt"
	"net/netip"
	"strconv"

	"svclab/proxycore/cluster"
	"svclab/sim/scenario"
	"svclab/sim/world"
)

// question is one pair of a probe: who asks, and what.
type question struct {
	from  world.Place
	text  string // the target as the file spells it
	to    netip.AddrPort
	proto cluster.Proto
}

// address is what was asked at; an echo has no port.
func (q question) address() string {
	if q.proto == cluster.ICMP {
		return q.to.Addr().String() + "/" + q.proto.String()
	}
	return q.to.String() + "/" + q.proto.String()
}

// questions resolves a probe against the state in force, in each family of the plan.
func (r *run) questions(p *scenario.Probe) (out []question, err error) {
	for i, family := range r.plan.families {
		of := p
		if i > 0 {
			of = r.plan.twins[p]
		}
		asked, err := r.questionsIn(family, of)
		if err != nil {
			return nil, err
		}
		out = append(out, asked...)
	}
	return out, nil
}

// suffix tells questions of both families apart in one lab.
func (r *run) suffix(a netip.Addr) string {
	if len(r.plan.families) > 1 && a.Is6() {
		return " (IPv6)"
	}
	return ""
}

func (r *run) questionsIn(family scenario.Family, p *scenario.Probe) ([]question, error) {
	suffix := ""
	if family == scenario.IPv6 {
		suffix = r.suffix(netip.IPv6Unspecified())
	}
	if p.Everything {
		return r.everything(family, suffix), nil
	}
	var out []question
	for _, to := range p.To {
		addr, proto, err := r.plan.resolve(family, r.state, to)
		if err != nil {
			return nil, err
		}
		for _, from := range p.From {
			place, err := r.plan.place(from)
			if err != nil {
				return nil, err
			}
			out = append(out, question{place, targetText(to) + suffix, addr, proto})
		}
	}
	return out, nil
}

// everything is every place to every port of every Service.
func (r *run) everything(family scenario.Family, suffix string) (out []question) {
	t := r.plan.topology
	for svc := range r.plan.states[r.state].Services() {
		ip, ok := ofFamily(family, svc.ClusterIPs)
		if !ok {
			continue
		}
		for _, port := range svc.Object.Spec.Ports {
			proto, err := cluster.ParseProto(string(port.Protocol))
			if err != nil {
				continue
			}
			text := fmt.Sprintf("service/%s:%d/%s%s", shortName(svc.Key), port.Port, proto, suffix)
			for _, hosts := range [][]world.Host{t.Pods, t.Nodes, t.Clients} {
				for _, h := range hosts {
					out = append(out, question{h.Place, text, netip.AddrPortFrom(ip, uint16(port.Port)), proto})
				}
			}
		}
	}
	return out
}

func shortName(k cluster.Key) string {
	if k.Namespace == "default" {
		return k.Name
	}
	return k.String()
}

func (p *plan) place(ref scenario.Ref) (world.Place, error) {
	at := world.Place{Name: ref.Name}
	switch ref.Kind {
	case "pod":
		at.Kind, at.Namespace = world.Pod, ref.Namespace
	case "node":
		at.Kind = world.Node
	case "client":
		at.Kind = world.Client
	}
	if p.topology.Find(at) == nil {
		return at, fmt.Errorf("the lab has no %s", at)
	}
	return at, nil
}

func (p *plan) resolve(family scenario.Family, state int, t scenario.Target) (netip.AddrPort, cluster.Proto, error) {
	proto, err := cluster.ParseProto(t.Proto)
	number, numberErr := strconv.ParseUint(t.Port, 10, 16)
	if t.Echo() {
		proto, err, numberErr = cluster.ICMP, nil, nil
	}
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	if t.Addr.IsValid() {
		return t.Addr, proto, nil
	}
	if t.Ref.Kind == "service" {
		svc := p.states[state].Service(cluster.Key{Namespace: t.Ref.Namespace, Name: t.Ref.Name})
		if svc == nil {
			return netip.AddrPort{}, 0, fmt.Errorf("there is no %s at this step", targetText(t))
		}
		ip, ok := ofFamily(family, svc.ClusterIPs)
		if !ok {
			return netip.AddrPort{}, 0, fmt.Errorf("%s has no %s ClusterIP", targetText(t), family)
		}
		for _, port := range svc.Object.Spec.Ports {
			have, err := cluster.ParseProto(string(port.Protocol))
			if err != nil || t.Proto != "" && have != proto {
				continue
			}
			if port.Name == t.Port && t.Port != "" || numberErr == nil && uint64(port.Port) == number {
				return netip.AddrPortFrom(ip, uint16(port.Port)), have, nil
			}
		}
		if numberErr != nil {
			return netip.AddrPort{}, 0, fmt.Errorf("%s: the Service has no port of that name", targetText(t))
		}
		return netip.AddrPortFrom(ip, uint16(number)), proto, nil // a port that the Service does not have is a fair question
	}
	if numberErr != nil {
		return netip.AddrPort{}, 0, fmt.Errorf("%s: the port of a %s is a number", targetText(t), t.Ref.Kind)
	}
	place, err := p.place(t.Ref)
	if err != nil {
		return netip.AddrPort{}, 0, err
	}
	addr, ok := ofFamily(family, p.topology.Find(place).Addrs)
	if !ok {
		return netip.AddrPort{}, 0, fmt.Errorf("%s has no %s address", place, family)
	}
	return netip.AddrPortFrom(addr, uint16(number)), proto, nil
}

func ofFamily(family scenario.Family, addrs []netip.Addr) (netip.Addr, bool) {
	for _, a := range addrs {
		if a.Is6() == (family == scenario.IPv6) {
			return a, true
		}
	}
	return netip.Addr{}, false
}
