// Package capture hears every packet of whole network namespaces, on all their devices, and writes what it heard as pcapng.
//
// There is one packet socket for each namespace rather than for each device: closing one takes the kernel a grace period of
// some ten milliseconds, and a namespace may have many devices. The socket says of each frame on which device it was.
package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// Frame is one Ethernet frame at one device. A frame that crosses a veth is seen twice: as it leaves one end, and as it arrives
// at the other.
type Frame struct {
	NS         *nsnet.NS
	Device     int // its index in the namespace
	At         time.Time
	Outgoing   bool
	Stray      bool   // it arrived, and was for another machine's hardware address: a bridge floods what it does not know
	Data       []byte // from the Ethernet header on
	Length     int    // on the wire, in bytes; more than Data when it was cut short
	Unfinished bool   // its checksum was left to a device (packet.Mend writes it)
}

const (
	queue   = 8 << 20   // bytes, for each namespace
	longest = 1 << 16   // an unsegmented frame on its way between two pods
	most    = 256 << 20 // bytes that are kept, for each namespace
)

// Capture hears until it is closed. Its methods may be called from any goroutine.
type Capture struct {
	taps []*tap
	once sync.Once
}

// Open starts to hear in these namespaces. When it returns, every packet that is sent from now on is heard.
func Open(namespaces ...*nsnet.NS) (_ *Capture, err error) {
	c := &Capture{}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	for _, ns := range namespaces {
		t, err := open(ns)
		if err != nil {
			return nil, fmt.Errorf("capture in namespace %s: %w", ns.Name(), err)
		}
		c.taps = append(c.taps, t)
	}
	if err := stamped(); err != nil {
		return nil, fmt.Errorf("capture: %w", err)
	}
	return c, nil
}

// Frames is everything heard so far, in the order of the kernel's clock. The caller must not change the frames' data.
func (c *Capture) Frames() ([]Frame, error) {
	var all []Frame
	var errs []error
	for _, t := range c.taps {
		frames, err := t.heard()
		all, errs = append(all, frames...), append(errs, err)
	}
	slices.SortStableFunc(all, func(a, b Frame) int { return a.At.Compare(b.At) })
	return all, errors.Join(errs...)
}

// Lost is how many frames came faster than they were read, or after a namespace's share of memory was full, and are in nobody's
// hands. As long as it is 0, what is not among Frames was not there.
func (c *Capture) Lost() int {
	n := 0
	for _, t := range c.taps {
		t.mu.Lock()
		t.drain()
		n += t.lost
		t.mu.Unlock()
	}
	return n
}

// Close ends the capture and waits for its readers. It may be called twice.
func (c *Capture) Close() error {
	var errs []error
	c.once.Do(func() {
		results := make([]error, len(c.taps))
		var wait sync.WaitGroup
		for i, t := range c.taps { // at once: each waits for the kernel
			wait.Go(func() { results[i] = t.close() })
		}
		wait.Wait()
		errs = results
	})
	return errors.Join(errs...)
}

// tap is the socket of one namespace.
type tap struct {
	ns   *nsnet.NS
	file *os.File
	raw  syscall.RawConn
	done chan struct{}

	mu     sync.Mutex // guards all below, and reading from the socket
	frames []Frame
	size   int // bytes of frames
	lost   int
	err    error
	buf    []byte
	oob    [256]byte
}

func open(ns *nsnet.NS) (*tap, error) {
	fd, err := ns.Socket(unix.AF_PACKET, unix.SOCK_RAW, 0) // protocol 0: deaf until it is bound
	if err != nil {
		return nil, err
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, queue) != nil { // not the host's root
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, queue)
	}
	t := &tap{ns: ns, done: make(chan struct{}), buf: make([]byte, longest)}
	all := binary.NativeEndian.Uint16([]byte{unix.ETH_P_ALL >> 8, unix.ETH_P_ALL & 255}) // in network order
	for _, step := range []error{
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1),
		unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1),
		unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all}), // no device: all of them
	} {
		if step != nil {
			unix.Close(fd)
			return nil, step
		}
	}
	t.file = os.NewFile(uintptr(fd), "capture")
	if t.raw, err = t.file.SyscallConn(); err != nil {
		t.file.Close()
		return nil, err
	}
	go t.read()
	return t, nil
}

// read keeps the socket's queue short until the socket is closed.
func (t *tap) read() {
	defer close(t.done)
	_ = t.raw.Read(func(uintptr) bool { // the error is that of Close
		t.mu.Lock()
		defer t.mu.Unlock()
		t.drain()
		return false // wait for more
	})
}

func (t *tap) close() error {
	err := t.file.Close()
	<-t.done
	return err
}

func (t *tap) heard() ([]Frame, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.drain()
	return slices.Clone(t.frames), t.err
}

// drain takes what is in the queue, without waiting.
func (t *tap) drain() {
	_ = t.raw.Control(func(fd uintptr) {
		for {
			n, oobn, _, from, err := unix.Recvmsg(int(fd), t.buf, t.oob[:], unix.MSG_DONTWAIT|unix.MSG_TRUNC)
			if err == unix.EINTR || err == unix.ENETDOWN { // a device went down: no frame, and no reason to stop
				continue
			}
			if err != nil {
				if err != unix.EAGAIN {
					t.err = fmt.Errorf("capture in namespace %s: %w", t.ns.Name(), err)
				}
				break
			}
			if link, ok := from.(*unix.SockaddrLinklayer); ok {
				t.keep(n, oobn, link)
			}
		}
		if stats, err := unix.GetsockoptTpacketStats(int(fd), unix.SOL_PACKET, unix.PACKET_STATISTICS); err == nil {
			t.lost += int(stats.Drops) // the kernel starts anew at every question
		}
	})
}

func (t *tap) keep(n, oobn int, link *unix.SockaddrLinklayer) {
	if t.size += min(n, len(t.buf)); t.size > most {
		t.lost++
		return
	}
	f := Frame{NS: t.ns, Device: link.Ifindex, Length: n, Outgoing: link.Pkttype == unix.PACKET_OUTGOING, Stray: link.Pkttype == unix.PACKET_OTHERHOST}
	if link.Hatype == unix.ARPHRD_LOOPBACK && f.Outgoing {
		return // it arrives in the same moment, at the same device
	}
	f.Data = slices.Clone(t.buf[:min(n, len(t.buf))])
	messages, err := unix.ParseSocketControlMessage(t.oob[:oobn])
	if err == nil {
		for _, m := range messages {
			f.told(m)
		}
	}
	t.frames = append(t.frames, f)
}

// told takes over what the kernel says of a frame beside its bytes.
func (f *Frame) told(m unix.SocketControlMessage) {
	const checksumNotReady = 1 << 3 // TP_STATUS_CSUMNOTREADY (linux/if_packet.h)
	switch {
	case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= 16:
		f.At = time.Unix(int64(binary.NativeEndian.Uint64(m.Data)), int64(binary.NativeEndian.Uint64(m.Data[8:])))
	case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= 4:
		f.Unfinished = binary.NativeEndian.Uint32(m.Data)&checksumNotReady != 0
	}
}
