package sandbox

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// facts are what a program sees inside.
type facts struct {
	Inside        bool
	Pid, Parent   int
	ProcPid       string // what /proc/self says
	Uid           int
	Net, Mnt, Pns string
	Loopback      bool
	Args          []string
	Dir           string
	Stdin         string
	Marker        bool
	Run           []string // what is in /run
	FilesSoft     uint64
	FilesHard     uint64
	ChildFiles    string // the limit that a command gets
	Powers        string
}

// roles are what a program may do in the sandbox.
var roles = map[string]func(){
	"idle": func() {},
	"tell": func() {
		stdin, _ := io.ReadAll(os.Stdin)
		self, _ := os.Readlink("/proc/self")
		dir, _ := os.Getwd()
		_, marked := os.LookupEnv(marker)
		var limit syscall.Rlimit
		syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
		lo, err := net.InterfaceByName("lo")
		child, _ := exec.Command("sh", "-c", "ulimit -n").Output()
		var powers []string
		for _, p := range Probe() {
			powers = append(powers, p.Name+"="+p.State.String())
		}
		json.NewEncoder(os.Stdout).Encode(facts{
			Inside: Inside(), Pid: os.Getpid(), Parent: os.Getppid(), ProcPid: self, Uid: os.Getuid(),
			Net: link("net"), Mnt: link("mnt"), Pns: link("pid"),
			Loopback: err == nil && lo.Flags&net.FlagUp != 0,
			Args:     os.Args[1:], Dir: dir, Stdin: string(stdin), Marker: marked, Run: names("/run"),
			FilesSoft: limit.Cur, FilesHard: limit.Max, ChildFiles: strings.TrimSpace(string(child)),
			Powers: strings.Join(powers, " "),
		})
	},
	"exit 7":  func() { os.Exit(7) },
	"die":     func() { syscall.Kill(os.Getpid(), syscall.SIGKILL); select {} },
	"sleep":   func() { fmt.Println("ready"); time.Sleep(time.Minute) },
	"catch":   catch,
	"family":  func() { exec.Command("sleep", "60").Start(); fmt.Println("ready"); time.Sleep(time.Minute) },
	"orphans": orphans,
	"nested":  func() { again("idle") },
	"forbidden": func() {
		if err := os.WriteFile("/proc/sys/user/max_user_namespaces", []byte("0"), 0o644); err != nil {
			fmt.Println(err)
			os.Exit(97)
		}
		again("idle")
	},
}

// again plays another role in a sandbox inside the sandbox.
func again(role string) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), roleEnv+"="+role, modeEnv+"=1")
	cmd.Stdout = os.Stdout
	cmd.Run()
	os.Exit(cmd.ProcessState.ExitCode())
}

func catch() {
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, forwarded...)
	fmt.Println("ready")
	fmt.Println("got", <-signals)
	select {
	case s := <-signals:
		fmt.Println("and again", s)
	case <-time.After(100 * time.Millisecond): // silence is the pass
	}
	os.Exit(9)
}

// orphans leaves grandchildren to pid 1 while it waits for its own children, and then counts zombies.
func orphans() {
	for range 20 {
		if err := exec.Command("sh", "-c", "sleep 0.01 & exit 5").Run(); err == nil || err.Error() != "exit status 5" {
			fmt.Println("wait was disturbed:", err)
		}
	}
	for end := time.Now().Add(5 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		left := children()
		if len(left) == 0 {
			return
		}
		if time.Now().After(end) {
			fmt.Println("not reaped:", left)
			return
		}
	}
}

// children are the processes besides init and this one, zombies included.
func children() (left []string) {
	stats, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, path := range stats {
		b, err := os.ReadFile(path)
		pid := filepath.Base(filepath.Dir(path))
		if err == nil && pid != "1" && pid != fmt.Sprint(os.Getpid()) {
			left = append(left, string(b[:bytes.LastIndexByte(b, ')')+3]))
		}
	}
	return left
}

func link(ns string) string {
	s, _ := os.Readlink("/proc/self/ns/" + ns)
	return s
}

func names(dir string) (names []string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// lockedBuffer is read while a command still writes to it.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
