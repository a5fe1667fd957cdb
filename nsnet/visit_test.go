package nsnet_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

// TestOneVisit: whoever is in a namespace already goes nowhere for what it does there, and is where it should be.
func TestOneVisit(t *testing.T) {
	ns, other := nstest.NS(t, "pod"), nstest.NS(t, "other")
	before := nsnet.Counted()
	err := ns.Do(func() error {
		if err := ns.Do(func() error { return other.Do(func() error { return nil }) }); err != nil {
			return err
		}
		if got, err := where(); err != nil || got != of(t, ns) {
			t.Errorf("after a visit to another namespace: in %d (%v), want %d", got, err, of(t, ns))
		}
		return ns.Sysctl("net.ipv4.ip_forward", "1")
	})
	if err != nil {
		t.Fatal(err)
	}
	if got := nsnet.Counted().Sub(before); got.Visits != 2 {
		t.Errorf("%d visits, want one to each namespace", got.Visits)
	}
}

// TestNoVisitToTheClosed: that the thread is there does not open a namespace again.
func TestNoVisitToTheClosed(t *testing.T) {
	nstest.Need(t, "userns")
	ns, err := nsnet.New("pod")
	if err != nil {
		t.Fatal(err)
	}
	_ = ns.Do(func() error {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
		if err := ns.Do(func() error { return nil }); !errors.Is(err, os.ErrClosed) {
			t.Errorf("got %v, want that it is closed", err)
		}
		return nil
	})
}

func TestNewWith(t *testing.T) {
	nstest.Need(t, "userns")
	var inside, want uint64
	before := nsnet.Counted()
	ns, err := nsnet.NewWith("pod", func(n *nsnet.NS) (err error) {
		want = of(t, n)
		return n.Do(func() (err error) { inside, err = where(); return err })
	})
	if err != nil {
		t.Fatal(err)
	}
	defer ns.Close()
	if got := nsnet.Counted().Sub(before); inside != want || got.Visits != 1 {
		t.Errorf("furnished in namespace %d by %d visits, want %d and one", inside, got.Visits, want)
	}

	boom, files := errors.New("boom"), openFiles(t)
	if ns, err := nsnet.NewWith("pod", func(*nsnet.NS) error { return boom }); ns != nil || !errors.Is(err, boom) {
		t.Errorf("got %v, %v, want no namespace and boom", ns, err)
	}
	if now := openFiles(t); now != files {
		t.Errorf("%d files open, %d before", now, files)
	}
}

// TestRest: a namespace at rest has no open file of its own, and is the same when it is asked for again.
func TestRest(t *testing.T) {
	ns := nstest.NS(t, "pod")
	want := of(t, ns)
	l, err := ns.ListenTCPBoth(80)
	if err != nil {
		t.Fatal(err)
	}
	anchor, err := l.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := ns.Exchange(getLink(1), nil); err != nil {
		t.Fatal(err)
	}
	awake := openFiles(t)
	ns.Rest(anchor)
	if resting := openFiles(t); resting != awake-2 {
		t.Errorf("%d files open at rest, %d awake: want two less, the namespace's and netlink's", resting, awake)
	}
	var inside uint64
	if err := ns.Do(func() (err error) { inside, err = where(); return err }); err != nil || inside != want {
		t.Errorf("woken in namespace %d (%v), want %d", inside, err, want)
	}

	ns.Rest(anchor)
	if got := of(t, ns); got != want {
		t.Errorf("its descriptor is of namespace %d, want %d", got, want)
	}
	ns.Rest(anchor)
	l.Close()
	if err := ns.Do(func() error { return nil }); err == nil || !strings.Contains(err.Error(), "enter namespace pod: ") {
		t.Errorf("without its anchor: %v", err)
	}
}
