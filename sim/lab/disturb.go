package lab

import (
	"context"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"

	"svclab/sim/world"
)

// chosen are the nodes of those names; no names: all.
func (l *Lab) chosen(names []string) (nodes []*node, err error) {
	for _, n := range l.nodes {
		if len(names) == 0 || slices.Contains(names, n.host.Name) {
			nodes = append(nodes, n)
		}
	}
	if len(names) > len(nodes) {
		return nil, fmt.Errorf("the lab has not all of the nodes %s", strings.Join(names, ", "))
	}
	return nodes, nil
}

// Restart ends the proxies of the nodes without a word, as kill -9 would: their rules stay. After the time down new ones
// start and are given the last state, as a list from the API server would be.
func (l *Lab) Restart(ctx context.Context, names []string, down time.Duration) error {
	nodes, err := l.chosen(names)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		if a, ok := n.proxy.(interface{ Abandon() }); ok {
			a.Abandon()
		}
		n.former = append(n.former, n.proxy)
		l.swap(n, nil)
	}
	select {
	case <-time.After(down):
	case <-ctx.Done():
		return ctx.Err()
	}
	for _, n := range nodes {
		p, err := l.newProxy(n.host, n.ns)
		if err != nil {
			return fmt.Errorf("restart proxy of node %s: %w", n.host.Name, err)
		}
		l.swap(n, p)
		if err := p.Apply(ctx, l.state); err != nil {
			return err
		}
		if b, ok := p.(world.Barrier); ok {
			if err := b.Barrier(ctx); err != nil {
				return fmt.Errorf("barrier on node %s: %w", n.host.Name, err)
			}
		}
	}
	return nil
}

func (l *Lab) swap(n *node, p NodeProxy) {
	l.looking.Lock()
	defer l.looking.Unlock()
	n.proxy = p
}

// Flush empties the packet filters of the nodes: nf_tables, which iptables-nft is part of, and the legacy tables where a
// node has any.
func (l *Lab) Flush(ctx context.Context, names []string) error {
	nodes, err := l.chosen(names)
	if err != nil {
		return err
	}
	for _, n := range nodes {
		c, err := nftables.New(nftables.WithNetNSFd(n.ns.FD()))
		if err != nil {
			return fmt.Errorf("flush node %s: %w", n.host.Name, err)
		}
		c.FlushRuleset()
		if err := c.Flush(); err != nil {
			return fmt.Errorf("flush node %s: %w", n.host.Name, err)
		}
		for tool, file := range map[string]string{"iptables-legacy": "/proc/net/ip_tables_names", "ip6tables-legacy": "/proc/net/ip6_tables_names"} {
			tables, err := n.ns.ReadFile(file)
			if err != nil {
				continue // a kernel without the legacy tables
			}
			for _, t := range strings.Fields(string(tables)) {
				for _, verb := range []string{"-F", "-X"} {
					if _, err := n.ns.Run(exec.CommandContext(ctx, tool, "-w", "5", "-t", t, verb)); err != nil {
						return fmt.Errorf("flush node %s: %w", n.host.Name, err)
					}
				}
			}
		}
	}
	return nil
}
