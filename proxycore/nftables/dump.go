package nftables

import (
	"context"
	"net/netip"
	"time"

	"svclab/proxycore"
)

// Dump reads the kernel. First what the node does whatever the Services are, then a line for each front, both families
// together. Slots, ids, chains and masq-all are not in it; Check looks at them.
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
		node.MasqueradeAll = node.MasqueradeAll || kindOf(k.chains["translated"]) == masqueradeAll
		node.Pods = append(node.Pods, prefixes(k.pods)...)
		for f, p := range k.fronts {
			if p.number != 0 {
				lines = append(lines, p.line(f))
			}
		}
	}
	return proxycore.FormatDump(node, lines), nil
}

// line follows the packet: the number chooses the chain, the chain the slots, or the ids and where they live.
func (p *pool) line(f proxycore.Front) string {
	r := proxycore.Route{Front: f}
	add := func(to netip.AddrPort) {
		if to.IsValid() {
			r.Pool.Endpoints = append(r.Pool.Endpoints, proxycore.Endpoint{AddrPort: to})
		}
	}
	switch kind, n := kindOfNumber(p.number); kind {
	case kindPool:
		for _, e := range p.slots[:min(n, len(p.slots))] {
			add(e.AddrPort)
		}
	case kindSticky:
		r.Affinity = time.Duration(n) * time.Second
		_, n = kindOfNumber(p.pick)
		for _, id := range p.ids[:min(n, len(p.ids))] {
			add(p.live[id])
		}
	case kindOther:
		if p.number == toIgnore {
			r.Pool.Empty = proxycore.Drop
		}
	}
	return proxycore.FormatRoute(r)
}
