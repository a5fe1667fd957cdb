package scenario

import (
	"encoding/json"
	"reflect"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

var typeOfPos = reflect.TypeFor[Pos]()

// sameJSON compares patches by what they mean.
var sameJSON = cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".JSON" },
	cmp.Transformer("JSON", func(text []byte) (v any) {
		if err := json.Unmarshal(text, &v); err != nil {
			return err.Error()
		}
		return v
	}))

func clusterIP(o runtime.Object) string { return o.(*corev1.Service).Spec.ClusterIP }
