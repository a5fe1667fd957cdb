package lab

import (
	"context"
	"fmt"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

const patience = 5 * time.Second // how long an expected answer may take

// words numbers the requests of this process: an answer to another request is never taken for ours.
var words atomic.Uint64

type sessionKey struct {
	from  world.Place
	name  string
	to    netip.AddrPort
	proto cluster.Proto
}

// session is a socket that several flows share, one at a time.
type session struct {
	mu sync.Mutex
	s  *socket // nil: not connected yet, or ended by an error
}

// parked is a silent flow's socket, kept until Late: a late answer is a wrong answer.
type parked struct {
	flow world.Flow
	s    *socket
	word string
	at   time.Time
}

// Send sends one flow and waits for what becomes of it.
func (l *Lab) Send(ctx context.Context, f world.Flow) (world.Observation, error) {
	l.mu.Lock()
	if !l.probing {
		l.probing = true
		l.phase("probe")
	}
	l.mu.Unlock()
	p := l.places[f.From]
	if p == nil {
		return world.Observation{}, fmt.Errorf("flow %s: the lab has no %s", f, f.From)
	}
	if f.Proto == cluster.SCTP {
		if err := l.speakSCTP(); err != nil {
			return world.Observation{}, err
		}
	}
	if f.Session == "" {
		s, err := l.newSocket(p, f)
		if err != nil {
			return world.Observation{}, err
		}
		return l.ask(ctx, s, f, true)
	}
	key := sessionKey{f.From, f.Session, f.To, f.Proto}
	l.mu.Lock()
	se := l.sessions[key]
	if se == nil {
		se = &session{}
		l.sessions[key] = se
	}
	l.mu.Unlock()
	se.mu.Lock()
	defer se.mu.Unlock()
	fresh := se.s == nil
	if fresh {
		s, err := l.newSocket(p, f)
		if err != nil {
			return world.Observation{}, err
		}
		se.s = s
	}
	o, err := l.ask(ctx, se.s, f, fresh)
	if err != nil || f.Proto == cluster.TCP && o.Outcome != world.Answered {
		se.s.close()
		se.s = nil // a TCP connection that failed is over; a UDP socket goes on
	}
	return o, err
}

// ask connects if the socket is fresh, sends one request and waits for its answer.
func (l *Lab) ask(ctx context.Context, s *socket, f world.Flow, fresh bool) (world.Observation, error) {
	wait := f.Wait
	if wait == 0 {
		wait = patience
	}
	word := strconv.FormatUint(words.Add(1), 36)
	if f.Stray {
		word = strayMark + word
	}
	o := world.Observation{Client: s.local, At: time.Now()}
	deadline := o.At.Add(wait)
	if d, ok := ctx.Deadline(); ok && d.Before(deadline) {
		deadline = d
	}
	r, err := s.exchange(f, word, deadline, fresh)
	o.Took = time.Since(o.At)
	if err == nil {
		o.Outcome, o.Server, o.Source, o.Peer = world.Answered, r.server, r.source, r.peer
		if f.Session == "" {
			s.close()
		}
		return o, nil
	}
	if ctx.Err() != nil {
		if f.Session == "" {
			s.close()
		}
		return o, fmt.Errorf("flow %s: %w", f, ctx.Err())
	}
	seen, ok := s.classify(err)
	if !ok {
		if f.Session == "" {
			s.close()
		}
		return o, fmt.Errorf("flow %s: %w", f, err)
	}
	seen.Client, seen.At, seen.Took = o.Client, o.At, o.Took
	if seen.Outcome == world.Silent {
		seen.Leaked = l.sink.Saw(s.wireProto(), netip.AddrPortFrom(netip.Addr{}, s.local.Port()), f.To) > 0
	}
	switch {
	case f.Session != "":
	case seen.Outcome == world.Silent:
		l.mu.Lock()
		l.parked = append(l.parked, &parked{f, s, word, o.At})
		l.mu.Unlock()
	default:
		s.close()
	}
	return seen, nil
}

// Late looks once more at every flow that was called Silent since the last call, and then closes their sockets.
func (l *Lab) Late() []world.LateAnswer {
	l.mu.Lock()
	waiting := l.parked
	l.parked = nil
	l.mu.Unlock()
	var late []world.LateAnswer
	for _, p := range waiting {
		if o, ok := p.look(); ok {
			late = append(late, world.LateAnswer{Flow: p.flow, Seen: o})
		}
		p.s.close()
	}
	return late
}

// look asks whether anything has arrived meanwhile. A TCP connection that came up late is asked who is there.
func (p *parked) look() (world.Observation, bool) {
	const moment = 100 * time.Millisecond
	o := world.Observation{Client: p.s.local, At: p.at}
	if p.s.proto == cluster.TCP {
		connected := false
		_ = p.s.raw.Control(func(fd uintptr) {
			_, err := unix.Getpeername(int(fd))
			connected = err == nil
		})
		if !connected {
			return o, false
		}
		if p.s.file.SetDeadline(time.Now().Add(moment)) != nil || p.s.send(p.s.request(p.word, p.flow.Size)) != nil {
			return o, false
		}
	} else if p.s.file.SetDeadline(time.Now().Add(time.Millisecond)) != nil {
		return o, false
	}
	r, err := p.s.hear(p.word, p.flow.Size)
	if err != nil {
		return o, false
	}
	o.Outcome, o.Server, o.Source, o.Peer, o.Took = world.Answered, r.server, r.source, r.peer, time.Since(p.at)
	return o, true
}

func (l *Lab) closeSockets() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.parked {
		p.s.close()
	}
	for _, se := range l.sessions {
		if se.s != nil {
			se.s.close()
		}
	}
	l.parked, l.sessions = nil, nil
}
