package nsnet_test

import (
	"errors"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

func TestDoRunsInside(t *testing.T) {
	ns := nstest.NS(t, "pod/web-1")
	home := here(t)
	var inside uint64
	if err := ns.Do(func() (err error) { inside, err = where(); return err }); err != nil {
		t.Fatal(err)
	}
	if want := of(t, ns); inside != want {
		t.Errorf("f ran in namespace %d, want %d", inside, want)
	}
	if got := here(t); got != home {
		t.Errorf("after Do the caller is in namespace %d, want %d", got, home)
	}
}

func TestDoNests(t *testing.T) {
	outer, inner := nstest.NS(t, "outer"), nstest.NS(t, "inner")
	err := outer.Do(func() error {
		if err := inner.Do(func() error { return nil }); err != nil {
			return err
		}
		if got, err := where(); err != nil || got != of(t, outer) {
			t.Errorf("after the inner Do: namespace %d (%v), want the outer %d", got, err, of(t, outer))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestNoThreadIsPoisoned leaves Do in every way there is, from many goroutines, and then looks at a hundred threads.
func TestNoThreadIsPoisoned(t *testing.T) {
	boom := errors.New("boom")
	ways := []struct {
		name  string
		leave func(*nsnet.NS)
	}{
		{"return", func(ns *nsnet.NS) { _ = ns.Do(func() error { return nil }) }},
		{"error", func(ns *nsnet.NS) { _ = ns.Do(func() error { return boom }) }},
		{"panic", func(ns *nsnet.NS) {
			defer func() { _ = recover() }()
			_ = ns.Do(func() error { panic(boom) })
		}},
		{"goexit", func(ns *nsnet.NS) { _ = ns.Do(func() error { runtime.Goexit(); return nil }) }},
		{"no way home", func(ns *nsnet.NS) {
			if err := ns.Strand(boom); !errors.Is(err, boom) || !strings.Contains(err.Error(), "leave namespace pod: bad file descriptor") {
				t.Errorf("got error %v, want boom and the failed return", err)
			}
		}},
	}
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			ns := nstest.NS(t, "pod")
			home := here(t)
			var wg sync.WaitGroup
			for range 8 {
				wg.Go(func() { way.leave(ns) })
			}
			wg.Wait()
			if strays := countStrays(t, 100, home); strays != 0 {
				t.Errorf("%d of 100 goroutines run in a foreign namespace", strays)
			}
		})
	}
}

// countStrays holds n threads at once, so that reused and new ones are all seen.
func countStrays(t *testing.T, n int, home uint64) int {
	t.Helper()
	var mu sync.Mutex
	strays := 0
	var here, done sync.WaitGroup
	here.Add(n)
	for range n {
		done.Go(func() {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			here.Done()
			here.Wait()
			got, err := where()
			if err != nil {
				t.Error(err)
			}
			if got != home {
				mu.Lock()
				strays++
				mu.Unlock()
			}
		})
	}
	done.Wait()
	return strays
}

// TestStrandedCallerIsServedRight: a goroutine that could not go home still gets what it asks for.
func TestStrandedCallerIsServedRight(t *testing.T) {
	stranded, other := nstest.NS(t, "stranded"), nstest.NS(t, "other")
	var before, inside, after uint64
	var wg sync.WaitGroup
	wg.Go(func() { // a goroutine of its own, since its thread dies with it
		_ = stranded.Strand(nil)
		before, _ = where()
		_ = other.Do(func() (err error) { inside, err = where(); return err })
		after, _ = where()
	})
	wg.Wait()
	got, want := [3]uint64{before, inside, after}, [3]uint64{of(t, stranded), of(t, other), of(t, stranded)}
	if got != want {
		t.Errorf("before, inside and after Do: %d, want %d", got, want)
	}
}

func TestDoHandsBackTheErrorOfF(t *testing.T) {
	ns := nstest.NS(t, "pod")
	boom := errors.New("boom")
	if err := ns.Do(func() error { return boom }); err != boom {
		t.Errorf("got %v, want boom itself", err)
	}
}

func TestClosed(t *testing.T) {
	nstest.Need(t, "userns")
	ns, err := nsnet.New("pod/web-1")
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := ns.Close(); err != nil {
			t.Fatalf("close: %v", err)
		}
	}
	if got := ns.FD(); got != -1 {
		t.Errorf("FD is %d, want -1", got)
	}
	err = ns.Do(func() error { t.Error("f ran"); return nil })
	var typed *nsnet.Error
	if !errors.As(err, &typed) || typed.Op != "enter" || !errors.Is(err, os.ErrClosed) {
		t.Errorf("Do: %v, want an enter error that is os.ErrClosed", err)
	}
	if got, want := err.Error(), "enter namespace pod/web-1: file already closed"; got != want {
		t.Errorf("Do: got %q, want %q", got, want)
	}
	if _, err := ns.Netlink(); err == nil || err.Error() != "open netlink in namespace pod/web-1: enter namespace pod/web-1: file already closed" {
		t.Errorf("Netlink: %v", err)
	}
}

func TestNothingStaysOpen(t *testing.T) {
	nstest.Need(t, "userns")
	round := func() {
		ns, err := nsnet.New("pod")
		if err != nil {
			t.Fatal(err)
		}
		defer ns.Close()
		if _, err := ns.Netlink(); err != nil {
			t.Fatal(err)
		}
		if err := ns.Do(func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	round() // the runtime opens its own files at the first use
	before := openFiles(t)
	for range 20 {
		round()
	}
	if after := openFiles(t); after != before {
		t.Errorf("%d files open, %d before", after, before)
	}
}

func BenchmarkDo(b *testing.B) {
	nstest.Need(b, "userns")
	ns, err := nsnet.New("pod")
	if err != nil {
		b.Fatal(err)
	}
	defer ns.Close()
	for b.Loop() {
		if err := ns.Do(func() error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkNew(b *testing.B) {
	nstest.Need(b, "userns")
	for b.Loop() {
		ns, err := nsnet.New("pod")
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		ns.Close()
		b.StartTimer()
	}
}
