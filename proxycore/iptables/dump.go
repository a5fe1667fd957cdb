package iptables

import (
	"context"
	"maps"
	"net/netip"
	"slices"
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
		node.Pods = append(node.Pods, k.pods()...)
		lines = slices.AppendSeq(lines, maps.Values(k.fronts()))
	}
	return proxycore.FormatDump(node, lines), nil
}

func (k *kernel) masqueradesAll() bool {
	rules := k.chains[place{nat, top}]
	return len(rules) > 0 && canon(rules[0]) == canon(setMark)
}

func (k *kernel) pods() []netip.Prefix {
	var out []netip.Prefix
	for _, text := range k.chains[place{nat, pods}] {
		if p := parseRule(text).src; p.IsValid() {
			out = append(out, p)
		}
	}
	sortPrefixes(out)
	return out
}

// fronts follows the packet: the first rule that matches decides, and what nat translates filter does not see.
func (k *kernel) fronts() map[proxycore.Front]string {
	out := map[proxycore.Front]string{}
	for _, p := range sets {
		for _, text := range k.chains[p] {
			r := parseRule(text)
			f := r.front()
			if _, done := out[f]; done || !f.Addr.IsValid() || p.chain == post {
				continue
			}
			switch {
			case p.table == filter:
				empty := proxycore.Refuse
				if r.target == "DROP" {
					empty = proxycore.Drop
				}
				out[f] = proxycore.FormatRoute(proxycore.Route{Front: f, Pool: proxycore.Pool{Empty: empty}})
			case r.target == "DNAT":
				out[f] = proxycore.FormatRoute(proxycore.Route{Front: f, Pool: proxycore.Pool{Endpoints: []proxycore.Endpoint{{AddrPort: r.destination}}}})
			default:
				list, sticky := k.endpoints(r.target)
				out[f] = proxycore.FormatRoute(proxycore.Route{Front: f, Pool: proxycore.Pool{Endpoints: list}, Affinity: sticky})
			}
		}
	}
	return out
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
