package capture

import (
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// stamped returns when the kernel stamps packets as they come by. A socket that asks for stamps turns that on some time later, in a
// work queue (net_enable_timestamp, net/core/dev.c); until then a frame gets the time at which it was read, and frames of several
// sockets would be out of order. So a datagram is sent to oneself until its stamp is older than the moment after it was sent.
func stamped() (err error) {
	ns, err := nsnet.New("clock")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, ns.Close()) }()
	fd, err := ns.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	self := &unix.SockaddrInet4{Port: 9, Addr: [4]byte{127, 0, 0, 1}}
	if err := unix.Bind(fd, self); err != nil {
		return err
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return err
	}
	const patience = 5 * time.Second
	for end := time.Now().Add(patience); time.Now().Before(end); {
		if err := unix.Sendto(fd, nil, 0, self); err != nil {
			return err
		}
		sent := time.Now()
		var oob [64]byte
		_, n, _, _, err := unix.Recvmsg(fd, nil, oob[:], 0)
		switch {
		case err == unix.EAGAIN || err == unix.EINTR:
			continue // it is still on its way
		case err != nil:
			return err
		}
		messages, err := unix.ParseSocketControlMessage(oob[:n])
		if err != nil || len(messages) != 1 || len(messages[0].Data) < 16 {
			return fmt.Errorf("a datagram without a time stamp: %v", err)
		}
		d := messages[0].Data
		at := time.Unix(int64(binary.NativeEndian.Uint64(d)), int64(binary.NativeEndian.Uint64(d[8:])))
		if at.Before(sent) {
			return nil
		}
	}
	return fmt.Errorf("the kernel does not stamp packets as they come, not after %v", patience)
}
