package sandbox

import (
	"os"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// furnish makes the fresh namespaces habitable: mounts and the loopback device.
func furnish() error {
	if err := unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
		return &stageError{"make mounts private", err}
	}
	// Libraries open /proc/<pid>/task/<tid>/ns/net with the pids that they see here.
	if err := unix.Mount("proc", "/proc", "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil {
		return &stageError{"mount /proc", err}
	}
	if !livesBelow("/run") {
		// So that iptables' lock and ip-netns' names are ours. Without it the lab works, it only shares them.
		if unix.Mount("run", "/run", "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=755") == nil {
			_ = os.Mkdir(scratch, 0o700)
		}
	}
	if err := loopbackUp(); err != nil {
		return &stageError{"bring up lo", err}
	}
	return nil
}

// scratch is on the sandbox's own /run.
const scratch = "/run/svclab"

// Scratch is a folder for files that should go with the sandbox, however it ends; where the sandbox could not have one of
// its own, the machine's folder for temporary files.
func Scratch() string {
	if info, err := os.Stat(scratch); err == nil && info.IsDir() && Inside() {
		return scratch
	}
	return os.TempDir()
}

// livesBelow says whether the program works somewhere below dir, so that covering dir would hide its own files:
// removable media are mounted below /run on some desktops.
func livesBelow(dir string) bool {
	cwd, _ := os.Getwd()
	exe, _ := os.Executable()
	for _, path := range []string{cwd, exe, os.TempDir(), os.Getenv("HOME")} {
		if path == dir || strings.HasPrefix(path, dir+"/") {
			return true
		}
	}
	return false
}

func loopbackUp() error {
	home, err := nsnet.Current()
	if err != nil {
		return err
	}
	defer home.Close()
	return home.LoopbackUp()
}

// manyFiles is enough for some thousand pods with a few descriptors each.
const manyFiles = 1 << 17

// becomeProgram is what is left to do in the program's own process.
func becomeProgram() error {
	inside = true
	// The Go runtime has raised the soft limit for itself, but hands the old one to commands. Real root may raise the hard
	// limit too; for others that is refused, and the limit stays what it is.
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil
	}
	more := syscall.Rlimit{Cur: max(limit.Max, manyFiles), Max: max(limit.Max, manyFiles)}
	if syscall.Setrlimit(syscall.RLIMIT_NOFILE, &more) != nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
	return nil
}
