package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"

	"golang.org/x/sys/unix"
)

// The files that init inherits after the standard three.
const (
	lifelineFD = 3 // init reads: a byte is a signal for the program, the end of file is the end of outer
	reportFD   = 4 // init writes why it could not set up the sandbox, or closes it
)

const plainFlags = unix.CLONE_NEWNS | unix.CLONE_NEWNET | unix.CLONE_NEWPID

// runOuter returns the program's exit code, or why there was no program.
func runOuter(o Options) (int, error) {
	runtime.LockOSThread() // Pdeathsig fires when the starting thread ends: this one stays until the process exits
	defer runtime.UnlockOSThread()

	if !o.UserNamespace && capable() {
		code, err := outer(&syscall.SysProcAttr{Cloneflags: plainFlags})
		// Root in a container may be forbidden what its capabilities promise; a user namespace is the second chance.
		if !errors.Is(err, unix.EPERM) {
			return code, err
		}
	}
	code, err := outer(&syscall.SysProcAttr{
		Cloneflags:  plainFlags | unix.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Geteuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getegid(), Size: 1}},
	})
	if err != nil {
		return 0, errors.New(explain(read(err)))
	}
	return code, nil
}

// outer starts init and stays with it to the end.
func outer(attr *syscall.SysProcAttr) (int, error) {
	attr.Pdeathsig = syscall.SIGKILL
	lifeline, lifelineEnd, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer lifelineEnd.Close()
	report, reportEnd, err := os.Pipe()
	if err != nil {
		lifeline.Close()
		return 0, err
	}
	defer report.Close()

	cmd := self(stageInit)
	cmd.ExtraFiles = []*os.File{lifeline, reportEnd}
	cmd.SysProcAttr = attr

	// Before the start, or a signal that comes right after it would end outer the default way.
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, forwarded...)
	defer signal.Stop(signals)

	err = cmd.Start()
	lifeline.Close()
	reportEnd.Close()
	if err != nil {
		var errno syscall.Errno
		if errors.As(err, &errno) { // less "fork/exec /proc/self/exe", which is our business
			err = errno
		}
		return 0, &stageError{"clone", err}
	}
	if said, _ := io.ReadAll(report); len(said) > 0 {
		cmd.Wait()
		return 0, parseStageError(said)
	}

	ended := make(chan struct{})
	go forward(signals, lifelineEnd, ended)
	err = cmd.Wait()
	close(ended)
	if cmd.ProcessState == nil {
		return 0, fmt.Errorf("wait for init: %w", err)
	}
	return exitCode(cmd.ProcessState.Sys().(syscall.WaitStatus)), nil
}

// self is this very program, even if its file was deleted meanwhile.
func self(stage string) *exec.Cmd {
	return &exec.Cmd{
		Path:   "/proc/self/exe",
		Args:   os.Args,
		Env:    withMarker(stage),
		Stdin:  os.Stdin,
		Stdout: os.Stdout,
		Stderr: os.Stderr,
	}
}

func exitCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}

// capable says whether namespaces can be made without a user namespace: uid 0 alone is not enough in a container.
func capable() bool {
	if os.Geteuid() != 0 {
		return false
	}
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return false
	}
	return data[0].Effective&(1<<unix.CAP_SYS_ADMIN) != 0
}
