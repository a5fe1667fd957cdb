package lab

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// A stray is a TCP segment far above its receiver's window, as a load balancer or a confused middlebox sends it now and then
// (kubernetes/kubernetes#74839). Connection tracking calls it INVALID and does not translate it: where nobody drops it, the client
// gets a packet of a pod that it never talked to, resets that, and so ends the server's connection.
//
// A client that wants one says so by the first letter of its word, and the server sends it before it answers.

const strayMark = "!"

// farAbove is more than any window: RFC 7323 allows 2^30 bytes, and conntrack compares sequence numbers by half the circle.
const farAbove = 1 << 29

// strayFrom sends a stray from the server's end of a connection.
func strayFrom(ns *nsnet.NS, c *net.TCPConn) error {
	server, client := unmap(c.LocalAddr().(*net.TCPAddr).AddrPort()), unmap(c.RemoteAddr().(*net.TCPAddr).AddrPort())
	next, expected, err := sequence(c)
	if err != nil {
		return fmt.Errorf("read sequence numbers: %w", err)
	}
	fd, err := ns.Socket(afOf(server.Addr()), unix.SOCK_RAW, unix.IPPROTO_TCP)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err := unix.Bind(fd, sockaddr(netip.AddrPortFrom(server.Addr(), 0))); err != nil {
		return fmt.Errorf("bind raw socket: %w", err)
	}
	if err := unix.Sendto(fd, ackSegment(server, client, next+farAbove, expected), 0, sockaddr(netip.AddrPortFrom(client.Addr(), 0))); err != nil {
		return fmt.Errorf("send a stray: %w", err)
	}
	return nil
}

// sequence asks the kernel for the next number that a connection will send and the next that it expects: in repair mode
// (tcp(7) has it not; include/uapi/linux/tcp.h), in which nothing is sent, and which ends without a probe of the window.
func sequence(c *net.TCPConn) (next, expected uint32, err error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return 0, 0, err
	}
	const receiveQueue, sendQueue = 1, 2
	ask := func(fd, queue int) (uint32, error) {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_REPAIR_QUEUE, queue); err != nil {
			return 0, err
		}
		n, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_QUEUE_SEQ)
		return uint32(n), err
	}
	var result error
	err = raw.Control(func(fd uintptr) {
		s := int(fd)
		if result = unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_ON); result != nil {
			return
		}
		if next, result = ask(s, sendQueue); result == nil {
			expected, result = ask(s, receiveQueue)
		}
		if err := unix.SetsockoptInt(s, unix.IPPROTO_TCP, unix.TCP_REPAIR, unix.TCP_REPAIR_OFF_NO_WP); result == nil {
			result = err
		}
	})
	if err == nil {
		err = result
	}
	return next, expected, err
}

// ackSegment is a TCP header with the flag ACK and nothing behind it.
func ackSegment(from, to netip.AddrPort, sequence, acknowledged uint32) []byte {
	b := make([]byte, 20)
	binary.BigEndian.PutUint16(b, from.Port())
	binary.BigEndian.PutUint16(b[2:], to.Port())
	binary.BigEndian.PutUint32(b[4:], sequence)
	binary.BigEndian.PutUint32(b[8:], acknowledged)
	b[12], b[13] = 5<<4, 0x10
	binary.BigEndian.PutUint16(b[14:], 65000)
	binary.BigEndian.PutUint16(b[16:], checksum(from.Addr(), to.Addr(), b))
	return b
}

// checksum is TCP's, over the pseudo header of either family and the segment (RFC 9293, section 3.1).
func checksum(from, to netip.Addr, segment []byte) uint16 {
	sum := uint32(unix.IPPROTO_TCP + len(segment))
	for _, part := range [][]byte{from.AsSlice(), to.AsSlice(), segment} {
		for i := 0; i < len(part); i += 2 { // all are even
			sum += uint32(binary.BigEndian.Uint16(part[i:]))
		}
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
