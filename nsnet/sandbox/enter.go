package sandbox

import (
	"fmt"
	"os"
	"strings"
)

// Options of Enter. The zero value works.
type Options struct {
	// UserNamespace asks for a user namespace although the caller is root: what an unprivileged user would get, less the uid.
	// Optional.
	UserNamespace bool
}

// marker tells a re-executed process which of the three it is. Each stage removes it, so that a child which happens to call
// Enter makes a sandbox of its own.
const marker = "SVCLAB_SANDBOX_STAGE"

const (
	stageInit    = "init"
	stageProgram = "program"
)

var inside bool

// Inside says whether this process is a sandbox's program: Enter has returned nil.
func Inside() bool { return inside }

// RealRoot says whether the process is the machine's root, and not the root of a user namespace, which is nobody to what
// belongs to the machine: buffer limits of sockets, the loading of modules, bpf(2).
func RealRoot() bool {
	ids, err := os.ReadFile("/proc/self/uid_map")
	return os.Geteuid() == 0 && err == nil && strings.Join(strings.Fields(string(ids)), " ") == "0 0 4294967295"
}

// Enter is called first thing in main. It returns nil in the sandbox, in a re-executed copy of the program with the same
// arguments, environment, working directory, terminal and open standard files. On the machine it does not return: the
// process waits for the copy and exits with its code, or 128+N when signal N killed it.
//
// It returns an error, on the machine, when the sandbox cannot be made; the text names the reason and the cure.
//
// Package-level variables and init functions run in all three processes: they had better not do anything.
func Enter(o Options) error {
	stage, _ := os.LookupEnv(marker)
	os.Unsetenv(marker)
	switch {
	case inside:
		return nil
	case stage == stageInit && os.Getpid() == 1:
		runInit()
	case stage == stageProgram && os.Getppid() == 1:
		return becomeProgram()
	}
	code, err := runOuter(o)
	if err != nil {
		return fmt.Errorf("make sandbox: %w", err)
	}
	os.Exit(code)
	return nil
}

func withMarker(stage string) []string {
	var env []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, marker+"=") {
			env = append(env, kv)
		}
	}
	return append(env, marker+"="+stage)
}
