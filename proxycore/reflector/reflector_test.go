package reflector

import (
	"testing"
	"time"
)

// Pauses double up to the most, and are drawn from their upper half.
func TestBackoff(t *testing.T) {
	b := newBackoff(pauses{100 * time.Millisecond, time.Second})
	if !b.fresh() {
		t.Error("it is not fresh at first")
	}
	for i, most := range []time.Duration{100, 200, 400, 800, 1000, 1000} {
		most *= time.Millisecond
		if d := b.next(); d < most/2 || d >= most {
			t.Errorf("pause %d is %s, want from %s to %s", i, d, most/2, most)
		}
	}
	b.reset()
	if d := b.next(); d >= 100*time.Millisecond {
		t.Errorf("after a success: %s", d)
	}
}

func TestNewRefuses(t *testing.T) {
	for want, o := range map[string]Options{
		`"localhost:8001" is no URL of an API server: write for example http://127.0.0.1:8001, where kubectl proxy answers`: {API: "localhost:8001", Node: "n"},
		`"" is no URL of an API server: write for example http://127.0.0.1:8001, where kubectl proxy answers`:               {Node: "n"},
		"the name of the node is missing":                                                             {API: "http://x"},
		"open /nowhere: no such file or directory":                                                    {API: "https://x", Node: "n", CA: "/nowhere"},
		"open /nowhere/token: no such file or directory":                                              {API: "https://x", Node: "n", TokenFile: "/nowhere/token"},
		"/dev/null has no certificate: it must be in PEM, as in a kubeconfig's certificate-authority": {API: "https://x", Node: "n", CA: "/dev/null"},
	} {
		if _, err := New(o); err == nil || err.Error() != want {
			t.Errorf("%+v: got %v, want %s", o, err, want)
		}
	}
}

func TestPrefixes(t *testing.T) {
	got := prefixes(map[string][]string{"b": {"10.97.0.0/16", "fd00::/48"}, "a": {"10.96.0.0/16", "10.97.0.0/16", "nonsense"}})
	text := ""
	for _, p := range got {
		text += p.String() + " "
	}
	if text != "10.96.0.0/16 10.97.0.0/16 fd00::/48 " {
		t.Error(text)
	}
}
