package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"svclab/reports/measure"
)

// Wrong usage is told before anything is measured.
func TestWrongUsageOfBenchSync(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"empty.yaml": "", "no.yaml": "a: [", "pod.yaml": "kind: Pod", "half.json": `{"kind": "Service", "metadata": {"name": "a"}, "spec": {"clusterIP": "10.0.0.1"}}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const kubectl = "write what `kubectl get services,endpointslices -A -o yaml` prints"
	for args, want := range map[string]string{
		"--services 0":                     "--services 0: must be numbers from 1 to 65000, such as 1000,10000",
		"--services abc":                   "--services abc: must be numbers from 1 to 65000, such as 1000,10000",
		"--services 65001":                 "--services 65001: must be numbers from 1 to 65000, such as 1000,10000",
		"--services 10,10":                 "--services: 10 is there twice",
		"--services=":                      "--services: must be numbers, such as 1000,10000",
		"--endpoints many":                 "--endpoints many: must be a number from 1 to 5000, or zipf",
		"--services 60000 --endpoints 100": "--services and --endpoints: 6000000 endpoints are more than the lab has addresses for, which is 2000000",
		"--budget 0":                       "--budget 0s: must be more than nothing, such as 10m",
		"--budget -1m":                     "--budget -1m0s: must be more than nothing, such as 10m",
		"--churn 0":                        "--churn 0: must be a number of changes a second, above 0 and up to 10000",
		"--churn nan":                      "--churn NaN: must be a number of changes a second, above 0 and up to 10000",
		"--churn-for 0":                    "--churn-for 0s: must be more than nothing, such as 10s",
		"--n 0":                            `invalid argument "0" for "--n" flag: must be a number of at least 1`,
		"--proxy nftables,nftables":        "--proxy: nftables is there twice",
		"--proxy kube-proxy/nftables --kube-proxy ./none": "--proxy kube-proxy/nftables: there is no ./none",
		"--like none.yaml":       "--like: open none.yaml: no such file or directory",
		"--like empty.yaml":      "--like empty.yaml: there is no Service with a cluster IP in it: " + kubectl,
		"--like pod.yaml":        "--like pod.yaml: there is no Service with a cluster IP in it: " + kubectl,
		"--like half.json":       "--like half.json: there is no EndpointSlice in it: " + kubectl,
		"--like x --services 10": "--like: the file says how many Services and endpoints there are, so --services and --endpoints cannot be used with it",
		"now":                    `unknown command "now" for "svclab bench sync"`,
	} {
		t.Run(args, func(t *testing.T) {
			code, stdout, stderr := svclabIn(t, dir, "", nil, append([]string{"bench", "sync"}, strings.Fields(args)...)...)
			if code != 2 || stdout != "" || stderr != "svclab: "+want+"\n" {
				t.Errorf("exit code %d, output %q, error output\n%s, want\n%s", code, stdout, stderr, want)
			}
		})
	}
	for args, want := range map[string]string{"--like no.yaml": "--like no.yaml: it is no YAML of kubectl's: ", "--proxy none": `--proxy: there is no proxy "none"; there are nftables, `} {
		code, _, stderr := svclabIn(t, dir, "", nil, append([]string{"bench", "sync"}, strings.Fields(args)...)...)
		if code != 2 || !strings.HasPrefix(stderr, "svclab: "+want) {
			t.Errorf("%s: exit code %d, %s", args, code, stderr)
		}
	}
}

// A small run of ours as a process, with a dump's shape, and what is in the results.
func TestBenchSync(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "dump.yaml"), []byte(dump), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, how := range []string{"--services 20 --endpoints 2", "--services 20 --endpoints zipf --in-process", "--like dump.yaml --in-process"} {
		t.Run(how, func(t *testing.T) {
			file := filepath.Join(dir, "out.json")
			args := append([]string{"bench", "sync", "--proxy", "nftables", "--n", "1", "--repeat", "1", "--churn-for", "100ms", "--json-file", file, "--seed", "7"}, strings.Fields(how)...)
			code, stdout, stderr := svclabIn(t, dir, "", nil, args...)
			if code != 0 || !strings.Contains(stdout, "first correct packet") {
				t.Fatalf("exit code %d\n%s\n%s", code, stdout, stderr)
			}
			in, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			run, err := measure.Read(in)
			if err != nil {
				t.Fatal(err)
			}
			for _, work := range []string{"first sync", "endpoint replaced", "restart"} {
				found := false
				for _, r := range run.Rows {
					found = found || r.Work == work && r.Clock == "first correct packet" && len(r.Samples) == 1
				}
				if !found {
					t.Errorf("%s: no sample in %+v", work, run.Rows)
				}
			}
			if run.Seed != 7 || run.Flags["proxy"] != "nftables" {
				t.Errorf("seed %d, flags %v", run.Seed, run.Flags)
			}
		})
	}
}

// dump has three Services that proxies write rules for: two ports and three endpoints in two slices, one and one, one and none.
const dump = `apiVersion: v1
kind: List
items:
- {kind: Service, metadata: {namespace: a, name: web}, spec: {clusterIP: 10.0.0.1, ports: [{port: 80}, {port: 443}]}}
- {kind: Service, metadata: {namespace: a, name: db}, spec: {clusterIP: 10.0.0.2, ports: [{port: 5432}]}}
- {kind: Service, metadata: {namespace: b, name: web}, spec: {clusterIP: 10.0.0.3, ports: [{port: 80}]}}
- {kind: Service, metadata: {namespace: b, name: headless}, spec: {clusterIP: None, ports: [{port: 80}]}}
- {kind: Service, metadata: {namespace: b, name: elsewhere}, spec: {type: ExternalName, externalName: example.com}}
- {kind: EndpointSlice, addressType: IPv4, metadata: {namespace: a, name: web-1, labels: {kubernetes.io/service-name: web}}, endpoints: [{addresses: [10.1.0.1]}, {addresses: [10.1.0.2]}]}
- {kind: EndpointSlice, addressType: IPv4, metadata: {namespace: a, name: web-2, labels: {kubernetes.io/service-name: web}}, endpoints: [{addresses: [10.1.0.2]}, {addresses: [10.1.0.3]}]}
- {kind: EndpointSlice, addressType: IPv6, metadata: {namespace: a, name: web-3, labels: {kubernetes.io/service-name: web}}, endpoints: [{addresses: ["fd00::1"]}]}
- {kind: EndpointSlice, addressType: IPv4, metadata: {namespace: a, name: db-1, labels: {kubernetes.io/service-name: db}}, endpoints: [{addresses: [10.1.0.4]}]}
`

// Interrupted, it ends with the signal's exit code, and the proxy with it.
func TestBenchSyncInterrupted(t *testing.T) {
	cmd := exec.Command(binary(t), "bench", "sync", "--services", "20", "--endpoints", "2", "--proxy", "nftables", "--n", "1", "--repeat", "1", "--churn-for", "1h", "--budget", "3h")
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = []string{"PATH=" + os.Getenv("PATH")}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for len(runningProxies(t, cmd.Path)) == 0 {
		select {
		case err := <-ended:
			t.Fatalf("it has ended: %v\n%s", err, out.String())
		case <-time.After(10 * time.Millisecond):
		}
	}
	if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	<-ended
	if code := cmd.ProcessState.ExitCode(); code != 130 || !strings.Contains(out.String(), "svclab: stopped by signal: interrupt") {
		t.Errorf("exit code %d\n%s", code, out.String())
	}
	if left := runningProxies(t, cmd.Path); len(left) > 0 {
		t.Errorf("still there: %q", left)
	}
}

// runningProxies are the processes of that program's verb proxy.
func runningProxies(t *testing.T, program string) (out []string) {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		text, _ := os.ReadFile(file) // it may be gone
		if strings.HasPrefix(string(text), program+"\x00proxy\x00") {
			out = append(out, file)
		}
	}
	return out
}
