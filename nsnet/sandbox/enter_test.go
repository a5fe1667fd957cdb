package sandbox

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestInside(t *testing.T) {
	eachMode(t, func(t *testing.T, run func(string, ...string) *program) {
		p := run("tell", "one", "-two", "")
		p.Stdin = strings.NewReader("hello")
		if err := p.Run(); err != nil {
			t.Fatalf("%v: %s", err, &p.out)
		}
		var got facts
		if err := json.Unmarshal([]byte(p.out.String()), &got); err != nil {
			t.Fatalf("%v: %s", err, &p.out)
		}
		dir := p.Dir
		if dir == "" {
			dir, _ = os.Getwd()
		}
		for _, check := range []struct {
			what      string
			got, want any
		}{
			{"Inside", got.Inside, true},
			{"parent", got.Parent, 1},
			{"pid in /proc", got.ProcPid, strconv.Itoa(got.Pid)},
			{"uid", got.Uid, 0},
			{"loopback up", got.Loopback, true},
			{"arguments", fmt.Sprintf("%q", got.Args), `["one" "-two" ""]`},
			{"directory", got.Dir, dir},
			{"standard input", got.Stdin, "hello"},
			{"marker in the environment", got.Marker, false},
			{"files in /run", fmt.Sprint(got.Run), "[svclab]"},
			{"soft limit of files", got.FilesSoft, got.FilesHard},
			{"limit of files for commands", got.ChildFiles, strconv.FormatUint(got.FilesHard, 10)},
			{"network namespace is the machine's", got.Net == link("net"), false},
			{"mount namespace is the machine's", got.Mnt == link("mnt"), false},
			{"pid namespace is the machine's", got.Pns == link("pid"), false},
		} {
			if check.got != check.want {
				t.Errorf("%s: got %v, want %v", check.what, check.got, check.want)
			}
		}
		for _, power := range strings.Fields(got.Powers) {
			name, state, _ := strings.Cut(power, "=")
			if state == "unknown" || state == "no" && required(name) {
				t.Errorf("power %s", power)
			}
		}
	})
	if Inside() {
		t.Error("Inside is true on the machine")
	}
}

func TestExitCodes(t *testing.T) {
	eachMode(t, func(t *testing.T, run func(string, ...string) *program) {
		for role, want := range map[string]int{"idle": 0, "exit 7": 7, "die": 128 + 9, "nested": 0} {
			p := run(role)
			p.Run()
			if got := p.ProcessState.ExitCode(); got != want {
				t.Errorf("%s: exit code %d, want %d: %s", role, got, want, &p.out)
			}
		}
	})
}

func TestSignals(t *testing.T) {
	tests := []struct {
		role   string
		signal syscall.Signal
		exit   int
		says   string
	}{
		{"sleep", syscall.SIGTERM, 128 + 15, "ready\n"}, // as pid 1 a Go program would exit with 2
		{"sleep", syscall.SIGINT, 128 + 2, "ready\n"},
		{"sleep", syscall.SIGHUP, 128 + 1, "ready\n"},
		{"catch", syscall.SIGTERM, 9, "ready\ngot terminated\n"},
		{"catch", syscall.SIGINT, 9, "ready\ngot interrupt\n"},
		{"catch", syscall.SIGUSR1, 9, "ready\ngot user defined signal 1\n"},
	}
	eachMode(t, func(t *testing.T, run func(string, ...string) *program) {
		for _, test := range tests {
			p := run(test.role)
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "ready", func() bool { return p.out.String() == "ready\n" })
			p.Process.Signal(test.signal)
			p.Wait()
			if got := p.ProcessState.ExitCode(); got != test.exit || p.out.String() != test.says {
				t.Errorf("%s, %v: exit code %d and %q, want %d and %q", test.role, test.signal, got, &p.out, test.exit, test.says)
			}
		}
	})
}

func TestOrphansAreReaped(t *testing.T) {
	eachMode(t, func(t *testing.T, run func(string, ...string) *program) {
		p := run("orphans")
		if err := p.Run(); err != nil || p.out.String() != "" {
			t.Errorf("%v: %s", err, &p.out)
		}
	})
}

// TestKillLeavesNothing kills each of the three processes, while the program has a child of its own.
func TestKillLeavesNothing(t *testing.T) {
	eachMode(t, func(t *testing.T, run func(string, ...string) *program) {
		for i, victim := range []string{"outer", "init", "program"} {
			mounts, _ := os.ReadFile("/proc/self/mounts")
			p := run("family")
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "ready", func() bool { return p.out.String() == "ready\n" })
			chain := descent(p.Process.Pid, 3)
			if len(chain) != 3 || len(processes(p.token)) != 4 {
				t.Fatalf("outer, init, program: got %d; with a child: %d", chain, processes(p.token))
			}
			inner, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", chain[2]))
			if err != nil || inner == link("net") {
				t.Fatalf("the program's namespace: %s, %v", inner, err)
			}
			if err := syscall.Kill(chain[i], syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "the end of all processes", func() bool { return len(processes(p.token)) == 0 })
			waitFor(t, "the end of the namespace", func() bool { return !slices.Contains(namespaces(), inner) })
			p.Wait()
			if got := p.ProcessState.ExitCode(); i > 0 && got != 128+9 {
				t.Errorf("%s killed: exit code %d, want %d", victim, got, 128+9)
			}
			if after, _ := os.ReadFile("/proc/self/mounts"); string(after) != string(mounts) {
				t.Errorf("%s killed: mounts were left:\n%s", victim, after)
			}
		}
	})
}
