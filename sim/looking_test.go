package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// two is a scenario with two Services, one of which goes.
const two = `apiVersion: svclab/v1alpha1
kind: Scenario
metadata: {name: two}
spec: {steps: [{probe: {from: node/n, to: "service/web:80"}}, {change: {delete: service/kube-system/dns}}]}
---
{apiVersion: v1, kind: Node, metadata: {name: n}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a, labels: {app: web}}, spec: {nodeName: n, containers: [{name: c, ports: [{containerPort: 80}]}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: web}, spec: {selector: {app: web}, ports: [{name: http, port: 80}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: dns, namespace: kube-system}, spec: {ports: [{port: 53, protocol: UDP}]}}
`

// What is asked for and is not there is told before anything is built, with what there is.
func TestWrongLooks(t *testing.T) {
	for _, tt := range []struct{ args, stderr string }{
		{"rules", "svclab: which scenario? Name a file, or a bundled one (see: svclab list scenarios)\n"},
		{"rules no-such", "no-such: no such file, and no bundled scenario of that name (see: svclab list scenarios)\n"},
		{"rules myservice hairpin", "svclab: these are 2 scenarios: one can be looked at at a time\n"},
		{"rules -f - --service wob", "svclab: there is no service wob; there are web, kube-system/dns\n"},
		{"rules -f - --service dns", "svclab: there is no service dns; there are web, kube-system/dns\n"},
		{"rules -f - --service web:81", "svclab: service web has no port 81; it has http (80/tcp)\n"},
		{"rules -f - --service kube-system/dns --step 2", "svclab: there is no service kube-system/dns; there are web\n"},
		{"rules -f - --node m", "svclab: there is no node m; there are n\n"},
		{"rules -f - --step 3", "svclab: --step 3: - has steps 1 to 2, and 0 is the start\n"},
		{"rules -f - --step -1", "svclab: --step -1: - has steps 1 to 2, and 0 is the start\n"},
		{"rules -f - --family dual -o yaml", "svclab: invalid argument \"yaml\" for \"-o, --output\" flag: must be one of text, json\n"},
		{"rules -f - --proxy nonsense/x", "svclab: there is no proxy \"nonsense/x\"; there are nftables, "},
		{"rules -f - --proxy kube-proxy/ipvs", "svclab: kube-proxy/ipvs: what it programs are virtual servers of IPVS, which are not read here; name another proxy\n"},
		{"describe", "svclab: of which scenario? Write: svclab describe FILE service/NAME\n"},
		{"describe svc web", "svclab: of which scenario? Write: svclab describe FILE svc web\n"},
		{"describe myservice", "svclab: describe what? service, endpoints, endpointslice, node or pod, and a name: service/myservice\n"},
		{"describe -f - svc wob", "svclab: there is no service wob; there are web, kube-system/dns\n"},
		{"describe -f - svc/dns", "svclab: there is no service dns; there are web, kube-system/dns\n"},
		{"describe -f - pods -n kube-system", "svclab: there is no pod in namespace kube-system; there are a\n"},
		{"describe -f - deployment web", "svclab: unknown kind \"deployment\"; there are service, endpoints, endpointslice, node, pod\n"},
		{"describe -f - svc/web pod", "svclab: \"pod\" does not say what it is: write KIND/NAME, such as service/myservice, for each\n"},
		{"describe -f - svc -l app=none", "svclab: no svc matches --selector \"app=none\"\n"},
		{"diff --rules -f - --step 3", "svclab: --step 3: - has steps 1 to 2, and 0 is the start\n"},
		{"diff --rules -f - --step 9", "svclab: --step 9: - has steps 1 to 2, and 0 is the start\n"},
		{"diff --rules -f - --step 0", "svclab: --step 0: before the start there is nothing; name a second step, or one from 1 to 2\n"},
		{"diff --rules -f - --step 0,1,2", "svclab: --step: two states can be compared, not more\n"},
		{"diff --rules -f - --against nftables", "svclab: --rules compares two states of one scenario, and has no use for --against\n"},
		{"diff -f - --step 1", "svclab: --step is for --rules only\n"},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := svclab(t, two, nil, strings.Fields(tt.args)...)
			if code != 2 || stdout != "" || !strings.HasPrefix(stderr, tt.stderr) {
				t.Errorf("exit code %d, standard output %q, standard error:\n%swant\n%s", code, stdout, stderr, tt.stderr)
			}
		})
	}
}

