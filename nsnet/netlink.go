package nsnet

import (
	"os"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// netlinkPatience bounds every netlink request: an answer that never comes must not hang the lab.
const netlinkPatience = 10 * time.Second

// Netlink is the namespace's route netlink handle: links, addresses, routes, neighbours, rules. It is made at the first call,
// shared, and closed by Close.
//
// It has no other family, and vishvananda's handle opens missing ones *in the caller's namespace*: conntrack is for
// whoever opens its own socket, with FD.
func (n *NS) Netlink() (*netlink.Handle, error) {
	n.mu.RLock()
	h := n.handle
	n.mu.RUnlock()
	if h != nil {
		return h, nil
	}
	// Not NewHandleAt: it ignores the error of going back, and then unlocks the thread.
	err := n.Do(func() (err error) {
		if h, err = netlink.NewHandle(unix.NETLINK_ROUTE); err != nil {
			return err
		}
		return h.SetSocketTimeout(netlinkPatience)
	})
	if err == nil {
		h, err = n.keep(h)
	} else if h != nil {
		h.Close()
	}
	if err != nil {
		return nil, &Error{"open netlink in", n.name, err}
	}
	return h, nil
}

// keep stores the handle, unless another goroutine was faster or the namespace was closed meanwhile.
func (n *NS) keep(h *netlink.Handle) (*netlink.Handle, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.fd < 0:
		h.Close()
		return nil, os.ErrClosed
	case n.handle != nil:
		h.Close()
	default:
		n.handle = h
	}
	return n.handle, nil
}
