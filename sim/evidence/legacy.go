package evidence

import (
	"context"
	"fmt"
	"slices"

	"svclab/nsnet/nflog"
	"svclab/nsnet/packet"
	"svclab/nsnet/rules"
)

// joinLog adds the rules of ip_tables to the walks in which they were met. The log has no id: a packet is known by its key, and
// one that comes twice (sent again, without an id in its header) by the order of hooks.
func joinLog(family string, list []*walking, events []nflog.Event) (strays int) {
	type place struct {
		nth  int // of the walks with that key
		hook int // in that walk
	}
	of := map[packet.Key][]*walking{}
	for _, w := range list {
		of[w.packet.Key()] = append(of[w.packet.Key()], w)
	}
	at := map[packet.Key]place{}
	for _, e := range events {
		p, ok := packet.FromIP(e.Packet)
		if !ok || int(e.Hook) >= len(hookNames) {
			strays++
			continue
		}
		k := p.Key()
		now := at[k]
		found := false
		for n := now.nth; n < len(of[k]) && !found; n++ {
			hooks := of[k][n].Hooks
			first := 0
			if n == now.nth {
				first = now.hook
			}
			for i := first; i < len(hooks); i++ {
				if hooks[i].Name == hookNames[e.Hook] {
					at[k] = place{n, i}
					hooks[i].Rules = append(hooks[i].Rules, legacyRule(family, e))
					found = true
					break
				}
			}
		}
		if !found {
			strays++
		}
	}
	return strays
}

func legacyRule(family string, e nflog.Event) Rule {
	return Rule{Family: family, Table: e.Table, Chain: e.Chain, Kind: e.Kind, Number: e.Rule}
}

// legacyTexts gives the rules of ip_tables their texts. What each rule did is in its text.
func (w *watch) legacyTexts(ctx context.Context, n *watched, list []*walking) error {
	saved := map[string]map[string][]string{}
	for _, walk := range list {
		for i := range walk.Hooks {
			for j := range walk.Hooks[i].Rules {
				r := &walk.Hooks[i].Rules[j]
				if r.Number == 0 || r.Kind != "rule" {
					continue
				}
				key := r.Family + " " + r.Table
				if saved[key] == nil {
					var err error
					if saved[key], err = rules.Save(ctx, n.site.NS, r.Family, "legacy", r.Table); err != nil {
						return err
					}
				}
				if lines := saved[key][r.Chain]; r.Number <= len(lines) {
					r.Text = lines[r.Number-1]
				} else {
					w.missing(n.site.Name, fmt.Sprintf("the text of rule %d of %s %s", r.Number, r.Table, r.Chain), "the chain has changed since")
				}
			}
		}
	}
	return nil
}

// countedSince says which rules' counters moved: they were met, by this flow or by another.
func (w *watch) countedSince(ctx context.Context, n *watched) error {
	family := "ip"
	if w.flow.To.Addr().Is6() {
		family = "ip6"
	}
	now, err := rules.Counted(ctx, n.site.NS, family)
	if err != nil {
		return err
	}
	saved := map[string]map[string][]string{}
	for _, name := range sortedKeys(now) {
		by := now[name] - n.counted[name]
		if by == 0 {
			continue
		}
		var table, chain string
		var number int
		if _, err := fmt.Sscanf(spaced(name), "%s %s %d", &table, &chain, &number); err != nil {
			return err
		}
		if saved[table] == nil {
			if saved[table], err = rules.Save(ctx, n.site.NS, family, "legacy", table); err != nil {
				return err
			}
		}
		text := ""
		if lines := saved[table][chain]; number <= len(lines) {
			text = lines[number-1]
		}
		w.e.Counters = append(w.e.Counters, Counter{n.site.Name, name, by, text})
	}
	return nil
}

// spaced makes words of "table:chain:number".
func spaced(name string) string {
	b := []byte(name)
	for i := range b {
		if b[i] == ':' {
			b[i] = ' '
		}
	}
	return string(b)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
