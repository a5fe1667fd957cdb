package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// process is a running command and all that it starts.
type process struct {
	cmd  *exec.Cmd
	log  *tail
	done chan struct{}
	err  error // of Wait; valid once done is closed

	mu    sync.Mutex
	ended bool // by us: that it ends is no news
}

// launch starts the command by start, which must return at once; a group of its own lets what it starts end with it.
func launch(cmd *exec.Cmd, start func(*exec.Cmd) error) (*process, error) {
	p := &process{cmd: cmd, log: &tail{}, done: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = p.log, p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	cmd.WaitDelay = time.Second // a grandchild may hold the pipe
	if err := start(cmd); err != nil {
		return nil, err
	}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// alive is nil while the process runs. When it has ended by itself, it says how, and what it said last.
func (p *process) alive() error {
	select {
	case <-p.done:
	default:
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	how := "with exit code 0"
	if p.err != nil {
		how = p.err.Error()
	}
	return fmt.Errorf("%s has ended: %s; it said last:\n%s", p.cmd.Path, how, p.log.last(lastLines))
}

// lastLines is how much of a log belongs into an error.
const lastLines = 12

// signal sends a signal to the process and all that it has started.
func (p *process) signal(s syscall.Signal) error {
	err := syscall.Kill(-p.cmd.Process.Pid, s)
	if errors.Is(err, syscall.ESRCH) {
		return nil
	}
	return err
}

// end ends it at once, as kill -9 does. It may be called twice.
func (p *process) end() error {
	p.mu.Lock()
	p.ended = true
	p.mu.Unlock()
	select {
	case <-p.done:
		return nil
	default:
	}
	err := p.signal(syscall.SIGKILL)
	<-p.done
	return err
}

// tail keeps the beginning and the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	head []byte
	rest []byte
	lost int
}

const (
	headBytes = 256 << 10
	tailBytes = 1 << 20
)

func (t *tail) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(b)
	if room := headBytes - len(t.head); room > 0 {
		take := min(room, len(b))
		t.head, b = append(t.head, b[:take]...), b[take:]
	}
	t.rest = append(t.rest, b...)
	if extra := len(t.rest) - tailBytes; extra > tailBytes/2 {
		t.lost += extra
		t.rest = append([]byte(nil), t.rest[extra:]...)
	}
	return n, nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var b bytes.Buffer
	b.Write(t.head)
	if t.lost > 0 {
		fmt.Fprintf(&b, "\n… %d bytes are left out …\n", t.lost)
	}
	b.Write(t.rest)
	return b.String()
}

// last is the last lines.
func (t *tail) last(n int) string {
	lines := strings.Split(strings.TrimRight(t.String(), "\n"), "\n")
	return "  " + strings.Join(lines[max(0, len(lines)-n):], "\n  ")
}
