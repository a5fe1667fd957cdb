package nsnet

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
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
	p := takeProc()
	defer p.give()
	return n.Do(func() error {
		w := settingsWriter{proc: p}
		defer w.close()
		counted.settings.Add(int64(len(settings)))
		for _, s := range settings {
			err := w.write(s)
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

// settingsWriter writes settings of the namespace that its thread is in. It keeps the directories net/ipv4 and net/ipv6 open:
// finding them is what costs.
type settingsWriter struct {
	proc *proc
	dirs []settingsDir
}

type settingsDir struct {
	path string
	fd   int
}

func (w *settingsWriter) write(s Setting) error {
	dir, file := splitKey(s.Key)
	i := slices.IndexFunc(w.dirs, func(d settingsDir) bool { return d.path == dir })
	if i < 0 {
		fd, err := w.proc.dir(dir)
		if err != nil {
			return err
		}
		i = len(w.dirs)
		w.dirs = append(w.dirs, settingsDir{dir, fd})
	}
	return writeFile(w.dirs[i].fd, file, s.Value)
}

func (w *settingsWriter) close() {
	for _, d := range w.dirs {
		unix.Close(d.fd)
	}
}

// splitKey makes a path below /proc/sys of a key, and cuts it behind its second word.
func splitKey(key string) (dir, file string) {
	if !strings.Contains(key, "/") {
		key = strings.ReplaceAll(key, ".", "/")
	}
	cut := strings.IndexByte(key, '/')
	if second := strings.IndexByte(key[cut+1:], '/'); second >= 0 {
		cut += 1 + second
	}
	if cut < 0 {
		return ".", key
	}
	return key[:cut], key[cut+1:]
}

// writeFile writes a file that is there.
func writeFile(dir int, path, value string) error {
	fd, err := unix.Openat(dir, path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	_, err = unix.Write(fd, []byte(value))
	unix.Close(fd)
	return err
}
