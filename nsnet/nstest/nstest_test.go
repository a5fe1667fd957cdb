package nstest

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"svclab/nsnet"
	"svclab/nsnet/sandbox"
)

func TestMain(m *testing.M) { Main(m) }

// verdict is a reporter that remembers.
type verdict string

func (v *verdict) Helper()                  {}
func (v *verdict) Skipf(f string, a ...any) { *v = verdict("skip: " + fmt.Sprintf(f, a...)) }
func (v *verdict) Fatalf(f string, a ...any) {
	*v = verdict("fail: " + fmt.Sprintf(f, a...))
}

func TestNeed(t *testing.T) {
	full := []sandbox.Power{
		{Name: "userns", State: sandbox.Yes},
		{Name: "veth", State: sandbox.Yes},
		{Name: "nftables", State: sandbox.No, Proof: "make a nat chain: operation not supported"},
		{Name: "bridge", State: sandbox.Unknown, Proof: "make a bridge: cannot allocate memory"},
	}
	bare := []sandbox.Power{{Name: "userns", State: sandbox.No, Proof: "clone: operation not permitted"}}
	tests := []struct {
		name     string
		needs    string
		required string
		have     []sandbox.Power
		want     verdict
	}{
		{"nothing", "", "", full, ""},
		{"what is there", "veth", "veth,userns", full, ""},
		{"what is not", "veth nftables", "", full, "skip: this machine lacks nftables: make a nat chain: operation not supported"},
		{"another is required", "nftables", "veth", full, "skip: this machine lacks nftables: make a nat chain: operation not supported"},
		{"it is required", "nftables", "veth,nftables", full,
			"fail: nftables is required (SVCLAB_REQUIRE) and missing: make a nat chain: operation not supported"},
		{"no sandbox", "veth", "", bare, "skip: this machine lacks userns: clone: operation not permitted"},
		{"no sandbox, required", "", "userns", bare, "fail: userns is required (SVCLAB_REQUIRE) and missing: clone: operation not permitted"},
		{"no sandbox, something else required", "veth", "veth", bare,
			"fail: userns is required (SVCLAB_REQUIRE) and missing: clone: operation not permitted"},
		{"could not find out", "bridge", "", full, "fail: cannot find out whether this machine has bridge: make a bridge: cannot allocate memory"},
		{"a typing error", "nftabels", "", full, `fail: nobody knows how to probe for "nftabels"`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var got verdict
			need(&got, strings.Fields(test.needs), test.required, func() []sandbox.Power { return test.have })
			if got != test.want {
				t.Errorf("got  %s\nwant %s", got, test.want)
			}
		})
	}
}

// The victims are tests that fail, panic or pass in a copy of this test binary, so that its exit codes and flags can be seen.
const victimEnv = "NSTEST_VICTIM"

func TestVictim(t *testing.T) {
	switch os.Getenv(victimEnv) {
	case "":
		return // not a victim today
	case "fail":
		t.Error("as told")
	case "panic":
		panic("as told")
	case "hang":
		select {}
	}
	if !sandbox.Inside() {
		t.Error("the test does not run in the sandbox")
	}
}

func TestExitCodesAndFlags(t *testing.T) {
	Need(t)
	profile := t.TempDir() + "/cover.out"
	tests := []struct {
		name, victim string
		flags        []string
		exit         int
		says         string
	}{
		{"pass", "pass", nil, 0, "PASS\n"},
		{"fail", "fail", nil, 1, "as told"},
		{"panic", "panic", nil, 2, "panic: as told"},
		{"timeout", "hang", []string{"-test.timeout=100ms"}, 2, "panic: test timed out after 100ms"},
		{"verbose", "pass", []string{"-test.v"}, 0, "--- PASS: TestVictim"},
		{"count", "pass", []string{"-test.v", "-test.count=2"}, 0, "--- PASS: TestVictim"},
		{"a wrong flag", "pass", []string{"-no-such-flag"}, 2, "flag provided but not defined"},
	}
	if testing.CoverMode() != "" {
		tests[0].flags = []string{"-test.coverprofile=" + profile}
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cmd := exec.Command("/proc/self/exe", append([]string{"-test.run=^TestVictim$"}, test.flags...)...)
			cmd.Env = append(os.Environ(), victimEnv+"="+test.victim, "GORACE=atexit_sleep_ms=0")
			out, _ := cmd.CombinedOutput()
			if got := cmd.ProcessState.ExitCode(); got != test.exit {
				t.Errorf("exit code %d, want %d", got, test.exit)
			}
			if !strings.Contains(string(out), test.says) {
				t.Errorf("output lacks %q:\n%s", test.says, out)
			}
		})
	}
	if testing.CoverMode() != "" {
		if _, err := os.Stat(profile); err != nil {
			t.Errorf("no coverage profile: %v", err)
		}
	}
}

func TestNS(t *testing.T) {
	ns := NS(t, "pod")
	if ns.Name() != "pod" || ns.FD() < 0 {
		t.Errorf("got %q, descriptor %d", ns.Name(), ns.FD())
	}
	var inner *nsnet.NS
	t.Run("inner", func(t *testing.T) { inner = NS(t, "inner") })
	if got := inner.FD(); got != -1 {
		t.Errorf("after its test the namespace is still open, as %d", got)
	}
}
