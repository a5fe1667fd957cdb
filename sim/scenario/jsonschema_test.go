package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What the parser knows in each place is asked of the parser itself: its answer to an unknown field lists the known ones.
func TestSchemaHasTheParsersFields(t *testing.T) {
	known := func(document string) []string {
		t.Helper()
		_, err := Parse("t.yaml", []byte(document))
		if err == nil {
			t.Fatalf("nothing is wrong with:\n%s", document)
		}
		for _, line := range strings.Split(err.Error(), "\n") {
			if _, list, ok := strings.Cut(line, "Known: "); ok && strings.Contains(line, `"zzzzzzzz"`) {
				return slices.Sorted(slices.Values(strings.Split(list, ", ")))
			}
		}
		t.Fatalf("no list of known words in:\n%v", err)
		return nil
	}
	head := "apiVersion: " + APIVersion + "\nkind: Scenario\nmetadata: {name: a}\n"
	step := func(text string) string { return head + "spec: {steps: [" + text + "]}\n" }
	documents := map[string]string{
		"scenario":    head + "zzzzzzzz: 1\nspec: {steps: [{probe: everything}]}\n",
		"metadata":    "apiVersion: " + APIVersion + "\nkind: Scenario\nmetadata: {name: a, zzzzzzzz: 1}\nspec: {steps: [{probe: everything}]}\n",
		"spec":        head + "spec: {zzzzzzzz: 1, steps: [{probe: everything}]}\n",
		"client":      head + "spec: {clients: [{name: a, zzzzzzzz: 1}], steps: [{probe: everything}]}\n",
		"proxy":       head + "spec: {proxy: {zzzzzzzz: 1}, steps: [{probe: everything}]}\n",
		"detectLocal": head + "spec: {proxy: {detectLocal: {zzzzzzzz: 1}}, steps: [{probe: everything}]}\n",
		"fair":        step("{probe: {from: pod/a, to: pod/a:80, fair: {zzzzzzzz: 1}}}"),
		"claim":       step("{health: {of: service/a, from: pod/a, expect: {zzzzzzzz: 1}}}"),
		"during":      step("{change: {delete: pod/a, during: {zzzzzzzz: 1}}}"),
	}
	for _, k := range Kinds {
		if stepForms[k]["type"] == "string" {
			continue // has no fields
		}
		documents[k] = step("{" + k + ": {zzzzzzzz: 1}}")
	}
	for name, s := range shapes {
		document, ok := documents[name]
		if !ok {
			t.Errorf("the schema has a %s, which the language has not", name)
			continue
		}
		if d := cmp.Diff(slices.Sorted(maps.Keys(s.fields)), known(document)); d != "" {
			t.Errorf("fields of %s (-schema +parser):\n%s", name, d)
		}
		for _, m := range s.must {
			if s.fields[m] == nil {
				t.Errorf("%s requires %s, which is no field", name, m)
			}
		}
	}
	for name := range documents {
		if _, ok := shapes[name]; !ok {
			t.Errorf("the language has a %s, which the schema has not", name)
		}
	}
	for _, k := range Kinds {
		if stepForms[k] == nil {
			t.Errorf("the schema does not know the step %s", k)
		}
	}
}

