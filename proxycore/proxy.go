// Package proxycore is the DNAT proxy core: it merges slices, judges readiness, settles conflicts, and turns a Snapshot
// of the cluster into what one node must do (Compile, CompileNode: pure), and keeps a Backend programmed with it
// (Proxy). Its backends are packages below it; conntrack clean-up is a collaborator of Proxy, not of a backend.
package proxycore

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"svclab/proxycore/cluster"
)

// Proxy keeps one node's backend programmed. It is used by one goroutine at a time.
type Proxy struct {
	cfg     Config
	backend Backend
	cleaner Cleaner // nil: nobody looks after connection tracking

	last  *cluster.Snapshot // the state that routes were compiled from
	rules NodeRules
	view  NodeView
	compiler
	fronts *arbiter
	dirty  bool           // the kernel may not hold what fronts says: the next Program is Full
	stale  map[Front]bool // UDP fronts whose entries must be looked at; kept until a Clean has succeeded (k8s #112604)
	watch  *watched
}

// New makes a proxy that will reconcile the kernel fully at the first Apply. It owns backend, cleaner and observers from
// now on; cleaner may be nil.
func New(cfg Config, backend Backend, cleaner Cleaner, observers ...Observer) *Proxy {
	return &Proxy{cfg: cfg, backend: backend, cleaner: cleaner, fronts: newArbiter(), dirty: true, stale: map[Front]bool{}, watch: newWatched(observers)}
}

// Apply makes the node forward as the state says. It takes the whole desired state; what changed is computed inside, at
// a cost of O(changes · log N). When it returns nil every new flow follows the state, and no UDP flow is held on an
// endpoint that is gone. After an error the next Apply reconciles everything, also with an unchanged state.
func (p *Proxy) Apply(ctx context.Context, s *cluster.Snapshot) error {
	rules, view := CompileNode(s.Node(p.cfg.Node), s.ServiceCIDRs(), p.cfg)
	changes, before := cluster.Changes(p.last, s, !view.Equal(p.view)), map[FrontKey]*Route{}
	p.watch.queued(s.Node(p.cfg.Node), changes)
	if p.last == nil {
		before = nil // nothing was there
		p.fronts.expect(s.Len())
	}
	for i := range changes {
		c := &changes[i]
		var created time.Time
		if c.Now != nil {
			created = c.Now.Object.CreationTimestamp.Time
		}
		routes := p.compile(c.Now, c.NowSlices, view)
		p.fronts.set(c.Key, created, routes, before)
		p.watch.set(c.Key, c.Now, c.NowSlices, routes, view)
	}
	change := p.fronts.change(before)
	if !rules.Equal(p.rules) {
		change.Node = &rules
	}
	p.last, p.rules, p.view = s, rules, view
	p.suspect(change)

	if p.dirty {
		change = Change{Full: true, Node: &rules, Add: p.fronts.all()}
		p.suspect(change)
	}
	if change.Full || change.Node != nil || len(change.Remove)+len(change.Add)+len(change.Replace) > 0 {
		if err := p.backend.Program(ctx, change); err != nil {
			p.dirty = true
			p.watch.synced(change.Full, err)
			return fmt.Errorf("program node %s: %w", p.cfg.Node, err)
		}
		p.dirty = false
	}
	p.watch.synced(change.Full, nil)
	return p.clean(ctx)
}

// suspect marks the UDP fronts whose connection-tracking entries may now be wrong.
func (p *Proxy) suspect(c Change) {
	for _, list := range [][]Route{c.Remove, c.Add, c.Replace} {
		for i := range list {
			if list[i].Proto == cluster.UDP {
				p.stale[list[i].Front] = true
			}
		}
	}
}

// clean runs after the rules are in force, never before (kubernetes/kubernetes #104151): a packet in between would make
// the old entry anew.
func (p *Proxy) clean(ctx context.Context) error {
	if len(p.stale) == 0 {
		return nil
	}
	if p.cleaner != nil {
		keep := make(map[Front][]netip.AddrPort, len(p.stale))
		for f := range p.stale {
			keep[f] = nil
			if r := p.fronts.winner(f); r != nil {
				keep[f] = r.Serving
			}
		}
		began, already := time.Now(), deletedBy(p.cleaner)
		err := p.cleaner.Clean(ctx, keep)
		p.watch.cleaned(Cleaned{Took: time.Since(began), Deleted: deletedBy(p.cleaner) - already, Err: err})
		if err != nil {
			return fmt.Errorf("clean connection tracking of node %s: %w", p.cfg.Node, err)
		}
	}
	clear(p.stale)
	return nil
}

// Heal reads the kernel, and reconciles everything when it does not hold what it should. Before the first Apply there is
// nothing to hold.
func (p *Proxy) Heal(ctx context.Context) error {
	if p.last == nil {
		return nil
	}
	if !p.dirty {
		if g, ok := p.backend.(Guard); ok {
			if touched, err := g.Touched(ctx); err == nil && !touched {
				return nil
			}
		}
		if p.backend.Check(ctx) == nil {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err() // nothing was found out
		}
		p.dirty = true
	}
	return p.Apply(ctx, p.last)
}

// Barrier returns nil at once: Apply does not return before its state is in force.
func (p *Proxy) Barrier(context.Context) error { return nil }

// Dump is the backend's.
func (p *Proxy) Dump(ctx context.Context) (string, error) { return p.backend.Dump(ctx) }

// Check is the backend's.
func (p *Proxy) Check(ctx context.Context) error { return p.backend.Check(ctx) }

// RuleFor is the backend's word for the rule that sends a flow to that endpoint, where the backend has one.
func (p *Proxy) RuleFor(f Front, to netip.AddrPort) (string, bool) {
	if n, ok := p.backend.(Namer); ok {
		return n.RuleFor(f, to)
	}
	return "", false
}

// Abandon stops what observers serve and leaves the rules in force, as kill -9 would. The proxy is of no use afterwards but
// to be closed.
func (p *Proxy) Abandon() {
	for _, o := range p.watch.observers {
		_ = o.Close() // nobody is left to be told
	}
}

// Close removes what the backend wrote, after nobody answers load balancers any more. It may be called twice.
func (p *Proxy) Close() error {
	var errs []error
	for _, o := range p.watch.observers {
		errs = append(errs, o.Close())
	}
	errs = append(errs, p.backend.Close())
	if p.cleaner != nil {
		errs = append(errs, p.cleaner.Close())
	}
	return errors.Join(errs...)
}
