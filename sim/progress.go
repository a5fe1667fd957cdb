package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// progress is the one line on a terminal that says what is going on. Elsewhere it is nothing: in CI each case's own line
// is the progress.
type progress struct {
	mu sync.Mutex
	w  io.Writer // nil: no terminal
}

func newProgress(f *os.File) *progress {
	if !isTerminal(f) || os.Getenv("CI") != "" {
		return &progress{}
	}
	return &progress{w: f}
}

// of is the line of one case; of several at once the last to speak is heard.
func (p *progress) of(i, n int, name string) (doing func(string)) {
	head := fmt.Sprintf("[%d/%d] %s: ", i, n, name)
	doing = func(text string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.w != nil {
			line := []rune(head + text)
			fmt.Fprintf(p.w, "\r\x1b[K%s", string(line[:min(len(line), 110)]))
		}
	}
	doing("build")
	return doing
}

func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}