// The bundled scenarios are of the schema's form.
func TestSchemaTakesTheBundledScenarios(t *testing.T) {
	var root schema
	if err := json.Unmarshal(JSONSchema(), &root); err != nil {
		t.Fatal(err)
	}
	found := 0
	err := filepath.WalkDir("../../scenarios", func(path string, d fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".yaml" || d.Name() == "known.yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(text), "# yaml-language-server: $schema=../scenario.schema.json\n") {
			t.Errorf("%s: the first line does not name the schema", path)
		}
		for _, doc := range (&report{file: path}).documents(text) {
			if doc.get("kind").str() == "Scenario" {
				found++
			}
			var v any
			if err := json.Unmarshal(doc.json(), &v); err != nil {
				return err
			}
			for _, wrong := range check(root, root, v, "") {
				t.Errorf("%s: %s", path, wrong)
			}
		}
		return nil
	})
	if err != nil || found < 18 {
		t.Errorf("%d scenarios: %v", found, err)
	}
	file, err := os.ReadFile("../../scenarios/scenario.schema.json")
	if err != nil || !bytes.Equal(file, JSONSchema()) {
		t.Errorf("scenarios/scenario.schema.json is not what is printed by: svclab schema (%v)", err)
	}
	for text, want := range map[string]string{
		`{"apiVersion": "svclab/v1alpha1", "kind": "Scenario", "metadata": {"name": "a"}, "spec": {"steps": [{"probe": "everything"}]}}`: "",
		`{"apiVersion": "v1", "kind": "Node", "metadata": {"name": "a"}}`:                                                                "",
		`{"kind": "Node"}`: ": lacks apiVersion",
		`{"apiVersion": "svclab/v1alpha1", "kind": "Scenario", "metadata": {"name": "a"}, "spec": {"steps": [{"probe": "anything"}]}}`:                      "/spec/steps/0/probe: none of the forms",
		`{"apiVersion": "svclab/v1alpha1", "kind": "Scenario", "metadata": {"name": "a"}, "spec": {"step": [{"probe": "everything"}]}}`:                     "/spec: lacks steps",
		`{"apiVersion": "svclab/v1alpha1", "kind": "Scenario", "metadata": {"name": "a"}, "spec": {"steps": [{"change": {"delete": "pod/a", "wait": 1}}]}}`: "/spec/steps/0/change: has wait",
	} {
		var v any
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		if got := check(root, root, v, ""); (want == "") != (len(got) == 0) || want != "" && !slices.Contains(got, want) {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
}

// check is as much of JSON Schema as the schema uses; a word that it does not know is an error.
func check(root, s schema, v any, at string) (wrong []string) {
	say := func(format string, args ...any) { wrong = append(wrong, at+": "+fmt.Sprintf(format, args...)) }
	object, isObject := v.(map[string]any)
	list, isList := v.([]any)
	text, isString := v.(string)
	number, isNumber := v.(float64)
	_, isBool := v.(bool)
	for word, arg := range s {
		switch word {
		case "$schema", "title", "description", "$defs", "then", "else":
		case "if":
			branch := "then"
			if len(check(root, arg.(schema), v, at)) > 0 {
				branch = "else"
			}
			wrong = append(wrong, check(root, s[branch].(schema), v, at)...)
		case "$ref":
			wrong = append(wrong, check(root, root["$defs"].(schema)[strings.TrimPrefix(arg.(string), "#/$defs/")].(schema), v, at)...)
		case "type":
			ok := map[string]bool{"object": isObject, "array": isList, "string": isString, "boolean": isBool, "number": isNumber, "integer": isNumber && number == float64(int(number))}[arg.(string)]
			if !ok {
				say("is no %s", arg)
			}
		case "properties":
			for name, p := range arg.(schema) {
				if val, ok := object[name]; ok {
					wrong = append(wrong, check(root, p.(schema), val, at+"/"+name)...)
				}
			}
		case "additionalProperties":
			properties, _ := s["properties"].(schema)
			for name, val := range object {
				if sub, ok := arg.(schema); ok && properties[name] == nil {
					wrong = append(wrong, check(root, sub, val, at+"/"+name)...)
				} else if properties[name] == nil && arg == false {
					say("has %s", name)
				}
			}
		case "required":
			for _, name := range arg.([]any) {
				if _, ok := object[name.(string)]; !ok {
					say("lacks %s", name)
				}
			}
		case "items":
			for i, it := range list {
				wrong = append(wrong, check(root, arg.(schema), it, fmt.Sprintf("%s/%d", at, i))...)
			}
		case "anyOf":
			if !slices.ContainsFunc(arg.([]any), func(form any) bool { return len(check(root, form.(schema), v, at)) == 0 }) {
				// Of a map where a map may be, what is wrong in it says more.
				for _, form := range arg.([]any) {
					if ref, ok := form.(schema)["$ref"]; ok && isObject && ref != nil {
						return append(wrong, check(root, form.(schema), v, at)...)
					}
				}
				say("none of the forms")
			}
		case "const":
			if v != arg {
				say("is not %v", arg)
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				say("is none of %v", arg)
			}
		case "pattern":
			if isString && !regexp.MustCompile(arg.(string)).MatchString(text) {
				say("%q is not like %s", text, arg)
			}
		case "minLength", "minItems", "minProperties", "minimum", "maxProperties", "exclusiveMinimum", "maximum":
			if !inBounds(word, arg.(float64), v) {
				say("%s %v", word, arg)
			}
		default:
			say("the schema says %s, which this test does not know", word)
		}
	}
	return wrong
}

func inBounds(word string, limit float64, v any) bool {
	n, known := 0.0, true
	switch v := v.(type) {
	case string:
		n, known = float64(len(v)), word == "minLength"
	case []any:
		n, known = float64(len(v)), word == "minItems"
	case map[string]any:
		n, known = float64(len(v)), strings.HasSuffix(word, "Properties")
	case float64:
		n = v
	}
	switch {
	case !known:
		return true
	case word == "exclusiveMinimum":
		return n > limit
	case strings.HasPrefix(word, "max"):
		return n <= limit
	}
	return n >= limit
}
