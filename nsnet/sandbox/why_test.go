package sandbox

import (
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

func TestExplain(t *testing.T) {
	tests := []struct {
		name string
		r    readings
		want string
	}{
		{"Ubuntu 24.04", readings{Stage: "clone", Err: unix.EPERM, AppArmorRestricts: "1", UnprivilegedClone: "1", MaxUserNamespaces: "96365", Seccomp: "0"}, `
clone: operation not permitted
  kernel.apparmor_restrict_unprivileged_userns=1 makes user namespaces powerless (Ubuntu 23.10 and later): sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run as root`},
		{"Ubuntu 24.04, clone let through", readings{Stage: "make mounts private", Err: unix.EACCES, AppArmorRestricts: "1"}, `
make mounts private: permission denied
  kernel.apparmor_restrict_unprivileged_userns=1 makes user namespaces powerless (Ubuntu 23.10 and later): sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run as root`},
		{"Debian, hardened", readings{Stage: "clone", Err: unix.EPERM, UnprivilegedClone: "0", MaxUserNamespaces: "96365"}, `
clone: operation not permitted
  kernel.unprivileged_userns_clone=0 keeps user namespaces for root: sudo sysctl -w kernel.unprivileged_userns_clone=1, or run as root`},
		{"both", readings{Stage: "clone", Err: unix.EPERM, UnprivilegedClone: "0", AppArmorRestricts: "1"}, `
clone: operation not permitted
  kernel.unprivileged_userns_clone=0 keeps user namespaces for root: sudo sysctl -w kernel.unprivileged_userns_clone=1, or run as root
  kernel.apparmor_restrict_unprivileged_userns=1 makes user namespaces powerless (Ubuntu 23.10 and later): sudo sysctl -w kernel.apparmor_restrict_unprivileged_userns=0, or run as root`},
		{"no namespaces allowed", readings{Stage: "clone", Err: unix.ENOSPC, MaxUserNamespaces: "0"}, `
clone: no space left on device
  user.max_user_namespaces=0 forbids user namespaces: sudo sysctl -w user.max_user_namespaces=10000, or run as root`},
		{"no namespaces allowed, root without capabilities", readings{Stage: "clone", Err: unix.ENOSPC, Root: true, MaxUserNamespaces: "0"}, `
clone: no space left on device
  user.max_user_namespaces=0 forbids user namespaces: sysctl -w user.max_user_namespaces=10000`},
		{"all used", readings{Stage: "clone", Err: unix.ENOSPC, MaxUserNamespaces: "5"}, `
clone: no space left on device
  the limit of namespaces is reached (user.max_user_namespaces=5, or 32 levels): end what holds them, or raise user.max_*_namespaces`},
		{"too deep, old kernel", readings{Stage: "clone", Err: unix.EUSERS}, `
clone: too many users
  the limit of namespaces is reached (user.max_user_namespaces=unknown, or 32 levels): end what holds them, or raise user.max_*_namespaces`},
		{"Docker", readings{Stage: "clone", Err: unix.EPERM, Root: true, MaxUserNamespaces: "96365", Seccomp: "2"}, `
clone: operation not permitted
  a seccomp filter is in force, as in a container, and may forbid namespaces: docker run --security-opt seccomp=unconfined --security-opt apparmor=unconfined, or --privileged`},
		{"Docker with seccomp off", readings{Stage: "mount /proc", Err: unix.EPERM, Root: true, Seccomp: "0"}, `
mount /proc: operation not permitted
  parts of /proc are covered, as containers do, and then a fresh one may not be mounted: docker run --security-opt systempaths=unconfined, or --privileged`},
		{"no CONFIG_USER_NS", readings{Stage: "clone", Err: unix.EINVAL}, `
clone: invalid argument
  the kernel has no user namespaces: run as root, or on a kernel with CONFIG_USER_NS`},
		{"refused for no known reason", readings{Stage: "clone", Err: unix.EPERM, UnprivilegedClone: "1", AppArmorRestricts: "0", MaxUserNamespaces: "96365", Seccomp: "0"}, `
clone: operation not permitted
  no setting known to forbid it does so: a chroot, SELinux or another security module may; try as root`},
		{"something else", readings{Stage: "clone", Err: unix.ENOMEM, AppArmorRestricts: "1", UnprivilegedClone: "0", Seccomp: "2"}, `
clone: cannot allocate memory`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got, want := explain(test.r), strings.TrimPrefix(test.want, "\n"); got != want {
				t.Errorf("got:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

// TestForbidden is the real thing: inside a user namespace its root may forbid further ones.
func TestForbidden(t *testing.T) {
	eachMode(t, func(t *testing.T, run func(string, ...string) *program) {
		p := run("forbidden")
		p.Run()
		if p.ProcessState.ExitCode() == 97 {
			t.Skipf("this mode may not write the setting: %s", &p.out)
		}
		want := "make sandbox: clone: no space left on device\n" +
			"  user.max_user_namespaces=0 forbids user namespaces: sysctl -w user.max_user_namespaces=10000\n"
		if got := p.ProcessState.ExitCode(); got != 99 || p.out.String() != want {
			t.Errorf("exit code %d, want 99, and\n%swant\n%s", got, &p.out, want)
		}
	})
}

func TestStageErrorTravels(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
		is   error
	}{
		{"a number", &stageError{"mount /proc", unix.EPERM}, "mount /proc: operation not permitted", unix.EPERM},
		{"a number within", &stageError{"bring up lo", fmt.Errorf("open: %w", unix.ENODEV)}, "bring up lo: no such device", unix.ENODEV},
		{"a text", &stageError{"start the program", errors.New("one\ntwo")}, "start the program: one\ntwo", nil},
		{"no stage", unix.ENOENT, "set up: no such file or directory", syscall.ENOENT},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := parseStageError([]byte(encodeStageError(test.err)))
			if got.Error() != test.want || test.is != nil && !errors.Is(got, test.is) {
				t.Errorf("got %v, want %s", got, test.want)
			}
		})
	}
	if got := parseStageError([]byte("panic: boom")); got.Error() != "set up: panic: boom" {
		t.Errorf("a crash: %v", got)
	}
}

func TestJudge(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want Power
	}{
		{"done", nil, Power{"veth", Yes, "make a veth pair: done"}},
		{"not built", unix.EOPNOTSUPP, Power{"veth", No, "make a veth pair: operation not supported"}},
		{"not allowed", fmt.Errorf("add: %w", unix.EPERM), Power{"veth", No, "make a veth pair: add: operation not permitted"}},
		{"no memory", unix.ENOMEM, Power{"veth", Unknown, "make a veth pair: cannot allocate memory"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			if got := judge("veth", "make a veth pair", test.err); got != test.want {
				t.Errorf("got %v, want %v", got, test.want)
			}
		})
	}
}
