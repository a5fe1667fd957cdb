package lab

import (
	"context"

	"svclab/proxycore"
	"svclab/proxycore/conntrack"
	"svclab/sim/world"
)

// translator is the node on which a flow is translated: the one whose address was called, the client's own, or the one an
// outside client enters by.
func (l *Lab) translator(f world.Flow) *node {
	for _, n := range l.nodes { // of a NodePort: the node whose address was called
		if n.host.Has(f.To.Addr()) {
			return n
		}
	}
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
