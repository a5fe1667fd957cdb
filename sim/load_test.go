package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"svclab/sim/scenario"
)

// Files come once each, in the order in which they were named, those of a folder by name.
func TestLoad(t *testing.T) {
	t.Chdir(t.TempDir())
	names := map[string]string{"b.yaml": "b", "a.yml": "a", "notes.txt": "notes", "deep/c.json": "c", "[x].yaml": "x", "empty/notes.txt": "e", "twin.txt": "b"}
	for file, name := range names {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(strings.Replace(tiny, "name: tiny", "name: "+name, 1)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name      string
		args      string
		files     string
		recursive bool
		want      string
		err       string
	}{
		{name: "a folder", args: ".", want: "[x].yaml a.yml b.yaml"},
		{name: "a folder and those below", args: ".", recursive: true, want: "[x].yaml a.yml b.yaml deep/c.json"},
		{name: "a file is read once", args: "b.yaml *.yaml", files: "b.yaml", want: "b.yaml [x].yaml"},
		{name: "a glob of folders", args: "d*", want: "deep/c.json"},
		{name: "a file whose name looks like a glob", args: "[x].yaml", want: "[x].yaml"},
		{name: "bundled by name, and by file from elsewhere", args: "hairpin scenarios/basics/hairpin.yaml", files: "b.yaml", want: "scenarios/basics/hairpin.yaml b.yaml"},
		{name: "-f knows no bundled names", files: "hairpin", err: "hairpin: no such file"},
		{name: "two with one name", args: "b.yaml twin.txt", err: `twin.txt:1:1: the scenario's name "b" is that of b.yaml already, and cases are told apart by it: give it another`},
		{name: "a folder without any", args: "empty b.yaml", err: "empty: a folder without *.yaml, *.yml or *.json; -R looks into its folders too"},
		{name: "a file that is no scenario", args: "empty/notes.tx? nowhere", err: "nowhere: no such file, and no bundled scenario of that name (see: svclab list scenarios)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			in := inputs{files: strings.Fields(tt.files), recursive: tt.recursive, maxSize: scenario.MaxSize}
			all, err := in.load(strings.Fields(tt.args))
			var got []string
			for _, s := range all {
				got = append(got, s.File)
			}
			if d := cmp.Diff(strings.Join(got, " "), tt.want); d != "" {
				t.Errorf("files (-got +want):\n%s", d)
			}
			if err == nil && tt.err != "" || err != nil && err.Error() != tt.err {
				t.Errorf("error %v, want %q", err, tt.err)
			}
		})
	}
}
