package health

import (
	"net"
	"net/http"
	"syscall"
	"testing"
)

// The port is free after close, also while a copy of the socket is open somewhere: a process that is about to run another
// program has one for a moment.
func TestAPortIsFreeAfterClose(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	raw, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	copied := -1
	if err := raw.Control(func(fd uintptr) { copied, err = syscall.Dup(int(fd)) }); err != nil || copied < 0 {
		t.Fatalf("copy the socket: %v", err)
	}
	defer syscall.Close(copied)
	d := serve(ln, http.NotFoundHandler())
	if err := d.close(); err != nil {
		t.Fatal(err)
	}
	again, err := net.Listen("tcp4", ln.Addr().String())
	if err != nil {
		t.Fatalf("the port is not free: %v", err)
	}
	again.Close()
}
