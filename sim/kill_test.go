package main

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// A run is killed with SIGKILL at 50 moments, spread over its phases, as whoever runs the test and, when that is root, as
// an unprivileged user too. Two seconds later a watcher outside must find nothing of it: no process, no network
// namespace, no link, no mount, no rule.
func TestKilledRunsLeaveNothing(t *testing.T) {
	if testing.Short() {
		t.Skip("takes a minute; CI runs it without -short")
	}
	bin := binary(t)
	modes := map[string][]string{"as caller": nil}
	if os.Geteuid() == 0 {
		modes["unprivileged"] = []string{"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}
	}
	for name, prefix := range modes {
		t.Run(name, func(t *testing.T) { killMany(t, bin, prefix) })
	}
}

// aloneEnv is set where nothing else on the machine makes namespaces meanwhile, as CI does: then they are compared too.
// Elsewhere other tests may have theirs, and the proof is that a namespace lives by processes, descriptors and mounts
// alone, of which none is left.
const aloneEnv = "SVCLAB_ALONE"

// killPhases are the phases of a run, and the scenario whose run stays in that phase for a while.
var killPhases = []struct{ phase, scenario string }{
	{"sandbox", "hairpin"}, {"build", "hairpin"}, {"program", "scale"}, {"probe", "scale"}, {"close", "hairpin"},
}

func killMany(t *testing.T, bin string, prefix []string) {
	const moments = 50
	rng := rand.New(rand.NewPCG(1, 2))
	before := machine(t)
	var wait sync.WaitGroup
	killed := map[string]int{}
	for i := range moments {
		p := killPhases[i%len(killPhases)]
		token := fmt.Sprintf("SVCLAB_KILL_TEST=%d-%d", os.Getpid(), rng.Uint64())
		victim := []string{"outer", "init"}[i/len(killPhases)%2]
		if p.phase == "sandbox" {
			victim = "outer" // there may be no other yet
		}
		if err := killAt(bin, prefix, p.phase, p.scenario, victim, token, time.Duration(rng.IntN(4000))*time.Microsecond); err != nil {
			t.Errorf("moment %d, phase %s: %v", i, p.phase, err)
			continue
		}
		killed[p.phase]++
		died := time.Now()
		wait.Go(func() { // the watcher: two seconds later, while others are killed
			time.Sleep(time.Until(died.Add(2 * time.Second)))
			if left := processesWith(token); len(left) > 0 {
				t.Errorf("moment %d, phase %s, %s killed: processes left: %v", i, p.phase, victim, left)
			}
			now := machine(t)
			for what, list := range now {
				for _, x := range list {
					if what != "namespaces" && !slices.Contains(before[what], x) {
						t.Errorf("moment %d, phase %s, %s killed: left of %s: %s", i, p.phase, victim, what, x)
					}
				}
			}
		})
	}
	wait.Wait()
	if os.Getenv(aloneEnv) != "" {
		for _, ns := range machine(t)["namespaces"] { // in the end: while runs go on they have theirs
			if !slices.Contains(before["namespaces"], ns) {
				t.Errorf("a network namespace is left: %s", ns)
			}
		}
	}
	for _, p := range killPhases {
		if killed[p.phase] < 5 {
			t.Errorf("killed %d times in phase %s, want at least 5", killed[p.phase], p.phase)
		}
	}
	t.Logf("killed by phase: %v", killed)
}

// killAt starts a run and kills one of its processes so long after the phase was announced.
func killAt(bin string, prefix []string, phase, scenario, victim, token string, after time.Duration) error {
	args := append(slices.Clone(prefix), bin, "run", scenario, "--phases", "--report-dir", "", "--run", "ipv4")
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), token)
	cmd.Stdout = io.Discard
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	defer cmd.Wait()
	found := false
	var said []string
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		said = append(said, lines.Text())
		if lines.Text() == "phase "+phase {
			found = true
			break
		}
	}
	if !found {
		return fmt.Errorf("never came to phase %s; it said %q", phase, said)
	}
	time.Sleep(after)
	pid := cmd.Process.Pid
	if victim == "init" {
		children, err := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
		if f := strings.Fields(string(children)); err == nil && len(f) > 0 {
			pid, _ = strconv.Atoi(f[0])
		}
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		return err
	}
	return nil
}

// processesWith lists the processes that have the token in their environment.
func processesWith(token string) (left []string) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, e := range environs {
		text, err := os.ReadFile(e)
		if err == nil && strings.Contains(string(text), token) {
			cmdline, _ := os.ReadFile(filepath.Join(filepath.Dir(e), "cmdline"))
			left = append(left, strings.ReplaceAll(string(cmdline), "\x00", " "))
		}
	}
	return left
}

// machine is what the watcher sees of the machine, from outside of all sandboxes.
func machine(t *testing.T) map[string][]string {
	t.Helper()
	seen := map[string][]string{}
	run := func(what string, keep func(string) string, command ...string) {
		out, err := exec.Command(command[0], command[1:]...).Output()
		if err != nil {
			return // nft as an ordinary user
		}
		for _, l := range strings.Split(string(out), "\n") {
			if l = keep(l); l != "" {
				seen[what] = append(seen[what], l)
			}
		}
	}
	run("links", func(l string) string { name, _, _ := strings.Cut(strings.TrimSpace(l), " "); return name }, "ip", "-br", "link")
	run("tables", strings.TrimSpace, "nft", "list", "tables")
	run("named namespaces", strings.TrimSpace, "ip", "netns", "list")
	if text, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		for _, l := range strings.Split(string(text), "\n") {
			if f := strings.Fields(l); len(f) > 4 {
				seen["mounts"] = append(seen["mounts"], f[4])
			}
		}
	}
	// A network namespace lives by its processes, by descriptors, or by mounts: all that refer to one.
	links, _ := filepath.Glob("/proc/[0-9]*/ns/net")
	fds, _ := filepath.Glob("/proc/[0-9]*/fd/*")
	for _, l := range append(links, fds...) {
		if to, err := os.Readlink(l); err == nil && strings.HasPrefix(to, "net:[") && !slices.Contains(seen["namespaces"], to) {
			seen["namespaces"] = append(seen["namespaces"], to)
		}
	}
	return seen
}
