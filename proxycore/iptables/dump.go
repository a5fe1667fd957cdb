package iptables

import (
	"cmp"
	"context"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"svclab/proxycore"
)

// Dump reads the kernel. First what the node does whatever the Services are, then a line for each front, both families
// together.
func (b *Backend) Dump(ctx context.Context) (string, error) {
	if b.closed {
		return "", errClosed
	}
	var lines []string
	var node proxycore.NodeRules
	for _, s := range b.sides {
		k, err := s.tool.save(ctx)
		if err != nil {
			return "", err
		}
		node.MasqueradeAll = node.MasqueradeAll || k.masqueradesAll()
		ranges, iface := k.pods()
		node.Pods = append(node.Pods, ranges...)
		node.PodInterface = cmp.Or(node.PodInterface, iface)
		lines = slices.AppendSeq(lines, maps.Values(k.fronts()))
	}
	return proxycore.FormatDump(node, lines), nil
}

// masqueradesAll: the mark is set, and not taken from pods, before fronts that spare them.
func (k *kernel) masqueradesAll() bool {
	rules := k.chains[place{nat, top}]
	return len(rules) > 1 && canon(rules[0]) == canon(setMark) && parseRule(rules[1]).target == inside
}

func (k *kernel) pods() (ranges []netip.Prefix, iface string) {
	for _, text := range k.chains[place{nat, pods}] {
		r := parseRule(text)
		if r.src.IsValid() {
			ranges = append(ranges, r.src)
		}
		if name, isPrefix := strings.CutSuffix(r.in, "+"); isPrefix {
			iface = name + "*"
		} else if name != "" {
			iface = name
		}
	}
	sortPrefixes(ranges)
	return ranges, iface
}

// decided is a front of which some clients' fate is known.
type decided struct {
	proxycore.Route
	near, far, split bool
}

// fronts follows the packet: the first rule that matches decides, and what nat translates filter does not see.
func (k *kernel) fronts() map[proxycore.Front]string {
	routes := map[proxycore.Front]*decided{}
	ranges := map[proxycore.Front][]netip.Prefix{}
	for _, s := range sets {
		p := s.place
		for _, r := range k.reach(s) {
			f := r.front()
			switch {
			case !f.Addr.IsValid() || p == hairpinSet:
				continue
			case p.table == mangle:
				ranges[f] = k.ranges(r)
				continue
			case routes[f] == nil:
				routes[f] = &decided{Route: proxycore.Route{Front: f, Local: &proxycore.Pool{}}}
			}
			d := routes[f]
			pool, sticky := k.pool(p, r)
			d.Affinity = max(d.Affinity, sticky)
			if !d.near && p != (place{nat, far}) { // in filter, everybody comes to far
				d.near, d.Pool, d.split = true, pool, d.split || p.chain == near
			}
			if !d.far && p.chain != near {
				d.far, *d.Local, d.split = true, pool, d.split || p.chain == far
			}
		}
	}
	out := map[proxycore.Front]string{}
	for f, d := range routes {
		d.Ranges = ranges[f]
		if !d.split {
			d.Local = nil
		}
		out[f] = proxycore.FormatRoute(d.Route)
	}
	return out
}

// pool is what a front's rule leads to.
func (k *kernel) pool(p place, r parsed) (proxycore.Pool, time.Duration) {
	switch {
	case p.table == filter && r.target == "DROP":
		return proxycore.Pool{Empty: proxycore.Drop}, 0
	case p.table == filter:
		return proxycore.Pool{}, 0
	case r.target == "DNAT":
		return proxycore.Pool{Endpoints: []proxycore.Endpoint{{AddrPort: r.destination}}}, 0
	}
	list, sticky := k.endpoints(r.target)
	return proxycore.Pool{Endpoints: list}, sticky
}

// ranges are who may pass a front's rule.
func (k *kernel) ranges(r parsed) (from []netip.Prefix) {
	if r.target == "DROP" && r.not {
		return []netip.Prefix{r.src}
	}
	for _, text := range k.chains[place{mangle, r.target}] {
		if r := parseRule(text); r.target == "RETURN" {
			from = append(from, r.src)
		}
	}
	return from
}

// endpoints is what a chain chooses from.
func (k *kernel) endpoints(chain string) (list []proxycore.Endpoint, sticky time.Duration) {
	for _, text := range k.chains[place{nat, chain}] {
		switch r := parseRule(text); {
		case r.update:
			sticky = seconds(r.seconds)
		case r.target == "DNAT":
			list = append(list, proxycore.Endpoint{AddrPort: r.destination})
		}
	}
	return list, sticky
}
