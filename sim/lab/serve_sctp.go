package lab

import (
	"fmt"
	"net/netip"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/sctp"
	"svclab/proxycore/cluster"
)

// responder is the SCTP of a namespace: a raw socket that answers an INIT with an INIT ACK where a server listens and with an
// ABORT elsewhere, as a kernel that has SCTP would. Without it the kernel would report the protocol unreachable.
type responder struct {
	file      *os.File
	raw       syscall.RawConn
	is6       bool
	listening map[netip.AddrPort]bool // not changed once it serves
}

// servesSCTP reports whether a pod does. Else nobody speaks SCTP before the first flow wants it: two sockets in every namespace
// are a third of what a pod has.
func (l *Lab) servesSCTP() bool {
	for i := range l.topology.Pods {
		for _, port := range l.topology.Pods[i].Listen {
			if port.Proto == cluster.SCTP {
				return true
			}
		}
	}
	return false
}

// speakSCTP opens the SCTP of every namespace, for both families, once.
func (l *Lab) speakSCTP() error {
	l.sctp.Do(func() {
		listening := map[*nsnet.NS]map[netip.AddrPort]bool{}
		for _, p := range l.places {
			if listening[p.ns] == nil {
				listening[p.ns] = map[netip.AddrPort]bool{}
			}
			for _, port := range p.host.Listen {
				for _, addr := range p.host.Addrs {
					if port.Proto == cluster.SCTP {
						listening[p.ns][netip.AddrPortFrom(addr, port.Port)] = true
					}
				}
			}
		}
		for ns, at := range listening {
			if l.sctpErr = l.respond(ns, at); l.sctpErr != nil {
				return
			}
		}
	})
	return l.sctpErr
}

func (l *Lab) respond(ns *nsnet.NS, at map[netip.AddrPort]bool) error {
	for _, domain := range []int{unix.AF_INET, unix.AF_INET6} {
		r, err := newResponder(ns, domain, at)
		if err != nil {
			return fmt.Errorf("serve SCTP in namespace %s: %w", ns.Name(), err)
		}
		l.mu.Lock()
		l.speaking = append(l.speaking, r.file)
		l.mu.Unlock()
		go r.serve()
	}
	return nil
}

func newResponder(ns *nsnet.NS, domain int, listening map[netip.AddrPort]bool) (*responder, error) {
	fd, err := ns.Socket(domain, unix.SOCK_RAW, unix.IPPROTO_SCTP)
	if err != nil {
		return nil, err
	}
	r := &responder{is6: domain == unix.AF_INET6, listening: listening}
	level, info := unix.IPPROTO_IP, unix.IP_PKTINFO
	if r.is6 {
		level, info = unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO
	}
	if err := unix.SetsockoptInt(fd, level, info, 1); err != nil { // which address was called, and must answer
		unix.Close(fd)
		return nil, err
	}
	r.file = os.NewFile(uintptr(fd), "sctp")
	if r.raw, err = r.file.SyscallConn(); err != nil {
		r.file.Close()
		return nil, err
	}
	return r, nil
}

// serve answers until the file is closed.
func (r *responder) serve() {
	_ = r.raw.Read(func(fd uintptr) bool { // the error is that of Close
		var buf [2048]byte
		var oob [128]byte
		for {
			n, m, _, from, err := unix.Recvmsg(int(fd), buf[:], oob[:], unix.MSG_DONTWAIT)
			if err == unix.EAGAIN {
				return false // wait for more
			}
			switch err {
			case nil:
			case unix.EINTR, unix.ECONNREFUSED, unix.EHOSTUNREACH, unix.ENETUNREACH, unix.EPROTO, unix.EMSGSIZE, unix.ENOPROTOOPT, unix.EACCES:
				continue // a signal, or an ICMP error for an earlier answer
			default:
				return true
			}
			r.answer(int(fd), sctpPart(buf[:n], r.is6), oob[:m], from)
		}
	})
}

func (r *responder) answer(fd int, packet, oob []byte, from unix.Sockaddr) {
	p, err := sctp.Parse(packet)
	if err != nil || p.Chunk != sctp.Init || p.Tag != 0 {
		return // a client's answer, or damaged
	}
	called, same := packetInfo(oob)
	source := addrPort(from)
	if !called.IsValid() || !source.Addr().IsValid() {
		return
	}
	server, source := netip.AddrPortFrom(called, p.Destination), netip.AddrPortFrom(source.Addr(), p.Source)
	back := sctp.Packet{Source: p.Destination, Destination: p.Source, Tag: p.Initiate, Chunk: sctp.Abort, Text: p.Text}
	if r.listening[server] {
		back.Chunk, back.Initiate, back.Text = sctp.InitAck, p.Initiate, answer(p.Text, server, source)
	}
	_ = unix.Sendmsg(fd, back.Bytes(), same, from, 0) // a lost client is judged by its flow
}

// packetInfo reads the address that a packet was for, and makes the control message that sends the answer from it.
func packetInfo(oob []byte) (called netip.Addr, same []byte) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return called, nil
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= unix.SizeofInet4Pktinfo:
			a := [4]byte(m.Data[8:]) // struct in_pktinfo: index, the local address, the packet's
			return netip.AddrFrom4(a), unix.PktInfo4(&unix.Inet4Pktinfo{Spec_dst: a})
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= unix.SizeofInet6Pktinfo:
			a := [16]byte(m.Data)
			return netip.AddrFrom16(a), unix.PktInfo6(&unix.Inet6Pktinfo{Addr: a})
		}
	}
	return called, nil
}

func addrPort(a unix.Sockaddr) netip.AddrPort {
	switch a := a.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
	}
	return netip.AddrPort{}
}
