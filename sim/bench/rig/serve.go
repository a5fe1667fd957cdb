package rig

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/sim/bench/load"
)

// MessageSize is the length of a request, and of its answer, in bytes. A request begins with 8 bytes of the client's own choice;
// its answer has them again, and then the address at which it arrived (4 bytes) and the port (2).
const MessageSize = 16

// serve answers at every address of the namespace, over TCP and UDP, at the port of endpoints. A TCP connection answers request
// after request.
func (r *Rig) serve(ns *nsnet.NS) error {
	everywhere := netip.AddrPortFrom(netip.IPv4Unspecified(), load.TargetPort)
	l, err := ns.ListenTCP(everywhere)
	if err != nil {
		return err
	}
	r.servers = append(r.servers, l)
	go serveTCP(l)
	c, err := ns.ListenUDP(everywhere)
	if err != nil {
		return err
	}
	r.servers = append(r.servers, c)
	_ = c.SetReadBuffer(4 << 20) // best effort: capped by net.core.rmem_max when unprivileged
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var set error
	if err := raw.Control(func(fd uintptr) { set = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1) }); err != nil || set != nil {
		return errors.Join(err, set)
	}
	go serveUDP(c)
	return nil
}

func serveTCP(l *net.TCPListener) {
	for {
		c, err := l.AcceptTCP()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // the client was gone before it was accepted, or descriptors are short for a moment
		}
		go func() {
			defer c.Close()
			at := c.LocalAddr().(*net.TCPAddr).AddrPort()
			var message [MessageSize]byte
			for {
				if _, err := io.ReadFull(c, message[:]); err != nil {
					return
				}
				stamp(message[:], at)
				if _, err := c.Write(message[:]); err != nil {
					return
				}
			}
		}()
	}
}

func serveUDP(c *net.UDPConn) {
	message, info := make([]byte, 64<<10), make([]byte, unix.CmsgSpace(unix.SizeofInet4Pktinfo))
	for {
		n, extra, _, from, err := c.ReadMsgUDPAddrPort(message, info)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil || n < MessageSize || extra < len(info) {
			continue // an ICMP error for an earlier answer, or nothing of ours
		}
		at := info[unix.CmsgLen(0):] // struct in_pktinfo: the device, its address, the address that the packet was sent to
		to := netip.AddrFrom4([4]byte(at[8:12]))
		copy(at[4:8], at[8:12]) // the answer comes from there
		clear(at[:4])
		stamp(message, netip.AddrPortFrom(to, load.TargetPort))
		_, _, _ = c.WriteMsgUDPAddrPort(message[:MessageSize], info, from) // a client that is gone needs no answer
	}
}

func stamp(message []byte, at netip.AddrPort) {
	a := at.Addr().Unmap().As4()
	copy(message[8:12], a[:])
	binary.BigEndian.PutUint16(message[12:14], at.Port())
}

// ServerOf is who answered, by the answer.
func ServerOf(answer []byte) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte(answer[8:12])), binary.BigEndian.Uint16(answer[12:14]))
}
