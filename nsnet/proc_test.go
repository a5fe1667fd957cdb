package nsnet_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

func TestSysctl(t *testing.T) {
	a, b := nstest.NS(t, "a"), nstest.NS(t, "b")
	for _, key := range []string{"net.ipv4.ip_forward", "net/ipv4/ip_forward"} {
		if err := a.Sysctl(key, "1"); err != nil {
			t.Fatal(err)
		}
	}
	for ns, want := range map[interface {
		ReadFile(string) ([]byte, error)
	}]string{a: "1\n", b: "0\n"} {
		if got, err := ns.ReadFile("/proc/sys/net/ipv4/ip_forward"); err != nil || string(got) != want {
			t.Errorf("ip_forward is %q (%v), want %q", got, err, want)
		}
	}
	err := a.Sysctl("net.ipv4.no_such_thing", "1")
	if !errors.Is(err, fs.ErrNotExist) || err.Error() != `set net.ipv4.no_such_thing to "1" in namespace a: no such file or directory` {
		t.Errorf("unknown setting: %v", err)
	}
	err = b.Sysctls(nsnet.Setting{Key: "net.ipv4.no_such_thing", Value: "1", Optional: true}, nsnet.Setting{Key: "net.ipv4.ip_forward", Value: "1"})
	if got, _ := b.ReadFile("/proc/sys/net/ipv4/ip_forward"); err != nil || string(got) != "1\n" {
		t.Errorf("after an optional one that is missing: ip_forward is %q (%v)", got, err)
	}
	if err := b.Sysctls(nsnet.Setting{Key: "net.ipv4.ip_forward", Value: "x", Optional: true}); err == nil {
		t.Error("a wrong value of an optional setting was no error")
	}
}

// TestSysctlsOfMany: more namespaces than share a mount of proc, each with a setting of its own, written from two goroutines.
func TestSysctlsOfMany(t *testing.T) {
	const n = 80
	files := openFiles(t)
	var all [n]*nsnet.NS
	for i := range all {
		all[i] = nstest.NS(t, fmt.Sprint(i))
	}
	var wait sync.WaitGroup
	for half := range 2 {
		wait.Go(func() {
			for i := half; i < n; i += 2 {
				if err := all[i].Sysctls(nsnet.Setting{Key: "net.ipv4.ip_default_ttl", Value: fmt.Sprint(100 + i)}, nsnet.Setting{Key: "net/ipv6/conf/default/hop_limit", Value: fmt.Sprint(100 + i)}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wait.Wait()
	for i, ns := range all {
		for _, path := range []string{"/proc/sys/net/ipv4/ip_default_ttl", "/proc/sys/net/ipv6/conf/default/hop_limit"} {
			if got, err := ns.ReadFile(path); err != nil || string(got) != fmt.Sprintln(100+i) {
				t.Errorf("%s of namespace %d is %q (%v)", path, i, got, err)
			}
		}
	}
	if now := openFiles(t); now > files+n+1 {
		t.Errorf("%d files open, want those of %d namespaces and one mount more than %d", now, n, files)
	}
}

func TestReadFileShowsTheNamespace(t *testing.T) {
	ns := nstest.NS(t, "pod")
	h, err := ns.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	if err := h.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: "only-here"}}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/proc/net/dev", "/proc/thread-self/net/dev"} {
		if b, err := ns.ReadFile(path); err != nil || !strings.Contains(string(b), "only-here") {
			t.Errorf("%s does not show the bridge (%v):\n%s", path, err, b)
		}
	}
}

func TestNetlinkIsKept(t *testing.T) {
	ns := nstest.NS(t, "pod")
	a, err := ns.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	if b, err := ns.Netlink(); err != nil || a != b {
		t.Errorf("the second call gave another handle (%v)", err)
	}
}

func TestLoopbackIsUp(t *testing.T) {
	ns := nstest.NS(t, "pod")
	h, err := ns.Netlink()
	if err != nil {
		t.Fatal(err)
	}
	lo, err := h.LinkByName("lo")
	if err != nil {
		t.Fatal(err)
	}
	if lo.Attrs().Flags&1 == 0 {
		t.Errorf("lo is %v", lo.Attrs().Flags)
	}
}

func TestRun(t *testing.T) {
	ns := nstest.NS(t, "node/n1")
	out, err := ns.Run(exec.Command("readlink", "/proc/self/ns/net"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := strings.TrimSpace(string(out)), fmt.Sprintf("net:[%d]", of(t, ns)); got != want {
		t.Errorf("the command ran in %s, want %s", got, want)
	}

	out, err = ns.Run(exec.Command("sh", "-c", "echo out; echo err >&2; exit 3"))
	if string(out) != "out\nerr\n" {
		t.Errorf("output %q", out)
	}
	if want := "run sh -c echo out; echo err >&2; exit 3 in namespace node/n1: exit status 3: out\nerr"; err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("the exit code is lost: %v", err)
	}
	if _, err := ns.Run(exec.Command("/no/such/program")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no such program: %v", err)
	}
}

// TestPdeathsigOutlivesTheThread starts a child from a goroutine whose thread dies at once.
func TestPdeathsigOutlivesTheThread(t *testing.T) {
	ns := nstest.NS(t, "node/n1")
	ctx, cancel := context.WithCancel(t.Context())
	cmd := exec.CommandContext(ctx, "sleep", "60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		started <- ns.Start(cmd)
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		t.Errorf("the child died with the thread that asked for it: %v", err)
	case <-time.After(200 * time.Millisecond): // silence is the pass: a death by signal comes within a millisecond
		cancel()
		<-ended
	}
	cancel()
}
