package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"svclab/scenarios"
	"svclab/sim/scenario"
)

// bundledPrefix is how reports name the file of a bundled scenario: as it lies in the repository.
const bundledPrefix = "scenarios/"

// load reads the scenarios that were named: files, or bundled ones; none named means all bundled. All problems of all
// files are reported together.
func load(args []string) ([]*scenario.Scenario, error) {
	bundled, err := bundledFiles()
	if err != nil {
		return nil, err
	}
	if len(args) == 0 {
		args = bundled
	}
	var out []*scenario.Scenario
	var problems []error
	for _, a := range args {
		name, text, err := find(a, bundled)
		if err == nil {
			var s *scenario.Scenario
			if s, err = scenario.Parse(name, text); err == nil {
				out = append(out, s)
			}
		}
		if err != nil {
			problems = append(problems, err)
		}
	}
	if err := errors.Join(problems...); err != nil {
		return nil, inputError{err}
	}
	return out, nil
}

// find reads one argument. A bundled scenario may be called by its name, and is there also when the program is run from
// elsewhere than the repository.
func find(arg string, bundled []string) (name string, text []byte, err error) {
	for _, b := range bundled {
		inside := strings.TrimPrefix(b, bundledPrefix)
		if _, err := os.Stat(b); arg == strings.TrimSuffix(path.Base(b), ".yaml") || arg == b && err != nil {
			text, err := fs.ReadFile(scenarios.Files, inside)
			return b, text, err
		}
	}
	info, err := os.Stat(arg)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", nil, fmt.Errorf("%s: no such file, and no bundled scenario of that name (see: svclab list scenarios)", arg)
	case err != nil:
		return "", nil, err
	case info.IsDir():
		return "", nil, fmt.Errorf("%s: is a folder; name the files in it", arg)
	case info.Size() > scenario.MaxSize:
		return "", nil, fmt.Errorf("%s: %d bytes; a scenario has at most %d", arg, info.Size(), scenario.MaxSize)
	}
	text, err = os.ReadFile(arg)
	return arg, text, err
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

// argument is how a rerun command names the scenario.
func argument(s *scenario.Scenario) string { return s.File }
