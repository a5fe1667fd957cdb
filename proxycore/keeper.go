package proxycore

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"svclab/proxycore/cluster"
)

// Keeper is a Proxy that may be used by several goroutines, and that looks after its rules: every period it asks whether
// somebody else has touched them (Guard), or where the backend cannot tell reads them, and when they are not as they should
// be it reconciles everything. So a foreign flush is healed within one period and one full sync (kube-proxy's iptables mode
// watches a canary chain for that; its nftables mode has nothing: row LIFE-3). Reading everything takes its time where there
// is much: then the period is so long that no more than a twentieth of the time goes into it.
type Keeper struct {
	mu     sync.Mutex // guards the proxy
	proxy  *Proxy
	cancel context.CancelFunc
	done   chan struct{}
}

// Keep starts to look after the proxy, which belongs to the Keeper from now on.
func Keep(p *Proxy, period time.Duration) *Keeper {
	ctx, cancel := context.WithCancel(context.Background())
	k := &Keeper{proxy: p, cancel: cancel, done: make(chan struct{})}
	go func() {
		defer close(k.done)
		for wait := period; ; {
			select {
			case <-ctx.Done():
				return
			case <-time.After(wait):
				k.mu.Lock()
				began := time.Now()
				_ = k.proxy.Heal(ctx) // what fails now is tried again after the period, and found by the next Apply
				wait = max(period, 20*time.Since(began))
				k.mu.Unlock()
			}
		}
	}()
	return k
}

// Apply is the proxy's.
func (k *Keeper) Apply(ctx context.Context, s *cluster.Snapshot) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proxy.Apply(ctx, s)
}

// Barrier is the proxy's.
func (k *Keeper) Barrier(ctx context.Context) error { return k.proxy.Barrier(ctx) }

// Dump is the proxy's.
func (k *Keeper) Dump(ctx context.Context) (string, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proxy.Dump(ctx)
}

// Check is the proxy's.
func (k *Keeper) Check(ctx context.Context) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proxy.Check(ctx)
}

// RuleFor is the proxy's.
func (k *Keeper) RuleFor(f Front, to netip.AddrPort) (string, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proxy.RuleFor(f, to)
}

// Abandon stops looking after the rules and leaves them in force, as kill -9 would. The Keeper is of no use afterwards
// but to be closed.
func (k *Keeper) Abandon() {
	k.cancel()
	<-k.done
	k.mu.Lock()
	defer k.mu.Unlock()
	k.proxy.Abandon()
}

// Close stops and removes the rules. It may be called twice.
func (k *Keeper) Close() error {
	k.cancel()
	<-k.done
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.proxy.Close()
}
