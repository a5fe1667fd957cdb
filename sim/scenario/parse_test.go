package scenario

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"svclab/scenarios"
)

var addresses = cmpopts.EquateComparable(netip.Addr{}, netip.AddrPort{}, netip.Prefix{})

// Every part of the language once, compared as a whole.
func TestParseStory(t *testing.T) {
	text, err := os.ReadFile("testdata/story.yaml")
	if err != nil {
		t.Fatal(err)
	}
	s, err := Parse("testdata/story.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	var objects []string
	for _, o := range s.Objects {
		objects = append(objects, fmt.Sprintf("%d:%d %s", o.Line, o.Col, o.Ref))
	}
	if d := cmp.Diff(objects, []string{
		"40:1 node/node-1", "44:1 node/node-2", "49:1 pod/client", "53:1 pod/web-1", "64:3 pod/shop/till",
		"68:3 service/web", "69:3 service/shop/db", "71:1 endpointslice/hand",
	}); d != "" {
		t.Errorf("objects (-got +want):\n%s", d)
	}
	none := 0
	want := []Step{
		{Pos: Pos{10, 5}, Probe: &Probe{Pos: Pos{10, 12}, Everything: true}},
		{Pos: Pos{11, 5}, Probe: &Probe{
			Pos:  Pos{12, 7},
			From: []Ref{{"pod", "default", "client"}, {"pod", "shop", "till"}, {"node", "", "node-1"}},
			To: []Target{
				{Pos: Pos{14, 9}, Ref: Ref{"service", "default", "web"}, Port: "http"},
				{Pos: Pos{15, 9}, Ref: Ref{"service", "shop", "db"}, Port: "53", Proto: "UDP"},
				{Pos: Pos{16, 9}, Ref: Ref{"pod", "default", "web-1"}, Port: "8080"},
				{Pos: Pos{17, 9}, Ref: Ref{"node", "", "node-1"}, Port: "30080", Proto: "TCP"},
				{Pos: Pos{18, 9}, Addr: netip.MustParseAddrPort("10.96.0.9:80"), Proto: "TCP"},
				{Pos: Pos{19, 9}, Addr: netip.MustParseAddrPort("[fd00::1]:80")},
			},
			Session: "one", Flows: 3, Expect: "answered",
		}},
		{Pos: Pos{23, 5}, Probe: &Probe{
			Pos: Pos{23, 12}, From: []Ref{{"client", "", "laptop"}}, Via: "node-1", Fair: &Fair{0.125}, Size: 2000,
			To: []Target{{Pos: Pos{23, 51}, Ref: Ref{"service", "default", "web"}, Port: "80"}},
		}},
		{Pos: Pos{24, 5}, Change: &Change{
			Pos: Pos{25, 7}, Delete: []Ref{{"pod", "default", "web-1"}, {"endpointslice", "default", "hand"}},
			Apply:  []Object{{Pos: Pos{28, 9}, Ref: Ref{"pod", "default", "web-9"}, Object: object(s.Steps[3], 0)}},
			Merge:  []Patch{{Pos: Pos{33, 9}, Ref: Ref{"node", "", "node-1"}, JSON: []byte(`{"metadata":{"labels":{"zone":"a","old":null}}}`)}},
			Within: 1500 * time.Millisecond, Wrongs: &none, Repeat: 3,
			During: &Probe{
				Pos: Pos{37, 23}, From: []Ref{{"pod", "default", "client"}}, Flows: 100,
				To: []Target{{Pos: Pos{37, 46}, Ref: Ref{"service", "default", "web"}, Port: "80"}},
			},
		}},
		{Pos: Pos{38, 5}, Change: &Change{
			Pos:   Pos{38, 13},
			Apply: []Object{{Pos: Pos{38, 21}, Ref: Ref{"pod", "default", "web-1"}, Object: s.Objects[3].Object}},
		}},
	}
	if d := cmp.Diff(s.Steps, want, addresses); d != "" {
		t.Errorf("steps (-got +want):\n%s", d)
	}
	s.Steps, s.Objects = nil, nil
	rest := &Scenario{
		Name: "story", File: "testdata/story.yaml", Pos: Pos{2, 1}, About: "Everything once.", Covers: []string{"CIP-1"},
		Clients: []Client{
			{Pos: Pos{8, 13}, Name: "laptop", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.7"), netip.MustParseAddr("2001:db8::7")}},
			{Pos: Pos{8, 68}, Name: "tablet"},
		},
		Warnings: []Problem{
			{"testdata/story.yaml", Pos{47, 29}, `unknown field "spec.podCIRDs": did you mean "podCIDRs"?`},
			{"testdata/story.yaml", Pos{59, 10}, `unknown field "status.podIp": did you mean "podIP"?`},
		},
		Ignored: map[string]int{"apps/v1 Deployment": 2, "v1 ConfigMap": 1},
	}
	if d := cmp.Diff(s, rest, addresses); d != "" {
		t.Errorf("the rest (-got +want):\n%s", d)
	}
}

func object(s Step, i int) *corev1.Pod { return s.Change.Apply[i].Object.(*corev1.Pod) }

func TestParseObjects(t *testing.T) {
	s, err := Parse("shop.yaml", []byte(`
apiVersion: v1
kind: List
items:
- &node {apiVersion: v1, kind: Node, metadata: {name: node-1, creationTimestamp: 2026-01-31T12:00:00Z}}
- {<<: *node, metadata: {name: node-2}, spec: {podCIDRs: [10.1.0.0/16]}}
- apiVersion: v1
  kind: Service
  metadata: {name: web}
  spec:
    selector: {app: "yes"}
    ports: [{name: http, port: 0x50, targetPort: web}]
- apiVersion: discovery.k8s.io/v1
  kind: EndpointSlice
  metadata: {name: web-x, namespace: shop, labels: {kubernetes.io/service-name: web}}
  addressType: IPv4
  endpoints: [{addresses: [010.1.0.7], conditions: {ready: true}}]
`))
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Warnings) != 1 || s.Warnings[0].Error() != "shop.yaml:11:15: no pod of the file matches the selector of service/web, so it has no endpoints" || s.Name != "shop" || !s.Steps[0].Probe.Everything {
		t.Errorf("name %q, steps %+v, warnings %v", s.Name, s.Steps, s.Warnings)
	}
	if got := s.Objects[1]; got.Ref != (Ref{"node", "", "node-2"}) || got.Object.(*corev1.Node).Name != "node-2" || got.Pos != (Pos{6, 3}) {
		t.Errorf("merged node: %+v", got)
	}
	port := s.Objects[2].Object.(*corev1.Service).Spec.Ports[0]
	if port.Port != 80 || port.TargetPort.StrVal != "web" {
		t.Errorf("port %+v", port)
	}
	slice := s.Objects[3].Object.(*discoveryv1.EndpointSlice)
	if slice.Namespace != "shop" || slice.Endpoints[0].Addresses[0] != "010.1.0.7" {
		t.Errorf("slice %+v: it is to be as it was written", slice)
	}
}

// What is bundled has no problem, no warning, its file's name, and a variant for each family.
func TestBundled(t *testing.T) {
	files, err := fs.Glob(scenarios.Files, "*/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, file := range files {
		text, err := fs.ReadFile(scenarios.Files, file)
		if err != nil {
			t.Fatal(err)
		}
		s, err := Parse(file, text)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(s.Warnings) > 0 || len(s.Ignored) > 0 || s.Name != nameOfFile(file) || s.About == "" || len(s.Covers) == 0 {
			t.Errorf("%s: name %q, about %q, covers %v, warnings %v, ignored %v", file, s.Name, s.About, s.Covers, s.Warnings, s.Ignored)
		}
		if n := strings.Count(string(text), "\n"); n > 80 {
			t.Errorf("%s has %d lines: too long to be read at once", file, n)
		}
	}
}

// Without a Scenario document the file names the scenario, and asks everything.
func TestDefaultName(t *testing.T) {
	for file, want := range map[string]string{"-": "scenario", "a/My Shop (2).yaml": "my-shop-2", "web.yml": "web"} {
		s, err := Parse(file, []byte("{apiVersion: v1, kind: Node, metadata: {name: n}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: s}, spec: {ports: [{port: 80}]}}\n"))
		if err != nil || s.Name != want {
			t.Errorf("%s: got %v, %v, want %q", file, s, err, want)
		}
	}
}

func TestTooLarge(t *testing.T) {
	_, err := Parse("big.yaml", make([]byte, MaxSize+1))
	if got, want := err.Error(), "big.yaml:1:1: the file has 16777217 bytes; a scenario has at most 16777216"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	var p Problems
	if !errors.As(err, &p) || len(p) != 1 {
		t.Errorf("got %#v, want Problems", err)
	}
}

// Other files of a run may be long; a mistake on the last line of one must still be found quickly.
func TestSyntaxErrorInLongFile(t *testing.T) {
	text := strings.Repeat("- {a: 1}\n", 200_000) + "- {a: 1\n"
	began := time.Now()
	_, err := Parse("long.yaml", []byte(text))
	if err == nil || time.Since(began) > 20*time.Second {
		t.Errorf("%v after %s", err, time.Since(began))
	}
}

// An echo has no port, and reads back as it is written.
func TestEchoes(t *testing.T) {
	for text, want := range map[string]Target{
		"service/web/icmp":      {Ref: Ref{"service", "default", "web"}, Proto: "ICMP"},
		"service/shop/web/ICMP": {Ref: Ref{"service", "shop", "web"}, Proto: "ICMP"},
		"node/node-1/icmp":      {Ref: Ref{"node", "", "node-1"}, Proto: "ICMP"},
		"10.96.0.1/icmp":        {Addr: netip.MustParseAddrPort("10.96.0.1:0"), Proto: "ICMP"},
		"fd00::1/icmp":          {Addr: netip.MustParseAddrPort("[fd00::1]:0"), Proto: "ICMP"},
	} {
		got, err := parseTarget(text)
		if d := cmp.Diff(got, want, addresses); d != "" || err != nil || !got.Echo() || got.String() != strings.Replace(text, "ICMP", "icmp", 1) {
			t.Errorf("%s: %v, %s (-got +want):\n%s", text, err, got, d)
		}
	}
	for text, want := range map[string]string{
		"service/web:80/icmp": `an echo has no port: leave out ":80"`,
		"10.96.0.1:80/icmp":   `an echo has no port: leave out ":80"`,
		"client/a/icmp":       `a client asks and does not answer: "client/a/icmp" cannot be probed`,
		"web/icmp":            `"web" does not say what it is: write for example service/web`,
		"fe80::1%eth0/icmp":   `"fe80::1%eth0" is not the address of a host, such as 10.96.0.10 or 2001:db8::7`,
		"/icmp":               `unknown kind "" in "/icmp". Known: service, pod, node`,
	} {
		if _, err := parseTarget(text); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}
