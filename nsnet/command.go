package nsnet

import (
	"bytes"
	"fmt"
	"os/exec"
	"runtime"
	"strings"
	"sync"
)

// Start starts the command inside the namespace; wait for it outside, with cmd.Wait, from any goroutine.
//
// The goroutines that exec.Cmd starts for pipes and contexts run elsewhere, which is right: they only copy and kill.
// A command with SysProcAttr.Pdeathsig is started from one thread that lasts as long as the process, since the kernel sends
// that signal when the starting thread ends, not when the process does.
func (n *NS) Start(cmd *exec.Cmd) error {
	start := func() error {
		return n.Do(func() error {
			if err := cmd.Start(); err != nil {
				return fmt.Errorf("start %s in namespace %s: %w", cmd.Path, n.name, err)
			}
			return nil
		})
	}
	if cmd.SysProcAttr != nil && cmd.SysProcAttr.Pdeathsig != 0 {
		return spawn(start)
	}
	return start()
}

// Run starts the command, waits for it and returns its output and error output, together; it sets both of cmd's. The error
// carries the output too.
func (n *NS) Run(cmd *exec.Cmd) ([]byte, error) {
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := n.Start(cmd)
	if err != nil {
		return nil, err
	}
	if err := cmd.Wait(); err != nil {
		said := strings.TrimSpace(out.String())
		if said == "" {
			said = "(no output)"
		}
		return out.Bytes(), fmt.Errorf("run %s in namespace %s: %w: %s", strings.Join(cmd.Args, " "), n.name, err, said)
	}
	return out.Bytes(), nil
}

type job struct {
	run  func() error
	done chan error
}

// spawner is the lasting thread: it ends with the process, by design.
var spawner = sync.OnceValue(func() chan<- job {
	jobs := make(chan job)
	go func() {
		runtime.LockOSThread()
		for j := range jobs {
			j.done <- j.run()
		}
	}()
	return jobs
})

func spawn(run func() error) error {
	j := job{run, make(chan error, 1)}
	spawner() <- j
	return <-j.done
}
