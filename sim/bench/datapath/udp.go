package datapath

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"
)

// newFlows measures n times how long the first datagram of a flow and its answer take.
func newFlows(p *path, n int) ([]float64, error) {
	took := make([]float64, 0, n)
	for i := range n + 1 {
		d, err := p.flow()
		if err != nil {
			return nil, err
		}
		if i > 0 { // the first is not measured, as in newConnections
			took = append(took, d.Seconds())
		}
	}
	return took, nil
}

// flow sends one datagram from a fresh port, and its answer.
func (p *path) flow() (took time.Duration, err error) {
	err = p.datagrams(func(fd int, port uint16) error {
		var text [message]byte
		var heard datagram
		number(text[:], port, 1)
		began := time.Now()
		if _, err := unix.Write(fd, text[:]); err != nil {
			return err
		}
		if err := p.server.receive(&heard); err != nil {
			return err
		}
		if err := p.server.answer(&heard); err != nil {
			return err
		}
		var answer [message]byte
		err := waitFor(func() error {
			_, err := unix.Read(fd, answer[:])
			return err
		})
		took = time.Since(began)
		switch {
		case err != nil:
			return err
		case answer != text:
			return fmt.Errorf("datagram %x was answered by %x", text, answer)
		}
		return p.check(heard.at())
	})
	return took, err
}

// datagrams calls f with a client's socket that is connected.
func (p *path) datagrams(f func(fd int, port uint16) error) error {
	fd, port, err := p.socket(unix.SOCK_DGRAM)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	if err = unix.Connect(fd, p.peer()); err == nil {
		err = f(fd, port)
	}
	if err != nil {
		return fmt.Errorf("UDP to %s: %w", p.to, err)
	}
	return nil
}

// burst is how many datagrams are sent before they are received: less than a socket's buffer holds.
const burst = 64

// packets measures how many datagrams of one flow a second are sent and received. None may be lost, change its place, or go
// elsewhere.
func packets(p *path, n int) (rate []float64, err error) {
	if _, err := p.flow(); err != nil { // not measured, as in newConnections
		return nil, err
	}
	err = p.datagrams(func(fd int, port uint16) error {
		var text [message]byte
		var heard datagram
		began := time.Now()
		for done := 0; done < n; {
			now := min(burst, n-done)
			for i := range now {
				number(text[:], port, uint64(done+i))
				if _, err := unix.Write(fd, text[:]); err != nil {
					return err
				}
			}
			for i := range now {
				if err := p.server.receive(&heard); err != nil {
					return fmt.Errorf("datagram %d: %w", done+i, err)
				}
				number(text[:], port, uint64(done+i))
				if heard.text != text {
					return fmt.Errorf("datagram %x came where %x was expected", heard.text, text)
				}
			}
			done += now
		}
		rate = []float64{float64(n) / time.Since(began).Seconds()}
		return p.check(heard.at())
	})
	return rate, err
}
