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
	err = p.datagrams(func(fd int, port uint16) error {
		if err := p.pour(fd, port, 0, 1); err != nil { // not measured: it is newFlows that measures what the first one pays
			return err
		}
		began := time.Now()
		for done := 0; done < n; done += burst {
			if err := p.pour(fd, port, 1+done, min(burst, n-done)); err != nil {
				return err
			}
		}
		rate = []float64{float64(n) / time.Since(began).Seconds()}
		return nil
	})
	return rate, err
}

// pour sends n datagrams of a flow, which are numbered from first on, and receives them.
func (p *path) pour(fd int, port uint16, first, n int) error {
	var text [message]byte
	for i := range n {
		number(text[:], port, uint64(first+i))
		if _, err := unix.Write(fd, text[:]); err != nil {
			return err
		}
	}
	var heard datagram
	for i := range n {
		if err := p.server.receive(&heard); err != nil {
			return fmt.Errorf("datagram %d: %w", first+i, err)
		}
		number(text[:], port, uint64(first+i))
		if heard.text != text {
			return fmt.Errorf("datagram %x came where %x was expected", heard.text, text)
		}
	}
	return p.check(heard.at())
}
