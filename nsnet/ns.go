package nsnet

import (
	"os"
	"sync"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// NS is a network namespace held by a file descriptor. Its methods may be called from any goroutine.
type NS struct {
	name string

	mu     sync.RWMutex // guards fd and handle: a closed descriptor's number may already be another file
	fd     int          // -1 once closed
	handle *netlink.Handle
}

// New makes a fresh namespace with the loopback device up. The name is for messages only.
func New(name string) (*NS, error) {
	fd := -1
	enter := func() error { return unix.Unshare(unix.CLONE_NEWNET) }
	err := visit(name, "make", enter, func() (err error) {
		if err := loopbackUp(); err != nil {
			return &Error{"make", name, err}
		}
		if fd, err = openOwn(); err != nil {
			return &Error{"make", name, err}
		}
		return nil
	})
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return nil, err
	}
	return &NS{name: name, fd: fd}, nil
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
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.fd
}

// Close lets go of the namespace; the kernel removes it when its last socket is closed too. It may be called twice.
func (n *NS) Close() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.fd < 0 {
		return nil
	}
	if n.handle != nil {
		n.handle.Close()
		n.handle = nil
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
