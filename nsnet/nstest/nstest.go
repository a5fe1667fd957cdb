// Package nstest runs tests that need network namespaces, as root or not, and takes care that none is skipped unnoticed.
//
//	func TestMain(m *testing.M) { nstest.Main(m) }
//
//	func TestPing(t *testing.T) {
//		nstest.Need(t, "veth")
//		pod := nstest.NS(t, "pod")
//		…
//	}
package nstest

import (
	"os"
	"slices"
	"strings"
	"testing"

	"svclab/nsnet"
	"svclab/nsnet/sandbox"
)

// RequireEnv names powers, with commas between, whose lack is a failure and not a skip. CI sets it.
const RequireEnv = "SVCLAB_REQUIRE"

// noSandbox is why there is none, for the skips.
var noSandbox error

// Main is for TestMain: it runs the tests in a sandbox and exits as they did. Where no sandbox can be made the tests run on
// the machine itself, and those that Need anything are skipped with the reason. after is called when they are over.
func Main(m *testing.M, after ...func()) {
	noSandbox = sandbox.Enter(sandbox.Options{})
	code := m.Run()
	for _, f := range after {
		f()
	}
	os.Exit(code)
}

// Need skips the test when one of the powers is missing, with the proof, or fails it when the power is required. A power that
// nobody knows, or whose state could not be found out, fails the test: a skip is a claim. See sandbox.Probe for the names.
func Need(t testing.TB, powers ...string) {
	t.Helper()
	need(t, powers, os.Getenv(RequireEnv), havePowers)
}

// NS is a fresh namespace, closed at the test's end.
func NS(t testing.TB, name string) *nsnet.NS {
	t.Helper()
	Need(t, "userns")
	ns, err := nsnet.New(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := ns.Close(); err != nil {
			t.Error(err)
		}
	})
	return ns
}

// havePowers does not probe outside a sandbox, where real root could do everything but must not.
func havePowers() []sandbox.Power {
	if sandbox.Inside() {
		return sandbox.Probe()
	}
	proof := "TestMain does not call nstest.Main"
	if noSandbox != nil {
		proof = noSandbox.Error()
	}
	return []sandbox.Power{{Name: "userns", State: sandbox.No, Proof: proof}}
}

// reporter is what need says its verdict to.
type reporter interface {
	Helper()
	Skipf(format string, args ...any)
	Fatalf(format string, args ...any)
}

func need(t reporter, names []string, required string, have func() []sandbox.Power) {
	t.Helper()
	powers := have()
	find := func(name string) int {
		return slices.IndexFunc(powers, func(p sandbox.Power) bool { return p.Name == name })
	}
	wanted := strings.Split(required, ",")
	for _, name := range append([]string{"userns"}, names...) {
		i := find(name)
		if i < 0 {
			t.Fatalf("nobody knows how to probe for %q", name)
			return
		}
		p := powers[i]
		switch {
		case p.State == sandbox.Yes:
			continue
		case p.State == sandbox.Unknown:
			t.Fatalf("cannot find out whether this machine has %s: %s", name, p.Proof)
		case slices.Contains(wanted, name), name == "userns" && slices.ContainsFunc(names, func(n string) bool { return slices.Contains(wanted, n) }):
			// Without userns there is no other power either.
			t.Fatalf("%s is required (%s) and missing: %s", name, RequireEnv, p.Proof)
		default:
			t.Skipf("this machine lacks %s: %s", name, p.Proof)
		}
		return
	}
}
