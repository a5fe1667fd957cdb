package lab

import (
	"fmt"

	"golang.org/x/sys/unix"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// A first datagram that is too large for some wire on its way is lost to an ICMP error, in the right order of things, and a
// client that tried again would tell a proxy that does well from one that loses datagrams by no more than luck. So the lab's
// UDP never depends on what was learnt of a way; TCP does, and hears its ICMP errors through the proxy.

const (
	podMTU       = 1500
	smallestMTU6 = 1280 // that a link may have (RFC 8200, section 5)
	headers6     = 48   // IPv6 and UDP
)

// letFragment makes a UDP socket send what fits nowhere in pieces: over IPv4 without the DF bit, so that routers may cut it;
// over IPv6, where they may not, what does not fit the first wire in pieces that fit all wires.
func letFragment(fd, domain int) error {
	if domain == unix.AF_INET {
		return unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DONT)
	}
	return unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_MTU, smallestMTU6)
}

// lostByRight is the error of a flow that letFragment cannot help: over IPv6 the kernel cuts no datagram that fits the first
// wire, whatever the socket wants (ip6_finish_output), and the first to meet a narrower one is lost.
func (l *Lab) lostByRight(f world.Flow) error {
	underlay, whole := l.topology.MTU, f.Size+headers6
	narrow, wide := min(underlay, podMTU), max(underlay, podMTU)
	if f.Proto != cluster.UDP || !f.To.Addr().Is6() || underlay == 0 || whole <= narrow || whole > wide {
		return nil
	}
	return fmt.Errorf("a datagram of %d bytes fits a wire of MTU %d and not one of %d, so over IPv6 the first one is lost by right: ask for at most %d bytes or for more than %d",
		f.Size, wide, narrow, narrow-headers6, wide-headers6)
}
