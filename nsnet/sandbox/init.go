package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"golang.org/x/sys/unix"
)

// runInit is the life of pid 1. It does not return, and leaves by syscall.Exit: exit hooks are the program's business, and the
// race detector's would add a second to every test run.
func runInit() {
	// Whatever is for the program comes through the lifeline; what the terminal sends, the program gets directly.
	signal.Notify(make(chan os.Signal, 1), forwarded...)
	lifeline := os.NewFile(lifelineFD, "lifeline")
	report := os.NewFile(reportFD, "report")
	unix.CloseOnExec(lifelineFD)
	unix.CloseOnExec(reportFD)

	pid, err := startProgram()
	if err != nil {
		fmt.Fprint(report, encodeStageError(err))
		syscall.Exit(1)
	}
	report.Close()
	go obey(lifeline, pid)
	syscall.Exit(reap(pid))
}

func startProgram() (pid int, err error) {
	if err := furnish(); err != nil {
		return 0, err
	}
	cmd := self(stageProgram)
	if err := cmd.Start(); err != nil {
		return 0, &stageError{"start the program", err}
	}
	return cmd.Process.Pid, nil
}

// obey passes signals on to the program, and ends everything when outer is gone.
func obey(lifeline *os.File, pid int) {
	var b [1]byte
	for {
		n, err := lifeline.Read(b[:])
		if n == 0 || err != nil {
			syscall.Exit(128 + int(syscall.SIGKILL)) // nobody reads the code; pid 1's end takes all others along
		}
		unix.Kill(pid, syscall.Signal(b[0]))
	}
}

// reap waits for every child, adopted ones too, until the program ends. It races with nobody: init uses no Cmd.Wait.
func reap(program int) int {
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		switch {
		case errors.Is(err, syscall.EINTR):
		case err != nil:
			return 1 // no child left, and the program was one: cannot happen
		case pid == program:
			return exitCode(status)
		}
	}
}
