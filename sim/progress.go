package main

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"svclab/reports/verdict"
)

// progress is the one line on a terminal that says what is going on. Elsewhere it is nothing: in CI each case's own line
// is the progress.
type progress struct {
	w    io.Writer // nil: no terminal
	head string
}

func newProgress(f *os.File) *progress {
	if !isTerminal(f) || os.Getenv("CI") != "" {
		return &progress{}
	}
	return &progress{w: f}
}

func (p *progress) at(i, n int, name string) {
	p.head = fmt.Sprintf("[%d/%d] %s", i, n, name)
	p.doing("build")
}

func (p *progress) doing(text string) {
	if p.w != nil {
		line := []rune(p.head + ": " + text)
		fmt.Fprintf(p.w, "\r\x1b[K%s", string(line[:min(len(line), 110)]))
	}
}

func (p *progress) clear() {
	if p.w != nil {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// tally prints of a repeated run how often each case ended how.
func tally(w io.Writer, r *verdict.Run) {
	var order []string
	counts := map[string]*[4]int{}
	for i := range r.Cases {
		id := r.Cases[i].ID()
		if counts[id] == nil {
			counts[id] = &[4]int{}
			order = append(order, id)
		}
		counts[id][r.Cases[i].Verdict]++
	}
	for _, id := range order {
		n := counts[id]
		fmt.Fprintf(w, "%-40s %d passed, %d failed, %d broken, %d skipped\n", id, n[verdict.Pass], n[verdict.Fail], n[verdict.Broken], n[verdict.Skip])
	}
}
