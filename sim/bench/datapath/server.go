package datapath

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/sim/bench/load"
)

// server is the other end, at every address of a pod. The kernel does the handshakes of its listener; the thread that measures
// plays its part too.
type server struct{ tcp, udp int }

// backlog is how many connections wait to be accepted; the kernel takes no more than net.core.somaxconn, 4096.
const backlog = 4096

func serve(ns *nsnet.NS) (_ *server, err error) {
	s := &server{-1, -1}
	defer func() {
		if err != nil {
			s.Close()
			err = fmt.Errorf("serve in namespace %s: %w", ns.Name(), err)
		}
	}()
	everywhere := &unix.SockaddrInet4{Port: load.TargetPort}
	if s.tcp, err = ns.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
		return nil, err
	}
	if err := unix.Bind(s.tcp, everywhere); err != nil {
		return nil, err
	}
	if err := unix.Listen(s.tcp, backlog); err != nil {
		return nil, err
	}
	if s.udp, err = ns.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0); err != nil {
		return nil, err
	}
	if err := unix.SetsockoptInt(s.udp, unix.IPPROTO_IP, unix.IP_PKTINFO, 1); err != nil {
		return nil, err
	}
	return s, unix.Bind(s.udp, everywhere)
}

func (s *server) Close() error {
	for _, fd := range []*int{&s.tcp, &s.udp} {
		if *fd >= 0 {
			unix.Close(*fd)
		}
		*fd = -1
	}
	return nil
}

// take accepts a connection and tells at which address it arrived.
func (s *server) take() (fd int, at netip.AddrPort, err error) {
	err = waitFor(func() error {
		fd, _, err = unix.Accept4(s.tcp, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		return err
	})
	if err != nil {
		return -1, at, err
	}
	own, err := unix.Getsockname(fd)
	if err != nil {
		unix.Close(fd)
		return -1, at, err
	}
	in := own.(*unix.SockaddrInet4)
	return fd, netip.AddrPortFrom(netip.AddrFrom4(in.Addr), uint16(in.Port)), nil
}

// forget drops what an earlier measurement, which failed, has left to be accepted or received.
func (s *server) forget() {
	for {
		fd, _, err := unix.Accept4(s.tcp, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if err != nil {
			break
		}
		unix.Close(fd)
	}
	for {
		if _, _, err := unix.Recvfrom(s.udp, make([]byte, message), 0); err != nil {
			return
		}
	}
}

// datagram is what a server has received.
type datagram struct {
	text   [message]byte
	info   [32]byte // IP_PKTINFO, with its padding: where it arrived; the answer is sent from there
	client unix.Sockaddr
}

// message is the length of a request, an answer and a datagram, in bytes.
const message = 16

func (s *server) receive(d *datagram) error {
	return waitFor(func() error {
		n, extra, _, from, err := unix.Recvmsg(s.udp, d.text[:], d.info[:], 0)
		if err == nil && (n != message || extra != len(d.info)) {
			err = fmt.Errorf("a datagram of %d bytes, not %d, or with a header of %d", n, message, extra)
		}
		d.client = from
		return err
	})
}

// at is where it arrived.
func (d *datagram) at() netip.AddrPort {
	to := d.info[unix.CmsgLen(0)+8:] // struct in_pktinfo: the device, its address, the address that the packet was sent to
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(to[:4])), load.TargetPort)
}

// answer sends the same text back, from where it arrived.
func (s *server) answer(d *datagram) error {
	in := d.info[unix.CmsgLen(0):]
	clear(in[:4])
	copy(in[4:8], in[8:12])
	_, err := unix.SendmsgN(s.udp, d.text[:], d.info[:], d.client, 0)
	return err
}

// number marks a message.
func number(text []byte, flow uint16, n uint64) {
	binary.BigEndian.PutUint64(text, n)
	binary.BigEndian.PutUint64(text[8:], uint64(flow))
}
