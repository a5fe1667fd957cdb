// Package ruleset reads what a Service proxy has programmed on a node, finds out by package naming what each line of it is there
// for, and shows it by Service: what concerns one, in the order in which a packet meets it, in words beside the kernel's own text.
// No line is left out unsaid: what is not recognized is shown as such, and what is not shown is counted.
package ruleset

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strconv"
	"strings"

	"svclab/nsnet"
	"svclab/sim/naming"
)

// Line is one rule, or one element of a set or map, as the kernel's own tools write it. Handles are not in it, nor is what passes
// by itself: counters and the time that an element has left.
type Line struct {
	Family string // "ip" or "ip6"
	Table  string
	Chain  string // of a rule; else empty
	Set    string // of an element
	Text   string // the rule, or the element with its data
	Key    string // of an element
	Data   string // of a map's element
	Hook   string // of a rule: its chain is the kernel's: "nat, hook prerouting, priority dstnat, policy accept"; else empty
	Legacy bool   // it is in ip_tables, not in nf_tables
}

// Read reads all rules of a namespace: nf_tables by nft, what iptables has made there by iptables-nft-save, and ip_tables by
// iptables-legacy-save where there are any.
func Read(ctx context.Context, ns *nsnet.NS) ([]Line, error) {
	run := func(name string, args ...string) (string, error) {
		out, err := ns.Run(exec.CommandContext(ctx, name, args...))
		if errors.Is(err, exec.ErrNotFound) {
			err = fmt.Errorf("rules are read by the command %s, which is not there: install it", name)
		}
		return string(out), err
	}
	text, err := run("nft", "list", "ruleset")
	if err != nil {
		return nil, err
	}
	lines := parseNFT(text)
	for _, family := range []string{"ip", "ip6"} {
		if !slices.ContainsFunc(lines, func(l Line) bool { return l.Family == family && byIptables(l) }) {
			continue
		}
		saved, err := run(tool(family) + "-nft-save")
		if err != nil {
			return nil, err
		}
		lines = slices.DeleteFunc(lines, func(l Line) bool { return l.Family == family && byIptables(l) })
		lines = append(lines, parseSaved(saved, family, false)...)
	}
	for family, file := range map[string]string{"ip": "/proc/net/ip_tables_names", "ip6": "/proc/net/ip6_tables_names"} {
		if tables, err := ns.ReadFile(file); err != nil || len(tables) == 0 { // saving makes tables where there were none
			continue
		}
		saved, err := run(tool(family) + "-legacy-save")
		if err != nil {
			return nil, err
		}
		lines = append(lines, parseSaved(saved, family, true)...)
	}
	return sorted(lines), nil
}

func tool(family string) string {
	if family == "ip6" {
		return "ip6tables"
	}
	return "iptables"
}

// byIptables: iptables-nft writes to these tables, and nft lists its matches poorly.
func byIptables(l Line) bool {
	return slices.Contains([]string{"raw", "mangle", "nat", "filter", "security"}, l.Table)
}

// parseSaved reads what iptables-save writes.
func parseSaved(text, family string, legacy bool) (lines []Line) {
	table, hooks := "", map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		switch {
		case strings.HasPrefix(line, "*"):
			table = line[1:]
			clear(hooks)
		case strings.HasPrefix(line, ":"):
			name, rest, _ := strings.Cut(line[1:], " ")
			if policy, _, _ := strings.Cut(rest, " "); policy != "-" {
				hooks[name] = "the kernel's own, policy " + policy
			}
		case strings.HasPrefix(line, "-A "):
			chain, rule, _ := strings.Cut(line[3:], " ")
			lines = append(lines, Line{Family: family, Table: table, Chain: chain, Text: rule, Hook: hooks[chain], Legacy: legacy})
		}
	}
	return lines
}

// sorted puts lines in an order that is the same for the same rules: the kernel's order is by hashes and by history, but for that
// of the rules in a chain.
func sorted(lines []Line) []Line {
	slices.SortStableFunc(lines, func(a, b Line) int {
		return cmp.Or(strings.Compare(a.Family, b.Family), strings.Compare(a.Table, b.Table), cmp.Compare(a.hookNumber(), b.hookNumber()),
			strings.Compare(a.Set, b.Set), strings.Compare(a.Chain, b.Chain), compareKeys(a.Key, b.Key))
	})
	return lines
}

// hookNumber is in the order in which packets come to hooks.
func (l Line) hookNumber() int {
	if l.Hook == "" {
		return 0
	}
	for i, name := range []string{"prerouting", "output", "input", "forward", "postrouting"} {
		if strings.Contains(l.Hook, "hook "+name+",") || strings.EqualFold(l.Chain, name) {
			return i + 1
		}
	}
	return 6
}

// compareKeys orders concatenated keys part by part, addresses and numbers as what they are.
func compareKeys(a, b string) int {
	x, y := strings.Split(a, " . "), strings.Split(b, " . ")
	for i := range min(len(x), len(y)) {
		if c := compareParts(x[i], y[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(x), len(y))
}

func compareParts(a, b string) int {
	if p, err := netip.ParseAddr(a); err == nil {
		if q, err := netip.ParseAddr(b); err == nil {
			return p.Compare(q)
		}
	}
	if n, err := strconv.ParseUint(a, 0, 64); err == nil {
		if m, err := strconv.ParseUint(b, 0, 64); err == nil {
			return cmp.Compare(n, m)
		}
	}
	return strings.Compare(a, b)
}

// meaning asks what a line stands for.
func (l Line) meaning(x *naming.Index) naming.Meaning {
	if l.Set != "" {
		return x.Element(naming.Set{Family: l.Family, Table: l.Table, Name: l.Set}, l.Key, l.Data)
	}
	return x.Rule(naming.Chain{Family: l.Family, Table: l.Table, Name: l.Chain}, l.Text)
}

// where is the chain or set of a line, as one asks for it: `nft list map ip svclab services`, `iptables -t nat -S KUBE-SERVICES`.
func (l Line) where() string {
	table := l.Family + " " + l.Table + " "
	switch {
	case l.Set != "" && l.Data != "":
		return "map " + table + l.Set
	case l.Set != "":
		return "set " + table + l.Set
	case l.Legacy:
		return tool(l.Family) + "-legacy -t " + l.Table + ", chain " + l.Chain
	case byIptables(l):
		return tool(l.Family) + " -t " + l.Table + ", chain " + l.Chain
	}
	return "chain " + table + l.Chain
}
