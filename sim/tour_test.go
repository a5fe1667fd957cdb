package main

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"svclab/sim/proxies"
)

var update = flag.Bool("update", false, "write the outputs in the guided tour anew; read the difference before you keep it")

const tourPage = "../scenarios/tour/README.md"

// varies is what differs from one time to the next, or from one kernel to another, and why.
var varies = []struct {
	pattern *regexp.Regexp
	as      string
}{
	{regexp.MustCompile(`\b\d+(\.\d+)? (µs|ms|s)\b`), "TIME"},                  // packets, and labs, take as long as they take
	{regexp.MustCompile(`\bIP id \d+`), "IP id N"},                             // the kernel's count of packets
	{regexp.MustCompile(`\bseq \d+`), "seq N"},                                 // TCP begins anywhere
	{regexp.MustCompile(`(, id|\bin connection|\bto connection) \d+`), "$1 N"}, // ids of conntrack are hashes with a secret
	{regexp.MustCompile(`\bhandle \d+`), "handle N"},                           // nf_tables counts all that was ever made in a table
	{regexp.MustCompile(`\b(192\.168\.50\.\d+):\d+`), "$1:PORT"},               // masquerade draws a port; NodePorts are told in words too
	{regexp.MustCompile(`\b\d+ more packets`), "N more packets"},               // TCP may join an acknowledgement and an end
	{regexp.MustCompile(`\b\d+×`), "N×"},                                       // how often each endpoint was drawn
	{regexp.MustCompile(`\bpod/cart-[12]\b`), "pod/cart-N"},                    // which one the affinity keeps was drawn once
}

// parts are what is compared: words where lines are broken, and columns are wide, as numbers happen to be long; lines elsewhere.
func parts(args, lines []string) []string {
	if args[0] != "explain" && args[0] != "run" {
		out := slices.Clone(lines)
		for i, l := range out {
			out[i] = strings.TrimRight(l, " ")
		}
		return out
	}
	text := strings.Join(strings.Fields(strings.Join(lines, "\n")), " ")
	for _, v := range varies {
		text = v.pattern.ReplaceAllString(text, v.as)
	}
	return strings.Fields(text)
}

// shown is a command of a page, and what the page says that it prints: stretches, with any lines between them.
type shown struct {
	args       []string
	from, to   int // its lines in the page
	stretches  [][]string
	kubeProxy  string // the proxy that must be there, empty: none
	exitsWith1 bool   // by design: there is a difference
}

// shownIn finds the commands of a page: a block begins with "$ svclab …", and what follows is its output; a drawing has the next block.
func shownIn(page []string) (all []*shown) {
	for i := 0; i < len(page); i++ {
		switch page[i] {
		default:
			continue
		case "```console":
			i++
			s := &shown{args: strings.Fields(page[i])[2:]}
			s.exitsWith1 = s.args[0] == "diff"
			for _, a := range s.args {
				if at := strings.Index(a, "kube-proxy/"); at >= 0 {
					s.kubeProxy = a[at:]
				}
			}
			all = append(all, s)
		case "```mermaid":
		}
		s := all[len(all)-1]
		s.from, s.stretches = i+1, [][]string{nil}
		for i++; page[i] != "```"; i++ {
			if last := len(s.stretches) - 1; strings.TrimSpace(page[i]) == "…" {
				s.stretches = append(s.stretches, nil)
			} else {
				s.stretches[last] = append(s.stretches[last], page[i])
			}
		}
		s.to = i
	}
	return all
}

// missing is the first stretch that was not printed where it should have been; nil: it is all there.
func (s *shown) missing(printed []string) []string {
	rest := parts(s.args, printed)
	for i, stretch := range s.stretches {
		want := parts(s.args, stretch)
		at := 0
		for at+len(want) <= len(rest) && !slices.Equal(rest[at:at+len(want)], want) {
			at++
		}
		end := at + len(want)
		if last := i == len(s.stretches)-1; end > len(rest) || i == 0 && at > 0 || last && len(want) > 0 && end < len(rest) {
			return append([]string{}, stretch...)
		}
		rest = rest[end:]
	}
	return nil
}

