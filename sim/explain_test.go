package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"svclab/nsnet/nstest"
	"svclab/reports/tell"
	"svclab/sim/proxies"
)

// What is asked for wrongly is told before anything is built.
func TestExplainWrongUsage(t *testing.T) {
	for _, tt := range []struct{ args, stderr string }{
		{"explain", "which scenario? Name a file, or a bundled one (see: svclab list scenarios)"},
		{"explain myservice --to service/mysrvice:80", `--to: there is no service/mysrvice: did you mean "service/myservice"?`},
		{"explain myservice --to service/myservice:http", `--to: service/myservice has no port "http". Known: 80`},
		{"explain myservice --to myservice:80", `--to: "myservice:80" does not say what it is: write for example service/myservice:80`},
		{"explain myservice --from pod/cleint", `--from: there is no pod/cleint: did you mean "pod/client"?`},
		{"explain myservice --from client/laptop --via node-9", `--via: there is no node-9: did you mean "node-1"?`},
		{"explain myservice --via node-1", "--via node-1: only a client from outside comes in by a node, and pod/client does not"},
		{"explain myservice --step 9", "--step 9: scenarios/basics/myservice.yaml has steps 1 to 4, and 0 is the start"},
		{"explain myservice --step -7", `invalid argument "-7" for "--step" flag: must be a number of at least 0`},
		{"explain myservice --proxy nftables,iptables-nft", "one flow is explained on one proxy: name one with --proxy"},
		{"explain myservice -o pdf", `invalid argument "pdf" for "-o, --output" flag: must be one of text, json, markdown, html`},
	} {
		code, stdout, stderr := svclab(t, "", nil, strings.Fields(tt.args)...)
		if code != exitUsage || stdout != "" || stderr != "svclab: "+tt.stderr+"\n" {
			t.Errorf("%s: code %d, %q, want %q", tt.args, code, stderr, tt.stderr)
		}
	}
}

