package iptables

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"

	"svclab/proxycore"
)

// Check reads the kernel and verifies what Dump does not show: each jump once, no chain that nothing leads to, each endpoint
// with the same chance, clients remembered for the endpoint that they were sent to, and that the kernel holds what this
// process believes it holds, masquerading included. It reports all it finds, in a fixed order.
func (b *Backend) Check(ctx context.Context) error {
	if b.closed {
		return errClosed
	}
	var errs []error
	for _, s := range b.sides {
		k, err := s.tool.save(ctx)
		if err != nil {
			return err
		}
		report := func(format string, args ...any) {
			errs = append(errs, fmt.Errorf("%s: %s", s.tool.base, fmt.Sprintf(format, args...)))
		}
		if len(k.chains) == 0 && len(k.jumps) == 0 && !b.known {
			continue // nothing has been programmed
		}
		k.checkJumps(s.node.jumps(), report)
		k.checkChains(report)
		if b.known {
			s.checkAgainst(k, report)
		}
	}
	return errors.Join(errs...)
}

type reporter func(format string, args ...any)

func (k *kernel) checkJumps(wanted []jump, report reporter) {
	left := slices.Clone(k.jumps)
	for _, j := range wanted {
		n := 0
		left = slices.DeleteFunc(left, func(h jump) bool {
			same := j.table == h.table && j.chain == h.chain && canon(j.text) == canon(h.text)
			if same {
				n++
			}
			return same
		})
		if n != 1 {
			report("table %s, chain %s: the jump to ours is there %d times", j.table, j.chain, n)
		}
	}
	for _, h := range left {
		report("table %s, chain %s: %q leads to a chain of ours", h.table, h.chain, h.text)
	}
}

func (k *kernel) checkChains(report reporter) {
	led := map[place]bool{{nat, pods}: true}
	for _, j := range slices.Concat(guards, jumps) {
		led[place{j.table, parseRule(j.text).target}] = true
	}
	type half struct {
		proxycore.Front
		of string
	}
	seen := map[half]bool{}
	for _, p := range k.places() {
		for _, text := range k.chains[p] {
			r := parseRule(text)
			led[place{p.table, r.target}] = true
			for _, of := range halves(p) {
				if h := (half{r.front(), of}); h.Addr.IsValid() && seen[h] {
					report("front %v has two rules for %s", h.Front, of)
				} else {
					seen[h] = true
				}
			}
		}
	}
	for _, p := range k.places() {
		if !led[p] {
			report("table %s: nothing leads to chain %s", p.table, p.chain)
		}
		if p.table == nat && isBody(p.chain) {
			k.checkEndpoints(p.chain, report)
		}
	}
}

// halves are the clients whom the rules of a set concern.
func halves(p place) []string {
	const insiders, others = "pods and the node", "others"
	s, ok := setOf(p)
	switch p = s.place; {
	case !ok || p == hairpinSet:
		return nil
	case p == place{mangle, top}:
		return []string{"source ranges"}
	case p.chain == near:
		return []string{insiders}
	case p.chain == far:
		return []string{others}
	}
	return []string{insiders, others}
}

// isBody: a chain of endpoints. A hash has no dash.
func isBody(chain string) bool {
	return len(chain) == len(chainName(proxycore.Front{}, inside)) && strings.Count(chain, "-") == 1
}

func (k *kernel) checkEndpoints(chain string, report reporter) {
	var random []parsed
	remembered := map[netip.AddrPort]string{}
	for _, text := range k.chains[place{nat, chain}] {
		switch r := parseRule(text); {
		case r.target != "DNAT":
			report("chain %s: %q is no rule of an endpoint", chain, text)
		case r.update:
			remembered[r.destination] = r.list
		default:
			random = append(random, r)
		}
	}
	if len(random) == 0 {
		report("chain %s has no endpoint", chain)
	}
	times := map[netip.AddrPort]int{}
	for i, r := range random {
		want := uint32(0)
		if left := len(random) - i; left > 1 {
			want = uint32(math.Round(twoTo31 / float64(left)))
		}
		if r.chance != want {
			report("chain %s: endpoint %v is taken with probability %.10f, want %.10f", chain, r.destination,
				certain(r.chance), certain(want))
		}
		if times[r.destination]++; times[r.destination] == 2 {
			report("chain %s: endpoint %v is there twice", chain, r.destination)
		}
		if r.list != remembered[r.destination] {
			report("chain %s: who goes to endpoint %v is written to list %q, and list %q is asked", chain, r.destination,
				r.list, remembered[r.destination])
		}
		delete(remembered, r.destination)
	}
	for to, list := range remembered {
		report("chain %s: list %q leads to %v, which is no endpoint", chain, list, to)
	}
}

// certain prints a chance: a rule without dice is certain.
func certain(chance uint32) float64 {
	if chance == 0 {
		return 1
	}
	return float64(chance) / twoTo31
}

// checkAgainst compares with what the next change will assume. The rules that a restore would write are the difference.
func (s *side) checkAgainst(k *kernel, report reporter) {
	now, _ := s.all()
	p := compare(k.layout(), now)
	for _, units := range [][]unit{p.bar, p.reject, p.nat, p.respect, p.unbar} {
		for _, u := range units {
			for op := range strings.SplitSeq(strings.Join(u, "\n"), "\n") {
				report("not as programmed, to be restored: %s", op)
			}
		}
	}
	if s.node.localhost() {
		if v, err := s.tool.sysctl(routeLocalnet); err != nil || v != "1" {
			report("sysctl %s is %q, want 1 (%v)", routeLocalnet, v, err)
		}
	}
}
