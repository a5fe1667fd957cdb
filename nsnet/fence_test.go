package nsnet_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// movers are the calls that move or hold a thread, by import path or, for "", by name alone. vishvananda's NewHandleAt is
// among them because it ignores the error of going back and unlocks the thread all the same.
var movers = map[string][]string{
	"":                                  {"Setns", "Unshare", "LockOSThread", "UnlockOSThread"},
	"github.com/vishvananda/netns":      {"Set", "New", "NewNamed"},
	"github.com/vishvananda/netlink":    {"NewHandleAt", "NewHandleAtFrom"},
	"github.com/vishvananda/netlink/nl": {"GetNetlinkSocketAt", "SubscribeAt"},
}

// TestThreadsMoveOnlyHere is the fence of the house rule, for every Go file of the repository, tests included.
func TestThreadsMoveOnlyHere(t *testing.T) {
	seen := 0
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (path == "../nsnet" || d.Name() == "testdata" || d.Name() == "vendor" || d.Name() == ".git"):
			return filepath.SkipDir
		case d.IsDir() || filepath.Ext(path) != ".go":
			return nil
		}
		src, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		seen++
		for _, call := range moves(path, src) {
			t.Errorf("%s: threads move only in nsnet: use NS.Do, or an API that takes NS.FD", call)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen == 0 {
		t.Error("no Go file outside nsnet was looked at")
	}
}

func TestFenceIsClosed(t *testing.T) {
	src := `package p

import (
	"runtime"
	"syscall"

	nl "github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A comment may say unix.Setns.
func f() {
	runtime.LockOSThread()
	unix.Setns(3, unix.CLONE_NEWNET)
	syscall.Unshare(0)
	netns.Set(3)
	netns.None()
	nl.NewHandleAt(3)
	g.Set(3)
	lock := runtime.UnlockOSThread
}
`
	want := []string{"f.go:14:2 runtime.LockOSThread", "f.go:15:2 unix.Setns", "f.go:16:2 syscall.Unshare", "f.go:17:2 netns.Set",
		"f.go:19:2 nl.NewHandleAt", "f.go:21:10 runtime.UnlockOSThread"}
	if got := moves("f.go", []byte(src)); !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}

// moves lists the movers in a file. A file that does not parse does not build either, and is another test's concern.
func moves(path string, src []byte) (found []string) {
	files := token.NewFileSet()
	file, _ := parser.ParseFile(files, path, src, parser.SkipObjectResolution)
	if file == nil {
		return nil
	}
	imports := map[string]string{} // the name used in the file → path
	for _, spec := range file.Imports {
		p := strings.Trim(spec.Path.Value, `"`)
		name := p[strings.LastIndex(p, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		imports[name] = p
	}
	ast.Inspect(file, func(n ast.Node) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := sel.X.(*ast.Ident)
		if !ok {
			return true
		}
		if slices.Contains(movers[""], sel.Sel.Name) || slices.Contains(movers[imports[x.Name]], sel.Sel.Name) {
			at := files.Position(sel.Pos())
			found = append(found, fmt.Sprintf("%s:%d:%d %s.%s", path, at.Line, at.Column, x.Name, sel.Sel.Name))
		}
		return true
	})
	return found
}
