package lab

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"golang.org/x/sys/unix"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// Source ports of clients: above the servers' ports of most scenarios.
const firstPort, lastPort = 20000, 65535

// portAllocator gives each flow of a namespace to one address a source port that none had before: the kernel chooses an
// endpoint by connection, so a port used twice would be the same choice counted twice. TCP may come round again, since
// its connections end by RST and the kernel forgets them, and so may SCTP, whose half-open associations are forgotten in 3 s, and
// echoes, which are no choice; UDP entries live on, so UDP runs out.
type portAllocator struct {
	mu   sync.Mutex
	next map[portKey]int
}

type portKey struct {
	to    netip.AddrPort
	proto cluster.Proto
}

func (a *portAllocator) take(f world.Flow) (uint16, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.next == nil {
		a.next = map[portKey]int{}
	}
	k := portKey{f.To, f.Proto}
	i := a.next[k]
	const span = lastPort - firstPort + 1
	if i >= span && f.Proto == cluster.UDP {
		return 0, fmt.Errorf("%s: all %d source ports are used up; ask for fewer flows", f, span)
	}
	a.next[k] = i + 1
	return uint16(firstPort + i%span), nil
}

// bind gives the socket its source address and port. A port that a server of this namespace holds is passed over.
func (p *place) bind(fd int, from netip.Addr, f world.Flow) (netip.AddrPort, error) {
	if f.Proto == cluster.SCTP {
		port, err := f.SourcePort, error(nil)
		if port == 0 {
			if port, err = p.ports.take(f); err != nil {
				return netip.AddrPort{}, err
			}
		}
		return netip.AddrPortFrom(from, port), unix.Bind(fd, sockaddr(netip.AddrPortFrom(from, 0))) // a raw socket has no port
	}
	if f.SourcePort != 0 {
		at := netip.AddrPortFrom(from, f.SourcePort)
		return at, unix.Bind(fd, sockaddr(at))
	}
	var err error
	for range 64 {
		port, e := p.ports.take(f)
		if e != nil {
			return netip.AddrPort{}, e
		}
		at := netip.AddrPortFrom(from, port)
		if err = unix.Bind(fd, sockaddr(at)); !errors.Is(err, unix.EADDRINUSE) {
			return at, err
		}
	}
	return netip.AddrPort{}, fmt.Errorf("bind a source port: %w", err)
}
