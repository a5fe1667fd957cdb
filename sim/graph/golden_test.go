package graph_test

import (
	"flag"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/reports/drawing"
	"svclab/scenarios"
	"svclab/sim/engine"
	"svclab/sim/scenario"
)

var update = flag.Bool("update", false, "write testdata anew; read the difference before you keep it")

// one is a flow of a bundled scenario.
type one struct {
	file, proxy, from, to, via string
	family, step               int
}

// diagram draws it; without from, the topology only.
func (o one) diagram(t *testing.T) *drawing.Diagram {
	t.Helper()
	text, err := fs.ReadFile(scenarios.Files, o.file)
	if err != nil {
		t.Fatal(err)
	}
	all, err := scenario.Parse(o.file, text)
	if err != nil {
		t.Fatal(err)
	}
	sc := all.Variants()[o.family]
	stage, err := engine.NewStage(sc, modes[o.proxy])
	if err != nil {
		t.Fatal(err)
	}
	scene := sceneOf(sc, stage, o.step)
	if o.from == "" {
		return scene.Diagram()
	}
	from, err := scenario.ParseSender(o.from)
	if err != nil {
		t.Fatal(err)
	}
	to, err := scenario.ParseTarget(o.to)
	if err != nil {
		t.Fatal(err)
	}
	d, err := drawn(stage, scene, o.step, from, to, o.via)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	file = filepath.Join("testdata", file)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s differs (-want +got):\n%s", file, d)
	}
}

// Pictures of a handful of flows and states, in all formats.
func TestPictures(t *testing.T) {
	for name, o := range map[string]one{
		"cluster-ip":  {file: "basics/myservice.yaml", from: "pod/client", to: "service/myservice:80"},
		"outside":     {file: "basics/myservice.yaml", from: "client/laptop", to: "service/myservice:80", family: 1},
		"astray":      {file: "settings/no-detector.yaml", from: "client/laptop", to: "service/single:80", via: "node-2"},
		"hairpin":     {file: "basics/hairpin.yaml", from: "pod/me", to: "service/pair:80"},
		"terminating": {file: "policies/terminating-local.yaml", step: 1},
		"replaced":    {file: "endpoints/rolling.yaml", step: 4},
	} {
		d := o.diagram(t)
		for _, format := range drawing.Formats {
			var b strings.Builder
			if err := drawing.Write(&b, d, format, drawing.Sheets{}); err != nil {
				t.Fatal(err)
			}
			golden(t, name+"."+format, b.String())
		}
	}
}

// What is told of the path of many kinds of flow.
func TestPaths(t *testing.T) {
	var b strings.Builder
	for _, o := range []one{
		{file: "basics/myservice.yaml", from: "pod/client", to: "service/myservice:80"},
		{file: "basics/myservice.yaml", from: "node/node-1", to: "service/myservice:80"},
		{file: "basics/myservice.yaml", from: "client/laptop", to: "service/myservice:80", family: 1},
		{file: "basics/myservice.yaml", from: "client/laptop", to: "service/myservice:80", via: "node-2"},
		{file: "basics/myservice.yaml", from: "pod/client", to: "service/myservice:80", step: 3},
		{file: "basics/myservice.yaml", from: "pod/client", to: "service/myservice:81"},
		{file: "basics/myservice.yaml", from: "pod/client", to: "service/myservice/icmp"},
		{file: "basics/myservice.yaml", from: "pod/client", to: "pod/web-2:5000"},
		{file: "basics/myservice.yaml", from: "pod/client", to: "pod/web-2:5001"},
		{file: "basics/myservice.yaml", from: "client/laptop", to: "node/node-2:22"},
		{file: "basics/myservice.yaml", from: "client/laptop", to: "node/node-2:22", via: "node-1"},
		{file: "basics/myservice.yaml", from: "pod/client", to: "1.2.3.4:80"},
		{file: "basics/myservice.yaml", from: "pod/client", to: "[fd00::1]:80"},
		{file: "basics/no-endpoints.yaml", from: "pod/client", to: "service/web:80"},
		{file: "basics/hairpin.yaml", from: "pod/me", to: "service/alone:80"},
		{file: "families/families.yaml", from: "pod/old-fashioned", to: "service/both:80", family: 1},
		{file: "endpoints/host-network.yaml", from: "client/laptop", to: "service/agent:80"},
		{file: "fronts/nodeport.yaml", from: "pod/client", to: "node/node-2:30080"},
		{file: "fronts/nodeport.yaml", from: "client/laptop", to: "node/node-2:30080"},
		{file: "settings/nodeport-localhost.yaml", proxy: "iptables", from: "node/node-1", to: "127.0.0.1:30080"},
		{file: "settings/nodeport-localhost.yaml", proxy: "nftables", from: "node/node-1", to: "127.0.0.1:30080"},
		{file: "policies/external-local.yaml", from: "client/laptop", to: "198.51.100.10:80"},
		{file: "policies/terminating-local.yaml", from: "client/laptop", to: "198.51.100.10:80", step: 9},
		{file: "loadbalancer/source-ranges.yaml", from: "client/stranger", to: "198.51.100.10:80"},
		{file: "settings/no-detector.yaml", from: "client/laptop", to: "service/single:80", via: "node-2"},
		{file: "fronts/affinity.yaml", from: "pod/client", to: "service/web:80"},
	} {
		p := o.diagram(t).Path
		fmt.Fprintf(&b, "# %s, variant %d, step %d, mode of %q, by %q\n%s\n%s\n", o.file, o.family, o.step, o.proxy, o.via, p.Title, p.Verdict)
		for _, w := range p.Ways {
			fmt.Fprintf(&b, "  way %s\n", strings.Join(w.Through, " → "))
		}
		for i, s := range p.Stops {
			fmt.Fprintf(&b, "  %d at %s: %s%s\n", i+1, s.At, s.Title, map[bool]string{true: " [bad]"}[s.Bad])
			for _, line := range s.Text {
				fmt.Fprintf(&b, "      %s\n", line)
			}
		}
		for _, n := range p.Notes {
			fmt.Fprintf(&b, "  note: %s\n", n)
		}
		b.WriteByte('\n')
	}
	golden(t, "paths.txt", b.String())
}
