package nftrace

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// readBuffer is room for some 9,000 events. An unprivileged process may get no more than net.core.rmem_max, which can be as
// little as 230 of them: that is why a goroutine reads all the time.
const readBuffer = 8 << 20

// Reader collects the events of one network namespace. Its methods may be called from any goroutine.
type Reader struct {
	conn *netlink.Conn
	done chan struct{}

	mu     sync.Mutex
	events []Event
	lost   bool
	closed bool // what Receive says after that is about Close
	err    error
}

// Read starts to collect. The descriptor of the namespace is not needed afterwards.
func Read(ns *nsnet.NS) (*Reader, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: ns.FD()})
	if err != nil {
		return nil, fmt.Errorf("trace in namespace %s: %w", ns.Name(), err)
	}
	_ = conn.SetReadBuffer(readBuffer) // as much as there is; a loss is noticed
	if err := conn.JoinGroup(unix.NFNLGRP_NFTRACE); err != nil {
		return nil, errors.Join(fmt.Errorf("trace in namespace %s: %w", ns.Name(), err), conn.Close())
	}
	r := &Reader{conn: conn, done: make(chan struct{})}
	go r.read()
	return r, nil
}

func (r *Reader) read() {
	defer close(r.done)
	for {
		list, err := r.conn.Receive()
		r.mu.Lock()
		for _, m := range list {
			if m.Header.Type != unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_TRACE {
				continue
			}
			e, err := parse(m.Data)
			if err != nil {
				r.err = fmt.Errorf("read a trace message: %w", err)
				continue
			}
			r.events = append(r.events, e)
		}
		switch {
		case errors.Is(err, unix.ENOBUFS):
			r.lost, err = true, nil
		case err != nil && !r.closed:
			r.err = err
		}
		r.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Events is all there was so far, in the kernel's order. lost: some were not read in time, so what is missing proves nothing.
func (r *Reader) Events() (events []Event, lost bool, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events), r.lost, r.err
}

// Count is the number of events so far.
func (r *Reader) Count() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.events)
}

// Close ends the reader and waits for it. It may be called twice.
func (r *Reader) Close() error {
	r.mu.Lock()
	again := r.closed
	r.closed = true
	r.mu.Unlock()
	if again {
		return nil
	}
	err := r.conn.Close()
	<-r.done
	return err
}
