// Package foreign runs a Service proxy that is a program of its own, unmodified, as the proxy of one node: a process in the
// node's namespaces, its configuration written for it, fed by an API server that only it has. A Profile says how: there are
// those of kube-proxy, and one that is read from a file for any other.
//
// Such a proxy settles in its own time. Where it tells by its metrics when a state is in force, it has a Barrier.
package foreign

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"svclab/proxycore/cluster"
)

// Feed is the API server of one proxy.
type Feed interface {
	// Set makes the state the cluster's.
	Set(s *cluster.Snapshot)
	// Handed says how many objects of a resource a client program has been handed, and whether that is all there is.
	Handed(agent, resource string) (objects uint64, all bool)
	Close() error
}

// Options say where to run a proxy, and with what.
type Options struct {
	Profile Profile                  // required
	Node    Node                     // required: what the profile's templates may say
	Feed    Feed                     // required; Close closes it
	Start   func(*exec.Cmd) error    // required: starts a command in the node's network namespace (nsnet.NS.Start)
	Do      func(func() error) error // required: runs a function there (nsnet.NS.Do), to reach the proxy's own ports
	Scratch string                   // required: a folder for a folder of its own
}

// Proxy is a foreign proxy on one node. Apply and its like are used by one goroutine at a time; Alive, PID and Metrics by any.
type Proxy struct {
	options Options
	dir     string
	process atomic.Pointer[process] // nil before the first Apply
	metrics *gauge
	closed  bool

	mu      sync.Mutex // guards what Artifacts reads
	changes []time.Time
	scraped string
}

// New prepares a proxy; it is started by the first Apply, so that the first state is what it finds.
func New(o Options) (*Proxy, error) {
	dir, err := os.MkdirTemp(o.Scratch, "proxy-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for %s: %w", o.Profile.Name, err)
	}
	p := &Proxy{options: o, dir: dir}
	p.options.Node.Dir = dir
	p.metrics = newGauge(p.dial)
	p.metrics.between = o.Profile.Between
	return p, nil
}

// Apply hands the state to the proxy and does not wait: Barrier does, where there is one.
func (p *Proxy) Apply(ctx context.Context, s *cluster.Snapshot) error {
	if err := p.Alive(); err != nil {
		return err
	}
	p.mu.Lock()
	p.changes = append(p.changes, time.Now())
	p.mu.Unlock()
	p.options.Feed.Set(s)
	if p.process.Load() != nil {
		return nil
	}
	return p.start(ctx, s)
}

func (p *Proxy) start(ctx context.Context, s *cluster.Snapshot) error {
	if err := p.ports(); err != nil {
		return err
	}
	if c := p.options.Profile.Crowded; c != nil && rules(s) > c.Rules {
		p.options.Profile.Links = c.Links
	}
	plan, err := p.options.Profile.render(p.options.Node)
	if err != nil {
		return fmt.Errorf("profile %s: %w", p.options.Profile.Name, err)
	}
	for name, text := range plan.files {
		if err := os.WriteFile(filepath.Join(p.dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write %s for %s: %w", name, p.options.Profile.Name, err)
		}
	}
	for from, to := range plan.links {
		bin := filepath.Join(p.dir, "bin")
		if err := errors.Join(os.MkdirAll(bin, 0o700), os.Symlink(to, filepath.Join(bin, from))); err != nil {
			return fmt.Errorf("link %s for %s: %w", from, p.options.Profile.Name, err)
		}
	}
	cmd := p.command(plan.command, plan)
	run, err := launch(cmd, p.options.Start)
	if err != nil {
		return fmt.Errorf("start %s on node %s: %w", p.options.Profile.Name, p.options.Node.Name, err)
	}
	p.process.Store(run)
	return p.ready(ctx, plan.ready)
}

// command is to run in the proxy's folder, with its environment and what it is to find in PATH first.
func (p *Proxy) command(words []string, plan plan) *exec.Cmd {
	cmd := exec.Command(words[0], words[1:]...)
	cmd.Dir, cmd.Env = p.dir, append(os.Environ(), plan.env...)
	if len(plan.links) > 0 {
		cmd.Env = append(cmd.Env, "PATH="+filepath.Join(p.dir, "bin")+string(os.PathListSeparator)+os.Getenv("PATH"))
	}
	return cmd
}

// ready waits until the profile's address answers with success.
func (p *Proxy) ready(ctx context.Context, url string) error {
	if url == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		if err := p.Alive(); err != nil {
			return err
		}
		if _, err := p.metrics.get(ctx, url); err == nil {
			return nil
		}
		if err := pause(ctx); err != nil {
			return fmt.Errorf("%s on node %s is not ready after %s; it said last:\n%s", p.options.Profile.Name, p.options.Node.Name, patience, p.process.Load().log.last(lastLines))
		}
	}
}

const (
	patience = 30 * time.Second // how long a proxy may take to start, or to put a state in force
	poll     = 10 * time.Millisecond
)

