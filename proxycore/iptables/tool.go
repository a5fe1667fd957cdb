package iptables

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"

	goiptables "github.com/coreos/go-iptables/iptables"
)

// patience is how many seconds a command waits for the xtables lock.
const patience = 5

// The flavours.
const (
	nft    = "nft"
	legacy = "legacy"
)

// tool runs the commands of one family.
type tool struct {
	base string // "ip6tables-nft"
	ipt  *goiptables.IPTables
	run  func(func() error) error

	restored, commits int          // how often the command was run, and tables were committed by it, for tests
	fault             func() error // tests: fails what is about to change the kernel
}

// detect finds the commands of a family and says which flavour they are.
func (t *tool) detect(is6 bool, flavour string) (string, error) {
	t.base = "iptables"
	proto := goiptables.ProtocolIPv4
	if is6 {
		t.base, proto = "ip6tables", goiptables.ProtocolIPv6
	}
	if flavour != "" {
		t.base += "-" + flavour
	}
	for _, c := range []string{t.base, t.base + "-restore", t.base + "-save"} {
		if _, err := exec.LookPath(c); err != nil {
			return "", fmt.Errorf("find %s: %w; install it with: apt-get install iptables", c, err)
		}
	}
	path, _ := exec.LookPath(t.base)
	v, err := ask(path, proto)
	if err != nil {
		return "", err
	}
	t.ipt = v.ipt
	if flavour == "" {
		flavour = v.flavour
	}
	return flavour, nil
}

// version is what a command says of itself.
type version struct {
	ipt     *goiptables.IPTables
	flavour string
}

var versions sync.Map // path → version; a command is asked once in a process

func ask(path string, proto goiptables.Protocol) (version, error) {
	if v, ok := versions.Load(path); ok {
		return v.(version), nil
	}
	ipt, err := goiptables.New(goiptables.IPFamily(proto), goiptables.Path(path), goiptables.Timeout(patience))
	if err != nil {
		return version{}, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	if !ipt.HasRandomFully() {
		a, b, c := ipt.GetIptablesVersion()
		return version{}, fmt.Errorf("%s is version %d.%d.%d; 1.6.2 is needed for masquerading with --random-fully", path, a, b, c)
	}
	out, err := exec.Command(path, "--version").Output() // go-iptables knows the flavour, and does not tell
	if err != nil {
		return version{}, fmt.Errorf("ask %s for its version: %w", path, err)
	}
	v := version{ipt, legacy}
	if bytes.Contains(out, []byte("nf_tables")) {
		v.flavour = nft
	}
	versions.Store(path, v)
	return v, nil
}

// command starts inside the namespace and waits outside.
func (t *tool) command(ctx context.Context, input string, name string, args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(input), &out, &said
	if err := t.run(cmd.Start); err != nil {
		return "", fmt.Errorf("start %s: %w", name, err)
	}
	if err := cmd.Wait(); err != nil {
		words := strings.TrimSpace(said.String())
		return "", fmt.Errorf("run %s: %w: %s%s", strings.Join(cmd.Args, " "), err, words, culprit(words, input))
	}
	return out.String(), nil
}

func (t *tool) save(ctx context.Context) (*kernel, error) {
	out, err := t.command(ctx, "", t.base+"-save")
	if err != nil {
		return nil, err
	}
	return parseSave(out), nil
}

// restore carries out inputs, each of which is in force at once, in one run of the command. Where tests want a fault between
// two of them, what comes before it is in force.
func (t *tool) restore(ctx context.Context, inputs []string) error {
	var fault error
	if t.fault != nil {
		for i := range inputs {
			if fault = t.fault(); fault != nil {
				inputs = inputs[:i]
				break
			}
		}
	}
	if len(inputs) == 0 {
		return fault
	}
	t.restored++
	t.commits += len(inputs)
	_, err := t.command(ctx, strings.Join(inputs, ""), t.base+"-restore", "--noflush", "-w", strconv.Itoa(patience))
	return errors.Join(err, fault)
}

var failedLine = regexp.MustCompile(`line:? (\d+)`)

// culprit quotes the line of the input that an error names.
func culprit(said, input string) string {
	m := failedLine.FindStringSubmatch(said)
	if m == nil {
		return ""
	}
	n, _ := strconv.Atoi(m[1])
	lines := strings.Split(input, "\n")
	if n < 1 || n > len(lines) {
		return ""
	}
	return fmt.Sprintf(" (line %d is %q)", n, lines[n-1])
}

// remove takes out a jump that should not be there, or is there no more.
func (t *tool) remove(j jump) error {
	err := t.run(func() error { return t.ipt.Delete(j.table, j.chain, split(j.text)...) })
	var e *goiptables.Error
	if errors.As(err, &e) && e.IsNotExist() {
		return nil
	}
	if err != nil {
		return fmt.Errorf("delete a jump from %s %s: %w", j.table, j.chain, err)
	}
	return nil
}

// lockFile is where iptables-legacy locks; other programs, and other nodes that share the folder, wait there.
func lockFile() string {
	if f := os.Getenv("XTABLES_LOCKFILE"); f != "" {
		return f
	}
	return "/run/xtables.lock"
}

func canLock(path string) bool {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDONLY, 0o600) // as iptables opens it
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// unprivileged: root of a user namespace is nobody to the send buffer of a netlink socket.
func unprivileged() bool {
	if os.Geteuid() != 0 {
		return true
	}
	ids, err := os.ReadFile("/proc/self/uid_map")
	return err == nil && strings.Join(strings.Fields(string(ids)), " ") != "0 0 4294967295"
}
