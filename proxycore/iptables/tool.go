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
	env  []string // nil: the process's

	restored int          // how often; tests prove with it that there was nothing else
	fault    func() error // tests: fails what is about to change the kernel
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
	var err error
	if t.ipt, err = goiptables.New(goiptables.IPFamily(proto), goiptables.Path(t.base), goiptables.Timeout(patience)); err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", t.base, err)
	}
	if !t.ipt.HasRandomFully() {
		a, b, c := t.ipt.GetIptablesVersion()
		return "", fmt.Errorf("%s is version %d.%d.%d; 1.6.2 is needed for masquerading with --random-fully", t.base, a, b, c)
	}
	if flavour != "" {
		return flavour, nil
	}
	out, err := exec.Command(t.base, "--version").Output() // go-iptables knows, and does not tell
	if err != nil {
		return "", fmt.Errorf("ask %s for its version: %w", t.base, err)
	}
	if bytes.Contains(out, []byte("nf_tables")) {
		return nft, nil
	}
	return legacy, nil
}

// command starts inside the namespace and waits outside.
func (t *tool) command(ctx context.Context, input string, name string, args ...string) (string, error) {
	var out, said bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = t.env
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

func (t *tool) restore(ctx context.Context, input string) error {
	if t.fault != nil {
		if err := t.fault(); err != nil {
			return err
		}
	}
	t.restored++
	_, err := t.command(ctx, input, t.base+"-restore", "--noflush", "-w", strconv.Itoa(patience))
	return err
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

// insert and remove are done by go-iptables, in the namespace.
func (t *tool) insert(j jump) error {
	err := t.run(func() error { return t.ipt.Insert(j.table, j.chain, 1, split(j.text)...) })
	if err != nil {
		return fmt.Errorf("insert a jump into %s %s: %w", j.table, j.chain, err)
	}
	return nil
}

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

// defaultLock is where iptables-legacy locks unless XTABLES_LOCKFILE says otherwise.
const defaultLock = "/run/xtables.lock"

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
