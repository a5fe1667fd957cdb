package nsnet

import (
	"errors"
	"os"
	"sync"
	"syscall"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NS is a network namespace held by a file descriptor. Its methods may be called from any goroutine.
type NS struct {
	name string

	mu     sync.RWMutex    // guards all below: a closed descriptor's number may already be another file
	fd     int             // -1 at rest and once closed
	anchor syscall.RawConn // what holds the namespace at rest; else nil
	handle *netlink.Handle

	route routeSocket // locked before mu
}

// New makes a fresh namespace with the loopback device up. The name is for messages only.
func New(name string) (*NS, error) {
	return NewWith(name, func(*NS) error { return nil })
}

// NewWith is New and calls furnish inside the namespace while the thread is there anyway: every Do of it within costs nothing.
// What holds for the function given to Do holds for furnish. When that fails the namespace is closed, and its error returned.
func NewWith(name string, furnish func(*NS) error) (*NS, error) {
	n := &NS{name: name, fd: -1}
	enter := func() error { return unix.Unshare(unix.CLONE_NEWNET) }
	err := visit(n, "make", enter, func() error {
		if err := loopbackUp(); err != nil {
			return &Error{"make", name, err}
		}
		fd, err := openOwn()
		if err != nil {
			return &Error{"make", name, err}
		}
		n.fd = fd
		return furnish(n)
	})
	if err != nil {
		return nil, errors.Join(err, n.Close())
	}
	return n, nil
}

// Current is the namespace in which the caller runs: the process's own, unless it is called inside Do.
func Current() (*NS, error) {
	fd, err := openOwn()
	if err != nil {
		return nil, &Error{"open", "current", err}
	}
	return &NS{name: "current", fd: fd}, nil
}

// Name is the name given to New.
func (n *NS) Name() string { return n.name }

// FD is the descriptor of the namespace, for netlink sockets that take one; -1 after Close. It stays the NS's own.
func (n *NS) FD() int {
	_ = n.wake()
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.fd
}

// Close lets go of the namespace; the kernel removes it when its last socket is closed too. It may be called twice.
func (n *NS) Close() error {
	n.route.Lock()
	defer n.route.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rest()
	n.anchor = nil
	if n.fd < 0 {
		return nil
	}
	err := unix.Close(n.fd)
	n.fd = -1
	if err != nil {
		return &Error{"close", n.name, err}
	}
	return nil
}

// enter moves the calling thread, which must be locked.
func (n *NS) enter() error {
	if err := n.wake(); err != nil {
		return err
	}
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.fd < 0 {
		return os.ErrClosed
	}
	return unix.Setns(n.fd, unix.CLONE_NEWNET)
}

// openOwn opens the namespace of the calling thread. Not /proc/self: the main thread may be on a visit elsewhere.
func openOwn() (int, error) {
	return unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
}
