package describe_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/version"

	"svclab/proxycore/cluster"
	"svclab/sim/describe"
	"svclab/sim/engine"
	"svclab/sim/kubeapi"
	"svclab/sim/scenario"
)

var update = flag.Bool("update", false, "write the golden files anew")

// object is one that is described, by kubectl's words for it.
type object struct {
	kind, namespace, name string
	write                 func(io.Writer) error
}

func objects(t *testing.T) (state *cluster.Snapshot, all []object) {
	t.Helper()
	text, err := os.ReadFile("testdata/objects.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sc, err := scenario.Parse("objects.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	played, err := engine.Play(sc.Variants()[0], cluster.Mode{})
	if err != nil {
		t.Fatal(err)
	}
	state = played.States[0]
	for svc := range state.Services() {
		all = append(all, object{"service", svc.Namespace, svc.Name, func(w io.Writer) error { return describe.Service(w, svc.Object, state) }})
		if e := kubeapi.EndpointsOf(state, svc.Key); e != nil {
			all = append(all, object{"endpoints", svc.Namespace, svc.Name, func(w io.Writer) error { return describe.Endpoints(w, e) }})
		}
		for sl := range state.Slices(svc.Key) {
			all = append(all, object{"endpointslice", sl.Namespace, sl.Name, func(w io.Writer) error { return describe.EndpointSlice(w, sl.Object) }})
		}
	}
	var pods []*corev1.Pod
	for _, key := range cluster.Diff(nil, state).Pods {
		pod := state.Pod(key)
		pods = append(pods, pod)
		all = append(all, object{"pod", key.Namespace, key.Name, func(w io.Writer) error { return describe.Pod(w, pod) }})
	}
	for n := range state.Nodes() {
		on := slices.DeleteFunc(slices.Clone(pods), func(p *corev1.Pod) bool { return p.Spec.NodeName != n.Name })
		all = append(all, object{"node", "", n.Name, func(w io.Writer) error { return describe.Node(w, n.Object, on) }})
	}
	if len(all) < 12 {
		t.Fatalf("%d objects", len(all))
	}
	return state, all
}

func TestGolden(t *testing.T) {
	_, all := objects(t)
	var b bytes.Buffer
	for _, o := range all {
		fmt.Fprintf(&b, "# %s %s/%s\n", o.kind, o.namespace, o.name)
		if err := o.write(&b); err != nil {
			t.Fatal(err)
		}
	}
	file := filepath.Join("testdata", "objects.txt")
	if *update {
		if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(b.String(), string(want)); d != "" {
		t.Errorf("%s (-got +want), written anew by -update:\n%s", file, d)
	}
}

// The real kubectl describes the same objects, out of an API server of ours, in the same words and order.
func TestAsKubectl(t *testing.T) {
	older := needKubectl(t).LessThan(version.MustParseSemantic("v1.36.0-0"))
	state, all := objects(t)
	api := kubeapi.New(kubeapi.Options{})
	api.Set(state)
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = api.Serve(l) }() // ends with Close
	t.Cleanup(func() { _ = api.Close() })
	home := t.TempDir()
	for _, o := range all {
		t.Run(o.kind+"/"+o.name, func(t *testing.T) {
			args := []string{"-s", "http://" + l.Addr().String(), "describe", o.kind, o.name}
			if o.namespace != "" {
				args = append(args, "-n", o.namespace)
			}
			cmd := exec.Command("kubectl", args...)
			cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + home, "KUBECONFIG=/nowhere"}
			var errs bytes.Buffer
			cmd.Stderr = &errs
			theirs, err := cmd.Output()
			if err != nil {
				t.Fatalf("%v: %s", err, &errs)
			}
			var ours bytes.Buffer
			if err := o.write(&ours); err != nil {
				t.Fatal(err)
			}
			text := ours.String()
			if older {
				text = newer.ReplaceAllString(text, "$2")
			}
			if d := cmp.Diff(comparable(text, o.kind), comparable(string(theirs), o.kind)); d != "" {
				t.Errorf("-ours +kubectl\n%s", d)
			}
		})
	}
}

// newer is what a kubectl before v1.36 does not say: protocols of applications, traffic distribution, and names of containers' ports.
var newer = regexp.MustCompile(`(?m)^(AppProtocol|Traffic Distribution):.*\n|(?:(\d+/(?:TCP|UDP))) \([a-z]+\)`)

// needKubectl skips where there is none, or one that is older than most of the labels.
func needKubectl(t *testing.T) *version.Version {
	t.Helper()
	out, err := exec.Command("kubectl", "version", "--client", "-o", "json").Output()
	if err != nil {
		t.Skipf("no kubectl: %v", err)
	}
	var v struct {
		ClientVersion struct{ GitVersion string }
	}
	if err := json.Unmarshal(out, &v); err != nil {
		t.Fatal(err)
	}
	have, err := version.ParseSemantic(v.ClientVersion.GitVersion)
	if err != nil {
		t.Fatal(err)
	}
	if have.LessThan(version.MustParseSemantic("v1.32.0-0")) {
		t.Skipf("kubectl %s is older than v1.32", have)
	}
	return have
}

var spaces = regexp.MustCompile(`\s+`)

// comparable is a description without its columns' widths and without what no lab has: when things were made, leases, what a kernel
// says of itself, and how much of a node's resources pods have.
func comparable(text, kind string) (lines []string) {
	skipping := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \n")
		inner := strings.HasPrefix(line, " ")
		if skipping = skipping && inner; skipping {
			continue
		}
		label, _, _ := strings.Cut(line, ":")
		if !inner && kind == "node" && slices.Contains([]string{"CreationTimestamp", "Lease", "System Info", "Non-terminated Pods", "Allocated resources"}, label) {
			skipping = true
			continue
		}
		lines = append(lines, spaces.ReplaceAllString(line, " "))
	}
	return lines
}
