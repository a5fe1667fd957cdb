package nsnet

import (
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// Rest closes what is open of the namespace until it is asked for again: thousands of pods that have been built only serve, and
// files are not without number. anchor is a socket of the namespace, which holds it meanwhile and by which it is found again;
// nil keeps the namespace's own descriptor. Nobody may be using a handle of Netlink.
//
// When the anchor is closed before the namespace is used again, the namespace is gone.
func (n *NS) Rest(anchor syscall.RawConn) {
	n.route.Lock()
	defer n.route.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.rest()
	if anchor != nil && n.fd >= 0 {
		unix.Close(n.fd)
		n.fd, n.anchor = -1, anchor
	}
}

// rest closes netlink; it wants both locks.
func (n *NS) rest() {
	n.closeRoute()
	if n.handle != nil {
		n.handle.Close()
		n.handle = nil
	}
}

// wake makes sure that the namespace has its descriptor.
func (n *NS) wake() error {
	n.mu.RLock()
	awake := n.fd >= 0
	n.mu.RUnlock()
	if awake {
		return nil
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.fd >= 0:
		return nil
	case n.anchor == nil:
		return os.ErrClosed
	}
	fd := -1
	var err error
	if gone := n.anchor.Control(func(socket uintptr) { fd, err = unix.IoctlRetInt(int(socket), unix.SIOCGSKNS) }); gone != nil {
		err = gone
	}
	if err != nil {
		return err
	}
	n.fd, n.anchor = fd, nil
	return nil
}

// isOpen is false once the namespace is closed.
func (n *NS) isOpen() bool {
	n.mu.RLock()
	defer n.mu.RUnlock()
	return n.fd >= 0 || n.anchor != nil
}
