package main

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"svclab/reports/figures"
)

// seldom is how often a benchmark says how far it is where there is no terminal.
const seldom = 30 * time.Second

// benchProgress says how far a benchmark is: on a terminal in one line that is written over, elsewhere in a plain line now
// and then. nil says nothing.
type benchProgress struct {
	mu       sync.Mutex
	w        io.Writer
	terminal bool
	now      func() time.Time
	began    time.Time
	said     time.Time
}

func newBenchProgress(f *os.File, now func() time.Time) *benchProgress {
	return &benchProgress{w: f, terminal: isTerminal(f) && os.Getenv("CI") == "", now: now, began: now()}
}

func (p *benchProgress) doing(done, total float64, text string) {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	line := fmt.Sprintf("[%3.0f%%%s] %s", 100*share(done, total), left(now.Sub(p.began), done, total), text)
	if p.terminal {
		short := []rune(line)
		fmt.Fprintf(p.w, "\r\x1b[K%s", string(short[:min(len(short), 110)]))
		return
	}
	if p.said.IsZero() || now.Sub(p.said) >= seldom {
		p.said = now
		fmt.Fprintf(p.w, "%s\n", line)
	}
}

func (p *benchProgress) clear() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.terminal {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func share(done, total float64) float64 {
	if total <= 0 {
		return 0
	}
	return min(max(done/total, 0), 1)
}

// left is the time that is left if all goes on as it did; nothing while it is too early to tell.
func left(took time.Duration, done, total float64) string {
	part := share(done, total)
	if part < 0.01 || took < time.Second {
		return ""
	}
	return ", " + figures.Duration(took.Seconds()*(1-part)/part) + " left"
}
