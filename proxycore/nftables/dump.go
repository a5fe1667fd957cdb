package nftables

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"time"

	"svclab/proxycore"
)

// Dump reads the kernel. First what the node does whatever the Services are, then a line for each front, both families
// together. Slots, ids, chains and masq-all are not in it; Check looks at them.
func (b *Backend) Dump(ctx context.Context) (string, error) {
	if b.closed {
		return "", errClosed
	}
	var lines, pods []string
	all := false
	for fam := range families {
		k, err := b.readTable(ctx, fam)
		if err != nil {
			return "", err
		}
		if !k.exists {
			continue
		}
		all = all || kindOf(k.chains["translated"]) == masqueradeAll
		for _, p := range prefixes(k.pods) {
			pods = append(pods, p.String())
		}
		for f, p := range k.fronts {
			if p.number != 0 {
				lines = append(lines, p.line(f))
			}
		}
	}
	slices.Sort(lines)
	if all {
		lines = slices.Insert(lines, 0, "masquerade-all")
	}
	if len(pods) > 0 {
		lines = slices.Insert(lines, 0, "pods "+strings.Join(pods, " "))
	}
	if len(lines) == 0 {
		return "", nil
	}
	return strings.Join(lines, "\n") + "\n", nil
}

// line follows the packet: the number chooses the chain, the chain the slots, or the ids and where they live.
func (p *pool) line(f proxycore.Front) string {
	empty := proxycore.Refuse
	var list []netip.AddrPort
	var sticky time.Duration
	switch kind, n := kindOfNumber(p.number); kind {
	case kindPool:
		for _, e := range p.slots[:min(n, len(p.slots))] {
			if e.IsValid() {
				list = append(list, e.AddrPort)
			}
		}
	case kindSticky:
		sticky = time.Duration(n) * time.Second
		_, n = kindOfNumber(p.pick)
		for _, id := range p.ids[:min(n, len(p.ids))] {
			if to := p.live[id]; to.IsValid() {
				list = append(list, to)
			}
		}
	case kindOther:
		if p.number == toIgnore {
			empty = proxycore.Drop
		}
	}
	return proxycore.FormatRoute(f, list, empty, sticky)
}
