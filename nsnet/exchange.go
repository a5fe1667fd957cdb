package nsnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// routeSocket is a bare route netlink socket. Sending and reading the answers is one turn.
type routeSocket struct {
	sync.Mutex
	open     bool
	fd       int
	sequence uint32
}

// RequestError is the error of one message of an Exchange.
type RequestError struct {
	Index int   // of the message
	Err   error // the kernel's
}

func (e *RequestError) Error() string { return fmt.Sprintf("netlink message %d: %v", e.Index, e.Err) }

func (e *RequestError) Unwrap() error { return e.Err }

// Exchange gives route netlink messages to the kernel in one piece, and returns when it has done them all, in their order: two
// system calls, however many they are. The messages are whole and aligned, with NLM_F_REQUEST set; sequence numbers and
// acknowledgements are Exchange's own affair. answer, which is optional, hears what the kernel answers to the message with
// that index: type and content, valid during the call only.
//
// The error is a *RequestError for the first message that failed. Those behind it were tried all the same.
//
// The socket is made at the first call, and closed by Rest and by Close.
func (n *NS) Exchange(messages []byte, answer func(index int, kind uint16, content []byte)) error {
	n.route.Lock()
	defer n.route.Unlock()
	if err := n.openRoute(); err != nil {
		return err
	}
	s := &n.route
	counted.exchanges.Add(1)
	first := s.sequence + 1
	if err := s.number(messages); err != nil {
		return err
	}
	if err := unix.Sendto(s.fd, messages, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		n.closeRoute()
		return fmt.Errorf("send to route netlink of namespace %s: %w", n.name, err)
	}
	buf := netlinkBuffers.Get().(*[]byte)
	defer netlinkBuffers.Put(buf)
	var failed error
	for {
		size, err := receive(s.fd, *buf)
		if err != nil {
			n.closeRoute() // or the next turn would read this one's answers
			return fmt.Errorf("read from route netlink of namespace %s: %w", n.name, err)
		}
		last, err := s.read((*buf)[:size], first, answer)
		if err != nil && failed == nil {
			failed = err
		}
		if last {
			return failed
		}
	}
}

// openRoute makes the socket. Waiting on it blocks its thread: the kernel has done everything before send returns.
func (n *NS) openRoute() error {
	if n.route.open {
		if !n.isOpen() {
			return &Error{"enter", n.name, os.ErrClosed}
		}
		return nil
	}
	err := n.Do(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
		if err != nil {
			return err
		}
		timeout := unix.NsecToTimeval(netlinkPatience.Nanoseconds())
		if err := errors.Join(
			unix.SetsockoptTimeval(fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &timeout),
			unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1), // errors need not quote the message
		); err != nil {
			unix.Close(fd)
			return err
		}
		n.route.fd, n.route.open = fd, true
		return nil
	})
	if err != nil {
		return &Error{"open netlink in", n.name, err}
	}
	return nil
}

func (n *NS) closeRoute() {
	if n.route.open {
		unix.Close(n.route.fd)
		n.route.open = false
	}
}

var errMessage = errors.New("a netlink message that is cut off")

// number gives each message its sequence number, and asks for the acknowledgement of the last: errors come without asking.
func (s *routeSocket) number(messages []byte) error {
	for b := messages; ; {
		if len(b) < unix.NLMSG_HDRLEN {
			return errMessage
		}
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) || size%unix.NLMSG_ALIGNTO != 0 {
			return errMessage
		}
		s.sequence++
		counted.messages.Add(1)
		flags := binary.NativeEndian.Uint16(b[6:]) &^ unix.NLM_F_ACK
		if size == len(b) {
			flags |= unix.NLM_F_ACK
		}
		binary.NativeEndian.PutUint16(b[6:], flags)
		binary.NativeEndian.PutUint32(b[8:], s.sequence)
		if b = b[size:]; len(b) == 0 {
			return nil
		}
	}
}

// read takes a datagram of the kernel apart. last: the last message was acknowledged, or failed.
func (s *routeSocket) read(b []byte, first uint32, answer func(int, uint16, []byte)) (last bool, failed error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		size := int(binary.NativeEndian.Uint32(b))
		if size < unix.NLMSG_HDRLEN || size > len(b) {
			return true, errMessage
		}
		kind, sequence, content := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:]), b[unix.NLMSG_HDRLEN:size]
		b = b[min(len(b), (size+3)&^3):]
		index := int(sequence - first)
		if sequence < first || sequence > s.sequence {
			continue // not ours
		}
		if kind != unix.NLMSG_ERROR {
			if answer != nil {
				answer(index, kind, content)
			}
			continue
		}
		if len(content) < 4 {
			return true, errMessage
		}
		if errno := -int32(binary.NativeEndian.Uint32(content)); errno != 0 && failed == nil {
			failed = &RequestError{index, unix.Errno(errno)}
		}
		last = last || sequence == s.sequence
	}
	return last, failed
}

// netlinkBuffers are larger than anything that the kernel sends at once.
var netlinkBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

func receive(fd int, b []byte) (int, error) {
	for {
		n, _, err := unix.Recvfrom(fd, b, 0)
		switch {
		case err == unix.EINTR:
			continue
		case err == nil && n == 0:
			return 0, io.ErrUnexpectedEOF
		}
		return n, err
	}
}