func pause(ctx context.Context) error {
	select {
	case <-time.After(poll):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ports finds free ports of the node for what the proxy serves itself.
func (p *Proxy) ports() error {
	return p.options.Do(func() error {
		for _, to := range []*netip.AddrPort{&p.options.Node.Metrics, &p.options.Node.Healthz} {
			l, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				return fmt.Errorf("find a free port on node %s: %w", p.options.Node.Name, err)
			}
			defer l.Close() // after both are found, so that they differ
			*to = l.Addr().(*net.TCPAddr).AddrPort()
		}
		return nil
	})
}

// dial connects to the node's own address; on loopback that is decided at once.
func (p *Proxy) dial(ctx context.Context, network, address string) (c net.Conn, err error) {
	err = p.options.Do(func() error {
		c, err = (&net.Dialer{}).DialContext(ctx, network, address)
		return err
	})
	return c, err
}

// API is the URL of the API server that the proxy is fed by; it answers in the node's network namespace.
func (p *Proxy) API() string { return p.options.Node.API }

// Alive is nil unless the proxy has ended by itself.
func (p *Proxy) Alive() error {
	if p.process.Load() == nil {
		return nil
	}
	if err := p.process.Load().alive(); err != nil {
		return fmt.Errorf("node %s: %w", p.options.Node.Name, err)
	}
	return nil
}

// Check is Alive: what the proxy has programmed is its own affair, and judged by packets.
func (p *Proxy) Check(context.Context) error { return p.Alive() }

// HasBarrier reports whether Barrier can tell.
func (p *Proxy) HasBarrier() bool { return p.options.Profile.Barrier != "" }

// PID is the number of the process that runs; 0 before the first Apply.
func (p *Proxy) PID() int {
	if p.process.Load() == nil {
		return 0
	}
	return p.process.Load().cmd.Process.Pid
}

// Metrics is the text that the proxy answers at {{.Metrics}}, as of now.
func (p *Proxy) Metrics(ctx context.Context) (string, error) {
	return p.metrics.get(ctx, "http://"+p.options.Node.Metrics.String()+"/metrics")
}

// Barrier returns when the last state is in force, as far as the proxy's metrics tell.
func (p *Proxy) Barrier(ctx context.Context) error {
	if !p.HasBarrier() || p.process.Load() == nil {
		return fmt.Errorf("%s cannot tell when a state is in force", p.options.Profile.Name)
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	settled := p.settled
	if p.options.Profile.Barrier == BarrierFeed {
		settled = p.fed
	}
	for {
		if err := p.Alive(); err != nil {
			return err
		}
		what := settled(ctx)
		if what == "" {
			return nil
		}
		if ctx.Err() != nil {
			return fmt.Errorf("%s on node %s has not put the state in force within %s (%s); it said last:\n%s",
				p.options.Profile.Name, p.options.Node.Name, patience, what, p.process.Load().log.last(lastLines))
		}
		_ = pause(ctx)
	}
}

// settled says by kube-proxy's metrics what is missing until the last state is in force; empty: nothing.
func (p *Proxy) settled(ctx context.Context) string {
	services, all := p.options.Feed.Handed(p.options.Profile.agent(), "services")
	slices, allSlices := p.options.Feed.Handed(p.options.Profile.agent(), "endpointslices")
	text, err := p.Metrics(ctx)
	if err == nil {
		p.remember(text)
		err = p.metrics.read(text)
	}
	if err == nil && all && allSlices && p.metrics.settled(services, slices) {
		return ""
	}
	if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		err = nil // our own patience
	}
	return p.metrics.what(services, slices, all && allSlices, err)
}

func (p *Proxy) remember(text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.scraped = text
}

// Signal sends a signal to the proxy and all that it has started: SIGSTOP and SIGCONT hold it up, SIGKILL ends it, which is
// then found by Alive.
func (p *Proxy) Signal(s syscall.Signal) error {
	if p.process.Load() == nil {
		return fmt.Errorf("%s on node %s does not run yet", p.options.Profile.Name, p.options.Node.Name)
	}
	return p.process.Load().signal(s)
}

// Abandon ends the proxy as kill -9 would, and leaves its rules.
func (p *Proxy) Abandon() {
	if p.process.Load() != nil {
		_ = p.process.Load().end()
	}
	_ = p.options.Feed.Close()
}

// Artifacts are the proxy's log, its last metrics, and when each state was handed to it.
func (p *Proxy) Artifacts() map[string]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[string]string{"changes.txt": ""}
	for i, at := range p.changes {
		out["changes.txt"] += fmt.Sprintf("%d %s\n", i+1, at.Format("15:04:05.000000"))
	}
	if p.process.Load() != nil {
		out["proxy.log"] = p.process.Load().log.String()
	}
	if p.scraped != "" {
		out["metrics.txt"] = p.scraped
	}
	return out
}

// Close ends the proxy, undoes what its profile says how to undo, and removes its files. It may be called twice.
func (p *Proxy) Close() error {
	if p.closed {
		return nil
	}
	p.closed = true
	p.Abandon()
	var err error
	if clean := p.options.Profile.Cleanup; len(clean) > 0 && p.process.Load() != nil {
		var plan plan
		if plan, err = p.options.Profile.render(p.options.Node); err == nil {
			err = p.cleanup(plan)
		}
	}
	if e := os.RemoveAll(p.dir); err == nil {
		err = e
	}
	return err
}

func (p *Proxy) cleanup(plan plan) error {
	cmd := p.command(plan.cleanup, plan)
	run, err := launch(cmd, p.options.Start)
	if err != nil {
		return fmt.Errorf("clean up after %s: %w", p.options.Profile.Name, err)
	}
	select {
	case <-run.done:
	case <-time.After(patience):
		_ = run.end()
	}
	if run.err != nil {
		return fmt.Errorf("clean up after %s: %s: %w:\n%s", p.options.Profile.Name, strings.Join(plan.cleanup, " "), run.err, run.log.last(lastLines))
	}
	return nil
}
