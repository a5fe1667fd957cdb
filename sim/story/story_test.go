package story_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"svclab/proxycore/cluster"
	"svclab/reports/tell"
	"svclab/sim/engine"
	"svclab/sim/evidence"
	"svclab/sim/naming"
	"svclab/sim/oracle"
	"svclab/sim/proxies"
	"svclab/sim/scenario"
	"svclab/sim/stage"
	"svclab/sim/story"
	"svclab/sim/world"
)

var update = flag.Bool("update", false, "write testdata anew; read the difference before you keep it")

const recorded = "../evidence/testdata"

// recordings are the files of sim/evidence/testdata: "kube-proxy-nftables-clusterip-ipv6".
type recording struct {
	file, proxy, flow string
	is6               bool
}

func recordings(t *testing.T) (out []recording) {
	t.Helper()
	files, err := filepath.Glob(recorded + "/*.json")
	if err != nil || len(files) < 50 {
		t.Fatalf("%d files: %v", len(files), err)
	}
	for _, f := range files {
		r := recording{file: strings.TrimSuffix(filepath.Base(f), ".json")}
		rest, is6 := strings.CutSuffix(r.file, "-ipv6")
		i := strings.LastIndex(rest, "-")
		r.proxy, r.flow, r.is6 = strings.Replace(rest[:i], "kube-proxy-", "kube-proxy/", 1), rest[i+1:], is6
		out = append(out, r)
	}
	return out
}

func load(t *testing.T, r recording) *evidence.Evidence {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(recorded, r.file+".json"))
	if err != nil {
		t.Fatal(err)
	}
	var e evidence.Evidence
	if err := json.Unmarshal(text, &e); err != nil {
		t.Fatal(err)
	}
	return &e
}

// input is the recording with the state in which it was made, and the oracle's answer.
func input(t *testing.T, r recording, e *evidence.Evidence) story.Input {
	t.Helper()
	p, err := proxies.Foreign{}.Find(r.proxy)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(recorded + "/scenario.yaml")
	if err != nil {
		t.Fatal(err)
	}
	sc, err := scenario.Parse("scenario.yaml", text)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range sc.Variants() {
		if (v.Family == scenario.IPv6) != r.is6 {
			continue
		}
		played, err := engine.Play(v, p.Mode)
		if err != nil {
			t.Fatal(err)
		}
		state := played.States[0]
		h := oracle.NewHistory(played.Topology)
		now := time.Now()
		h.Begin(state, now)
		h.Done(now)
		a := oracle.Expect(h, flowOf(t, e), now, now)
		return story.Input{
			Evidence: e, Proxy: p.Name, File: v.File, State: stage.StateText(v, 0), Expected: &a,
			Index: naming.New(naming.Options{Proxy: p.Name, State: state, Where: stage.Where(v, 0)}),
		}
	}
	t.Fatal("no such variant")
	return story.Input{}
}

func flowOf(t *testing.T, e *evidence.Evidence) world.Flow {
	t.Helper()
	f := world.Flow{To: e.Flow.To, Via: e.Flow.Via, SourcePort: e.Flow.Client.Port()}
	kind, name, _ := strings.Cut(e.Flow.From, "/")
	f.From = world.Place{Kind: map[string]world.Kind{"pod": world.Pod, "node": world.Node, "client": world.Client}[kind], Name: name}
	if kind == "pod" {
		f.From.Namespace = "default"
	}
	var err error
	if f.Proto, err = cluster.ParseProto(e.Flow.Proto); err != nil {
		t.Fatal(err)
	}
	return f
}

// Every recorded flow has a text that is kept in testdata, and that an editor of 110 columns can show.
func TestTexts(t *testing.T) {
	for _, r := range recordings(t) {
		t.Run(r.file, func(t *testing.T) {
			s := story.Of(input(t, r, load(t, r)))
			var b bytes.Buffer
			if err := tell.Write(&b, "text", s, tell.Options{}); err != nil {
				t.Fatal(err)
			}
			golden(t, r.file+".txt", b.Bytes())
			for line := range strings.Lines(b.String()) {
				line = strings.TrimSuffix(line, "\n")
				if n := utf8.RuneCountInString(line); n > 110 && strings.Contains(strings.TrimSpace(line), " ") && !strings.Contains(line, "-") {
					t.Errorf("%d columns: %s", n, line)
				}
				if strings.TrimRight(line, " ") != line {
					t.Errorf("ends with a space: %q", line)
				}
			}
			if !s.Judgement.Judged || !s.Judgement.Right {
				t.Errorf("the oracle says: %+v", s.Judgement)
			}
		})
	}
}

// Of one flow the other formats are kept too; what they escape is tested in reports/tell.
func TestFormats(t *testing.T) {
	r := recording{"kube-proxy-nftables-clusterip", "kube-proxy/nftables", "clusterip", false}
	s := story.Of(input(t, r, load(t, r)))
	for format, name := range map[string]string{"json": "clusterip.json", "markdown": "clusterip.md", "html": "clusterip.html"} {
		var b bytes.Buffer
		if err := tell.Write(&b, format, s, tell.Options{}); err != nil {
			t.Fatal(err)
		}
		golden(t, name, b.Bytes())
	}
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(string(got), string(want)); d != "" {
		t.Errorf("(-got +want):\n%s", d)
	}
}
