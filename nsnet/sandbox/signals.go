package sandbox

import (
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// forwarded are the signals by which people and other programs speak to a program.
var forwarded = []os.Signal{
	syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2,
}

// forward hands signals on through the lifeline until ended is closed.
func forward(signals <-chan os.Signal, lifeline io.Writer, ended <-chan struct{}) {
	for {
		select {
		case s := <-signals:
			n := s.(syscall.Signal)
			if fromTerminal(n) {
				continue // the program has it already, and a second Ctrl-C often means "at once"
			}
			lifeline.Write([]byte{byte(n)}) // an error means that init is gone, and then ended is about to be closed
		case <-ended:
			return
		}
	}
}

// fromTerminal guesses: Go does not tell who sent a signal, but a terminal sends these two to its whole foreground group, and
// all three processes share their group. The price of the guess is that kill -INT from elsewhere does not reach a program in
// the foreground of a terminal; SIGTERM does.
func fromTerminal(s syscall.Signal) bool {
	if s != syscall.SIGINT && s != syscall.SIGQUIT {
		return false
	}
	tty, err := unix.Open("/dev/tty", unix.O_RDONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return false
	}
	defer unix.Close(tty)
	group, err := unix.IoctlGetInt(tty, unix.TIOCGPGRP)
	return err == nil && group == unix.Getpgrp()
}
