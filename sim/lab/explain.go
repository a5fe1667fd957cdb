package lab

import (
	"context"
	"fmt"
	"os/exec"
	"strings"

	"svclab/proxycore"
	"svclab/proxycore/conntrack"
	"svclab/sim/world"
)

// translator is the node on which a flow is translated: the client's own, or the one an outside client enters by.
func (l *Lab) translator(f world.Flow) *node {
	if p := l.places[f.From]; p != nil && p.node != nil {
		return p.node
	}
	name := l.topology.Entry(f.Via)
	for _, n := range l.nodes {
		if n.host.Name == name {
			return n
		}
	}
	return nil
}

// Explain reads the connection-tracking entry of a flow that was just observed. ok is false when there is none.
func (l *Lab) Explain(ctx context.Context, f world.Flow, o world.Observation) (t world.Translation, ok bool, err error) {
	n := l.translator(f)
	if n == nil {
		return t, false, nil
	}
	l.looking.Lock()
	defer l.looking.Unlock()
	entries, err := n.entries(ctx, uint8(f.Proto))
	if err != nil {
		return t, false, err
	}
	for _, e := range entries {
		if e.OrigSrc != o.Client || e.OrigDst != f.To {
			continue
		}
		t = world.Translation{Node: n.host.Name, Client: e.OrigSrc, Asked: e.OrigDst, Became: e.ReplySrc, SeenAs: e.ReplyDst}
		if r, is := n.proxy.(proxycore.Namer); is {
			t.Rule, _ = r.RuleFor(proxycore.Front{Addr: f.To.Addr(), Proto: f.Proto, Port: f.To.Port()}, e.ReplySrc)
		}
		return t, true, nil
	}
	return t, false, nil
}

func (n *node) entries(ctx context.Context, proto uint8) ([]conntrack.Entry, error) {
	if n.memory == nil {
		c, err := conntrack.New(n.ns.FD())
		if err != nil {
			return nil, err
		}
		n.memory = c
	}
	return n.memory.Entries(ctx, proto)
}

// Artifacts is what one wants to read after a failure: of every node its rules, connection tracking, routes and what its
// proxy says of itself. What cannot be had says so in its own place.
func (l *Lab) Artifacts(ctx context.Context) map[string]string {
	out := map[string]string{}
	for _, n := range l.nodes {
		put := func(name, text string, err error) {
			if err != nil {
				text += fmt.Sprintf("(%v)\n", err)
			}
			out["node-"+n.host.Name+"/"+name] = text
		}
		if d, ok := n.proxy.(interface {
			Dump(context.Context) (string, error)
		}); ok {
			text, err := d.Dump(ctx)
			put("proxy-dump.txt", text, err)
		}
		entries, err := n.entries(ctx, 0)
		var b strings.Builder
		for _, e := range entries {
			fmt.Fprintf(&b, "%3d %s > %s  reply %s > %s  status %#x id %d\n", e.Proto, e.OrigSrc, e.OrigDst, e.ReplySrc, e.ReplyDst, e.Status, e.ID)
		}
		put("conntrack.txt", b.String(), err)
		for name, command := range map[string][]string{
			"nftables.txt": {"nft", "-a", "list", "ruleset"},
			"routes4.txt":  {"ip", "-4", "route", "show", "table", "all"},
			"routes6.txt":  {"ip", "-6", "route", "show", "table", "all"},
			"links.txt":    {"ip", "-d", "addr"},
		} {
			text, err := n.ns.Run(exec.CommandContext(ctx, command[0], command[1:]...))
			put(name, string(text), err)
		}
		for name, path := range map[string]string{"snmp.txt": "/proc/net/snmp", "netstat.txt": "/proc/net/netstat"} {
			text, err := n.ns.ReadFile(path)
			put(name, string(text), err)
		}
	}
	return out
}
