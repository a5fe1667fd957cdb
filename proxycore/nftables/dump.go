package nftables

import (
	"cmp"
	"context"
	"net/netip"
	"time"

	"svclab/proxycore"
)

// Dump reads the kernel. First what the node does whatever the Services are, then a line for each front, both families
// together. Slots, ids, chains, masq-all and masq-node are not in it; Check looks at them.
func (b *Backend) Dump(ctx context.Context) (string, error) {
	if b.closed {
		return "", errClosed
	}
	var lines []string
	var node proxycore.NodeRules
	for fam := range families {
		k, err := b.readTable(ctx, fam)
		if err != nil {
			return "", err
		}
		if !k.exists {
			continue
		}
		c := k.character()
		node.MasqueradeAll = node.MasqueradeAll || c.masquerade == masqueradeAll
		node.PodInterface = cmp.Or(node.PodInterface, c.podInterface)
		node.Pods = append(node.Pods, prefixes(k.intervals[pods])...)
		for f, e := range k.fronts {
			if e.numbers[services] != 0 {
				lines = append(lines, e.line(f.Front()))
			}
		}
	}
	return proxycore.FormatDump(node, lines), nil
}

// line follows the packet: the numbers choose the chain, the chain the slots, or the ids and where they live.
func (e *entry) line(f proxycore.Front) string {
	r := proxycore.Route{Front: f}
	if e.numbers[services] == toCheck {
		r.Ranges = prefixes(e.ranges)
	}
	ends := e.numbers.ends()
	r.Pool = e.pools[everywhere].behind(ends[everywhere], e.numbers[picks], &r.Affinity)
	if ends[local] != 0 {
		there := e.pools[local].behind(ends[local], e.numbers[localPicks], &r.Affinity)
		r.Local = &there
	}
	return proxycore.FormatRoute(r)
}

// behind is who answers behind a number, and for how long a client is remembered.
func (p *pool) behind(number, pick uint32, affinity *time.Duration) (out proxycore.Pool) {
	add := func(to netip.AddrPort) {
		if to.IsValid() {
			out.Endpoints = append(out.Endpoints, proxycore.Endpoint{AddrPort: to})
		}
	}
	switch kind, _, n := kindOfNumber(number); kind {
	case kindPool:
		for _, e := range p.slots[:min(n, len(p.slots))] {
			add(e.AddrPort)
		}
	case kindSticky:
		*affinity = time.Duration(n) * time.Second
		_, _, n = kindOfNumber(pick)
		for _, id := range p.ids[:min(n, len(p.ids))] {
			add(p.live[id])
		}
	case kindOther:
		if number == toIgnore {
			out.Empty = proxycore.Drop
		}
	}
	return out
}
