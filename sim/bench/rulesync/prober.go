package rulesync

import (
	"errors"
	"fmt"
	"net/netip"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/sim/bench/rig"
)

// prober opens TCP connections to Services, and answers in the place of all pods: it writes SYNs, and sees every packet that
// reaches a pod and the client. One goroutine does all of that, so a probe is some system calls and no wait for anybody:
// what is measured is the rules. A connection is never finished; the client's kernel knows nothing of it and resets it.
type prober struct {
	from    netip.Addr
	out     int    // in the client's namespace: whole IP packets are written
	taps    [3]tap // client, near pod, far pod
	next    uint16
	oldest  uint16 // of those that may still be open
	asked   [1 << 16]probe
	sent    int
	frame   [2048]byte
	answer  [ethernetSize + segmentSize]byte
	packet  [segmentSize]byte
	closers []int
}

// probe is a connection that is being opened; its source port is its number.
type probe struct {
	to   netip.AddrPort
	at   time.Time
	open bool
}

// tap sees what arrives at a namespace's wire.
type tap struct{ fd, device int }

// outcome of a probe.
type outcome uint8

const (
	answered outcome = iota
	refused          // a reset, or ICMP unreachable
	silent           // nothing within silence
)

func (o outcome) String() string { return [...]string{"answered", "refused", "silent"}[o] }

// silence is how long an answer may take before a probe counts as unanswered. A packet's way through both nodes and back is
// some 20 µs, on the processor that sends it; a busy one may put it off for some milliseconds. An answer that comes later
// still counts.
const silence = 20 * time.Millisecond

// seen is what became of a probe.
type seen struct {
	to       netip.AddrPort
	sent, at time.Time
	what     outcome
	server   netip.Addr // answered: by whom
	late     bool       // it was told as silent before
}

// firstPort is below what a client chooses by itself; the ports below are left alone.
const firstPort = 1024

func newProber(r *rig.Rig) (_ *prober, err error) {
	p := &prober{from: r.ClientAddr(), next: firstPort, oldest: firstPort}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.out, err = p.socket(r.Client(), unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW); err != nil {
		return nil, err
	}
	for i, ns := range []*nsnet.NS{r.Client(), r.Near(), r.Far()} {
		if p.taps[i], err = p.tap(ns); err != nil {
			return nil, fmt.Errorf("watch packets in namespace %s: %w", ns.Name(), err)
		}
	}
	return p, nil
}

func (p *prober) socket(ns *nsnet.NS, domain, typ, proto int) (int, error) {
	fd, err := ns.Socket(domain, typ, proto)
	if err == nil {
		p.closers = append(p.closers, fd)
	}
	return fd, err
}

func (p *prober) tap(ns *nsnet.NS) (t tap, err error) {
	var all uint16 = unix.ETH_P_IP>>8 | unix.ETH_P_IP&0xff<<8 // in the order of the network
	if t.fd, err = p.socket(ns, unix.AF_PACKET, unix.SOCK_RAW, 0); err != nil {
		return t, err
	}
	h, err := ns.Netlink()
	if err != nil {
		return t, err
	}
	link, err := h.LinkByName("eth0")
	if err != nil {
		return t, err
	}
	t.device = link.Attrs().Index
	if err := unix.SetsockoptInt(t.fd, unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, 1); err != nil {
		return t, err
	}
	_ = unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 1<<20) // best effort
	return t, unix.Bind(t.fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: t.device})
}

func (p *prober) close() {
	for _, fd := range p.closers {
		unix.Close(fd)
	}
	p.closers = nil
}

// ask sends one probe.
func (p *prober) ask(to netip.AddrPort) error {
	port := p.next
	if p.next++; p.next == 0 {
		p.next = firstPort
	}
	if p.next == p.oldest && p.asked[p.oldest].open {
		return errors.New("64,000 probes are under way at once")
	}
	writeSegment(p.packet[:], netip.AddrPortFrom(p.from, port), to, uint32(p.sent), 0, flagSYN)
	p.sent++
	p.asked[port] = probe{to, time.Now(), true}
	err := unix.Sendto(p.out, p.packet[:], 0, &unix.SockaddrInet4{Addr: to.Addr().As4()})
	switch {
	case errors.Is(err, unix.ENOBUFS), errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EPERM):
		p.asked[port].open = false // it was not sent, so it tells nothing
		return nil
	}
	return err
}

// hear answers for the pods and tells what has become of probes, until nothing is left to read.
func (p *prober) hear(tell func(seen)) error {
	for again := true; again; {
		again = false
		for i, t := range p.taps {
			for {
				n, err := unix.Read(t.fd, p.frame[:])
				if errors.Is(err, unix.EAGAIN) {
					break
				}
				if err != nil && !errors.Is(err, unix.ENOBUFS) && !errors.Is(err, unix.ENETDOWN) {
					return fmt.Errorf("read packets: %w", err)
				}
				if err != nil {
					continue
				}
				s, ok := parse(p.frame[:n])
				switch {
				case !ok:
				case i == 0:
					p.heard(s, tell)
				case s.asksEndpoint():
					again = true
					writeAnswer(p.answer[:], p.frame[:n], s)
					_ = unix.Sendto(t.fd, p.answer[:], 0, &unix.SockaddrLinklayer{Ifindex: t.device, Halen: 6})
				}
			}
		}
	}
	p.expire(tell)
	return nil
}

// heard takes what has arrived at the client.
func (p *prober) heard(s segment, tell func(seen)) {
	a := &p.asked[s.dst.Port()]
	if s.dst.Addr() != p.from || a.to != s.src || a.at.IsZero() {
		return
	}
	out := seen{to: a.to, sent: a.at, at: time.Now(), what: refused, late: !a.open}
	switch {
	case s.icmp, s.flags&flagRST != 0:
	case s.flags&(flagSYN|flagACK) == flagSYN|flagACK:
		out.what, out.server = answered, s.server()
	default:
		return
	}
	*a = probe{}
	tell(out)
}

// expire tells of probes that nobody has answered. They stay known: a late answer is one.
func (p *prober) expire(tell func(seen)) {
	now := time.Now()
	for p.oldest != p.next {
		a := &p.asked[p.oldest]
		if a.open && now.Sub(a.at) < silence {
			return
		}
		if a.open {
			a.open = false
			tell(seen{to: a.to, sent: a.at, at: a.at, what: silent})
		}
		if p.oldest++; p.oldest == 0 {
			p.oldest = firstPort
		}
	}
}

// wait returns after the time, or when something has arrived.
func (p *prober) wait(d time.Duration) {
	fds := [3]unix.PollFd{}
	for i, t := range p.taps {
		fds[i] = unix.PollFd{Fd: int32(t.fd), Events: unix.POLLIN}
	}
	ts := unix.NsecToTimespec(d.Nanoseconds())
	_, _, _ = unix.Syscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&fds[0])), uintptr(len(fds)), uintptr(unsafe.Pointer(&ts)), 0, 0, 0)
}
