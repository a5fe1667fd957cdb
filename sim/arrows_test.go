package main

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// arrows is who may import whom, without tests: the drawing of the house. An arrow that is not here fails the test, and so
// does one that is here and not in the code.
var arrows = map[string]string{
	"sim": "nsnet nsnet/capture nsnet/sandbox proxycore/cluster proxycore/mutant reports reports/change reports/drawing reports/figures reports/measure reports/tell reports/verdict scenarios sim/behaviours sim/bench/datapath sim/bench/labs sim/bench/load sim/bench/rulesync sim/describe sim/engine sim/evidence sim/graph sim/known sim/kubeapi sim/lab sim/naming sim/oracle sim/proxies sim/ruleset sim/scenario sim/stage sim/story sim/world",

	"sim/engine":            "proxycore/cluster reports/verdict sim/control sim/oracle sim/scenario sim/settle sim/stat sim/world",
	"sim/graph":             "proxycore/cluster reports/drawing sim/oracle sim/world",
	"sim/behaviours":        "reports/verdict sim/engine sim/oracle sim/scenario sim/world",
	"sim/oracle":            "proxycore/cluster sim/world", // never proxycore: a shared bug would be an invisible bug
	"sim/oracle/oracletest": "proxycore/cluster sim/world",
	"sim/control":           "proxycore/cluster",
	"sim/world":             "proxycore/cluster",
	"sim/scenario":          "proxycore/cluster",
	"sim/settle":            "",
	"sim/stat":              "",
	"sim/lab":               "nsnet nsnet/sctp nsnet/wire proxycore proxycore/cluster proxycore/conntrack sim/world",
	"sim/evidence":          "nsnet nsnet/capture nsnet/counters nsnet/fib nsnet/nflog nsnet/nftrace nsnet/packet nsnet/rules proxycore/conntrack sim/lab sim/world", // watches and judges nothing
	"sim/story":             "proxycore/cluster reports/tell sim/evidence sim/naming sim/oracle sim/world",                                                           // pure: it tells what the evidence says
	"sim/bench/labs":        "nsnet nsnet/wire proxycore/cluster reports/measure sim/lab sim/oracle sim/proxies sim/world",
	"sim/bench/load":        "proxycore/cluster",
	"sim/bench/rig":         "nsnet nsnet/wire proxycore/cluster sim/bench/load sim/lab sim/proxies sim/world",
	"sim/bench/datapath":    "nsnet reports/measure sim/bench/load sim/bench/rig sim/proxies",
	"sim/bench/rulesync":    "nsnet proxycore/cluster reports/measure sim/bench/load sim/bench/rig sim/proxies",
	"sim/describe":          "proxycore/cluster",
	"sim/known":             "reports/verdict",
	"sim/naming":            "proxycore/cluster", // pure: names are computed from a state, not asked of a kernel or a backend
	"sim/ruleset":           "nsnet sim/naming",
	"sim/stage":             "nsnet proxycore/cluster sim/engine sim/lab sim/naming sim/proxies sim/ruleset sim/scenario sim/world",
	"sim/kubeapi":           "proxycore/cluster",
	"sim/proxies":           "nsnet nsnet/sandbox proxycore proxycore/cluster proxycore/conntrack proxycore/foreign proxycore/health proxycore/iptables proxycore/metrics proxycore/mutant proxycore/nftables proxycore/reflector sim/kubeapi sim/lab sim/world",

	"proxycore":                   "proxycore/cluster",
	"proxycore/cluster":           "",
	"proxycore/nftables":          "proxycore proxycore/cluster",
	"proxycore/iptables":          "proxycore proxycore/cluster",
	"proxycore/conntrack":         "proxycore proxycore/cluster",
	"proxycore/foreign":           "proxycore/cluster",
	"proxycore/foreign/example":   "",
	"proxycore/foreign/kubeproxy": "",
	"proxycore/health":            "proxycore proxycore/cluster",
	"proxycore/metrics":           "proxycore",
	"proxycore/mutant":            "proxycore proxycore/cluster",
	"proxycore/reflector":         "proxycore/cluster", // it feeds whoever takes states
	"proxycore/backendtest":       "proxycore proxycore/cluster",

	"nsnet":          "",
	"nsnet/sandbox":  "nsnet",
	"nsnet/wire":     "nsnet",
	"nsnet/sctp":     "",
	"nsnet/packet":   "",
	"nsnet/capture":  "nsnet nsnet/packet",
	"nsnet/nftrace":  "nsnet",
	"nsnet/nflog":    "nsnet",
	"nsnet/fib":      "nsnet",
	"nsnet/counters": "nsnet",
	"nsnet/rules":    "nsnet nsnet/packet",
	"nsnet/nstest":   "nsnet nsnet/sandbox",

	"reports":         "reports/verdict",
	"reports/change":  "reports/figures reports/measure",
	"reports/drawing": "",
	"reports/figures": "reports/measure",
	"reports/measure": "",
	"reports/tell":    "",
	"reports/verdict": "",
	"scenarios":       "",
}

// shut doors: packages from outside, and the only rooms that may open them.
var shut = []struct {
	what  *regexp.Regexp
	rooms []string // prefixes; none: nowhere
	why   string
}{
	{regexp.MustCompile(`^k8s\.io/client-go`), nil, "tens of megabytes, and the lab has no cluster"},
	{regexp.MustCompile(`^k8s\.io/api`), []string{"sim", "proxycore", "proxycore/cluster", "proxycore/health", "proxycore/mutant", "proxycore/reflector"}, "backends and wires know no API objects"},
	{regexp.MustCompile(`^github\.com/vishvananda/netns`), []string{"nsnet"}, "threads move in nsnet only"},
}

const module = "svclab/"

func TestArrows(t *testing.T) {
	got := map[string]map[string]bool{}
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && d.Name() != ".." || d.Name() == "testdata" || d.Name() == "out" || d.Name() == "bin") {
			return filepath.SkipDir
		}
		if !strings.HasSuffix(path, ".go") {
			return nil
		}
		room, _ := filepath.Rel("..", filepath.Dir(path))
		if strings.HasSuffix(path, "_test.go") {
			return nil
		}
		if got[room] == nil {
			got[room] = map[string]bool{}
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		for _, i := range f.Imports {
			name := strings.Trim(i.Path.Value, `"`)
			if to, ours := strings.CutPrefix(name, module); ours {
				got[room][to] = true
			}
			for _, s := range shut {
				if s.what.MatchString(name) && !slices.ContainsFunc(s.rooms, func(p string) bool { return admits(p, room) }) {
					t.Errorf("%s: imports %s: %s", path, name, s.why)
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for room, imports := range got {
		allowed, known := arrows[room]
		if !known {
			t.Errorf("room %s is not in the drawing", room)
		}
		for to := range imports {
			if !slices.Contains(strings.Fields(allowed), to) {
				t.Errorf("%s → %s is not in the drawing", room, to)
			}
		}
		for _, to := range strings.Fields(allowed) {
			if !imports[to] {
				t.Errorf("%s → %s is drawn and not there", room, to)
			}
		}
	}
	for room := range arrows {
		if got[room] == nil {
			t.Errorf("room %s is drawn and not there", room)
		}
	}
}

// admits: "sim" opens to every room below it, "proxycore" to itself alone (its backends have other rules).
func admits(prefix, room string) bool {
	return room == prefix || prefix != "proxycore" && strings.HasPrefix(room, prefix+"/")
}
