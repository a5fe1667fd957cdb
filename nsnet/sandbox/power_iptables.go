package sandbox

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"golang.org/x/sys/unix"

	"svclab/nsnet"
)

// iptablesRules are one of each match and target that a proxy on iptables cannot do without, without the extensions that
// only some of them use.
const iptablesRules = `*nat
-A PREROUTING -m comment --comment probe -m statistic --mode random --probability 0.5 -m addrtype --dst-type LOCAL -p tcp --dport 1 -j DNAT --to-destination %[1]s:1
-A POSTROUTING -m conntrack --ctstate DNAT -m mark --mark 0x1000/0x1000 -j MASQUERADE --random-fully
-A OUTPUT -m recent --name probe --rcheck --seconds 1 --reap --rsource -j MARK --set-xmark 0x1000/0x1000
COMMIT
*filter
-A OUTPUT -p tcp --dport 1 -j REJECT
COMMIT
`

// restoreRules tries a flavour of iptables, "nft" or "legacy", in both families.
func restoreRules(flavour string) func(*nsnet.NS) error {
	return func(ns *nsnet.NS) error {
		lock, err := os.CreateTemp("", "svclab-probe-*.lock") // the machine's may be closed to us, and need not wait for us
		if err != nil {
			return err
		}
		lock.Close()
		defer os.Remove(lock.Name())
		for name, to := range map[string]string{"iptables": "127.0.0.1", "ip6tables": "[::1]"} {
			name += "-" + flavour + "-restore"
			var said bytes.Buffer
			cmd := exec.Command(name, "-w", "5")
			cmd.Env = append(os.Environ(), "XTABLES_LOCKFILE="+lock.Name())
			cmd.Stdin, cmd.Stderr = strings.NewReader(fmt.Sprintf(iptablesRules, to)), &said
			if err := ns.Do(cmd.Start); err != nil {
				return fmt.Errorf("start %s: %w", name, err)
			}
			if err := cmd.Wait(); err != nil {
				return fmt.Errorf("%s: %w: %s", name, refusal(err, said.String()), strings.Join(strings.Fields(said.String()), " "))
			}
		}
		return nil
	}
}

// refusal tells a kernel or a command that cannot from what proves nothing: the exit code is 4 for a lack of memory, for
// a lock that others hold, and for whatever nf_tables answered, which only the words tell.
func refusal(err error, said string) error {
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !exit.Exited() {
		return err
	}
	if exit.ExitCode() != 4 || cannot.MatchString(said) {
		return fmt.Errorf("%w (%v)", unix.EOPNOTSUPP, err)
	}
	return err
}

var cannot = regexp.MustCompile(`(?i)no such file|not supported|not permitted|permission denied|missing kernel module`)
