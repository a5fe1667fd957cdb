package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if dir, err := built(); err == nil && dir != "" {
		os.RemoveAll(filepath.Dir(dir))
	}
	os.Exit(code)
}

var wantBuilt atomic.Bool

// built is the program, built once, where other users can run it too.
var built = sync.OnceValues(func() (string, error) {
	if !wantBuilt.Load() {
		return "", nil
	}
	dir, err := os.MkdirTemp("", "svclab-test-")
	if err != nil {
		return "", err
	}
	bin := filepath.Join(dir, "svclab")
	if out, err := exec.Command("go", "build", "-o", bin, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w\n%s", err, out)
	}
	return bin, os.Chmod(dir, 0o755)
})

func binary(t *testing.T) string {
	t.Helper()
	wantBuilt.Store(true)
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return bin
}
