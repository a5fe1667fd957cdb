package sandbox

import (
	"errors"
	"fmt"
	"os/exec"
	"testing"

	"golang.org/x/sys/unix"
)

// What a command says decides between no and unknown.
func TestRefusal(t *testing.T) {
	for _, c := range []struct {
		code int
		said string
		no   bool
	}{
		{4, "line 2: RULE_APPEND failed (No such file or directory): rule in chain OUTPUT", true},
		{4, "Could not fetch rule set generation id: Permission denied (you must be root)", true},
		{4, "Another app is currently holding the xtables lock", false},
		{4, "RULE_APPEND failed (Cannot allocate memory)", false},
		{3, "can't initialize iptables table `nat'", true},
		{2, "Couldn't load target `BLAH'", true},
	} {
		err := exec.Command("sh", "-c", fmt.Sprintf("exit %d", c.code)).Run()
		if no := errors.Is(refusal(err, c.said), unix.EOPNOTSUPP); no != c.no {
			t.Errorf("exit code %d, %q: no is %v", c.code, c.said, no)
		}
	}
	if killed := exec.Command("sh", "-c", "kill -9 $$").Run(); errors.Is(refusal(killed, "not supported"), unix.EOPNOTSUPP) {
		t.Error("a killed command proves nothing")
	}
}
