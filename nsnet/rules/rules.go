// Package rules finds the text of rules that a packet was seen to meet, and of the elements of sets that sent it on: only of
// those, since a node may have a hundred thousand.
package rules

import (
	"context"
	"fmt"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/google/nftables"

	"svclab/nsnet"
)

// Chain names a chain. Without the family two tables may have the same name, and their rules the same handles.
type Chain struct{ Family, Table, Name string }

// Rule names a rule of nf_tables.
type Rule struct {
	Chain
	Handle uint64
}

// Texts finds the texts of all rules in some chains of a namespace: as iptables-nft-save writes those of tables that iptables
// made, as Spell does those of tables that are ours, and as nft lists all others.
func Texts(ctx context.Context, ns *nsnet.NS, chains []Chain, ours func(Chain) bool) (map[Rule]string, error) {
	texts := map[Rule]string{}
	var listed []Chain
	saved := map[[2]string]map[string][]string{}
	for _, c := range chains {
		if ours(c) {
			rules, ok, err := Spell(ns, c)
			if err != nil {
				return texts, err
			}
			for _, r := range rules {
				texts[Rule{c, r.Handle}] = r.Text
			}
			if ok {
				continue
			}
		}
		if !byIptables(c) {
			listed = append(listed, c)
			continue
		}
		key := [2]string{c.Family, c.Table}
		if saved[key] == nil {
			var err error
			if saved[key], err = Save(ctx, ns, c.Family, "nft", c.Table); err != nil {
				return texts, err
			}
		}
		ok, err := pair(ns, c, saved[key][c.Name], texts)
		if err != nil {
			return texts, err
		}
		if !ok {
			listed = append(listed, c)
		}
	}
	return texts, list(ctx, ns, listed, texts)
}

// byIptables: iptables-nft writes to these tables, and its matches are of a kind that nft lists poorly.
func byIptables(c Chain) bool {
	return (c.Family == "ip" || c.Family == "ip6") && slices.Contains([]string{"raw", "mangle", "nat", "filter", "security"}, c.Table)
}

// pair gives the n-th line the n-th rule's handle, which need not ascend; false when their numbers differ, as they
// would if the table were not iptables's, or were changed in between.
func pair(ns *nsnet.NS, c Chain, lines []string, texts map[Rule]string) (bool, error) {
	conn, err := nftables.New(nftables.WithNetNSFd(ns.FD()))
	if err != nil {
		return false, err
	}
	family := nftables.TableFamilyIPv4
	if c.Family == "ip6" {
		family = nftables.TableFamilyIPv6
	}
	t := &nftables.Table{Name: c.Table, Family: family}
	list, err := conn.GetRules(t, &nftables.Chain{Name: c.Name, Table: t})
	if err != nil || len(list) != len(lines) {
		return false, nil // nft lists them instead
	}
	for i, r := range list {
		texts[Rule{c, r.Handle}] = lines[i]
	}
	return true, nil
}

// Save is what iptables-save of a flavour, "nft" or "legacy", says of a table: its rules by chain, in order, as "-A …".
func Save(ctx context.Context, ns *nsnet.NS, family, flavour, table string) (map[string][]string, error) {
	tool := "iptables"
	if family == "ip6" {
		tool = "ip6tables"
	}
	out, err := ns.Run(exec.CommandContext(ctx, tool+"-"+flavour+"-save", "-t", table))
	if err != nil {
		return nil, err
	}
	chains := map[string][]string{}
	for line := range strings.Lines(string(out)) {
		line = strings.TrimSpace(line)
		if rest, ok := strings.CutPrefix(line, "-A "); ok {
			name, _, _ := strings.Cut(rest, " ")
			chains[name] = append(chains[name], line)
		}
	}
	return chains, nil
}

// Counted is what iptables-legacy-save says of a table with its counters: packets by rule text, "chain:number" before it.
func Counted(ctx context.Context, ns *nsnet.NS, family string) (map[string]int64, error) {
	tool := "iptables-legacy-save"
	if family == "ip6" {
		tool = "ip6tables-legacy-save"
	}
	out, err := ns.Run(exec.CommandContext(ctx, tool, "-c"))
	if err != nil {
		return nil, err
	}
	counted, nth, table := map[string]int64{}, map[string]int{}, ""
	for line := range strings.Lines(string(out)) {
		if name, ok := strings.CutPrefix(strings.TrimSpace(line), "*"); ok {
			table = name
		}
		if m := countedRule.FindStringSubmatch(strings.TrimSpace(line)); m != nil {
			chain := table + ":" + m[3]
			nth[chain]++
			n, _ := strconv.ParseInt(m[1], 10, 64)
			counted[fmt.Sprintf("%s:%d", chain, nth[chain])] = n
		}
	}
	return counted, nil
}

var countedRule = regexp.MustCompile(`^\[(\d+):(\d+)\] -A (\S+)`)

// list asks nft for each chain. (Several in one run it does not find: nft 1.0.6 reads what the first one needs.) -t leaves out the
// elements of named sets, which may be many; those of the sets that have no name are in the rule's text anyway.
func list(ctx context.Context, ns *nsnet.NS, chains []Chain, texts map[Rule]string) error {
	for _, c := range chains {
		out, err := ns.Run(exec.CommandContext(ctx, "nft", "-t", "-a", "list", "chain", c.Family, c.Table, c.Name))
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(out)) {
			if m := handled.FindStringSubmatch(strings.TrimSpace(line)); m != nil && !strings.HasSuffix(m[1], "{") {
				h, _ := strconv.ParseUint(m[2], 10, 64)
				texts[Rule{c, h}] = m[1]
			}
		}
	}
	return nil
}

var handled = regexp.MustCompile(`^(.*) # handle (\d+)$`)
