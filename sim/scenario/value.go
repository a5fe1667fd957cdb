package scenario

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
)

// value is a YAML value with its place, after aliases and merge keys are resolved: what JSON can say, and where it was
// said. It is the table from path to line.
type value struct {
	Pos
	kind   valueKind
	text   string // of scalars: as written, without quotes; of numbers and booleans: as JSON writes them
	items  []*value
	fields []field
}

type field struct {
	Pos // of the key
	key string
	val *value
}

type valueKind uint8

const (
	nullValue valueKind = iota
	boolValue
	intValue
	floatValue
	stringValue
	listValue
	mapValue
)

// get returns the value of a key, nil when there is none.
func (v *value) get(key string) *value {
	if v == nil {
		return nil
	}
	for i := range v.fields {
		if v.fields[i].key == key {
			return v.fields[i].val
		}
	}
	return nil
}

// at returns the place of the value at a path of keys (strings) and indices (ints), or of as much of the path as there is.
func (v *value) at(path ...any) Pos {
	for _, step := range path {
		var next *value
		switch step := step.(type) {
		case string:
			next = v.get(step)
		case int:
			if step < len(v.items) {
				next = v.items[step]
			}
		}
		if next == nil {
			break
		}
		v = next
	}
	return v.Pos
}

// str is the text of a string value, empty for all others.
func (v *value) str() string {
	if v == nil || v.kind != stringValue {
		return ""
	}
	return v.text
}

// absent is for optional fields: not there, or null.
func (v *value) absent() bool { return v == nil || v.kind == nullValue }

// what describes the value in a message: `the number 80`.
func (v *value) what() string {
	switch v.kind {
	case nullValue:
		return "nothing"
	case boolValue:
		return v.text
	case intValue, floatValue:
		return "the number " + v.text
	case stringValue:
		return "the string " + strconv.Quote(shorten(v.text))
	case listValue:
		return "a list"
	}
	return "a map"
}

func shorten(s string) string {
	if r := []rune(s); len(r) > 40 {
		return string(r[:37]) + "..."
	}
	return s
}

// merged is the value after a JSON merge patch (RFC 7386 section 2), each part with the place where it was written.
func (v *value) merged(patch *value) *value {
	if patch.kind != mapValue {
		return patch
	}
	out := &value{Pos: patch.Pos, kind: mapValue}
	if v != nil && v.kind == mapValue {
		out.Pos = v.Pos
		for _, f := range v.fields {
			if patch.get(f.key) == nil {
				out.fields = append(out.fields, f)
			}
		}
	}
	for _, f := range patch.fields {
		if f.val.kind != nullValue {
			out.fields = append(out.fields, field{f.Pos, f.key, v.get(f.key).merged(f.val)})
		}
	}
	return out
}

// json writes the value as JSON, keys in the order of the file.
func (v *value) json() []byte {
	var b bytes.Buffer
	v.write(&b)
	return b.Bytes()
}

func (v *value) write(b *bytes.Buffer) {
	switch v.kind {
	case nullValue:
		b.WriteString("null")
	case boolValue, intValue, floatValue:
		b.WriteString(v.text)
	case stringValue:
		b.Write(quoted(v.text))
	case listValue:
		b.WriteByte('[')
		for i, it := range v.items {
			if i > 0 {
				b.WriteByte(',')
			}
			it.write(b)
		}
		b.WriteByte(']')
	case mapValue:
		b.WriteByte('{')
		for i, f := range v.fields {
			if i > 0 {
				b.WriteByte(',')
			}
			b.Write(quoted(f.key))
			b.WriteByte(':')
			f.val.write(b)
		}
		b.WriteByte('}')
	}
}

func quoted(s string) []byte {
	text, err := json.Marshal(s)
	if err != nil { // a string always marshals
		panic(fmt.Sprintf("quote %q: %v", s, err))
	}
	return text
}
