package evidence

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"svclab/nsnet"
	"svclab/nsnet/capture"
	"svclab/nsnet/counters"
	"svclab/nsnet/nflog"
	"svclab/nsnet/nftrace"
	"svclab/nsnet/rules"
	"svclab/sim/lab"
	"svclab/sim/world"
)

// Collect sends one flow and returns the evidence of it. Everything that it arms it takes away again before it returns, also
// when it fails. The lab must be at rest but for this flow: another one to the same pods costs time, and room in the kernel's queues.
//
// An error means that the lab is broken. What this machine cannot tell is in Evidence.Missing.
func Collect(ctx context.Context, l *lab.Lab, f world.Flow) (*Evidence, error) {
	w := &watch{lab: l, began: time.Now()}
	e, err := w.collect(ctx, f)
	if err != nil {
		return nil, fmt.Errorf("collect evidence of %s: %w", f, errors.Join(err, w.disarm()))
	}
	return e, nil
}

// watch is everything that is armed.
type watch struct {
	lab   *lab.Lab
	began time.Time
	flow  world.Flow
	self  netip.AddrPort // the client

	sites   []*lab.Site
	capture *capture.Capture
	nodes   []*watched
	before  []counters.Counters // as sites
	e       *Evidence
}

// watched is a node.
type watched struct {
	site     *lab.Site
	reader   *nftrace.Reader
	observed bool
	log      *nflog.Log       // nil: its ip_tables has no rules, or cannot tell
	counted  map[string]int64 // of rules of ip_tables, where log could not be had
}

func (w *watch) collect(ctx context.Context, f world.Flow) (*Evidence, error) {
	w.e = &Evidence{}
	if err := w.arm(ctx, f); err != nil {
		return nil, err
	}
	w.e.Tally.Arm = time.Since(w.began)

	sent := time.Now()
	o, err := w.lab.Send(ctx, w.flow)
	if err != nil {
		return nil, err
	}
	w.e.Tally.Flow = time.Since(sent)
	quiet := time.Now()
	if err := w.quiet(ctx); err != nil {
		return nil, err
	}
	w.e.Tally.Quiet = time.Since(quiet)
	if !o.Client.IsValid() {
		o.Client = w.self
	}
	w.e.Flow = Flow{From: f.From.String(), Client: o.Client, To: f.To, Proto: f.Proto.String(), Via: f.Via}
	w.e.Seen = Seen{o.Outcome.String(), o.Server, o.Source, o.Peer, o.ICMPFrom, o.Leaked, o.Took}
	return w.e, w.conclude(ctx)
}

// arm starts the readers before what they read, and counts last.
func (w *watch) arm(ctx context.Context, f world.Flow) (err error) {
	if w.sites, err = w.lab.Sites(); err != nil {
		return err
	}
	if w.flow, w.self, err = w.lab.Claim(f); err != nil {
		return err
	}
	var all []*nsnet.NS
	var servers []netip.Addr
	for _, s := range w.sites {
		all = append(all, s.NS)
		if s.Host != nil && s.Host.Kind == world.Pod {
			servers = append(servers, s.Host.Addrs...)
		}
	}
	if w.capture, err = capture.Open(all...); err != nil {
		return err
	}
	for _, s := range w.sites {
		if s.Host != nil && s.Host.Kind == world.Node {
			n := &watched{site: s}
			w.nodes = append(w.nodes, n)
			if err := w.armNode(ctx, n, nftrace.Wanted{Proto: lab.ProtocolNumber(f), Client: w.self, Servers: servers}); err != nil {
				return err
			}
		}
	}
	for _, s := range w.sites {
		c, err := counters.Read(s.NS)
		if err != nil {
			return err
		}
		w.before = append(w.before, c)
	}
	return nil
}