// kubectl's ways to name objects lead to the same objects.
func TestDescribeLikeKubectl(t *testing.T) {
	needSandbox(t)
	for _, tt := range []struct{ args, names string }{
		{"-f - service web", "web"},
		{"-f - svc/web", "web"},
		{"-f - services", "web dns"},
		{"-f - svc w", "web"},
		{"-f - svc -n kube-system", "dns"},
		{"-f - svc dns -n kube-system", "dns"},
		{"-f - service/kube-system/dns pod/a", "dns a"},
		{"-f - po,no", "a n"},
		{"-f - ep,svc web", "web web"},
		{"-f - endpointslices", "web-ipv4-1"},
		{"-f - SVC/web", "web"},
		{"-f - svc --step 2", "web"},
		{"myservice pod -l app=myservice", "web-1 web-2"},
		{"myservice service/myservice", "myservice"},
	} {
		code, stdout, stderr := svclab(t, two, nil, append([]string{"describe"}, strings.Fields(tt.args)...)...)
		var names []string
		for line := range strings.Lines(stdout) {
			if name, ok := strings.CutPrefix(line, "Name:"); ok {
				names = append(names, strings.TrimSpace(name))
			}
		}
		if got := strings.Join(names, " "); code != 0 || stderr != "" || got != tt.names || strings.Count(stdout, "\nProgrammed by nftables, ") != len(names) {
			t.Errorf("describe %s: exit code %d, %q, want %q; %s%s", tt.args, code, got, tt.names, stderr, stdout)
		}
	}
}

// Rules are shown in both formats, as whoever runs the test and as an unprivileged user, who sees the same.
func TestRulesAsAnybody(t *testing.T) {
	needSandbox(t)
	var seen [2]string
	for i, prefix := range [][]string{nil, {"setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"}} {
		if i > 0 && os.Geteuid() != 0 {
			t.Skip("only root can become somebody else")
		}
		for _, format := range []string{"text", "json"} {
			args := append(append([]string{}, prefix...), binary(t), "rules", "-f", "-", "--service", "web:http", "--proxy", "nftables,iptables-nft", "-o", format)
			cmd := exec.Command(args[0], args[1:]...)
			var out, errs bytes.Buffer
			cmd.Stdin, cmd.Stdout, cmd.Stderr = strings.NewReader(two), &out, &errs
			cmd.Dir, cmd.Env = "/", []string{"PATH=" + os.Getenv("PATH")}
			if err := cmd.Run(); err != nil || errs.Len() > 0 {
				t.Fatalf("%v: %s", err, &errs)
			}
			seen[i] += out.String()
			if format == "text" {
				continue
			}
			var r rulesOutput
			if err := json.Unmarshal(out.Bytes(), &r); err != nil || r.SchemaVersion != 1 || r.File != "-" || r.State != "the state at the start" || len(r.Proxies) != 2 {
				t.Fatalf("%v: %s", err, &out)
			}
			for _, p := range r.Proxies {
				s := p.Nodes[0].Services
				if len(s) != 1 || s[0].Service != "default/web" || s[0].Where != "-:10" || len(s[0].Endpoints) != 1 || len(s[0].Entries) == 0 || len(p.Nodes[0].Unknown) > 0 || p.Nodes[0].Hidden.Others == 0 {
					t.Errorf("%s: %+v", p.Proxy, p.Nodes[0])
				}
			}
		}
	}
	if d := cmp.Diff(seen[1], seen[0]); d != "" {
		t.Errorf("unprivileged (-) and as caller (+):\n%s", d)
	}
}

// A diff says by its exit code whether anything differs, backwards too.
func TestDiffOfRules(t *testing.T) {
	needSandbox(t)
	code, there, stderr := svclab(t, two, nil, "diff", "--rules", "-f", "-", "--step", "2")
	if code != 1 || stderr != "" || !strings.HasPrefix(there, `--- node n, nftables, after step 1, probe node/n → service/web:80 (line 4)
+++ node n, nftables, after step 2, delete service/kube-system/dns (line 4)
@@ service/kube-system/dns, port 53/UDP (-:12) @@
   10.96.0.11:53/UDP, its ClusterIP
   map ip svclab services
-    # ClusterIP: number 800:0, chain refuse
-    10.96.0.11 . udp . 53 : 800:0
`) {
		t.Errorf("exit code %d, %s%s", code, stderr, there)
	}
	code, back, stderr := svclab(t, two, nil, "diff", "--rules", "-f", "-", "--step", "2,1", "-o", "json")
	var d rulesDiffOutput
	if err := json.Unmarshal([]byte(back), &d); err != nil || code != 1 || stderr != "" || d.Steps != [2]int{2, 1} || len(d.Nodes) != 1 || d.Nodes[0].Changes[0].Lines[0].Sign != "+" {
		t.Errorf("exit code %d, %v, %s%s", code, err, stderr, back)
	}
	if code, stdout, stderr := svclab(t, two, nil, "diff", "--rules", "-f", "-", "--step", "1"); code != 0 || stdout+stderr != "" {
		t.Errorf("a probe changes no rule: exit code %d, %s%s", code, stderr, stdout)
	}
	if code, stdout, stderr := svclab(t, two, nil, "diff", "--rules", "-f", "-", "--service", "web"); code != 0 || stdout+stderr != "" {
		t.Errorf("of another Service: exit code %d, %s%s", code, stderr, stdout)
	}
}

// A proxy that cannot run here is told as such.
func TestRulesWithoutAProxy(t *testing.T) {
	needSandbox(t)
	code, stdout, stderr := svclab(t, two, []string{"XDG_CACHE_HOME=/nowhere"}, "rules", "-f", "-", "--proxy", "kube-proxy/nftables")
	if code != 3 || stdout != "" || !strings.HasPrefix(stderr, "svclab: kube-proxy/nftables: there is no /nowhere/svclab/kube-proxy/") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}
