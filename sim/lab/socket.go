package lab

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// socket is a client's socket: made in the client's namespace, non-blocking, waited for by the runtime's poller. It is
// connected, so that it hears ICMP errors, and asks for the error queue: that tells type, code and who sent them, and
// without it an IPv6 connect hears of a rejection only after a second.
type socket struct {
	file  *os.File
	raw   syscall.RawConn
	proto cluster.Proto
	local netip.AddrPort
	peer  netip.AddrPort
}

// icmp is an ICMP error from the error queue.
type icmp struct {
	from       netip.Addr
	kind, code uint8
}

// portUnreachable is what REJECT sends: ICMP type 3 code 3, ICMPv6 type 1 code 4.
func (i icmp) portUnreachable(is6 bool) bool {
	if is6 {
		return i.kind == 1 && i.code == 4
	}
	return i.kind == 3 && i.code == 3
}

func (l *Lab) newSocket(p *place, f world.Flow) (*socket, error) {
	from := p.host.AddrOf(f.To.Addr())
	typ := unix.SOCK_STREAM
	if f.Proto == cluster.UDP {
		typ = unix.SOCK_DGRAM
	} else if f.Proto != cluster.TCP {
		return nil, fmt.Errorf("flow %s: this lab sends TCP and UDP", f)
	}
	domain, level, recverr := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	if f.To.Addr().Is6() {
		domain, level, recverr = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	fd, err := p.ns.Socket(domain, typ, 0)
	if err != nil {
		return nil, err
	}
	s := &socket{proto: f.Proto, peer: f.To}
	fail := func(err error) (*socket, error) {
		unix.Close(fd)
		return nil, fmt.Errorf("socket for %s: %w", f, err)
	}
	if err := unix.SetsockoptInt(fd, level, recverr, 1); err != nil {
		return fail(err)
	}
	if f.Proto == cluster.TCP {
		// Closed by RST: no TIME_WAIT is left, so 100,000 flows do not run out of ports.
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return fail(err)
		}
	}
	if mark := l.mark(f); mark != 0 {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_MARK, mark); err != nil {
			return fail(err)
		}
	}
	if from.IsValid() { // else it has none of that family, and its kernel will say so
		if s.local, err = p.bind(fd, from, f); err != nil {
			return fail(err)
		}
	}
	s.file = os.NewFile(uintptr(fd), f.String())
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return nil, err
	}
	return s, nil
}

// mark chooses the routing table of the node that an outside client enters by; 0 is the first.
func (l *Lab) mark(f world.Flow) int {
	if f.Via == "" || f.From.Kind != world.Client {
		return 0
	}
	for i, n := range l.nodes {
		if n.host.Name == f.Via {
			return i + 1
		}
	}
	return 0
}

func sockaddr(a netip.AddrPort) unix.Sockaddr {
	if a.Addr().Is4() {
		return &unix.SockaddrInet4{Port: int(a.Port()), Addr: a.Addr().As4()}
	}
	return &unix.SockaddrInet6{Port: int(a.Port()), Addr: a.Addr().As16()}
}

// connect starts and waits. Its error is the socket's: ECONNREFUSED, EPERM, ETIMEDOUT …, or os.ErrDeadlineExceeded.
func (s *socket) connect(deadline time.Time) error {
	if err := s.file.SetDeadline(deadline); err != nil {
		return err
	}
	started := false
	var result error
	err := s.raw.Write(func(fd uintptr) bool {
		if !started {
			started = true
			result = unix.Connect(int(fd), sockaddr(s.peer))
			return result != unix.EINPROGRESS
		}
		errno, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		switch {
		case err != nil:
			result = err
		case errno != 0:
			result = syscall.Errno(errno)
		default:
			if _, err := unix.Getpeername(int(fd)); err != nil {
				return false // woken for nothing: still connecting
			}
			result = nil
		}
		return true
	})
	if err != nil {
		return err
	}
	return result
}

func (s *socket) send(b []byte) error {
	var result error
	err := s.raw.Write(func(fd uintptr) bool {
		_, result = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_NOSIGNAL)
		return result != unix.EAGAIN
	})
	if err != nil {
		return err
	}
	return result
}

// receive reads once. 0 bytes without error is the end of a TCP connection.
func (s *socket) receive(b []byte) (n int, err error) {
	var result error
	err = s.raw.Read(func(fd uintptr) bool {
		n, _, result = unix.Recvfrom(int(fd), b, 0)
		return result != unix.EAGAIN
	})
	if err != nil {
		return 0, err
	}
	return max(n, 0), result
}

// icmpError takes the ICMP error that the kernel queued, if any.
func (s *socket) icmpError() (icmp, bool) {
	var found icmp
	ok := false
	_ = s.raw.Control(func(fd uintptr) {
		var data [256]byte
		var oob [512]byte
		for range 8 { // a queue of our own making: other origins (local errors) are passed over
			_, n, _, _, err := unix.Recvmsg(int(fd), data[:], oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			messages, err := unix.ParseSocketControlMessage(oob[:n])
			if err != nil {
				return
			}
			for _, m := range messages {
				if i, is := parseExtendedError(m.Data); is {
					found, ok = i, true
					return
				}
			}
		}
	})
	return found, ok
}

// parseExtendedError reads a struct sock_extended_err and the sockaddr of the offender behind it (linux/errqueue.h).
func parseExtendedError(b []byte) (i icmp, ok bool) {
	const size, originICMP, originICMP6 = 16, 2, 3
	if len(b) < size || b[4] != originICMP && b[4] != originICMP6 {
		return i, false
	}
	i.kind, i.code = b[5], b[6]
	if len(b) < size+2 {
		return i, true
	}
	offender := b[size:]
	switch binary.NativeEndian.Uint16(offender) {
	case unix.AF_INET:
		if len(offender) >= 8 {
			i.from, _ = netip.AddrFromSlice(offender[4:8])
		}
	case unix.AF_INET6:
		if len(offender) >= 24 {
			i.from, _ = netip.AddrFromSlice(offender[8:24])
			i.from = i.from.Unmap()
		}
	}
	return i, true
}

func (s *socket) close() { s.file.Close() }

// classify says what an error of a socket means for its flow; ok is false when it means that the lab is broken.
func (s *socket) classify(err error) (o world.Observation, ok bool) {
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return world.Observation{Outcome: world.Silent}, true
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return world.Observation{Outcome: world.Denied}, true
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return world.Observation{Outcome: world.Reset}, true
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH),
		errors.Is(err, unix.EPROTO), errors.Is(err, unix.ENOPROTOOPT), errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.ETIMEDOUT):
		i, found := s.icmpError()
		switch {
		case found && i.portUnreachable(s.peer.Addr().Is6()):
			return world.Observation{Outcome: world.Refused, ICMPFrom: i.from}, true
		case found:
			return world.Observation{Outcome: world.Unreachable, ICMPFrom: i.from}, true
		case errors.Is(err, unix.ECONNREFUSED):
			return world.Observation{Outcome: world.Reset}, true // a RST leaves nothing in the error queue
		}
		return world.Observation{Outcome: world.Unreachable}, true // the client's own kernel knew no way, or gave up
	}
	return world.Observation{}, false
}
