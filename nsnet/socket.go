package nsnet

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Socket makes a socket inside the namespace, non-blocking and close-on-exec. The caller closes it.
func (n *NS) Socket(domain, typ, proto int) (int, error) {
	fd := -1
	err := n.Do(func() (err error) {
		if fd, err = unix.Socket(domain, typ|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, proto); err != nil {
			return fmt.Errorf("make socket in namespace %s: %w", n.name, err)
		}
		return nil
	})
	return fd, err
}

// ListenTCP listens inside the namespace; accept from any goroutine. An IPv6 listener takes IPv6 only, so that both families
// may listen on one port and a test knows which of them answered.
func (n *NS) ListenTCP(addr netip.AddrPort) (*net.TCPListener, error) {
	return listen(n, "tcp", addr, func(network string) (*net.TCPListener, error) {
		return listenTCP(network, addr)
	})
}

// listenTCP listens for TCP and not, as package net would, for Multipath TCP too: that is a second socket in each listener, and
// another protocol.
func listenTCP(network string, addr netip.AddrPort) (*net.TCPListener, error) {
	var plain net.ListenConfig
	plain.SetMultipathTCP(false)
	l, err := plain.Listen(context.Background(), network, addr.String())
	if err != nil {
		return nil, err
	}
	return l.(*net.TCPListener), nil
}

// ListenTCPBoth listens at a port of all addresses of the namespace, of both families: one socket instead of two.
func (n *NS) ListenTCPBoth(port uint16) (l *net.TCPListener, err error) {
	err = n.Do(func() error {
		if l, err = listenTCP("tcp", netip.AddrPortFrom(netip.IPv6Unspecified(), port)); err != nil {
			return fmt.Errorf("listen in namespace %s: %w", n.name, err)
		}
		return nil
	})
	return l, err
}

// ListenUDP is ListenTCP for datagrams.
func (n *NS) ListenUDP(addr netip.AddrPort) (*net.UDPConn, error) {
	return listen(n, "udp", addr, func(network string) (*net.UDPConn, error) {
		return net.ListenUDP(network, net.UDPAddrFromAddrPort(addr))
	})
}

// errZone: package net keeps one process-wide table from zone to device number, but numbers differ between namespaces.
var errZone = errors.New("an address with a zone means another device in every namespace")

func listen[S any](n *NS, network string, addr netip.AddrPort, open func(network string) (S, error)) (s S, err error) {
	if addr.Addr().Zone() != "" {
		return s, fmt.Errorf("listen on %s %s in namespace %s: %w", network, addr, n.name, errZone)
	}
	if addr.Addr().Is4() {
		network += "4"
	} else {
		network += "6"
	}
	err = n.Do(func() error {
		var err error
		if s, err = open(network); err != nil {
			return fmt.Errorf("listen in namespace %s: %w", n.name, err)
		}
		return nil
	})
	return s, err
}
