package foreign

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// profileFile is a Profile as a file has it.
type profileFile struct {
	APIVersion string            `yaml:"apiVersion"`
	Kind       string            `yaml:"kind"`
	Name       string            `yaml:"name"`
	Command    []string          `yaml:"command"`
	Env        map[string]string `yaml:"env"`
	Files      map[string]string `yaml:"files"`
	Links      map[string]string `yaml:"links"`
	Ready      string            `yaml:"ready"`
	Barrier    string            `yaml:"barrier"`
	Cleanup    []string          `yaml:"cleanup"`
	Needs      []string          `yaml:"needs"`
}

const (
	profileVersion = "svclab/v1alpha1"
	profileKind    = "ProxyProfile"
)

// ParseProfile reads a profile file. Its errors are of the form file:line:col: what is wrong, and what would be right.
func ParseProfile(file string, text []byte) (Profile, error) {
	var f profileFile
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return Profile{}, located(file, err)
	}
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&f); errors.Is(err, io.EOF) {
		return Profile{}, fmt.Errorf("%s:1:1: the file is empty: a profile needs apiVersion, kind and command", file)
	} else if err != nil {
		return Profile{}, located(file, err)
	}
	at := func(field string) string {
		line, col := 1, 1
		if len(doc.Content) > 0 {
			for i := 0; i+1 < len(doc.Content[0].Content); i += 2 {
				if k := doc.Content[0].Content[i]; k.Value == field {
					line, col = doc.Content[0].Content[i+1].Line, doc.Content[0].Content[i+1].Column
				}
			}
		}
		return fmt.Sprintf("%s:%d:%d", file, line, col)
	}
	switch {
	case f.APIVersion != profileVersion:
		return Profile{}, fmt.Errorf("%s: unknown apiVersion %q of a profile: write %q", at("apiVersion"), f.APIVersion, profileVersion)
	case f.Kind != profileKind:
		return Profile{}, fmt.Errorf("%s: unknown kind %q: write %q", at("kind"), f.Kind, profileKind)
	case len(f.Command) == 0 || f.Command[0] == "":
		return Profile{}, fmt.Errorf("%s: the profile has no command: write for example \"command: [my-proxy, --kubeconfig={{.Kubeconfig}}]\"", at("command"))
	case f.Barrier != "" && f.Barrier != BarrierKubeProxy:
		return Profile{}, fmt.Errorf("%s: unknown barrier %q: write %q for a proxy with kube-proxy's metrics, or leave it out", at("barrier"), f.Barrier, BarrierKubeProxy)
	}
	p := Profile{Name: f.Name, Command: f.Command, Env: f.Env, Files: f.Files, Links: f.Links, Ready: f.Ready, Barrier: f.Barrier, Cleanup: f.Cleanup, Needs: f.Needs}
	if p.Name == "" {
		p.Name = file
	}
	var err error
	if p.Command, err = fromFile(file, p.Command); err == nil {
		p.Cleanup, err = fromFile(file, p.Cleanup)
	}
	if err != nil {
		return Profile{}, err
	}
	if _, err := p.render(Node{Name: "node-1"}); err != nil {
		return Profile{}, fmt.Errorf("%s: %w; a template may say .Name, .IPs, .PodCIDRs, .ClusterCIDRs, .Settings, .API, .Kubeconfig, .Dir, .Metrics and .Healthz", at("command"), err)
	}
	return p, nil
}

// fromFile makes a program's path, which is from the file's folder, absolute: the proxy runs in a folder of its own. One
// without a slash is looked for in PATH.
func fromFile(file string, command []string) ([]string, error) {
	if len(command) == 0 || !strings.Contains(command[0], "/") || filepath.IsAbs(command[0]) || strings.HasPrefix(command[0], "{{") {
		return command, nil
	}
	path, err := filepath.Abs(filepath.Join(filepath.Dir(file), command[0]))
	return append([]string{path}, command[1:]...), err
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// located gives the YAML library's errors the form of ours; it knows lines, not columns.
func located(file string, err error) error {
	var typ *yaml.TypeError
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	if errors.As(err, &typ) && len(typ.Errors) > 0 {
		text = typ.Errors[0]
	}
	line := "1"
	if m := yamlLine.FindStringSubmatch(text); m != nil {
		line = m[1]
		text = strings.Replace(text, m[0], "", 1)
	}
	text = strings.Replace(text, " in type foreign.profileFile", "; known: apiVersion, kind, name, command, env, files, links, ready, barrier, cleanup, needs", 1)
	return fmt.Errorf("%s:%s:1: %s", file, line, text)
}