func (w *watch) armNode(ctx context.Context, n *watched, wanted nftrace.Wanted) (err error) {
	if n.reader, err = nftrace.Read(n.site.NS); err != nil {
		return err
	}
	if family := w.legacy(n.site.NS); family != "" {
		if n.log, err = openLog(n.site.NS); err != nil {
			w.missing(n.site.Name, "which rules of ip_tables the packets met; the counters of its rules stand for them", err.Error())
			if n.counted, err = rules.Counted(ctx, n.site.NS, family); err != nil {
				return err
			}
		}
	}
	if !w.self.IsValid() {
		w.missing(n.site.Name, "a trace of the packets", fmt.Sprintf("%s has no address of the family of %s", w.flow.From, w.flow.To.Addr()))
		return nil
	}
	if err := nftrace.Observe(n.site.NS, wanted); err != nil {
		return err
	}
	n.observed = true
	return nil
}

// openLog is a variable so that a test can take it away.
var openLog = nflog.Open

// legacy is the family of the flow when the namespace has rules of the older ip_tables of that family, else empty.
func (w *watch) legacy(ns *nsnet.NS) (family string) {
	file := "/proc/net/ip_tables_names"
	family = "ip"
	if w.flow.To.Addr().Is6() {
		file, family = "/proc/net/ip6_tables_names", "ip6"
	}
	if names, err := ns.ReadFile(file); err != nil || len(names) == 0 {
		return ""
	}
	return family
}

func (w *watch) missing(site, what, why string) {
	m := Missing{site, what, why}
	if !slices.Contains(w.e.Missing, m) {
		w.e.Missing = append(w.e.Missing, m)
	}
}

const (
	silence  = 5 * time.Millisecond // a veth delivers within the sender's system call, or in the next soft interrupt
	patience = 500 * time.Millisecond
	step     = time.Millisecond
)

// quiet returns when no frame and no event has come for a while: what follows the client's answer is on its way to the end.
func (w *watch) quiet(ctx context.Context) error {
	last, since := -1, time.Now()
	for began := since; ; {
		frames, err := w.capture.Frames()
		if err != nil {
			return err
		}
		n := len(frames)
		for _, d := range w.nodes {
			n += d.reader.Count()
			if d.log != nil {
				n += d.log.Count()
			}
		}
		now := time.Now()
		switch {
		case n != last:
			last, since = n, now
		case now.Sub(since) >= silence:
			return nil
		case now.Sub(began) >= patience:
			w.missing("", "the end of the flow", fmt.Sprintf("packets still came after %v", patience))
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(step):
		}
	}
}

// conclude takes everything away, and puts together what was seen.
func (w *watch) conclude(ctx context.Context) error {
	disarm := time.Now()
	for i, s := range w.sites {
		c, err := counters.Read(s.NS)
		if err != nil {
			return err
		}
		w.moved(s, c.Since(w.before[i]))
	}
	frames, err := w.capture.Frames()
	if err != nil {
		return err
	}
	if n := w.capture.Lost(); n > 0 {
		w.missing("", "packets at some devices", fmt.Sprintf("%d frames were lost before they were read", n))
	}
	for _, n := range w.nodes {
		if n.counted != nil {
			if err := w.countedSince(ctx, n); err != nil {
				return err
			}
		}
	}
	if err := w.disarm(); err != nil {
		return err
	}
	w.e.Tally.Disarm = time.Since(disarm)
	ask := time.Now()
	if err := w.assemble(ctx, frames); err != nil {
		return err
	}
	w.e.Tally.Ask = time.Since(ask)
	return nil
}

// disarm leaves nothing behind. It may be called twice, and after half an arm. Each part waits for the kernel, so all do at once.
func (w *watch) disarm() error {
	var parts []func() error
	for _, n := range w.nodes {
		if n.observed {
			n.observed = false
			parts = append(parts, func() error { return nftrace.Unobserve(n.site.NS) })
		}
		if n.reader != nil {
			parts = append(parts, n.reader.Close)
		}
		if n.log != nil {
			parts = append(parts, n.log.Close)
		}
	}
	if w.capture != nil {
		parts = append(parts, w.capture.Close)
	}
	errs := make([]error, len(parts))
	var wait sync.WaitGroup
	for i, part := range parts {
		wait.Go(func() { errs[i] = part() })
	}
	wait.Wait()
	return errors.Join(errs...)
}
