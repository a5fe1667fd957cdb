package sandbox

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// stageError is a step of making the sandbox that the kernel refused. It travels from init to outer as text.
type stageError struct {
	Stage string // clone, make mounts private, mount /proc, …
	Err   error
}

func (e *stageError) Error() string { return e.Stage + ": " + e.Err.Error() }
func (e *stageError) Unwrap() error { return e.Err }

// encodeStageError keeps the number of the error, by which reasons are told apart.
func encodeStageError(err error) string {
	var stage *stageError
	if !errors.As(err, &stage) {
		stage = &stageError{"set up", err}
	}
	var errno syscall.Errno
	errors.As(err, &errno)
	return fmt.Sprintf("%d\n%s\n%s", int(errno), stage.Stage, stage.Err)
}

func parseStageError(b []byte) error {
	number, rest, _ := strings.Cut(string(b), "\n")
	stage, text, ok := strings.Cut(rest, "\n")
	errno, err := strconv.Atoi(number)
	switch {
	case !ok || err != nil: // not from encodeStageError: a crash of init, say
		return &stageError{"set up", errors.New(string(b))}
	case errno != 0:
		return &stageError{stage, syscall.Errno(errno)}
	}
	return &stageError{stage, errors.New(text)}
}

// readings are what the machine says about user namespaces. A setting that it does not have is "".
type readings struct {
	Stage string // which step was refused
	Err   error  // with what
	Root  bool   // uid 0: sysctl needs no sudo

	AppArmorRestricts string // kernel.apparmor_restrict_unprivileged_userns
	UnprivilegedClone string // kernel.unprivileged_userns_clone
	MaxUserNamespaces string // user.max_user_namespaces
	Seccomp           string // of this process: 2 is a filter
}

func read(err error) readings {
	r := readings{
		Err: err, Root: os.Geteuid() == 0,
		AppArmorRestricts: sysctl("kernel/apparmor_restrict_unprivileged_userns"),
		UnprivilegedClone: sysctl("kernel/unprivileged_userns_clone"),
		MaxUserNamespaces: sysctl("user/max_user_namespaces"),
		Seccomp:           seccomp(),
	}
	var stage *stageError
	if errors.As(err, &stage) {
		r.Stage, r.Err = stage.Stage, stage.Err
	}
	return r
}

func sysctl(path string) string {
	b, _ := os.ReadFile("/proc/sys/" + path)
	return strings.TrimSpace(string(b))
}

func seccomp() string {
	b, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "Seccomp:"); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// explain says why the kernel refused and what to do about it: one line for the fact, one for each setting that forbids.
func explain(r readings) string {
	lines := []string{fmt.Sprintf("%s: %v", r.Stage, r.Err)}
	add := func(reason, cure string) { lines = append(lines, "  "+reason+": "+cure) }
	set := func(setting, value string) string {
		if r.Root {
			return "sysctl -w " + setting + "=" + value
		}
		return "sudo sysctl -w " + setting + "=" + value + ", or run as root"
	}

	refused := errors.Is(r.Err, unix.EPERM) || errors.Is(r.Err, unix.EACCES)
	if r.MaxUserNamespaces == "0" {
		add("user.max_user_namespaces=0 forbids user namespaces", set("user.max_user_namespaces", "10000"))
	} else if errors.Is(r.Err, unix.ENOSPC) || errors.Is(r.Err, unix.EUSERS) {
		add("the limit of namespaces is reached (user.max_user_namespaces="+orUnknown(r.MaxUserNamespaces)+", or 32 levels)",
			"end what holds them, or raise user.max_*_namespaces")
	}
	if r.UnprivilegedClone == "0" && refused {
		add("kernel.unprivileged_userns_clone=0 keeps user namespaces for root", set("kernel.unprivileged_userns_clone", "1"))
	}
	if r.AppArmorRestricts == "1" && refused {
		add("kernel.apparmor_restrict_unprivileged_userns=1 makes user namespaces powerless (Ubuntu 23.10 and later)",
			set("kernel.apparmor_restrict_unprivileged_userns", "0"))
	}
	if errors.Is(r.Err, unix.EINVAL) || errors.Is(r.Err, unix.ENOSYS) {
		add("the kernel has no user namespaces", "run as root, or on a kernel with CONFIG_USER_NS")
	}
	switch {
	case len(lines) > 1 || !refused:
		// A setting explains it, or nothing known does: the fact must do.
	case r.Stage == "mount /proc":
		add("parts of /proc are covered, as containers do, and then a fresh one may not be mounted",
			"docker run --security-opt systempaths=unconfined, or --privileged")
	case r.Seccomp == "2":
		add("a seccomp filter is in force, as in a container, and may forbid namespaces",
			"docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined, or --privileged")
	default:
		add("no setting known to forbid it does so", "a chroot, SELinux or another security module may; try as root")
	}
	return strings.Join(lines, "\n")
}

func orUnknown(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}
