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

func (i icmp) Error() string {
	return fmt.Sprintf("ICMP type %d code %d from %s", i.kind, i.code, i.from)
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
	if f.To.Addr().IsLoopback() {
		from = loopback(f.To.Addr())
	}
	domain, level, recverr := unix.AF_INET, unix.IPPROTO_IP, unix.IP_RECVERR
	if f.To.Addr().Is6() {
		domain, level, recverr = unix.AF_INET6, unix.IPPROTO_IPV6, unix.IPV6_RECVERR
	}
	typ, proto, err := p.kind(f)
	if err == nil {
		err = l.lostByRight(f)
	}
	if err != nil {
		return nil, fmt.Errorf("flow %s: %w", f, err)
	}
	fd, err := p.ns.Socket(domain, typ, proto)
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
	switch f.Proto {
	case cluster.TCP:
		// Closed by RST: no TIME_WAIT is left, so 100,000 flows do not run out of ports.
		if err := unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
			return fail(err)
		}
	case cluster.UDP:
		if err := letFragment(fd, domain); err != nil {
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
	if f.Proto == cluster.SCTP {
		if err := onlyAssociation(fd, s.local, s.peer); err != nil {
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

// kind is what socket(2) is asked for.
func (p *place) kind(f world.Flow) (typ, proto int, err error) {
	switch {
	case f.Stray && f.Proto != cluster.TCP:
		return 0, 0, errors.New("only TCP has a window")
	case f.Proto == cluster.TCP:
		return unix.SOCK_STREAM, 0, nil
	}
	switch f.Proto {
	case cluster.UDP:
		return unix.SOCK_DGRAM, 0, nil
	case cluster.SCTP:
		switch {
		case f.Session != "":
			err = errors.New("a session over SCTP would be an association, and this lab sends no more than its INIT")
		case f.Size != 0:
			err = errors.New("an INIT has no payload, so no size")
		}
		return unix.SOCK_RAW, unix.IPPROTO_SCTP, err
	case cluster.ICMP:
		if f.Size != 0 || f.To.Port() != 0 {
			return 0, 0, errors.New("an echo has neither size nor port")
		}
		p.pings.Do(func() { p.pingErr = mayPing(p.ns) })
		return unix.SOCK_DGRAM, int(wireProto(f.Proto, f.To.Addr())), p.pingErr
	}
	return 0, 0, errors.New("this lab sends TCP, UDP, SCTP and ICMP")
}

// wireProto is the protocol's number in the IP header.
func wireProto(p cluster.Proto, to netip.Addr) uint8 {
	if p == cluster.ICMP && to.Is6() {
		return unix.IPPROTO_ICMPV6
	}
	return uint8(p)
}

func (s *socket) wireProto() uint8 { return wireProto(s.proto, s.peer.Addr()) }

// loopback is 127.0.0.1 or ::1.
func loopback(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.IPv6Loopback()
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

// send sends all of it.
func (s *socket) send(b []byte) error {
	for strangers := 0; len(b) > 0; {
		n := 0
		var result error
		err := s.raw.Write(func(fd uintptr) bool {
			n, result = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_NOSIGNAL)
			return result != unix.EAGAIN
		})
		if err != nil {
			return err
		}
		switch theirs, err := s.mine(result); {
		case theirs && strangers < manyStrangers:
			strangers++ // the packet was not sent
			continue
		case theirs:
			return result // it is no ICMP error at all
		case err != nil:
			return err
		}
		b = b[n:]
	}
	return nil
}

// manyStrangers is more ICMP errors of other sockets than can come between two system calls.
const manyStrangers = 1000

// receive reads once. 0 bytes without error is the end of a TCP connection.
func (s *socket) receive(b []byte) (n int, from netip.AddrPort, err error) {
	for {
		var result error
		var sender unix.Sockaddr
		err = s.raw.Read(func(fd uintptr) bool {
			n, sender, result = unix.Recvfrom(int(fd), b, 0)
			return result != unix.EAGAIN
		})
		if err != nil {
			return 0, from, err
		}
		if theirs, err := s.mine(result); !theirs {
			return max(n, 0), addrPort(sender), err
		}
	}
}

// mine turns the error of a raw socket into the ICMP error that is behind it, or reports that it is about a packet of another
// socket between the same two addresses. Errors of other sockets are their own.
func (s *socket) mine(err error) (theirs bool, _ error) {
	if s.proto != cluster.SCTP || err == nil || errors.Is(err, unix.EPERM) || errors.Is(err, unix.EACCES) {
		return false, err
	}
	if i, found := s.icmpError(); found {
		return false, i
	}
	return true, nil
}

// icmpError takes the ICMP error that the kernel queued, if any.
func (s *socket) icmpError() (icmp, bool) {
	var found icmp
	ok := false
	_ = s.raw.Control(func(fd uintptr) {
		var data [256]byte
		var oob [512]byte
		for { // other origins (local errors) are passed over
			quoted, n, _, _, err := unix.Recvmsg(int(fd), data[:], oob[:], unix.MSG_ERRQUEUE|unix.MSG_DONTWAIT)
			if err != nil {
				return
			}
			if s.proto == cluster.SCTP && !s.quotes(data[:quoted]) {
				continue
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
	var told icmp
	switch {
	case errors.As(err, &told):
		return s.toldBy(told), true
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded):
		return world.Observation{Outcome: world.Silent}, true
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return world.Observation{Outcome: world.Denied}, true
	case errors.Is(err, unix.ECONNRESET), errors.Is(err, unix.EPIPE):
		return world.Observation{Outcome: world.Reset}, true
	case errors.Is(err, unix.ECONNREFUSED), errors.Is(err, unix.EHOSTUNREACH), errors.Is(err, unix.ENETUNREACH),
		errors.Is(err, unix.EPROTO), errors.Is(err, unix.ENOPROTOOPT), errors.Is(err, unix.EMSGSIZE), errors.Is(err, unix.ETIMEDOUT):
		if i, found := s.icmpError(); found {
			return s.toldBy(i), true
		}
		if errors.Is(err, unix.ECONNREFUSED) {
			return world.Observation{Outcome: world.Reset}, true // a RST leaves nothing in the error queue
		}
		return world.Observation{Outcome: world.Unreachable}, true // the client's own kernel knew no way, or gave up
	}
	return world.Observation{}, false
}

func (s *socket) toldBy(i icmp) world.Observation {
	if i.portUnreachable(s.peer.Addr().Is6()) {
		return world.Observation{Outcome: world.Refused, ICMPFrom: i.from}
	}
	return world.Observation{Outcome: world.Unreachable, ICMPFrom: i.from}
}
