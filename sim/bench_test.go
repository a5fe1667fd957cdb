package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"

	"svclab/reports/measure"
)

// stored writes a run of ten samples into a file.
func stored(t *testing.T, dir, name string, kind measure.Kind, factor float64) {
	t.Helper()
	r := &measure.Run{Kind: kind}
	for i := range 10 {
		r.Add(measure.Row{Work: "first sync", Clock: "commit", Proxy: "ours", Services: 10, Unit: measure.Seconds}, factor*(1+float64(i)/1000))
		r.Add(measure.Row{Work: "first sync", Clock: "commit", Proxy: "other", Services: 10, Unit: measure.Seconds}, 2*factor*(1+float64(i)/1000))
	}
	if err := writeFile(filepath.Join(dir, name), r.Write); err != nil {
		t.Fatal(err)
	}
}

func TestBenchShowAndCompare(t *testing.T) {
	dir := t.TempDir()
	stored(t, dir, "old.json", measure.Sync, 1)
	stored(t, dir, "slow.json", measure.Sync, 1.2)
	stored(t, dir, "lab.json", measure.Lab, 1)
	if err := os.WriteFile(filepath.Join(dir, "none.json"), []byte(`{"schemaVersion": 1, "kind": "sync"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	few := &measure.Run{Kind: measure.Sync}
	few.Add(measure.Row{Work: "first sync", Clock: "commit", Proxy: "ours", Services: 10, Unit: measure.Seconds}, 1, 2, 3)
	if err := writeFile(filepath.Join(dir, "few.json"), few.Write); err != nil {
		t.Fatal(err)
	}
	formats := "table, json, csv, html"
	for _, tt := range []struct {
		args   string
		code   int
		stdout string // is in it
		stderr string
	}{
		{args: "", code: 2, stderr: "svclab: svclab bench what? "},
		{args: "show", code: 2, stderr: "svclab: which results? One file is needed, as a benchmark writes it with --json-file\n"},
		{args: "show no.json", code: 2, stderr: "svclab: open no.json: no such file or directory\n"},
		{args: "show old.json -o pdf", code: 2, stderr: "svclab: invalid argument \"pdf\" for \"-o, --output\" flag: must be one of " + formats + "\n"},
		{args: "show old.json", stdout: "first sync: commit (less is better)\n"},
		{args: "show old.json -o csv", stdout: "sync,first sync,commit,ours,10,,,,,,s,9,,1.009\r\n"},
		{args: "show old.json -o html", stdout: "<h2>Commit <small>less is better</small></h2>"},
		{args: "compare old.json", code: 2, stderr: "svclab: compare what with what? Two files are needed, OLD.json and NEW.json, as a benchmark writes them with --json-file\n"},
		{args: "compare old.json lab.json", code: 2, stderr: "svclab: OLD is of svclab bench sync and NEW of svclab bench lab: runs of one kind can be compared\n"},
		{args: "compare old.json none.json", code: 3, stdout: "only in OLD: first sync: commit (ours, 10 Services)\n", stderr: "svclab: no row could be compared\n"},
		{args: "compare few.json few.json", code: 3, stderr: "svclab: no row has enough samples to tell change from chance: measure more often (--n, --repeat, --rounds)\n"},
		{args: "compare old.json old.json", stdout: "2 rows compared: 0 better, 0 worse"},
		{args: "compare old.json slow.json", code: 1, stdout: "REGRESSION"},
		{args: "compare slow.json old.json", stdout: "2 rows compared: 2 better"},
		{args: "compare old.json slow.json --max-regression 25%", stdout: "2 worse, 0 of them by more than 25 %"},
		{args: "compare old.json slow.json --ratio-to other", stdout: "1 rows compared: 0 better, 0 worse"},
		{args: "compare old.json slow.json --ratio-to x", code: 2, stderr: "svclab: OLD has no row of proxy \"x\"; it has ours, other\n"},
		{args: "compare old.json slow.json --max-regression 10", code: 2, stderr: "svclab: invalid argument \"10\" for \"--max-regression\" flag: must be a percentage of at least 0%, such as 10%\n"},
		{args: "compare old.json slow.json --alpha 5", code: 2, stderr: "svclab: invalid argument \"5\" for \"--alpha\" flag: must be between 0 and 1, such as 0.05\n"},
		{args: "compare old.json slow.json -o json", code: 1, stdout: `"regressions": 2`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, stdout, stderr := svclabIn(t, dir, "", nil, append([]string{"bench"}, strings.Fields(tt.args)...)...)
			if code != tt.code || !strings.Contains(stdout, tt.stdout) || !strings.HasPrefix(stderr, tt.stderr) || tt.stderr == "" && stderr != "" {
				t.Errorf("got code %d\nstdout: %s\nstderr: %s", code, stdout, stderr)
			}
		})
	}
}

// benchInto is a benchmark's flags with a file of each kind in a folder.
func benchInto(t *testing.T, dir string) *benchFlags {
	t.Helper()
	f := &benchFlags{}
	f.flags(&cobra.Command{})
	f.jsonFile, f.csvFile, f.htmlFile = filepath.Join(dir, "a.json"), filepath.Join(dir, "a.csv"), filepath.Join(dir, "a.html")
	f.began = time.Now()
	return f
}

// quietly keeps what is written to standard output.
func quietly(t *testing.T, do func()) string {
	t.Helper()
	was := os.Stdout
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	os.Stdout = out
	text := make(chan string)
	go func() {
		b, _ := io.ReadAll(in)
		text <- string(b)
	}()
	do()
	os.Stdout = was
	out.Close()
	return <-text
}

// What was measured until a signal came is written everywhere, and says so.
func TestInterruptedBenchmarkIsWritten(t *testing.T) {
	for _, tt := range []struct {
		name  string
		cause error // of the context's end
		err   error // of the benchmark
		rows  int
		note  string
	}{
		{"whole", nil, nil, 1, ""},
		{"signal", signalError{syscall.SIGINT}, context.Canceled, 1, "not whole: stopped by signal: interrupt, after 0s"},
		{"broken", nil, errors.New("the wire is cut"), 1, "not whole: the wire is cut, after 0s"},
		{"at once", nil, errors.New("the wire is cut"), 0, "none"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			f := benchInto(t, dir)
			ctx, cancel := context.WithCancelCause(context.Background())
			defer cancel(nil)
			r := &measure.Run{Kind: measure.Sync}
			var err error
			out := quietly(t, func() {
				err = f.measured(ctx, r, func(_ context.Context, r *measure.Run) error {
					for range tt.rows {
						r.Add(measure.Row{Work: "first sync", Proxy: "ours", Unit: measure.Seconds}, 1)
					}
					if tt.cause != nil {
						cancel(tt.cause)
					}
					return tt.err
				})
			})
			if (err == nil) != (tt.err == nil) {
				t.Errorf("error %v", err)
			}
			if tt.rows == 0 {
				if files, _ := os.ReadDir(dir); len(files) > 0 || out != "" {
					t.Errorf("of nothing there are %v and %q", files, out)
				}
				return
			}
			if !strings.Contains(out, "first sync (less is better)") {
				t.Errorf("standard output: %s", out)
			}
			b, _ := os.ReadFile(f.jsonFile)
			back, err := measure.Read(bytes.NewReader(b))
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(back.Notes, "\n"); !strings.HasPrefix(got, tt.note) || tt.note == "" && got != "" {
				t.Errorf("notes %q, want %q", got, tt.note)
			}
			for _, file := range []string{f.csvFile, f.htmlFile} {
				if info, err := os.Stat(file); err != nil || info.Size() == 0 {
					t.Errorf("%s: %v", file, err)
				}
			}
			if !json.Valid(b) {
				t.Error("no JSON")
			}
		})
	}
}

// A file that cannot be written is told before anything is measured, and one that can stays as it is.
func TestWritable(t *testing.T) {
	dir := t.TempDir()
	full := filepath.Join(dir, "full")
	if err := os.WriteFile(full, []byte("as it was"), 0o644); err != nil {
		t.Fatal(err)
	}
	for path, good := range map[string]bool{full: true, filepath.Join(dir, "new"): true, filepath.Join(dir, "no", "new"): false, dir: false} {
		if err := writable(path); (err == nil) != good {
			t.Errorf("%s: %v", path, err)
		}
	}
	if b, _ := os.ReadFile(full); string(b) != "as it was" {
		t.Errorf("the file has become %q", b)
	}
	if _, err := os.Stat(filepath.Join(dir, "new")); err == nil {
		t.Error("an empty file was left behind")
	}
	f := benchInto(t, filepath.Join(dir, "no"))
	_, err := f.enter(measure.Sync)
	if want := "--json-file: open " + dir + "/no/a.json: no such file or directory"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestBenchProgress(t *testing.T) {
	for _, tt := range []struct {
		terminal bool
		want     string
	}{
		{true, "\r\x1b[K[  0%] build\r\x1b[K[ 25%, 30s left] nftables\r\x1b[K[ 50%, 11s left] iptables\r\x1b[K[100%, 0s left] " + strings.Repeat("x", 94) + "\r\x1b[K"},
		{false, "[  0%] build\n[100%, 0s left] " + strings.Repeat("x", 200) + "\n"},
	} {
		var out bytes.Buffer
		now := time.Unix(0, 0)
		p := &benchProgress{w: &out, terminal: tt.terminal, now: func() time.Time { return now }, began: now}
		p.doing(0, 0, "build")
		now = now.Add(10 * time.Second)
		p.doing(1, 4, "nftables")
		now = now.Add(time.Second)
		p.doing(2, 4, "iptables")
		now = now.Add(40 * time.Second)
		p.doing(5, 4, strings.Repeat("x", 200))
		p.clear()
		if d := cmp.Diff(out.String(), tt.want); d != "" {
			t.Errorf("terminal %v (-got +want):\n%s", tt.terminal, d)
		}
	}
	(&benchFlags{quiet: true}).doing(1, 2, "nothing is said")
}
