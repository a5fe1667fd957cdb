package foreign

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
)

type feed struct{ set, closed int }

func (f *feed) Set(*cluster.Snapshot)                { f.set++ }
func (f *feed) Handed(string, string) (uint64, bool) { return 0, true }
func (f *feed) Close() error                         { f.closed++; return nil }

func open(t *testing.T, p Profile) (*Proxy, *feed) {
	t.Helper()
	f := &feed{}
	x, err := New(Options{
		Profile: p, Node: Node{Name: "node-1", API: "http://127.0.0.1:1"}, Feed: f, Scratch: t.TempDir(),
		Start: func(c *exec.Cmd) error { return c.Start() }, Do: func(f func() error) error { return f() },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := x.Close(); err != nil {
			t.Error(err)
		}
		if left, _ := filepath.Glob(x.dir); left != nil {
			t.Errorf("left: %v", left)
		}
	})
	return x, f
}

func within(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(10 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%s: not within 10 s", what)
		}
	}
}

// The process starts with the first state; one that dies is told with what it said last, and no state is handed to it.
func TestADeadProxyIsTold(t *testing.T) {
	x, f := open(t, Profile{Name: "p", Command: []string{"sh", "-c", "echo hello; cat kubeconfig >seen; sleep 1000 & wait"}})
	ctx := context.Background()
	if err := x.Alive(); err != nil {
		t.Fatal(err)
	}
	if err := x.Apply(ctx, &cluster.Snapshot{}); err != nil {
		t.Fatal(err)
	}
	within(t, "said hello", func() bool { return strings.Contains(x.Artifacts()["proxy.log"], "hello") })
	if x.HasBarrier() {
		t.Error("a barrier out of nothing")
	}
	if err := x.Barrier(ctx); err == nil || err.Error() != "p cannot tell when a state is in force" {
		t.Errorf("barrier: %v", err)
	}
	group := x.process.Load().cmd.Process.Pid
	if err := x.Signal(syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	within(t, "noticed", func() bool { return x.Alive() != nil })
	err := x.Apply(ctx, &cluster.Snapshot{})
	if err == nil || !strings.Contains(err.Error(), "node node-1: ") || !strings.Contains(err.Error(), "has ended: signal: killed; it said last:\n  hello") {
		t.Errorf("%v", err)
	}
	if f.set != 1 {
		t.Errorf("%d states were handed out", f.set)
	}
	within(t, "its children end", func() bool { return syscall.Kill(-group, 0) != nil })
}

func TestAbandonIsNoNews(t *testing.T) {
	x, f := open(t, Profile{Name: "p", Command: []string{"sleep", "1000"}})
	if err := x.Apply(context.Background(), &cluster.Snapshot{}); err != nil {
		t.Fatal(err)
	}
	x.Abandon()
	if err := x.Alive(); err != nil {
		t.Error(err)
	}
	if f.closed == 0 {
		t.Error("the feed is open")
	}
}

func TestWhatCannotStart(t *testing.T) {
	x, _ := open(t, Profile{Name: "p", Command: []string{"/nowhere/proxy"}})
	if err := x.Apply(context.Background(), &cluster.Snapshot{}); err == nil || !strings.HasPrefix(err.Error(), "start p on node node-1: ") {
		t.Errorf("%v", err)
	}
}

// With much to write, other commands are found in PATH.
func TestCrowdedLinks(t *testing.T) {
	say := func(words string) string {
		file := filepath.Join(t.TempDir(), "say")
		if err := os.WriteFile(file, []byte("#!/bin/sh\necho "+words+"\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		return file
	}
	few, many := say("few"), say("many")
	state := (&cluster.Snapshot{}).WithService(&corev1.Service{
		ObjectMeta: metav1.ObjectMeta{Name: "a", Namespace: "b"}, Spec: corev1.ServiceSpec{Ports: make([]corev1.ServicePort, 3)},
	}) // six rules
	for most, want := range map[int]string{6: "few", 5: "many"} {
		x, _ := open(t, Profile{Name: "p", Command: []string{"sh", "-c", "say; sleep 1000"},
			Links: map[string]string{"say": few}, Crowded: &Crowd{most, map[string]string{"say": many}}})
		if err := x.Apply(context.Background(), state); err != nil {
			t.Fatal(err)
		}
		within(t, "said "+want, func() bool { return strings.TrimSpace(x.Artifacts()["proxy.log"]) == want })
	}
}

// Cleanup runs at Close, in the proxy's folder.
func TestCleanup(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	x, _ := open(t, Profile{Name: "p", Command: []string{"sleep", "1000"}, Cleanup: []string{"sh", "-c", "cp kubeconfig " + mark}})
	if err := x.Apply(context.Background(), &cluster.Snapshot{}); err != nil {
		t.Fatal(err)
	}
	if err := x.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(mark); left == nil {
		t.Error("the clean-up did not run")
	}
}

func TestTailKeepsBothEnds(t *testing.T) {
	var b tail
	_, _ = b.Write([]byte("first\n"))
	for range 3000 {
		_, _ = b.Write([]byte(strings.Repeat("x", 1023) + "\n"))
	}
	_, _ = b.Write([]byte("last\n"))
	s := b.String()
	if !strings.HasPrefix(s, "first\n") || !strings.HasSuffix(s, "last\n") || !strings.Contains(s, "bytes are left out") || len(s) > headBytes+2*tailBytes {
		t.Errorf("%d bytes", len(s))
	}
	if got := b.last(1); got != "  last" {
		t.Errorf("%q", got)
	}
}
