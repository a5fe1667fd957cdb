package wire

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Sink is where the nodes' default routes lead. It never forwards and never answers, except to say which hardware its own
// addresses have, and it counts what should not have come: IP packets that were sent to it and are not for its own addresses.
type Sink struct {
	ns   *nsnet.NS
	file *os.File // an AF_PACKET socket
	raw  syscall.RawConn
	done chan struct{} // closed when the reader has ended

	mu    sync.Mutex // guards all below, and reading from the socket
	own   []netip.Addr
	seen  map[packet]int
	total int
	lost  int
	buf   []byte
}

// NewSink makes a sink on a segment. One of the addresses may be the zero Addr.
func NewSink(seg *Segment, v4, v6 netip.Addr) (*Sink, error) {
	ns, err := nsnet.New("sink")
	if err != nil {
		return nil, fmt.Errorf("make sink: %w", err)
	}
	s := &Sink{ns: ns, seen: map[packet]int{}, done: make(chan struct{}), buf: make([]byte, 1<<16)}
	if err := s.open(seg, v4, v6); err != nil {
		ns.Close()
		return nil, fmt.Errorf("make sink: %w", err)
	}
	go s.read()
	return s, nil
}

// NS is the sink's namespace; its device is eth0.
func (s *Sink) NS() *nsnet.NS { return s.ns }

// Close ends the sink and waits for its reader. It may be called twice.
func (s *Sink) Close() error {
	if err := s.file.Close(); errors.Is(err, os.ErrClosed) {
		return nil
	}
	<-s.done
	return s.ns.Close()
}

// Saw is how often such a packet came, retransmissions included. A src without a valid address matches every source address,
// and then its port 0 every source port: a leaked packet may have been masqueraded.
//
// Saw reads the socket itself, so that nothing waits for the reader's turn: a veth delivers within the sender's system call,
// unless the kernel is so busy that it puts this off. A zero becomes a proof when the flow's deadline for silence is over.
func (s *Sink) Saw(proto uint8, src, dst netip.AddrPort) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
	if src.Addr().IsValid() {
		return s.seen[packet{proto, src, dst}]
	}
	n := 0
	for p, count := range s.seen {
		if p.proto == proto && p.dst == dst && (src.Port() == 0 || src.Port() == p.src.Port()) {
			n += count
		}
	}
	return n
}

// Total is the number of all packets counted.
func (s *Sink) Total() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
	return s.total
}

// Lost is the number of frames that came faster than they were read and are in no count. As long as it is 0, a zero is proof.
func (s *Sink) Lost() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
	return s.lost
}

// Dump lists what came, one line for each kind, sorted: "tcp 10.0.0.1:5000 > 172.20.0.1:80 3".
func (s *Sink) Dump() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drain()
	var lines []string
	for p, count := range s.seen {
		lines = append(lines, fmt.Sprintf("%s %s > %s %d\n", protoName(p.proto), p.src, p.dst, count))
	}
	slices.Sort(lines)
	return strings.Join(lines, "")
}

func protoName(proto uint8) string {
	switch proto {
	case unix.IPPROTO_TCP:
		return "tcp"
	case unix.IPPROTO_UDP:
		return "udp"
	case unix.IPPROTO_SCTP:
		return "sctp"
	}
	return fmt.Sprint("proto-", proto)
}

// read keeps the socket's queue short until the socket is closed.
func (s *Sink) read() {
	defer close(s.done)
	_ = s.raw.Read(func(uintptr) bool { // the error is that of Close
		s.mu.Lock()
		defer s.mu.Unlock()
		s.drain()
		return false // wait for more
	})
}

// drain takes what is in the queue, without waiting.
func (s *Sink) drain() {
	_ = s.raw.Control(func(fd uintptr) {
		for {
			n, from, err := unix.Recvfrom(int(fd), s.buf, unix.MSG_DONTWAIT)
			if err == unix.EINTR {
				continue
			}
			if err != nil {
				break
			}
			// A bridge floods what it does not know to everybody; only what was sent to us has leaked.
			link, ok := from.(*unix.SockaddrLinklayer)
			if !ok || link.Pkttype != unix.PACKET_HOST {
				continue
			}
			if p, ok := parse(s.buf[:n]); ok && !slices.Contains(s.own, p.dst.Addr()) {
				s.seen[p]++
				s.total++
			}
		}
		if stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			s.lost += int(stats.Drops) // the kernel starts anew at every question
		}
	})
}
