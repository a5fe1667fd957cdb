package scenario

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// MaxSize is how large a scenario file may be, in bytes.
const MaxSize = 16 << 20

// maxNodes bounds what a file can grow to by its aliases, in values: nested aliases double at every line.
const maxNodes = 2_000_000

// documents reads the YAML documents of a text; empty ones are left out. After a syntax error the rest is not read.
func (r *report) documents(text []byte) []*value {
	if !r.readable(text) {
		return nil
	}
	var out []*value
	budget := maxNodes
	for dec := yaml.NewDecoder(bytes.NewReader(text)); ; {
		var n yaml.Node
		switch err := dec.Decode(&n); {
		case errors.Is(err, io.EOF):
			return out
		case err != nil:
			r.syntax(err, text)
			return nil
		}
		t := &tree{report: r, budget: &budget, open: map[*yaml.Node]bool{}}
		if v := t.value(&n); v != nil && v.kind != nullValue {
			out = append(out, v)
		}
		if budget <= 0 {
			return nil // reported; what else there may be to say is about a file that nobody meant
		}
	}
}

// readable refuses what is no YAML text before the parser speaks of octets.
func (r *report) readable(text []byte) bool {
	r.end = []int{0}
	switch {
	case len(text) > MaxSize:
		r.problem(Pos{}, "the file has %d bytes; a scenario has at most %d", len(text), MaxSize)
		return false
	case bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text):
		r.problem(Pos{}, "this is no text in UTF-8; a scenario is a YAML file")
		return false
	}
	lines := strings.Split(lineEnds.Replace(string(text)), "\n")
	if n := len(lines); n > 1 && lines[n-1] == "" {
		lines = lines[:n-1]
	}
	r.end = make([]int, len(lines))
	for i, l := range lines {
		r.end[i] = utf8.RuneCountInString(l)
	}
	return true
}

// lineEnds are what YAML 1.1 and its parser count as ends of lines.
var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

// tree turns one document's nodes into values.
type tree struct {
	*report
	budget *int
	open   map[*yaml.Node]bool // on the way from the root: an alias to one of them would never end
}

// value returns nil for what was reported.
func (t *tree) value(n *yaml.Node) *value {
	if *t.budget--; *t.budget <= 0 {
		if *t.budget == 0 {
			t.problem(Pos{n.Line, n.Column}, "the aliases of this file multiply to more than %d values", maxNodes)
		}
		return nil
	}
	v := &value{Pos: Pos{n.Line, n.Column}}
	switch n.Kind {
	case yaml.DocumentNode:
		return t.value(n.Content[0])
	case yaml.AliasNode:
		if t.open[n.Alias] {
			t.problem(v.Pos, "the alias *%s stands inside of what it means", n.Value)
			return nil
		}
		// What is wrong in it is reported where it is written; that it is used is no second mistake.
		return t.value(n.Alias)
	case yaml.SequenceNode:
		v.kind = listValue
		t.open[n] = true
		for _, c := range n.Content {
			if it := t.value(c); it != nil {
				v.items = append(v.items, it)
			}
		}
		delete(t.open, n)
	case yaml.MappingNode:
		v.kind = mapValue
		t.open[n] = true
		t.mapping(v, n)
		delete(t.open, n)
	default:
		return t.scalar(v, n)
	}
	return v
}

func (t *tree) mapping(v *value, n *yaml.Node) {
	var merges []*yaml.Node
	line := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, c := n.Content[i], n.Content[i+1]
		at := Pos{k.Line, k.Column}
		if k.Kind == yaml.AliasNode {
			k = k.Alias
		}
		switch {
		case k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge":
			merges = append(merges, c)
		case k.Kind != yaml.ScalarNode || k.ShortTag() == "!!null":
			t.problem(at, "a key must be a word")
		case line[k.Value] != 0:
			t.problem(at, "the key %q stands here a second time; the first is in line %d", shorten(k.Value), line[k.Value])
		default:
			line[k.Value] = at.Line
			if val := t.value(c); val != nil {
				v.fields = append(v.fields, field{at, k.Value, val})
			}
		}
	}
	for _, m := range merges {
		t.merge(v, m)
	}
}

// merge adds what `<<` brings: what is there already stays (yaml.org/type/merge.html).
func (t *tree) merge(v *value, n *yaml.Node) {
	from := t.value(n)
	if from == nil {
		return
	}
	parts := []*value{from}
	if from.kind == listValue {
		parts = from.items
	}
	for _, p := range parts {
		if p.kind != mapValue {
			t.problem(Pos{n.Line, n.Column}, "\"<<\" merges a map, or a list of maps, not %s", p.what())
			continue
		}
		for _, f := range p.fields {
			if v.get(f.key) == nil {
				v.fields = append(v.fields, f)
			}
		}
	}
}

func (t *tree) scalar(v *value, n *yaml.Node) *value {
	v.kind, v.text = stringValue, n.Value
	var err error
	switch tag := n.ShortTag(); tag {
	case "!!null":
		v.kind = nullValue
	case "!!bool":
		var b bool
		err = n.Decode(&b)
		v.kind, v.text = boolValue, strconv.FormatBool(b)
	case "!!int":
		var i int64
		if err = n.Decode(&i); err != nil {
			err = errors.New("the number is too large")
		}
		v.kind, v.text = intValue, strconv.FormatInt(i, 10)
	case "!!float":
		var f float64
		if err = n.Decode(&f); err == nil && (math.IsInf(f, 0) || math.IsNaN(f)) {
			err = errors.New("no number that a computer could count with")
		}
		v.kind, v.text = floatValue, strconv.FormatFloat(f, 'g', -1, 64)
	case "!!str", "!!timestamp":
	default:
		err = fmt.Errorf("the tag %s has no meaning here; leave it out", tag)
	}
	if err != nil {
		t.problem(v.Pos, "%q: %v", shorten(n.Value), strings.TrimPrefix(err.Error(), "yaml: "))
		return nil
	}
	return v
}
