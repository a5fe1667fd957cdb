package wire

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"

	"golang.org/x/sys/unix"
)

// open makes the device, the addresses and the socket: the socket before the addresses, so that it misses nothing.
//
// The addresses are alone in their prefixes and there is no route, so that the kernel could not answer if it wanted to: a reset
// or an ICMP error needs a route back, an ARP reply or a neighbour advertisement does not.
func (s *Sink) open(seg *Segment, v4, v6 netip.Addr) error {
	if err := HostSysctls(s.ns); err != nil {
		return err
	}
	if err := seg.Attach(s.ns, "eth0"); err != nil {
		return err
	}
	h, index, err := device(s.ns, "eth0")
	if err != nil {
		return err
	}
	if err := s.listen(index); err != nil {
		return err
	}
	for _, a := range []netip.Addr{v4, v6} {
		if !a.IsValid() {
			continue
		}
		s.own = append(s.own, a)
		if err := addAddr(h, index, host(a)); err != nil {
			s.file.Close()
			return fmt.Errorf("add address %s: %w", a, err)
		}
	}
	return nil
}

// sinkQueue is room for some ten thousand small packets, should the reader be late.
const sinkQueue = 8 << 20

func (s *Sink) listen(index int) error {
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 255}) // in network order
	fd, err := s.ns.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0)                             // protocol 0 hears nothing until it is bound
	if err != nil {
		return err
	}
	// As root of a user namespace the larger queue is refused, and the machine's own limit must do.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, sinkQueue) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, sinkQueue)
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: index}); err != nil {
		unix.Close(fd)
		return fmt.Errorf("bind packet socket: %w", err)
	}
	s.file = os.NewFile(uintptr(fd), "sink")
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.file.Close()
		return fmt.Errorf("watch packet socket: %w", err)
	}
	return nil
}
