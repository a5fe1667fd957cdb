package scenario

import (
	stdjson "encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// fits checks a value against a Go type before it is decoded. The decoder would stop at the first mistake and name Go
// types; this finds all of them, each with its place. A field that the type does not have is a warning, as in the API
// server's default, so that objects of a newer cluster can be pasted.
func (p *parser) fits(v *value, t reflect.Type, path string) {
	if v.kind == nullValue {
		return // absent; in a merge patch: to be removed
	}
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	wrong := func(want string) {
		p.problem(v.Pos, "%s must be %s, not %s", orDocument(path), want, v.what())
	}
	if reflect.PointerTo(t).Implements(unmarshaler) {
		if stdjson.Unmarshal(v.json(), reflect.New(t).Interface()) != nil {
			wrong(formOf(t))
		}
		return
	}
	switch t.Kind() {
	case reflect.Struct:
		if v.kind != mapValue {
			wrong("a map")
			return
		}
		p.fitsStruct(v, t, path)
	case reflect.Map:
		if v.kind != mapValue {
			wrong("a map")
			return
		}
		for _, f := range v.fields {
			p.fits(f.val, t.Elem(), join(path, f.key))
		}
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			if v.kind != stringValue {
				wrong("a string of base64")
			}
			return
		}
		if v.kind != listValue {
			wrong("a list")
			return
		}
		for i, it := range v.items {
			p.fits(it, t.Elem(), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.String:
		if v.kind != stringValue {
			p.problem(v.Pos, "%s must be a string, not %s%s", path, v.what(), quoteIt(v))
		}
	case reflect.Bool:
		if v.kind != boolValue {
			wrong("true or false")
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		var n int64
		switch {
		case v.kind == stringValue && stdjson.Unmarshal([]byte(v.text), &n) == nil:
			p.problem(v.Pos, "%s must be a number, not %s: leave out the quotes", path, v.what())
		case v.kind != intValue:
			wrong("a number without a fraction")
		case stdjson.Unmarshal([]byte(v.text), &n) != nil || reflect.Zero(t).OverflowInt(n):
			wrong("a smaller number")
		}
	case reflect.Float32, reflect.Float64:
		if v.kind != intValue && v.kind != floatValue {
			wrong("a number")
		}
	}
}

func (p *parser) fitsStruct(v *value, t reflect.Type, path string) {
	known := fieldsOf(t)
	for _, f := range v.fields {
		ft, ok := known[f.key]
		if !ok {
			p.warn(f.Pos, "unknown field %q%s", join(path, f.key), strings.TrimSuffix(didYouMean(f.key, slices.Sorted(maps.Keys(known))), ":"))
			continue
		}
		p.fits(f.val, ft, join(path, f.key))
	}
}

var unmarshaler = reflect.TypeFor[stdjson.Unmarshaler]()

// formOf is how a type that reads itself is written.
func formOf(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[metav1.Time](), reflect.TypeFor[metav1.MicroTime]():
		return "a time such as 2026-01-31T12:00:00Z"
	case reflect.TypeFor[intstr.IntOrString]():
		return "a number or a name"
	case reflect.TypeFor[resource.Quantity]():
		return "a quantity such as 100m or 1Gi"
	}
	return "of another form"
}

func orDocument(path string) string {
	if path == "" {
		return "the object"
	}
	return path
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// fieldsOf has the types of a struct's fields by their names in JSON.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if have, ok := fieldCache.Load(t); ok {
		return have.(map[string]reflect.Type)
	}
	out := map[string]reflect.Type{}
	for i := range t.NumField() {
		f := t.Field(i)
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported():
		case name == "" && f.Anonymous:
			maps.Copy(out, fieldsOf(f.Type))
		case name != "":
			out[name] = f.Type
		}
	}
	fieldCache.Store(t, out)
	return out
}

var fieldCache sync.Map // reflect.Type → map[string]reflect.Type
