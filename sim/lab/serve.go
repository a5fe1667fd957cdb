package lab

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// server is an open socket and who serves on it.
type server struct {
	closer
	serve func() // to the end of the socket
}

// open opens the pod's servers inside its namespace, or that of its node. Nobody serves yet: no goroutine begins inside a
// namespace.
func (p *place) open(ns *nsnet.NS, h *world.Host) error {
	for _, port := range h.Listen {
		if port.Proto == cluster.TCP && len(h.Addrs) > 1 && !h.HostNetwork {
			if err := p.listenBoth(ns, port.Port); err != nil {
				return err
			}
			continue
		}
		for _, addr := range h.Addrs {
			if err := p.listen(ns, netip.AddrPortFrom(addr, port.Port), port.Proto); err != nil {
				return err
			}
		}
	}
	return nil
}

// serveHosts opens the servers of pods that are in their nodes' namespaces.
func (l *Lab) serveHosts(context.Context) error {
	for i := range l.topology.Pods {
		h := &l.topology.Pods[i]
		if p := l.places[h.Place]; h.HostNetwork {
			if err := p.ns.Do(func() error { return p.open(p.ns, h) }); err != nil {
				return err
			}
		}
	}
	if l.servesSCTP() {
		return l.speakSCTP()
	}
	return nil
}

// serve begins to serve on all that was opened. The goroutines end when Close closes the sockets.
func (l *Lab) serve(context.Context) error {
	for _, p := range l.places {
		for _, s := range p.servers {
			go s.serve()
		}
	}
	return nil
}

// listenBoth is one TCP server for both addresses of a pod that is alone in its namespace. It accepts at the loopback device's
// addresses too, where a server of the pod's addresses has no business, and resets.
func (p *place) listenBoth(ns *nsnet.NS, port uint16) error {
	ln, err := ns.ListenTCPBoth(port)
	if err != nil {
		return err
	}
	p.servers = append(p.servers, server{ln, func() { serveTCP(ns, ln, p.host.Addrs) }})
	return nil
}

func (p *place) listen(ns *nsnet.NS, at netip.AddrPort, proto cluster.Proto) error {
	switch proto {
	case cluster.TCP:
		ln, err := ns.ListenTCP(at)
		if err != nil {
			return err
		}
		p.servers = append(p.servers, server{ln, func() { serveTCP(ns, ln, []netip.Addr{at.Addr()}) }})
	case cluster.UDP:
		c, err := ns.ListenUDP(at)
		if err != nil {
			return err
		}
		p.servers = append(p.servers, server{c, func() { serveUDP(c, at) }})
		_ = c.SetReadBuffer(4 << 20) // best effort: capped by net.core.rmem_max when unprivileged
		return answersFragment(c, at.Addr())
	case cluster.SCTP: // see speakSCTP
	default:
		return fmt.Errorf("%s cannot serve %s: this lab has no %s servers", p.host.Place, at, proto)
	}
	return nil
}

// anchor is a socket that holds the pod's namespace, nil when it serves nothing.
func (p *place) anchor() syscall.RawConn {
	if len(p.servers) == 0 {
		return nil
	}
	c, ok := p.servers[0].closer.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// serveTCP answers at some of the addresses that it hears at.
func serveTCP(ns *nsnet.NS, ln *net.TCPListener, at []netip.Addr) {
	for {
		c, err := ln.AcceptTCP()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // the client was gone before it was accepted, or descriptors are short for a moment
		}
		go answerTCP(ns, c, at)
	}
}

func answerTCP(ns *nsnet.NS, c *net.TCPConn, at []netip.Addr) {
	defer c.Close()
	server := unmap(c.LocalAddr().(*net.TCPAddr).AddrPort())
	source := unmap(c.RemoteAddr().(*net.TCPAddr).AddrPort())
	if !slices.Contains(at, server.Addr()) {
		_ = c.SetLinger(0) // close by RST
		return
	}
	in := bufio.NewReaderSize(c, 512)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word, ok := whole(line, requestFields)
		if !ok || strings.HasPrefix(word, strayMark) && strayFrom(ns, c) != nil {
			return
		}
		if _, err := io.WriteString(c, padded(answer(word, server, source), len(line))); err != nil {
			return
		}
	}
}

// datagrams holds room for the largest ones. Thousands of servers wait at a time, and few have something to read.
var datagrams = sync.Pool{New: func() any { b := make([]byte, 64<<10); return &b }}

func serveUDP(c *net.UDPConn, server netip.AddrPort) {
	raw, err := c.SyscallConn()
	if err != nil {
		return
	}
	_ = raw.Read(func(fd uintptr) bool { // the error is that of Close
		buf := datagrams.Get().(*[]byte)
		defer datagrams.Put(buf)
		for {
			n, from, err := unix.Recvfrom(int(fd), *buf, unix.MSG_DONTWAIT)
			if err == unix.EAGAIN {
				return false // wait for more
			}
			if err != nil {
				continue // a signal, or an ICMP error for an earlier answer
			}
			source := addrPort(from)
			if word, ok := whole(string((*buf)[:n]), requestFields); ok {
				_, _ = c.WriteToUDPAddrPort([]byte(padded(answer(word, server, source), n)), source) // a lost client is judged by its flow
			}
		}
	})
}

func answersFragment(c *net.UDPConn, at netip.Addr) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = letFragment(int(fd), afOf(at)) }); err != nil {
		return err
	}
	return result
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
