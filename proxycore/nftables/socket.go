package nftables

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

const (
	sendBuffer = 128 << 20 // what a first sync may need at most; an unprivileged process gets net.core.wmem_max
	patience   = 30 * time.Second
	dumpTries  = 20
)

// socket talks to nf_tables in one network namespace. Not for use by two goroutines at a time.
type socket struct {
	conn  *netlink.Conn // opened in the namespace; no thread stays there
	raw   syscall.RawConn
	seq   uint32
	limit int // the largest datagram it takes
	read  []byte
}

func dial(netns int) (*socket, error) {
	conn, err := netlink.Dial(unix.NETLINK_NETFILTER, &netlink.Config{NetNS: netns})
	if err != nil {
		return nil, fmt.Errorf("open a netfilter socket: %w", err)
	}
	s := &socket{conn: conn, read: make([]byte, 64<<10)} // the kernel fills at most 32 KB at a time
	if err := s.tune(); err != nil {
		conn.Close()
		return nil, fmt.Errorf("prepare the netfilter socket: %w", err)
	}
	return s, nil
}

func (s *socket) tune() (err error) {
	if s.raw, err = s.conn.SyscallConn(); err != nil {
		return err
	}
	// Errors without a copy of the message they are about, with the offset of the attribute that is wrong.
	if err = s.conn.SetOption(netlink.CapAcknowledge, true); err == nil {
		err = s.conn.SetOption(netlink.ExtendedAcknowledge, true)
	}
	if err != nil {
		return err
	}
	var tuned error
	err = s.raw.Control(func(fd uintptr) {
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, sendBuffer) != nil { // not the host's root
			tuned = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF, sendBuffer)
		}
		if unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 4<<20) != nil {
			_ = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
		}
		got, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SNDBUF)
		s.limit, tuned = got-32, errors.Join(tuned, err) // net/netlink/af_netlink.c, netlink_sendmsg
	})
	return errors.Join(err, tuned)
}

func (s *socket) deadline(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	until := time.Now().Add(patience)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	return s.conn.SetDeadline(until)
}

func (s *socket) write(b []byte) (err error) {
	wait := s.raw.Write(func(fd uintptr) bool {
		_, err = unix.Write(int(fd), b)
		return err != unix.EAGAIN
	})
	if wait != nil {
		err = wait
	}
	return os.NewSyscallError("send", err)
}

// receive reads one datagram. Without wait it returns nothing when there is none.
func (s *socket) receive(wait bool) (b []byte, err error) {
	var n int
	blocked := s.raw.Read(func(fd uintptr) bool {
		n, _, err = unix.Recvfrom(int(fd), s.read, unix.MSG_DONTWAIT)
		return err != unix.EAGAIN || !wait
	})
	if blocked != nil {
		err = blocked
	}
	if err == unix.EAGAIN {
		return nil, nil
	}
	return s.read[:max(n, 0)], os.NewSyscallError("receive", err)
}

// commit sends a batch and returns when the kernel has put it in force, or the first error it reports and how many
// more. nfnetlink works inside send: when that returns, all it has to say lies in the socket. The last message of the
// batch asks for an acknowledgement, so that lost answers are noticed.
func (s *socket) commit(ctx context.Context, batch []byte, first, last uint32) error {
	if err := s.deadline(ctx); err != nil {
		return err
	}
	if err := s.write(batch); err != nil {
		if errors.Is(err, unix.EMSGSIZE) {
			return fmt.Errorf("send a transaction of %d bytes, the socket takes %d: %w", len(batch), s.limit, err)
		}
		return err
	}
	var found error
	more, done := 0, false
	for {
		b, err := s.receive(false)
		if err != nil {
			return err
		}
		if b == nil {
			break
		}
		for m := range messages(b) {
			if m.typ != unix.NLMSG_ERROR || m.seq < first || m.seq > last || len(m.body) < 4 {
				continue // an answer to something earlier that was given up
			}
			done = done || m.seq == last
			if errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m.body))); errno == 0 {
				continue
			} else if found == nil {
				found = explain(batch, m, errno)
			} else {
				more++
			}
		}
	}
	switch {
	case found != nil && more > 0:
		return fmt.Errorf("%w (and %d more)", found, more)
	case found == nil && !done:
		return errors.New("the kernel did not acknowledge the transaction")
	}
	return found
}

// generation is the number of the ruleset that is in force in this network namespace (NFT_MSG_GETGEN).
func (s *socket) generation(ctx context.Context) (uint32, error) {
	if err := s.deadline(ctx); err != nil {
		return 0, err
	}
	s.seq++
	var w buffer
	w.endMessage(w.message(nftables<<8|unix.NFT_MSG_GETGEN, unix.NLM_F_REQUEST, s.seq, unix.AF_UNSPEC, 0))
	if err := s.write(w.b); err != nil {
		return 0, err
	}
	for {
		b, err := s.receive(true)
		if err != nil {
			return 0, err
		}
		for m := range messages(b) {
			switch {
			case m.seq != s.seq:
			case m.typ == unix.NLMSG_ERROR && len(m.body) >= 4:
				return 0, fmt.Errorf("ask for the generation: %w", unix.Errno(-int32(binary.NativeEndian.Uint32(m.body))))
			case m.typ == nftables<<8|unix.NFT_MSG_NEWGEN && len(m.body) >= bodyHeader:
				if id := attr(m.body[bodyHeader:], unix.NFTA_GEN_ID); len(id) == 4 {
					return binary.BigEndian.Uint32(id), nil
				}
				return 0, errors.New("ask for the generation: the answer has none")
			}
		}
	}
}

// dump sends a request for a listing and calls each for every message of the answer, without its nfgenmsg header.
// When the ruleset changed meanwhile (NLM_F_DUMP_INTR) it calls again and starts anew.
func (s *socket) dump(ctx context.Context, typ uint16, family uint8, request func(w *buffer), again func(), each func(body []byte) error) error {
	for range dumpTries {
		again()
		if err := s.deadline(ctx); err != nil {
			return err
		}
		s.seq++
		var w buffer
		at := w.message(nftables<<8|typ, unix.NLM_F_DUMP, s.seq, family, 0)
		request(&w)
		w.endMessage(at)
		if err := s.write(w.b); err != nil {
			return err
		}
		whole, err := s.listing(ctx, each)
		if err != nil || whole {
			return err
		}
	}
	return fmt.Errorf("the ruleset changed during each of %d dumps", dumpTries)
}

func (s *socket) listing(ctx context.Context, each func(body []byte) error) (whole bool, err error) {
	whole = true
	var failed error
	for {
		if err := s.deadline(ctx); err != nil { // a long listing is patient as long as it goes on
			return false, err
		}
		b, err := s.receive(true)
		if err != nil {
			return false, err
		}
		for m := range messages(b) {
			if m.seq != s.seq {
				continue
			}
			whole = whole && m.flags&unix.NLM_F_DUMP_INTR == 0
			switch m.typ {
			case unix.NLMSG_DONE, unix.NLMSG_ERROR:
				if len(m.body) >= 4 && failed == nil {
					if errno := unix.Errno(-int32(binary.NativeEndian.Uint32(m.body))); errno == unix.EINTR {
						whole = false
					} else if errno != 0 {
						failed = errno
					}
				}
				return whole, failed
			}
			if len(m.body) >= bodyHeader && failed == nil && whole {
				failed = each(m.body[bodyHeader:])
			}
		}
	}
}

func (s *socket) close() error { return s.conn.Close() }