// anew is the output with each stretch taken from what was printed, from its first line to its last; nil: one of these is not there.
func (s *shown) anew(printed []string) (out []string) {
	if len(s.stretches) == 1 {
		return printed
	}
	find := func(from int, line string) int {
		want := parts(s.args, []string{line})
		for ; from < len(printed) && !slices.Equal(parts(s.args, printed[from:from+1]), want); from++ {
		}
		return from
	}
	at := 0
	for i, stretch := range s.stretches {
		if i > 0 {
			out = append(out, "…")
		}
		if len(stretch) == 0 {
			continue
		}
		first := find(at, stretch[0])
		last := find(first, stretch[len(stretch)-1])
		if last >= len(printed) {
			return nil
		}
		out, at = append(out, printed[first:last+1]...), last+1
	}
	return out
}

// Every command of the guided tour prints what the page shows.
func TestGuidedTour(t *testing.T) {
	needSandbox(t)
	text, err := os.ReadFile(tourPage)
	if err != nil {
		t.Fatal(err)
	}
	page := strings.Split(string(text), "\n")
	all := shownIn(page)
	if len(all) < 10 {
		t.Fatalf("%d commands", len(all))
	}
	fresh := make([][]string, len(all))
	t.Run("commands", func(t *testing.T) {
		for i, s := range all {
			t.Run(strings.Join(s.args, " "), func(t *testing.T) {
				t.Parallel()
				fresh[i] = s.check(t)
			})
		}
	})
	if !*update {
		return
	}
	for i, s := range slices.Backward(all) {
		if fresh[i] != nil {
			page = slices.Replace(page, s.from, s.to, fresh[i]...)
		}
	}
	if err := os.WriteFile(tourPage, []byte(strings.Join(page, "\n")), 0o644); err != nil {
		t.Fatal(err)
	}
}

// check runs a command, and compares; with -update it returns the output to show, where that is another.
func (s *shown) check(t *testing.T) []string {
	args := slices.Clone(s.args)
	if s.kubeProxy != "" {
		binary := os.Getenv("SVCLAB_KUBE_PROXY")
		p, err := proxies.Foreign{Binary: binary}.Find(s.kubeProxy)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.Missing(); err != nil && strings.Contains(os.Getenv("SVCLAB_REQUIRE"), "kube-proxy") {
			t.Fatal(err)
		} else if err != nil {
			t.Skip(err)
		}
		for _, power := range lacks(p) {
			t.Skipf("this machine lacks %s: %s", power.Name, power.Proof)
		}
		if binary != "" {
			args = append(args, "--kube-proxy", binary)
		}
	}
	code, stdout, stderr := svclab(t, "", []string{"HOME=" + os.Getenv("HOME"), "XDG_CACHE_HOME=" + os.Getenv("XDG_CACHE_HOME")}, args...)
	if code != 0 && !(s.exitsWith1 && code == exitFailed) {
		t.Fatalf("exit code %d: %s%s", code, stdout, stderr)
	}
	printed := strings.Split(strings.TrimRight(stdout, "\n"), "\n")
	missing := s.missing(printed)
	if missing == nil {
		return nil
	}
	if *update {
		if out := s.anew(printed); out != nil {
			return out
		}
	}
	t.Errorf("the page shows\n%s\nand that is not, there, in what is printed:\n%s", strings.Join(missing, "\n"), stdout)
	return nil
}

// The comparison itself: what varies may, and what does not may not.
func TestTourIsCompared(t *testing.T) {
	printed := []string{"ANSWERED by pod/a in 1.8 ms.", "", "  3  node-1  conntrack: NEW, id 5", "  rule one", "  rule two", "end"}
	for _, tt := range []struct {
		name, page string
		same       bool
	}{
		{"other numbers, and broken elsewhere", "ANSWERED by pod/a in 900 µs.\n…\n  3  node-1\n     conntrack: NEW, id 77\n…\nend", true},
		{"a word is another", "ANSWERED by pod/b in 1.8 ms.\n…", false},
		{"not all of a stretch", "…\n  rule one\nend", false},
		{"another order", "…\n  rule two\n…\n  rule one\n…", false},
		{"more before", "  rule one\n…", false},
		{"more after", "…\n  rule one", false},
	} {
		page := strings.Split("```console\n$ svclab explain x\n"+tt.page+"\n```", "\n")
		if same := shownIn(page)[0].missing(printed) == nil; same != tt.same {
			t.Errorf("%s: same %t, want %t", tt.name, same, tt.same)
		}
	}
}
