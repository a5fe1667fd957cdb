package nsnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Setting is a kernel setting of a namespace. The key is written with dots, or with slashes when a device's name has a dot in
// it, as sysctl(8) takes them.
type Setting struct {
	Key, Value string
	Optional   bool // not every kernel has it, and the lab can do without
}

// Sysctl sets one kernel setting. One that this kernel does not have is an error that Is fs.ErrNotExist.
func (n *NS) Sysctl(key, value string) error {
	return n.Sysctls(Setting{Key: key, Value: value})
}

// Sysctls sets several in one visit, in their order, up to the first error.
func (n *NS) Sysctls(settings ...Setting) error {
	return n.Do(func() error {
		for _, s := range settings {
			err := writeFile(sysctlPath(s.Key), s.Value)
			if err != nil && !(s.Optional && errors.Is(err, fs.ErrNotExist)) {
				return fmt.Errorf("set %s to %q in namespace %s: %w", s.Key, s.Value, n.name, err)
			}
		}
		return nil
	})
}

// ReadFile reads a file as the namespace shows it. /proc/net is read as /proc/thread-self/net, since it would otherwise show
// the main thread's namespace; /sys/class/net cannot be mended that way and shows that of the mount.
func (n *NS) ReadFile(path string) ([]byte, error) {
	if rest, ok := strings.CutPrefix(path, "/proc/net/"); ok {
		path = "/proc/thread-self/net/" + rest
	}
	var b []byte
	err := n.Do(func() (err error) {
		if b, err = os.ReadFile(path); err != nil {
			return fmt.Errorf("read file in namespace %s: %w", n.name, err)
		}
		return nil
	})
	return b, err
}

func sysctlPath(key string) string {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	return "/proc/sys/" + key
}

// writeFile is os.WriteFile without its poller and without creating: a node takes some thirty settings.
func writeFile(path, value string) error {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(value))
	unix.Close(fd)
	return err
}
