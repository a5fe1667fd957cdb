package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"svclab/nsnet"
	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// serve opens the servers of all pods. Their goroutines end when Close closes the sockets.
func (l *Lab) serve() error {
	for i := range l.topology.Pods {
		h := &l.topology.Pods[i]
		for _, addr := range h.Addrs {
			for _, port := range h.Listen {
				if err := l.listen(h, netip.AddrPortFrom(addr, port.Port), port.Proto); err != nil {
					return err
				}
			}
		}
	}
	return l.respond()
}

func (l *Lab) listen(h *world.Host, at netip.AddrPort, proto cluster.Proto) error {
	p := l.places[h.Place]
	ns := p.ns
	switch proto {
	case cluster.TCP:
		ln, err := ns.ListenTCP(at)
		if err != nil {
			return err
		}
		l.servers = append(l.servers, ln)
		go serveTCP(ns, ln)
	case cluster.UDP:
		c, err := ns.ListenUDP(at)
		if err != nil {
			return err
		}
		_ = c.SetReadBuffer(4 << 20) // best effort: capped by net.core.rmem_max when unprivileged
		if err := answersFragment(c, at.Addr()); err != nil {
			return err
		}
		l.servers = append(l.servers, c)
		go serveUDP(c, at)
	case cluster.SCTP:
		if p.sctp == nil {
			p.sctp = map[netip.AddrPort]bool{}
		}
		p.sctp[at] = true
	default:
		return fmt.Errorf("%s cannot serve %s: this lab has no %s servers", h.Place, at, proto)
	}
	return nil
}

func serveTCP(ns *nsnet.NS, ln *net.TCPListener) {
	for {
		c, err := ln.AcceptTCP()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // the client was gone before it was accepted, or descriptors are short for a moment
		}
		go answerTCP(ns, c)
	}
}

func answerTCP(ns *nsnet.NS, c *net.TCPConn) {
	defer c.Close()
	server := c.LocalAddr().(*net.TCPAddr).AddrPort()
	source := c.RemoteAddr().(*net.TCPAddr).AddrPort()
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
		if _, err := io.WriteString(c, padded(answer(word, unmap(server), unmap(source)), len(line))); err != nil {
			return
		}
	}
}

func serveUDP(c *net.UDPConn, server netip.AddrPort) {
	buf := make([]byte, 64<<10)
	for {
		n, source, err := c.ReadFromUDPAddrPort(buf)
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // an ICMP error for an earlier answer
		}
		if word, ok := whole(string(buf[:n]), requestFields); ok {
			_, _ = c.WriteToUDPAddrPort([]byte(padded(answer(word, server, unmap(source)), n)), source) // a lost client is judged by its flow
		}
	}
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
