package lab

import (
	"bytes"
	"errors"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"svclab/proxycore/cluster"
	"svclab/sim/world"
)

// reply is who answered and whom it saw, in its own words, and who it is as the client sees it.
type reply struct{ server, source, peer netip.AddrPort }

// exchange returns the reply, or the socket's error.
func (s *socket) exchange(f world.Flow, word string, deadline time.Time, fresh bool) (reply, error) {
	if fresh {
		if err := s.connect(deadline); err != nil {
			return reply{}, err
		}
	} else {
		if err := s.file.SetDeadline(deadline); err != nil {
			return reply{}, err
		}
		s.forget()
	}
	if err := s.send(s.request(word, f.Size)); err != nil {
		return reply{}, err
	}
	return s.hear(word, f.Size)
}

// request is what the client sends.
func (s *socket) request(word string, size int) []byte {
	switch s.proto {
	case cluster.SCTP:
		return s.initiate(word)
	case cluster.ICMP:
		return s.echo(word)
	}
	return []byte(padded(word, size))
}

// forget drops the errors and answers that belong to earlier flows of a session.
func (s *socket) forget() {
	for range 16 {
		if _, ok := s.icmpError(); !ok {
			break
		}
	}
	if s.proto == cluster.TCP {
		return
	}
	_ = s.raw.Control(func(fd uintptr) {
		_, _ = unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_ERROR)
		var b [2048]byte
		for range 64 {
			if _, _, err := unix.Recvfrom(int(fd), b[:], unix.MSG_DONTWAIT); err != nil {
				return
			}
		}
	})
}

// hear waits for the answer to a word.
func (s *socket) hear(word string, size int) (reply, error) {
	switch s.proto {
	case cluster.SCTP:
		return s.hearInitAck(word)
	case cluster.ICMP:
		return s.hearEcho(word)
	case cluster.UDP:
		return s.hearDatagram(word, size)
	}
	return s.hearLine(word, size)
}

func (s *socket) hearDatagram(word string, size int) (reply, error) {
	buf := make([]byte, largest(size))
	for {
		n, _, err := s.receive(buf)
		if err != nil {
			return reply{}, err
		}
		line := string(buf[:n])
		if !strings.HasPrefix(line, word+" ") {
			continue // an answer to an earlier datagram of this session
		}
		if text, ok := whole(line, answerFields); ok && n >= size {
			return s.replied(text, word)
		}
	}
}

func (s *socket) hearLine(word string, size int) (reply, error) {
	buf := make([]byte, largest(size))
	have := 0
	for {
		n, _, err := s.receive(buf[have:])
		if err != nil {
			return reply{}, err
		}
		if n == 0 {
			return reply{}, unix.ECONNRESET // the server hung up without a word
		}
		have += n
		switch i := bytes.IndexByte(buf[:have], '\n'); {
		case i >= 0:
			text, ok := whole(string(buf[:i+1]), answerFields)
			if !ok || i+1 < size {
				return reply{}, unix.ECONNRESET // damaged: as good as a connection that broke off
			}
			return s.replied(text, word)
		case have == len(buf):
			return reply{}, errors.New("an answer without end")
		}
	}
}

func (s *socket) replied(text, word string) (r reply, err error) {
	r.peer = s.peer
	r.server, r.source, err = parseAnswer(text, word)
	return r, err
}
