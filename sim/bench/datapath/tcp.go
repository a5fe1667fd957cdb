package datapath

import (
	"bytes"
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// together is how many connections are open at the same time while their making is measured.
const together = 50

// newConnections measures n times how long it takes to connect.
func newConnections(p *path, n int) (took []float64, err error) {
	if err := p.open(1, nil); err != nil { // not measured: the neighbours and the caches know the way afterwards
		return nil, err
	}
	for len(took) < n && err == nil {
		err = p.open(min(together, n-len(took)), func(d time.Duration) { took = append(took, d.Seconds()) })
	}
	return took, err
}

// open makes n connections one after another, looks where each has arrived, and closes them.
func (p *path) open(n int, each func(time.Duration)) (err error) {
	made := make([]int, 0, 2*n)
	defer func() {
		for _, fd := range made { // the clients first, whose RST ends both sides
			unix.Close(fd)
		}
	}()
	to := p.peer()
	for range n {
		fd, _, err := p.socket(unix.SOCK_STREAM)
		if err != nil {
			return err
		}
		made = append(made, fd)
		took, err := connect(fd, to, p.patience)
		if err != nil {
			return fmt.Errorf("connect to %s: %w", p.to, err)
		}
		if each != nil {
			each(took)
		}
	}
	for range n {
		fd, err := p.accept()
		if err != nil {
			return err
		}
		made = append(made, fd)
	}
	return nil
}

// connect connects and tells how long it took from the system call to the moment at which the client may write.
func connect(fd int, to *unix.SockaddrInet4, patience time.Duration) (time.Duration, error) {
	poll := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLOUT}}
	began := time.Now()
	err := unix.Connect(fd, to)
	took := time.Since(began)
	for err == unix.EINPROGRESS {
		n, e := unix.Poll(poll, 0)
		took = time.Since(began)
		switch {
		case e != nil && e != unix.EINTR:
			return 0, e
		case n > 0:
			err = nil
			if errno, e := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ERROR); e != nil || errno != 0 {
				err = unix.Errno(errno)
			}
		case took > patience:
			return 0, errSilent
		}
	}
	return took, err
}

// connections measures how many connections one client makes and closes in a second, one after another. The server takes them
// afterwards.
func connections(p *path, n int) ([]float64, error) {
	if err := p.open(1, nil); err != nil {
		return nil, err
	}
	to := p.peer()
	began := time.Now()
	for range n {
		fd, _, err := p.socket(unix.SOCK_STREAM)
		if err != nil {
			return nil, err
		}
		_, err = connect(fd, to, p.patience)
		unix.Close(fd)
		if err != nil {
			return nil, fmt.Errorf("connect to %s: %w", p.to, err)
		}
	}
	took := time.Since(began)
	for range n {
		fd, err := p.accept()
		if err != nil {
			return nil, err
		}
		unix.Close(fd)
	}
	return []float64{float64(n) / took.Seconds()}, nil
}

// kept calls f with both ends of a connection.
func (p *path) kept(f func(client, server int) error) error {
	client, _, err := p.socket(unix.SOCK_STREAM)
	if err != nil {
		return err
	}
	defer unix.Close(client)
	if _, err := connect(client, p.peer(), p.patience); err != nil {
		return fmt.Errorf("connect to %s: %w", p.to, err)
	}
	server, err := p.accept()
	if err != nil {
		return err
	}
	defer unix.Close(server)
	for _, fd := range []int{client, server} {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return err
		}
	}
	return f(client, server)
}

// requests measures how many requests a second are answered on a connection that stays open, one after another.
func requests(p *path, n int) (rate []float64, err error) {
	var request, heard, answer [message]byte
	one := func(client, server, i int) error {
		number(request[:], 0, uint64(i))
		if err := pass(client, server, request[:], heard[:]); err != nil {
			return err
		}
		if err := pass(server, client, heard[:], answer[:]); err != nil {
			return err
		}
		if answer != request {
			return fmt.Errorf("request %x was answered by %x", request, answer)
		}
		return nil
	}
	err = p.kept(func(client, server int) error {
		if err := one(client, server, 0); err != nil {
			return err
		}
		began := time.Now()
		for i := range n {
			if err := one(client, server, i+1); err != nil {
				return err
			}
		}
		rate = []float64{float64(n) / time.Since(began).Seconds()}
		return nil
	})
	return rate, err
}

// pass writes a text at one end and reads it at the other.
func pass(from, to int, text, heard []byte) error {
	for sent, got := 0, 0; got < len(text); {
		err := waitFor(func() error {
			moved := false
			if sent < len(text) {
				if n, err := unix.Write(from, text[sent:]); err == nil {
					sent, moved = sent+n, true
				} else if err != unix.EAGAIN {
					return err
				}
			}
			n, err := unix.Read(to, heard[got:])
			switch {
			case err == nil && n > 0:
				got, moved = got+n, true
			case err == nil:
				return fmt.Errorf("the connection ended after %d of %d bytes", got, len(text))
			case err != unix.EAGAIN:
				return err
			}
			if !moved {
				return unix.EAGAIN
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// chunk is what is written at once in bulk, in bytes: what the kernel makes one packet of, on wires like these.
const chunk = 64 << 10

// bulk measures how many bytes a second come over one connection, in n chunks.
func bulk(p *path, n int) (rate []float64, err error) {
	text, heard := bytes.Repeat([]byte("0123456789abcdef"), chunk/16), make([]byte, chunk)
	err = p.kept(func(client, server int) error {
		for range 16 { // not measured: until the window is open
			if err := pass(client, server, text, heard); err != nil {
				return err
			}
		}
		began := time.Now()
		for range n {
			if err := pass(client, server, text, heard); err != nil {
				return err
			}
		}
		rate = []float64{float64(n*chunk) / time.Since(began).Seconds()}
		if !bytes.Equal(text, heard) {
			return fmt.Errorf("the bytes to %s came changed", p.to)
		}
		return nil
	})
	return rate, err
}
