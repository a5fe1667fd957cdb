package main

import (
	"os"
	"strings"
	"testing"
)

// A drawing goes to standard output, and nothing else does; it is the same each time, and none of a pod that is not there yet.
func TestGraph(t *testing.T) {
	flow := []string{"graph", "myservice", "--from", "client/laptop", "--to", "service/myservice:80", "--via", "node-2"}
	for format, begins := range map[string]string{"svg": "<svg ", "mermaid": "%%{init", "dot": "digraph "} {
		args := append(flow[:len(flow):len(flow)], "-o", format)
		code, out, errs := svclab(t, "", nil, args...)
		if code != 0 || errs != "" || !strings.HasPrefix(out, begins) || !strings.Contains(out, "node/node-2 translates the address") {
			t.Errorf("%s: exit code %d, %q on standard error, and on standard output:\n%s", format, code, errs, out)
		}
		if _, again, _ := svclab(t, "", nil, args...); again != out {
			t.Errorf("%s is another the second time", format)
		}
	}
	_, narrow, _ := svclab(t, "", nil, append(flow[:len(flow):len(flow)], "--width", "400")...)
	if !strings.Contains(narrow, `viewBox="0 0 400 `) || strings.Count(narrow, "<svg") != 1 {
		t.Errorf("--width 400 gives\n%s", narrow)
	}
	_, start, _ := svclab(t, "", nil, "graph", "rolling", "-o", "dot")
	_, end, _ := svclab(t, "", nil, "graph", "rolling", "-o", "dot", "--step", "4")
	if strings.Contains(start, "pod/web-4") || !strings.Contains(end, "pod/web-4") || !strings.Contains(end, "deleted, still serves") {
		t.Errorf("pods come and go by the steps: at the start\n%s\nand after four of them\n%s", start, end)
	}
	code, _, errs := svclab(t, "", nil, "graph", "rolling", "--from", "pod/web-4", "--to", "service/web:80")
	if code != exitUsage || !strings.HasPrefix(errs, "svclab: --from: there is no pod/web-4") {
		t.Errorf("a sender that is not there yet: exit code %d, %s", code, errs)
	}
	code, _, errs = svclab(t, strings.ReplaceAll(tiny, "name: a}", "name: a, labels: {a: [}"), nil, "graph", "-f", "-")
	if code != exitUsage || !strings.HasPrefix(errs, "-:8:") {
		t.Errorf("a mistake in the file: exit code %d, %s", code, errs)
	}
}

// The flowchart in the README is what the command above it prints.
func TestGraphInReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, out, _ := svclab(t, "", nil, "graph", "myservice", "--from", "pod/client", "--to", "service/myservice:80", "-o", "mermaid")
	if out == "" || !strings.Contains(string(text), "```mermaid\n"+out+"```\n") {
		t.Errorf("the README has another flowchart than this:\n%s", out)
	}
}