// explained is the story of a real flow.
func explained(t *testing.T, code int, args ...string) tell.Story {
	t.Helper()
	got, stdout, stderr := svclab(t, "", []string{"HOME=" + os.Getenv("HOME")}, append([]string{"explain", "-o", "json"}, args...)...)
	if got != code {
		t.Fatalf("code %d, want %d: %s", got, code, stderr)
	}
	var s tell.Story
	if err := json.Unmarshal([]byte(stdout), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// On every proxy the story of the first question names the rule that translated, known as the proxy's own, the endpoint, the unchanged
// source, the entry and the way back.
func TestExplainOnEveryProxy(t *testing.T) {
	needSandbox(t)
	for name, rule := range map[string]string{
		"nftables": `dnat ip to .*@endpoints`, "iptables-nft": `-j DNAT --to-destination`, "iptables-legacy": `-j DNAT --to-destination`,
		"kube-proxy/nftables": `dnat ip to numgen random`, "kube-proxy/iptables": `-j DNAT --to-destination`,
	} {
		t.Run(name, func(t *testing.T) {
			binary := os.Getenv("SVCLAB_KUBE_PROXY")
			p, err := proxies.Foreign{Binary: binary}.Find(name)
			if err != nil {
				t.Fatal(err)
			}
			required := os.Getenv(nstest.RequireEnv)
			if err := p.Missing(); err != nil {
				if strings.Contains(required, kubeProxyPower) {
					t.Fatal(err)
				}
				t.Skip(err)
			}
			args := []string{"myservice", "--proxy", name, "--kube-proxy", binary}
			if !slices.ContainsFunc(p.Powers, func(power string) bool { return strings.Contains(required, power) }) { // else what lacks is a failure
				if code, _, stderr := svclab(t, "", nil, append([]string{"explain"}, args...)...); code == exitNothing {
					t.Skip(stderr)
				}
			}
			s := explained(t, 0, args...)
			if s.Outcome != "answered" || !strings.Contains(s.Verdict, "It saw the client's own address") || !s.Judgement.Right {
				t.Errorf("%s %+v", s.Verdict, s.Judgement)
			}
			if len(s.Missing) > 1 || len(s.Missing) == 1 && !strings.Contains(s.Missing[0], "number it draws") {
				t.Errorf("missing: %q", s.Missing)
			}
			acted, back := tell.Rule{}, false
			for _, w := range s.Ways {
				for _, st := range w.Steps {
					back = back || st.Mark == tell.Rewritten && strings.HasPrefix(st.What, "SOURCE REWRITTEN BACK") && st.Source == "172.20.127.114:80"
					for _, r := range st.Rules {
						if strings.HasPrefix(r.Means, "not one of") {
							t.Errorf("not known: %+v", r)
						}
						if r.Acted {
							acted = r
						}
					}
				}
			}
			if !regexp.MustCompile(rule).MatchString(acted.Text) || !strings.Contains(strings.Join(acted.Objects, "\n"), "pod/web-") || !strings.Contains(strings.Join(acted.Objects, "\n"), "myservice.yaml:") {
				t.Errorf("the rule: %+v", acted)
			}
			if !back {
				t.Errorf("no translation back: %+v", s.Ways)
			}
			if len(s.Memory) == 0 || !s.Memory[0].NAT || s.Memory[0].Original.Dest != "172.20.127.114:80" || !strings.Contains(s.Memory[0].What, "DNAT") {
				t.Errorf("memory: %+v", s.Memory)
			}
		})
	}
}

// A wrong answer is red, and the code says so; a failing case has the same story among its artifacts.
func TestExplainWhatIsWrong(t *testing.T) {
	needSandbox(t)
	spoilt := "nftables~no-masquerade"
	s := explained(t, exitFailed, "myservice", "--from", "client/laptop", "--proxy", spoilt)
	if s.Judgement.Right || !s.Judgement.Judged || !strings.HasPrefix(s.Judgement.Text, "✗ No: ") {
		t.Errorf("%+v", s.Judgement)
	}
	dir := t.TempDir()
	if code, _, stderr := svclabIn(t, dir, "", nil, "run", "myservice", "--run", "ipv4", "--proxy", spoilt, "-q"); code != exitFailed {
		t.Fatalf("code %d: %s", code, stderr)
	}
	files, _ := filepath.Glob(dir + "/out/latest/*/story-1-line-14.txt")
	if len(files) != 1 {
		t.Fatalf("%q", files)
	}
	text, err := os.ReadFile(files[0])
	if err != nil || !strings.Contains(string(text), "this is another packet") || !strings.Contains(string(text), "This should not be: client/laptop is outside") {
		t.Errorf("%v: %s", err, text)
	}
}

// Policy Local, and a node without an endpoint: the rule that drops, and why.
func TestExplainLocal(t *testing.T) {
	needSandbox(t)
	for _, name := range []string{"nftables", "iptables-nft", "iptables-legacy"} {
		p, err := proxies.Find(name)
		if err != nil {
			t.Fatal(err)
		}
		if len(lacks(p)) > 0 {
			continue
		}
		s := explained(t, 0, "external-local", "--from", "client/laptop", "--via", "node-3", "--to", "198.51.100.10:80", "--proxy", name)
		last := s.Ways[0].Steps[len(s.Ways[0].Steps)-1]
		if s.Outcome != "silent" || last.Mark != tell.Ended || last.Where != "node-3" || !strings.Contains(strings.Join(last.Words, " "), "policy Local") {
			t.Errorf("%s: %s %+v", name, s.Verdict, last)
		}
	}
}

// The packets can be had too.
func TestExplainCaptures(t *testing.T) {
	needSandbox(t)
	dir := t.TempDir()
	if code, _, stderr := svclabIn(t, dir, "", nil, "explain", "myservice", "--pcap", "packets"); code != 0 || !strings.Contains(stderr, "packets: packets/explain.pcapng") {
		t.Fatalf("code %d: %s", code, stderr)
	}
	if b, err := os.ReadFile(dir + "/packets/explain.pcapng"); err != nil || len(b) < 1000 || string(b[:4]) != "\x0a\x0d\x0d\x0a" {
		t.Errorf("%d bytes, %v", len(b), err)
	}
}
