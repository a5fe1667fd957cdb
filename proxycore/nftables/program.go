package nftables

import (
	"context"
	"errors"
	"fmt"
	"time"

	"svclab/proxycore"
	"svclab/proxycore/cluster"
)

// Program puts a change in force. Its order:
//
//  1. what elements will need (prepare), in a transaction of its own;
//  2. the fronts, those that go first: both families in one transaction, or when it would be too large, in several,
//     cut between fronts, so that every front is as it was or as it shall be at every boundary;
//  3. chains that nobody needs any more, once no packet is under way to them (retire).
//
// A slot that gets another endpoint is deleted and added within one transaction, which flips at once.
func (b *Backend) Program(ctx context.Context, c proxycore.Change) error {
	if b.closed {
		return errClosed
	}
	err := b.program(ctx, c)
	b.known = err == nil
	return err
}

func (b *Backend) program(ctx context.Context, c proxycore.Change) error {
	if !c.Full && !b.known {
		return errors.New("the first Change, and the one after an error, must be Full")
	}
	if c.Full && len(c.Remove)+len(c.Replace) > 0 {
		return errors.New("a Full change has nothing but Add")
	}
	if c.Node != nil {
		if err := supportsNode(c.Node); err != nil {
			return err
		}
		b.node = *c.Node
	}
	for _, list := range [][]proxycore.Route{c.Add, c.Replace} {
		for i := range list {
			if err := supports(&list[i]); err != nil {
				return err
			}
		}
	}
	anew := false
	if c.Full {
		generation, err := b.sock.generation(ctx)
		if err != nil {
			return err
		}
		b.intact = generation - uint32(b.transactions.Load()) // what is read now, and mended, is as it should be
		if anew, err = b.adopt(ctx, c.Add); err != nil {
			return err
		}
	} else {
		b.refills = false
		b.tx.reset(b.sock.seq)
	}
	empty := !anew && b.sides[0].fresh && b.sides[1].fresh
	if empty {
		var n [2]int
		for i := range c.Add {
			n[familyIndex(c.Add[i].Addr)]++
		}
		for _, s := range b.sides {
			s.fronts = make(fronts, n[s.fam])
		}
	}
	if err := b.sort(c); err != nil {
		return err
	}
	if err := b.prepare(ctx, b.node, c.Add, c.Replace); err != nil {
		return err
	}
	if !anew { // a table made anew comes filled, or there would be a moment with an empty one
		if err := b.send(ctx); err != nil {
			return err
		}
	}
	if b.refills { // in one transaction with what fills it: see room
		for _, s := range b.sides {
			if !s.fresh {
				b.tx.flush(s, endpoints)
			}
		}
	}
	most := b.limit
	if empty && b.fault == nil {
		b.pipe, most = newPipeline(b), min(most, chunk)
	}
	for _, s := range b.sides {
		for set := range numSets {
			b.tx.expect(s.fam, set, s.coming[set], most)
		}
	}
	err := b.fronts(ctx, c)
	if b.pipe != nil {
		err = b.pipe.close(err)
		b.pipe = nil
	}
	if err != nil {
		return err
	}
	return b.retire(ctx)
}

// supportsNode says what this backend does not do for any Service.
func supportsNode(n *proxycore.NodeRules) error {
	if n.Localhost { // row NP-5: route_localnet and its dangers (NP-8) are left alone, as kube-proxy does in this mode
		return errors.New("backend nftables cannot do NodePorts at 127.0.0.1")
	}
	return n.Check()
}

