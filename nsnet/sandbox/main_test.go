package sandbox

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A test plays the part of a program by running this binary again, with a role to play in the sandbox. The tests themselves
// run on the machine, where outer is.
const (
	roleEnv  = "SANDBOX_TEST_ROLE"
	modeEnv  = "SANDBOX_TEST_USERNS"
	tokenEnv = "SANDBOX_TEST_TOKEN"
)

func TestMain(m *testing.M) {
	role, ok := os.LookupEnv(roleEnv)
	if !ok {
		os.Exit(m.Run())
	}
	if err := Enter(Options{UserNamespace: os.Getenv(modeEnv) != ""}); err != nil {
		fmt.Println(err)
		os.Exit(99)
	}
	play, ok := roles[role]
	if !ok {
		fmt.Println("no such role:", role)
		os.Exit(98)
	}
	play()
	os.Exit(0)
}

// modes are the ways in: as the user who runs the tests, as that user with a user namespace, and as nobody.
var modes = []struct {
	name   string
	userns bool
	nobody bool
}{
	{name: "plain"},
	{name: "userns", userns: true},
	{name: "nobody", nobody: true},
}

// eachMode runs the test in every mode that this user can try and this machine allows.
func eachMode(t *testing.T, test func(t *testing.T, run func(role string, args ...string) *program)) {
	for _, mode := range modes {
		if mode.nobody && os.Geteuid() != 0 {
			continue // the plain mode is unprivileged already
		}
		t.Run(mode.name, func(t *testing.T) {
			exe := "/proc/self/exe"
			if mode.nobody {
				exe = readableCopy(t)
			}
			run := func(role string, args ...string) *program {
				p := &program{Cmd: exec.Command(exe, args...), token: fmt.Sprintf("%s-%d", t.Name(), time.Now().UnixNano())}
				p.Env = append(os.Environ(), roleEnv+"="+role, tokenEnv+"="+p.token,
					"GORACE=atexit_sleep_ms=0") // the race detector would sleep for a second at each exit
				if mode.userns {
					p.Env = append(p.Env, modeEnv+"=1")
				}
				if mode.nobody {
					p.Dir = "/"
					p.Env = append(p.Env, "HOME=/", "GOCOVERDIR="+filepath.Dir(exe)) // go test's own is closed to nobody
					p.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
				}
				p.Stdout, p.Stderr = &p.out, &p.out
				t.Cleanup(func() { // after a red test only: the green ones leave nothing to kill
					for _, pid := range processes(p.token) {
						syscall.Kill(pid, syscall.SIGKILL)
					}
				})
				return p
			}
			probe := run("idle")
			if err := probe.Run(); err != nil {
				if probe.ProcessState != nil && probe.ProcessState.ExitCode() == 99 && !required("userns") {
					t.Skipf("this machine lacks userns: %s", &probe.out)
				}
				t.Fatalf("%v: %s", err, &probe.out)
			}
			test(t, run)
		})
	}
}

// required repeats nstest's rule in one line: nstest stands on this package.
func required(power string) bool {
	return strings.Contains(","+os.Getenv("SVCLAB_REQUIRE")+",", ","+power+",")
}

type program struct {
	*exec.Cmd
	token string // in the environment of outer, init, program and its children
	out   lockedBuffer
}

// readableCopy is for nobody, who cannot look into the go command's directories.
func readableCopy(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sandbox")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	from, err := os.Open("/proc/self/exe")
	if err != nil {
		t.Fatal(err)
	}
	defer from.Close()
	path := filepath.Join(dir, "sandbox.test")
	to, err := os.OpenFile(path, os.O_CREATE|os.O_WRONLY, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(to, from); err != nil {
		t.Fatal(err)
	}
	if err := to.Close(); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return path
}

// waitFor waits until the condition holds: the kernel needs a moment for a dying pid namespace.
func waitFor(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still waiting after 10 s: %s", what)
		}
	}
}

// processes are the pids, as the machine sees them, that carry the token: zombies do not.
func processes(token string) (pids []int) {
	environs, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, path := range environs {
		if b, err := os.ReadFile(path); err == nil && bytes.Contains(b, []byte(tokenEnv+"="+token+"\x00")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}
