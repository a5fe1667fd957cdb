package datapath

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// path is from the client to one address: an endpoint's own, or a Service's.
type path struct {
	client  *nsnet.NS
	to      netip.AddrPort
	server  *server
	allowed []netip.AddrPort // who may answer
	ports   *ports
	// patience with a connection; with all else it is the package's.
	patience time.Duration
}

// patience is how long an answer may take that is there at once on an idle machine. It is less than the second after which TCP
// sends its first packet again: a connection that has lost one is a failure and no sample.
const patience = 900 * time.Millisecond

var errSilent = errors.New("no answer came")

// waitFor calls f again as long as it has nothing yet. It never sleeps: all packets are on their way through this very CPU, or
// through the other one for moments.
func waitFor(f func() error) error {
	var began time.Time
	for {
		err := f()
		if err != unix.EAGAIN {
			return err
		}
		if now := time.Now(); began.IsZero() {
			began = now
		} else if now.Sub(began) > patience {
			return errSilent
		}
	}
}

// check says whether it was one of the right ones that answered.
func (p *path) check(at netip.AddrPort) error {
	for _, a := range p.allowed {
		if a == at {
			return nil
		}
	}
	return fmt.Errorf("a packet to %s came to %s; it should have come to %s", p.to, at, among(p.allowed))
}

// accept takes the server's end of a connection that was made.
func (p *path) accept() (fd int, err error) {
	fd, at, err := p.server.take()
	if err != nil {
		return -1, fmt.Errorf("a connection to %s was established, and it is not at %s: %w", p.to, among(p.allowed), err)
	}
	if err := p.check(at); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

func among(list []netip.AddrPort) string {
	if len(list) == 1 {
		return list[0].String()
	}
	return fmt.Sprintf("one of %s … %s", list[0], list[len(list)-1])
}

// socket makes a client's socket with a source port of its own. It is called in the client's namespace.
func (p *path) socket(kind int) (fd int, port uint16, err error) {
	fd, err = unix.Socket(unix.AF_INET, kind|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, 0, fmt.Errorf("make a client's socket: %w", err)
	}
	if kind == unix.SOCK_STREAM {
		// Closed by RST: nobody is left in TIME_WAIT.
		err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	}
	if err == nil {
		port, err = p.bind(fd, kind)
	}
	if err != nil {
		unix.Close(fd)
		return -1, 0, fmt.Errorf("bind a client's socket: %w", err)
	}
	return fd, port, nil
}

// bind takes the next port. One that is in use is passed over: a process that is about to start may hold a copy of a socket.
func (p *path) bind(fd, kind int) (uint16, error) {
	for {
		port, err := p.ports.take(kind)
		if err != nil {
			return 0, err
		}
		if err = unix.Bind(fd, &unix.SockaddrInet4{Port: int(port)}); err != unix.EADDRINUSE {
			return port, err
		}
	}
}

func (p *path) peer() *unix.SockaddrInet4 {
	return &unix.SockaddrInet4{Addr: p.to.Addr().As4(), Port: int(p.to.Port())}
}

// Source ports of clients.
const firstPort, lastPort = 10000, 65535

// ports gives every flow a source port that none had before, to whatever address, so that each is new to the node's memory of
// connections: two to one endpoint, one of them through a Service, are the same for an answer, and the second would be given
// another port on the way, which takes time. They start anew when that memory is emptied.
type ports struct{ next map[int]int }

func (p *ports) take(kind int) (uint16, error) {
	n := firstPort + p.next[kind]
	if n > lastPort {
		return 0, errors.New("all source ports are used up in one round; ask for fewer --samples")
	}
	p.next[kind]++
	return uint16(n), nil
}

func (p *ports) renew() { p.next = map[int]int{} }