// supports says what this backend cannot do, before anything is sent.
func supports(r *proxycore.Route) error {
	var what string
	switch {
	case !r.Addr.IsValid() || r.Addr.Is4In6() || r.Addr.Zone() != "":
		return fmt.Errorf("front %v: not an address", r.Front)
	case r.Proto != cluster.TCP && r.Proto != cluster.UDP && r.Proto != cluster.SCTP:
		what = r.Proto.String()
	case r.Affinity < 0 || r.Affinity%time.Second != 0 || r.Affinity > maxSeconds*time.Second:
		what = fmt.Sprintf("a sessionAffinity of %v", r.Affinity)
	case r.Kind == proxycore.ClusterIP && r.Masquerade == proxycore.MasqueradeNode:
		what = "a ClusterIP that masquerades this node alone"
	case r.Kind != proxycore.ClusterIP && r.Masquerade == proxycore.MasqueradeOutside:
		what = "a front that is no ClusterIP without masquerade"
	case len(r.Ranges) > maxRanges:
		what = fmt.Sprintf("more than %d source ranges", maxRanges)
	}
	for _, list := range poolsOf(r) {
		if len(list) > maxSlots {
			what = fmt.Sprintf("more than %d endpoints", maxSlots)
		}
	}
	if what != "" {
		return fmt.Errorf("front %v: backend nftables cannot do %s", r.Front, what)
	}
	for _, list := range poolsOf(r) {
		for _, e := range list {
			if !e.IsValid() || e.Addr().Is4() != r.Addr.Is4() {
				return fmt.Errorf("front %v: endpoint %v is not of its family", r.Front, e.AddrPort)
			}
		}
	}
	for _, p := range r.Ranges {
		if !p.IsValid() || p.Addr().Is4() != r.Addr.Is4() {
			return fmt.Errorf("front %v: source range %v is not of its family", r.Front, p)
		}
	}
	return nil
}

// maxRanges of a front: its old ones and its new must fit into one transaction of an unprivileged process.
const maxRanges = 1024

// sort compares the change with what is there; in a Full one it marks the fronts that go.
func (b *Backend) sort(c proxycore.Change) error {
	entry := func(f proxycore.Front) *entry { return b.sides[familyIndex(f.Addr)].fronts.at(f) }
	if !c.Full {
		for i := range c.Add {
			if entry(c.Add[i].Front) != nil {
				return fmt.Errorf("add front %v: it is there already", c.Add[i].Front)
			}
		}
		for i := range c.Replace {
			if entry(c.Replace[i].Front) == nil {
				return fmt.Errorf("replace front %v: it is not there", c.Replace[i].Front)
			}
		}
		for i := range c.Remove {
			if entry(c.Remove[i].Front) == nil {
				return fmt.Errorf("remove front %v: it is not there", c.Remove[i].Front)
			}
		}
		return nil
	}
	for i := range c.Add {
		if p := entry(c.Add[i].Front); p != nil {
			p.comes = true
		}
	}
	for _, s := range b.sides {
		for _, p := range s.fronts {
			p.goes, p.comes = !p.comes, false
		}
	}
	return nil
}

// fronts sends the elements. The elements that fronts share (cluster-ips, hairpin) come with the first front that needs
// them and go with the last one. What a Full change has found and nobody has asked for goes at the end.
func (b *Backend) fronts(ctx context.Context, c proxycore.Change) error {
	if c.Full {
		for _, s := range b.sides {
			for f, p := range s.fronts {
				if p.goes {
					if err := b.front(ctx, f.Front(), nil, true); err != nil {
						return err
					}
				}
			}
		}
	}
	for i := range c.Remove {
		if err := b.front(ctx, c.Remove[i].Front, nil, false); err != nil {
			return err
		}
	}
	for _, list := range [][]proxycore.Route{c.Replace, c.Add} {
		for i := range list {
			if err := b.front(ctx, list[i].Front, &list[i], c.Full); err != nil {
				return err
			}
		}
	}
	if err := b.sweep(ctx); err != nil {
		return err
	}
	return b.send(ctx)
}

func (b *Backend) sweep(ctx context.Context) error {
	for _, s := range b.sides {
		if err := b.sweepSet(ctx, s, clusterIPs, &s.clusterIPs); err != nil {
			return err
		}
		if err := b.sweepSet(ctx, s, hairpin, &s.hairpin); err != nil {
			return err
		}
	}
	return nil
}
