package nftables

import (
	"context"
	"sync/atomic"
)

// chunk is how many bytes of elements a pipelined transaction gets: so few that its buffers stay in the processor's cache, so
// many that the kernel's work for a transaction as a whole does not count. From 100 KB to 1 MB it makes no difference.
const chunk = 192 << 10

// pipeline lets the kernel put one transaction in force while the next is encoded. It is for a first sync alone: nothing
// was served before, so it does not matter how the fronts are spread over transactions, each of which brings whole fronts.
// A node that serves already gets as few transactions as can be.
type pipeline struct {
	b       *Backend
	work    chan *transaction // nil until the first
	free    chan *transaction
	done    chan error
	stopped atomic.Bool // one was not taken, and none will be after it
}

func newPipeline(b *Backend) *pipeline { return &pipeline{b: b} }

// pass hands the composed transaction over and begins the next.
func (p *pipeline) pass(ctx context.Context) error {
	if p.work == nil {
		const ahead = 2 // that may wait while one is with the kernel
		p.work, p.free, p.done = make(chan *transaction, ahead), make(chan *transaction, ahead), make(chan error, 1)
		for range ahead {
			p.free <- &transaction{table: p.b.table}
		}
		go p.run(ctx)
	}
	p.work <- p.b.tx
	p.b.tx = <-p.free
	p.b.tx.reset(p.b.sock.seq)
	if p.stopped.Load() {
		return errStopped
	}
	return nil
}

// run commits what is handed over, in order, until one fails; it reports the first error.
func (p *pipeline) run(ctx context.Context) {
	var err error
	for t := range p.work {
		if err == nil {
			if err = p.b.commit(ctx, t); err != nil {
				p.stopped.Store(true)
			}
		}
		p.free <- t
	}
	p.done <- err
}

// close waits until all that was handed over is in force. It is given why no more came, nil if that was all.
func (p *pipeline) close(err error) error {
	if p.work == nil {
		return err
	}
	close(p.work)
	if failed := <-p.done; failed != nil {
		return failed
	}
	return err
}
