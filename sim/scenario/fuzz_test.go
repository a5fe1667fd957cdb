package scenario

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// Whatever the text: no panic, and every problem is in this file, within its lines, with something to say. To search,
// run it with -fuzz FuzzParse -fuzzminimizetime 1x: the minute that is else spent on shrinking each find goes to waste.
func FuzzParse(f *testing.F) {
	for _, glob := range []string{"testdata/*.yaml", "testdata/bad/*.yaml", "../../scenarios/*/*.yaml"} {
		files, err := filepath.Glob(glob)
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			if filepath.Base(file) != "alias-bomb.yaml" { // right, but slow
				f.Add(text)
			}
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		s, err := Parse("f.yaml", text)
		if err == nil {
			if s.Name == "" || len(s.Steps) == 0 {
				t.Fatalf("no name or no steps, and no error: %+v", s)
			}
			within(t, s.Warnings, text)
			for _, v := range s.Variants() {
				if v.Family == "" {
					t.Fatal("a variant without a family")
				}
			}
			return
		}
		var problems Problems
		if !errors.As(err, &problems) || len(problems) == 0 {
			t.Fatalf("got %#v, want Problems", err)
		}
		within(t, problems, text)
	})
}

func within(t *testing.T, problems []Problem, text []byte) {
	t.Helper()
	r := report{}
	r.readable(text)
	for _, p := range problems {
		if p.File != "f.yaml" || p.What == "" || !utf8.ValidString(p.What) || p.Line < 1 || p.Col < 1 || p.Pos != r.within(p.Pos) {
			t.Fatalf("problem %q at %+v of a file with %d lines", p.What, p.Pos, len(r.end))
		}
	}
}
