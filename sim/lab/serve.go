package lab

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// The protocol of the pods' servers: a request is one line (TCP) or one datagram (UDP) that starts with a word of the
// client's choice; the answer is the same word, the server's own address and the client's as the server sees it.

func answer(word string, server, source netip.AddrPort) string {
	return word + " " + server.String() + " " + source.String() + "\n"
}

func parseAnswer(text, word string) (server, source netip.AddrPort, err error) {
	parts := strings.Fields(text)
	if len(parts) != 3 || parts[0] != word {
		return server, source, fmt.Errorf("strange answer %q to %q", text, word)
	}
	if server, err = netip.ParseAddrPort(parts[1]); err != nil {
		return server, source, err
	}
	source, err = netip.ParseAddrPort(parts[2])
	return server, source, err
}

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
	return nil
}

func (l *Lab) listen(h *world.Host, at netip.AddrPort, proto cluster.Proto) error {
	ns := l.places[h.Place].ns
	switch proto {
	case cluster.TCP:
		ln, err := ns.ListenTCP(at)
		if err != nil {
			return err
		}
		l.servers = append(l.servers, ln)
		go serveTCP(ln)
	case cluster.UDP:
		c, err := ns.ListenUDP(at)
		if err != nil {
			return err
		}
		_ = c.SetReadBuffer(4 << 20) // best effort: capped by net.core.rmem_max when unprivileged
		l.servers = append(l.servers, c)
		go serveUDP(c, at)
	default:
		return fmt.Errorf("%s cannot serve %s: this lab has no %s servers", h.Place, at, proto)
	}
	return nil
}

func serveTCP(ln net.Listener) {
	for {
		c, err := ln.Accept()
		if err != nil {
			if errors.Is(err, net.ErrClosed) {
				return
			}
			continue // the client was gone before it was accepted, or descriptors are short for a moment
		}
		go answerTCP(c)
	}
}

func answerTCP(c net.Conn) {
	defer c.Close()
	server := c.LocalAddr().(*net.TCPAddr).AddrPort()
	source := c.RemoteAddr().(*net.TCPAddr).AddrPort()
	in := bufio.NewReaderSize(c, 512)
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := io.WriteString(c, answer(word, unmap(server), unmap(source))); err != nil {
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
		word, _, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
		_, _ = c.WriteToUDPAddrPort([]byte(answer(word, server, unmap(source))), source) // a lost client is judged by its flow
	}
}

func unmap(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }
