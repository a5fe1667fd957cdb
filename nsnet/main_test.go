package nsnet_test

import (
	"fmt"
	"os"
	"testing"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
	"svclab/nsnet/nstest"
)

func TestMain(m *testing.M) { nstest.Main(m) }

// where is the inode of the calling thread's network namespace.
func where() (uint64, error) {
	var st unix.Stat_t
	if err := unix.Stat("/proc/thread-self/ns/net", &st); err != nil {
		return 0, fmt.Errorf("find own namespace: %w", err)
	}
	return st.Ino, nil
}

// of is the inode of a namespace that is held.
func of(t *testing.T, n *nsnet.NS) uint64 {
	t.Helper()
	var st unix.Stat_t
	if err := unix.Fstat(n.FD(), &st); err != nil {
		t.Fatal(err)
	}
	return st.Ino
}

func here(t *testing.T) uint64 {
	t.Helper()
	ino, err := where()
	if err != nil {
		t.Fatal(err)
	}
	return ino
}

func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
