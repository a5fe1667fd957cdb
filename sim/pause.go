package main

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"

	"svclab/nsnet/sandbox"
	"svclab/sim/lab"
)

// outerEnv tells the program in the sandbox, which sees no process outside, the pid by which others find it.
const outerEnv = "SVCLAB_OUTER_PID"

// rememberOuter is called by each of the sandbox's processes; the first to come is the one on the machine.
func rememberOuter() {
	if os.Getenv(outerEnv) == "" {
		os.Setenv(outerEnv, strconv.Itoa(os.Getpid()))
	}
}

// standing is a lab that can be looked at, node by node.
type standing map[string]entrance

// entrance is how a node is entered: the descriptor of its network namespace, and the URL of the API server that its proxy
// is fed by, where it has one.
type entrance struct {
	fd  int
	api string
}

// pausing is a lab that is not taken down at once: when its case did not pass, which is when it is asked for artifacts;
// or in any case.
type pausing struct {
	*lab.Lab
	always bool
	pause  func()
}

// Artifacts pauses after it has collected them.
func (p *pausing) Artifacts(ctx context.Context) map[string]string {
	a := p.Lab.Artifacts(ctx)
	if !p.always {
		p.pause()
	}
	return a
}

// Close pauses before it does.
func (p *pausing) Close() error {
	if p.always {
		p.pause()
	}
	return p.Lab.Close()
}

// pause tells how to enter the nodes, and waits for Enter or the end of the run. Without a terminal nobody presses Enter.
func (s standing) pause(ctx context.Context, name string) {
	fmt.Fprintf(os.Stderr, "%s has been played; its lab stands. From another terminal, as the same user:\n%s", clearLine(name), s.howToEnter())
	pressed := make(chan struct{})
	if isTerminal(os.Stdin) {
		fmt.Fprint(os.Stderr, "Press Enter here to take it down.\n")
		go func() {
			_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
			close(pressed)
		}()
	} else {
		fmt.Fprint(os.Stderr, "It is taken down when this process is interrupted.\n")
	}
	select {
	case <-pressed:
	case <-ctx.Done():
	}
}

// clearLine is the text on a line of its own, where a progress line may stand.
func clearLine(text string) string {
	if isTerminal(os.Stderr) {
		return "\r\x1b[K" + text
	}
	return text
}

func (s standing) howToEnter() string {
	var b strings.Builder
	fmt.Fprintf(&b, "  P=$(pgrep -P $(pgrep -P %s))\n", os.Getenv(outerEnv))
	user := "-U --preserve-credentials "
	if sandbox.RealRoot() {
		user = ""
	}
	for _, node := range slices.Sorted(maps.Keys(s)) {
		enter := fmt.Sprintf("  nsenter -t $P %s--net=/proc/$P/fd/%d ", user, s[node].fd)
		fmt.Fprintf(&b, "%snft list ruleset   # node %s\n", enter, node)
		if api := s[node].api; api != "" {
			fmt.Fprintf(&b, "%skubectl -s %s get svc,endpointslices,pods -A -o wide\n", enter, api)
		}
	}
	return b.String()
}
