package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"svclab/scenarios"
	"svclab/sim/scenario"
)

// bundledPrefix is how reports name the file of a bundled scenario: as it lies in the repository.
const bundledPrefix = "scenarios/"

// stdin is how standard input is named.
const stdin = "-"

// inputs are the scenarios that were asked for.
type inputs struct {
	files     []string
	recursive bool
	maxSize   int
}

func (in *inputs) flags(c *cobra.Command) {
	in.maxSize = scenario.MaxSize
	fl := c.Flags()
	fl.StringArrayVarP(&in.files, "filename", "f", nil, "a file, folder or glob to read; - is standard input; may be repeated")
	fl.BoolVarP(&in.recursive, "recursive", "R", false, "read what lies in folders of folders too")
	fl.Var(positive{&in.maxSize, scenario.MaxSize}, "max-size", "the largest file to read, in bytes")
	c.ValidArgsFunction = func(_ *cobra.Command, _ []string, start string) ([]string, cobra.ShellCompDirective) {
		names, _ := bundledFiles()
		for i := range names {
			names[i] = bundledName(names[i])
		}
		return startingWith(start, names), cobra.ShellCompDirectiveDefault // and files
	}
}

// load reads the scenarios that were named: files, folders, globs, or bundled ones; none named means all bundled. All
// problems of all files are reported together.
func (in *inputs) load(args []string) ([]*scenario.Scenario, error) {
	bundled, err := bundledFiles()
	if err != nil {
		return nil, err
	}
	if len(args)+len(in.files) == 0 {
		args = bundled
	}
	var out []*scenario.Scenario
	var problems []error
	seen := map[string]bool{}
	take := func(name string, text []byte, err error) {
		var s *scenario.Scenario
		if err == nil && len(text) > in.maxSize {
			err = fmt.Errorf("%s: larger than %d bytes (--max-size)", name, in.maxSize)
		}
		if err == nil {
			s, err = scenario.Parse(name, text)
		}
		if err != nil {
			problems = append(problems, err)
			return
		}
		if i := slices.IndexFunc(out, func(o *scenario.Scenario) bool { return o.Name == s.Name }); i >= 0 {
			problems = append(problems, fmt.Errorf("%s:%d:%d: the scenario's name %q is that of %s already, and cases are told apart by it: give it another", name, s.Line, s.Col, s.Name, out[i].File))
			return
		}
		out = append(out, s)
	}
	for i, a := range slices.Concat(args, in.files) {
		if b := findBundled(a, bundled); i < len(args) && b != "" {
			if !seen[b] {
				seen[b] = true
				text, err := fs.ReadFile(scenarios.Files, strings.TrimPrefix(b, bundledPrefix))
				take(b, text, err)
			}
			continue
		}
		names, err := in.expand(a)
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%s: no such file, and no bundled scenario of that name (see: svclab list scenarios)", a)
			if i >= len(args) {
				err = fmt.Errorf("%s: no such file", a)
			}
		}
		if err != nil {
			problems = append(problems, err)
		}
		for _, name := range names {
			if !seen[name] {
				seen[name] = true
				text, err := in.read(name)
				take(name, text, err)
			}
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, inputError{err}
	}
	return out, nil
}

// findBundled: a bundled scenario may be called by its name, and is there also when the program is run from elsewhere
// than the repository.
func findBundled(arg string, bundled []string) string {
	for _, b := range bundled {
		if _, err := os.Stat(b); arg == bundledName(b) || arg == b && err != nil {
			return b
		}
	}
	return ""
}

func bundledName(file string) string { return strings.TrimSuffix(path.Base(file), ".yaml") }

// expand makes files of a file, a folder or a glob.
func (in *inputs) expand(arg string) ([]string, error) {
	if arg == stdin {
		return []string{arg}, nil
	}
	info, err := os.Stat(arg)
	switch {
	case errors.Is(err, fs.ErrNotExist) && strings.ContainsAny(arg, "*?["):
		matches, err := filepath.Glob(arg)
		switch {
		case err != nil:
			return nil, fmt.Errorf("%s: %w", arg, err)
		case len(matches) == 0:
			return nil, fmt.Errorf("%s: matches no file", arg)
		}
		var all []string
		for _, m := range matches {
			files, err := in.expand(m)
			if err != nil {
				return nil, err
			}
			all = append(all, files...)
		}
		return all, nil
	case err != nil:
		return nil, err
	case info.IsDir():
		return in.folder(arg)
	}
	return []string{arg}, nil
}

func (in *inputs) folder(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && p != dir && !in.recursive:
			return fs.SkipDir
		case !d.IsDir() && slices.Contains([]string{".yaml", ".yml", ".json"}, filepath.Ext(p)):
			files = append(files, p)
		}
		return nil
	})
	if err == nil && len(files) == 0 {
		hint := "; -R looks into its folders too"
		if in.recursive {
			hint = ""
		}
		err = fmt.Errorf("%s: a folder without *.yaml, *.yml or *.json%s", dir, hint)
	}
	return files, err
}

// read reads at most one byte more than the limit, which is enough to know.
func (in *inputs) read(name string) ([]byte, error) {
	if name == stdin {
		return in.readStdin()
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, int64(in.maxSize)+1))
}

// readStdin puts standard input back as a file without a name: in the sandbox the program starts anew and reads it again.
func (in *inputs) readStdin() ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(os.Stdin, int64(in.maxSize)+1))
	if err != nil {
		return nil, fmt.Errorf("read standard input: %w", err)
	}
	fd, err := unix.MemfdCreate("stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("keep standard input: %w", err)
	}
	f := os.NewFile(uintptr(fd), "stdin")
	if _, err := io.Copy(f, bytes.NewReader(text)); err != nil {
		return nil, fmt.Errorf("keep standard input: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("keep standard input: %w", err)
	}
	os.Stdin = f
	return text, nil
}

func bundledFiles() (names []string, err error) {
	err = fs.WalkDir(scenarios.Files, ".", func(p string, d fs.DirEntry, err error) error {
		if err == nil && strings.HasSuffix(p, ".yaml") {
			names = append(names, bundledPrefix+p)
		}
		return err
	})
	slices.Sort(names)
	return names, err
}

// warn tells what was tolerated in the files, and what was passed over.
func warn(w io.Writer, all []*scenario.Scenario) {
	for _, s := range all {
		for _, p := range s.Warnings {
			fmt.Fprintf(w, "%v (warning)\n", p)
		}
		for _, kind := range slices.Sorted(maps.Keys(s.Ignored)) {
			fmt.Fprintf(w, "%s: passed over %d of kind %s, which the lab does not need\n", s.File, s.Ignored[kind], kind)
		}
	}
}
