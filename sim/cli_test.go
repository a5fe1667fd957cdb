package main

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/nsnet/sandbox"
	"svclab/reports/verdict"
	"svclab/sim/proxies"
)

// svclab runs the program in an empty folder, with no variables but these.
func svclab(t *testing.T, in string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return svclabIn(t, t.TempDir(), in, env, args...)
}

func svclabIn(t *testing.T, dir, in string, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	cmd := exec.Command(binary(t), args...)
	var out, errs bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, strings.NewReader(in), &out, &errs
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH")}, env...)
	_ = cmd.Run() // the code tells
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

const tiny = `apiVersion: svclab/v1alpha1
kind: Scenario
metadata: {name: tiny}
spec: {steps: [{probe: {from: node/n, to: pod/a:80}}]}
---
{apiVersion: v1, kind: Node, metadata: {name: n}}
---
{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {nodeName: n, containers: [{name: c, ports: [{containerPort: 80}]}]}}
`

// Wrong usage is told whole, on standard error, and nothing is run.
func TestWrongUsage(t *testing.T) {
	formats := "table, json, junit, markdown, name"
	for _, tt := range []struct {
		args, env string
		in        string
		code      int
		stderr    string
	}{
		{args: "walk", code: 2, stderr: "svclab: unknown command \"walk\" for \"svclab\"\n"},
		{args: "run --fast", code: 2, stderr: "svclab: unknown flag: --fast\n"},
		{args: "proxy", code: 2, stderr: "svclab: \"\" is no URL of an API server: write for example http://127.0.0.1:8001, where kubectl proxy answers\n"},
		{args: "proxy --api http://x --backend ipvs", code: 2, stderr: "svclab: there is no backend \"ipvs\"; there are nftables, iptables-nft, iptables-legacy, and iptables, which is what the machine calls so\n"},
		{args: "proxy --api http://x --cluster-cidr 10.0.0.1", code: 2, stderr: "svclab: --cluster-cidr: \"10.0.0.1\" is no range: write for example 10.244.0.0/16\n"},
		{args: "proxy --api http://x --nodeport-addresses primary,10.0.0.0/8", code: 2, stderr: "svclab: --nodeport-addresses: \"primary\" is no range: write for example 10.244.0.0/16\n"},
		{args: "proxy --api http://x --detect-local-mode ClusterCIDR", code: 2, stderr: "svclab: mode ClusterCIDR needs the ranges of all pods, such as 10.244.0.0/16\n"},
		{args: "proxy --api http://x --detect-local-mode BridgeInterface", code: 2, stderr: "svclab: mode BridgeInterface needs the name of the interface, or how the names of all begin\n"},
		{args: "proxy --api http://x --detect-local-mode ByGuess", code: 2, stderr: "svclab: invalid argument \"ByGuess\" for \"--detect-local-mode\" flag: must be one of ClusterCIDR, NodeCIDR, BridgeInterface, InterfaceNamePrefix, None\n"},
		{args: "proxy --api http://x --metrics-bind-address 10249", code: 2, stderr: "svclab: invalid argument \"10249\" for \"--metrics-bind-address\" flag: must be an address and a port, such as 127.0.0.1:10249 or [::1]:10249\n"},
		{args: "proxy --api https://x --ca /nowhere", code: 2, stderr: "svclab: open /nowhere: no such file or directory\n"},
		{args: "proxy http://x", code: 2, stderr: "svclab: unknown command \"http://x\" for \"svclab proxy\"\n"},
		{args: "version now", code: 2, stderr: "svclab: unknown command \"now\" for \"svclab version\"\n"},
		{args: "run -o yaml", code: 2, stderr: "svclab: invalid argument \"yaml\" for \"-o, --output\" flag: must be one of " + formats + "\n"},
		{args: "run", env: "SVCLAB_OUTPUT=yaml", code: 2, stderr: "svclab: SVCLAB_OUTPUT=\"yaml\": must be one of " + formats + "\n"},
		{args: "run", env: "SVCLAB_SEED=x", code: 2, stderr: "svclab: SVCLAB_SEED=\"x\": must be a number\n"},
		{args: "run", env: "SVCLAB_FAIL_FAST=x", code: 2, stderr: "svclab: SVCLAB_FAIL_FAST=\"x\": must be true or false\n"},
		{args: "run", env: "SVCLAB_TIMEOUT=5", code: 2, stderr: "svclab: SVCLAB_TIMEOUT=\"5\": time: missing unit in duration \"5\"\n"},
		{args: "run", env: "SVCLAB_SHARD=0/3", code: 2, stderr: "svclab: SVCLAB_SHARD=\"0/3\": must be i/n with i from 1 to n, such as 1/3\n"},
		{args: "run --shard 4/3", code: 2, stderr: "svclab: invalid argument \"4/3\" for \"--shard\" flag: must be i/n with i from 1 to n, such as 1/3\n"},
		{args: "run --count 0", code: 2, stderr: "svclab: invalid argument \"0\" for \"--count\" flag: must be a number of at least 1\n"},
		{args: "run --max-size 99999999", code: 2, stderr: "svclab: invalid argument \"99999999\" for \"--max-size\" flag: must be at most 16777216\n"},
		{args: "run --run (", code: 2, stderr: "svclab: invalid argument \"(\" for \"--run\" flag: error parsing regexp: missing closing ): `(`\n"},
		{args: "run -q -v", code: 2, stderr: "svclab: if any flags in the group [verbose quiet] are set none of the others can be; [quiet verbose] were all set\n"},
		{args: "run --pause-on-fail", code: 2, stderr: "svclab: --pause-on-fail waits for Enter: it needs a terminal, and one case at a time\n"},
		{args: "run no-such", code: 2, stderr: "no-such: no such file, and no bundled scenario of that name (see: svclab list scenarios)\n"},
		{args: "run -f no-such", code: 2, stderr: "no-such: no such file\n"},
		{args: "run -f *.yaml", code: 2, stderr: "*.yaml: matches no file\n"},
		{args: "run .", code: 2, stderr: ".: a folder without *.yaml, *.yml or *.json; -R looks into its folders too\n"},
		{args: "run -R .", code: 2, stderr: ".: a folder without *.yaml, *.yml or *.json\n"},
		{args: "validate -f - --max-size 10", in: tiny, code: 2, stderr: "-: larger than 10 bytes (--max-size)\n"},
		{args: "run -f -", in: "a: [", code: 2, stderr: "-:1:1: a value was expected here\n"},
		{args: "graph", code: 2, stderr: "svclab: graph of what? Name a scenario file, or a bundled scenario (see: svclab list scenarios)\n"},
		{args: "graph -f -", in: "a: [", code: 2, stderr: "-:1:1: a value was expected here\n"},
		{args: "graph myservice zones", code: 2, stderr: "svclab: graph draws one scenario, and these are 2\n"},
		{args: "graph myservice -o png", code: 2, stderr: "svclab: invalid argument \"png\" for \"-o, --output\" flag: must be one of svg, mermaid, dot\n"},
		{args: "graph myservice --step 9", code: 2, stderr: "svclab: --step 9: scenarios/basics/myservice.yaml has 4 steps\n"},
		{args: "graph myservice --step -1", code: 2, stderr: "svclab: invalid argument \"-1\" for \"--step\" flag: must be a number of at least 0\n"},
		{args: "graph myservice --width 10", code: 2, stderr: "svclab: --width 10: nothing fits in that; at least 320\n"},
		{args: "graph myservice --width 400 -o dot", code: 2, stderr: "svclab: --width is for -o svg; dot is laid out by whoever shows it\n"},
		{args: "graph spelling --family ipv4 --from pod/client", code: 2, stderr: "svclab: a flow has two ends: give --from and --to, or neither\n"},
		{args: "graph myservice --from pod/cliet --to service/myservice:80", code: 2, stderr: "svclab: --from: there is no pod/cliet: did you mean \"pod/client\"?\n"},
		{args: "graph myservice --from client --to service/myservice:80", code: 2, stderr: "svclab: --from: \"client\" does not say what it is: write for example pod/client\n"},
		{args: "graph myservice --from pod/client --to service/myservce:80", code: 2, stderr: "svclab: --to: there is no service/myservce: did you mean \"service/myservice\"?\n"},
		{args: "graph myservice --from pod/client --to pod/x:80", code: 2, stderr: "svclab: --to: there is no pod/x. Known: pod/client, pod/web-1, pod/web-2\n"},
		{args: "graph no-endpoints --from pod/client --to service/web:htp", code: 2, stderr: "svclab: --to: service/web has no port \"htp\": did you mean \"http\"?\n"},
		{args: "graph myservice --from client/laptop --to service/myservice:80 --via node-3", code: 2, stderr: "svclab: --via: there is no node node-3: did you mean \"node-1\"?\n"},
		{args: "graph myservice --from pod/client --to service/myservice:80 --via node-2", code: 2, stderr: "svclab: --via is by which node a client from outside enters: --from must be a client/NAME\n"},
		{args: "run --run nothing --skip x --shard 1/2", code: 3, stderr: "svclab: nothing to run: no case matches --run \"nothing\" --skip \"x\" --shard 1/2\n"},
	} {
		t.Run(tt.args+tt.env, func(t *testing.T) {
			code, stdout, stderr := svclab(t, tt.in, []string{tt.env}, strings.Fields(tt.args)...)
			if d := cmp.Diff(stderr, tt.stderr); code != tt.code || stdout != "" || d != "" {
				t.Errorf("exit code %d, want %d; standard output %q, want none; standard error (-got +want):\n%s", code, tt.code, stdout, d)
			}
		})
	}
}

func TestUnknownProxyIsTold(t *testing.T) {
	code, stdout, stderr := svclab(t, "", []string{"SVCLAB_PROXY=a,b"}, "run")
	if code != 2 || stdout != "" || !strings.HasPrefix(stderr, `svclab: there is no proxy "a"; there are `) {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

// Standard input is read once on the machine, and reaches the program in the sandbox.
func TestRunOfStandardInput(t *testing.T) {
	needSandbox(t)
	dir := t.TempDir()
	code, stdout, stderr := svclabIn(t, dir, tiny, []string{"ARTIFACTS=artifacts", "SVCLAB_SEED=8"}, "run", "-f", "-", "--run", "ipv4/"+proxies.All[0].Name+"$", "-o", "json", "--junit-file", "j.xml", "--seed", "7")
	var r verdict.Run
	if err := json.Unmarshal([]byte(stdout), &r); err != nil || code != 0 || len(r.Cases) != 1 || r.Cases[0].Scenario != "tiny" || r.Seed != 7 {
		t.Errorf("exit code %d, %v, %q, %q", code, err, stdout, stderr)
	}
	if !strings.HasPrefix(stderr, "report: artifacts/") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("standard error %q", stderr)
	}
	var suites struct {
		Tests int `xml:"tests,attr"`
	}
	if text, err := os.ReadFile(filepath.Join(dir, "j.xml")); err != nil || xml.Unmarshal(text, &suites) != nil || suites.Tests != 1 {
		t.Errorf("JUnit %q, %v", text, err)
	}
}

// On GitHub the annotations go to standard error, so that standard output stays what -o says.
func TestRunOnGitHub(t *testing.T) {
	needSandbox(t)
	wrong := strings.Replace(tiny, "to: pod/a:80}", "to: pod/a:80, expect: refused}", 1)
	dir := t.TempDir()
	env := []string{"GITHUB_ACTIONS=true", "GITHUB_STEP_SUMMARY=" + filepath.Join(dir, "summary"), "SVCLAB_REPORT_DIR=r", "SVCLAB_QUIET=1"}
	args := []string{"run", "-f", "-", "--run", "ipv4/" + proxies.All[0].Name + "$", "-o", "name"}
	name := "tiny/ipv4/" + proxies.All[0].Name
	code, stdout, stderr := svclabIn(t, dir, wrong, env, args...)
	if want := "::error file=-,line=4,title=" + strings.ReplaceAll(name, ":", "%3A") + "%3A fail::line 4: "; code != 1 || stdout != name+"\n" || !strings.HasPrefix(stderr, want) || strings.Count(stderr, "\n") != 1 {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
	if text, err := os.ReadFile(filepath.Join(dir, "summary")); err != nil || !strings.HasPrefix(string(text), "## svclab: 0 passed, 1 failed") {
		t.Errorf("summary %q, %v", text, err)
	}
	if code, stdout, stderr := svclabIn(t, dir, wrong, env, append(args, "--no-github")...); code != 1 || stdout != name+"\n" || stderr != "" {
		t.Errorf("--no-github: exit code %d, %q, %q", code, stdout, stderr)
	}
}

// At the time limit the stacks are told, and what was under way.
func TestTimeLimit(t *testing.T) {
	needSandbox(t)
	slow := strings.Replace(tiny, "steps: [", "steps: [{wait: 30s}, ", 1)
	code, _, stderr := svclab(t, slow, nil, "run", "-", "--run", "ipv4/"+proxies.All[0].Name+"$", "--timeout", "2s", "--report-dir", "")
	if code != 124 || !strings.Contains(stderr, "\ntime limit of 2s reached\nunder way: tiny/ipv4/"+proxies.All[0].Name+", in phase ") ||
		!strings.Contains(stderr, "goroutine ") || !strings.HasSuffix(stderr, "\nsvclab: time limit of 2s\n") {
		t.Errorf("exit code %d, %s", code, stderr)
	}
}

// Whether cases run one by one or at once, what is printed is in the same order.
func TestParallelRunsKeepOrder(t *testing.T) {
	needSandbox(t)
	code, stdout, stderr := svclab(t, "", nil, "run", "hairpin", "no-endpoints", "--proxy", proxies.All[0].Name, "--parallel", "4", "-o", "name", "--report-dir", "")
	var want string
	for _, s := range []string{"hairpin", "no-endpoints"} {
		for _, f := range []string{"ipv4", "ipv6"} {
			want += s + "/" + f + "/" + proxies.All[0].Name + "\n"
		}
	}
	if code != 0 || stdout != want || stderr != "" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestDoctorAndItsCures(t *testing.T) {
	var powers, cured []string
	for _, p := range sandbox.Probe() {
		powers = append(powers, p.Name)
	}
	for _, c := range cures {
		cured = append(cured, c.power)
	}
	if d := cmp.Diff(powers, cured); d != "" {
		t.Errorf("powers (-probed +with a cure):\n%s", d)
	}
	code, stdout, stderr := svclab(t, "", nil, "doctor")
	if code != 0 && code != 3 || code == 0 != (stderr == "") || !strings.HasPrefix(stdout, "sandbox: ") {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

func TestCompletionKnowsNames(t *testing.T) {
	for args, want := range map[string]string{
		"run myserv":                         "myservice",
		"validate myserv":                    "myservice",
		"run --proxy " + proxies.All[0].Name: proxies.All[0].Name,
		"run -o mark":                        "markdown",
		"run --proxy nftables~no-masq":       "nftables~no-masquerade",
		"completion ba":                      "bash\tGenerate the autocompletion script for bash",
	} {
		code, stdout, _ := svclab(t, "", nil, append([]string{"__complete"}, strings.Fields(args)...)...)
		if code != 0 || !slices.Contains(strings.Split(stdout, "\n"), want) {
			t.Errorf("%s: exit code %d, %q, want %q in it", args, code, stdout, want)
		}
	}
	for _, shell := range []string{"bash", "zsh", "fish"} {
		if code, stdout, stderr := svclab(t, "", nil, "completion", shell); code != 0 || !strings.Contains(stdout, "__complete") || stderr != "" {
			t.Errorf("completion %s: exit code %d, %d bytes, %q", shell, code, len(stdout), stderr)
		}
	}
}

func TestVersionAndSchemaAreJSON(t *testing.T) {
	for _, args := range []string{"version -o json", "schema"} {
		code, stdout, stderr := svclab(t, "", nil, strings.Fields(args)...)
		if code != 0 || !json.Valid([]byte(stdout)) || stderr != "" {
			t.Errorf("%s: exit code %d, %q, %q", args, code, stdout, stderr)
		}
	}
}

// needSandbox skips where none can be made, unless SVCLAB_REQUIRE says that it must.
func needSandbox(t *testing.T) {
	t.Helper()
	if code, stdout, stderr := svclab(t, "", nil, "doctor"); code != 0 {
		if os.Getenv("SVCLAB_REQUIRE") != "" {
			t.Fatalf("%s%s", stdout, stderr)
		}
		t.Skipf("%s%s", stdout, stderr)
	}
}
