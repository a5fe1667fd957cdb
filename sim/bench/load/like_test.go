package load

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const dump = `{"kind": "List", "items": [
{"kind": "Service", "metadata": {"namespace": "b", "name": "web"}, "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 80}, {"port": 443}]}},
{"kind": "Service", "metadata": {"namespace": "a", "name": "db"}, "spec": {"clusterIP": "fd00::2", "ports": [{"port": 5432}]}},
{"kind": "Service", "metadata": {"namespace": "c", "name": "none"}, "spec": {"clusterIP": "10.0.0.3", "ports": [{"port": 80}]}},
{"kind": "Service", "metadata": {"namespace": "c", "name": "headless"}, "spec": {"clusterIP": "None", "ports": [{"port": 80}]}},
{"kind": "EndpointSlice", "addressType": "IPv4", "metadata": {"namespace": "b", "labels": {"kubernetes.io/service-name": "web"}}, "endpoints": [{"addresses": ["10.1.0.1"]}, {"addresses": ["10.1.0.2"]}]},
{"kind": "EndpointSlice", "addressType": "IPv4", "metadata": {"namespace": "b", "labels": {"kubernetes.io/service-name": "web"}}, "endpoints": [{"addresses": ["10.1.0.2"]}, {"addresses": ["10.1.0.3"]}]},
{"kind": "EndpointSlice", "addressType": "IPv6", "metadata": {"namespace": "b", "labels": {"kubernetes.io/service-name": "web"}}, "endpoints": [{"addresses": ["fd00::1"]}]},
{"kind": "EndpointSlice", "addressType": "IPv6", "metadata": {"namespace": "a", "labels": {"kubernetes.io/service-name": "db"}}, "endpoints": [{"addresses": ["fd00::4"]}]}
]}`

// TestLike reads a dump in both forms, and several objects one after the other.
func TestLike(t *testing.T) {
	several := strings.ReplaceAll(strings.TrimSuffix(strings.SplitN(dump, "[\n", 2)[1], "\n]}"), "},\n", "}\n")
	for name, text := range map[string]string{"JSON": dump, "YAML": " # of kubectl\n" + dump, "objects": several, "documents": "---\n" + strings.ReplaceAll(several, "\n", "\n---\n")} {
		t.Run(name, func(t *testing.T) {
			shape, err := Like([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			type service struct{ ports, endpoints int }
			var got []service
			for i := range 4 {
				got = append(got, service{shape.Ports(i), shape.Endpoints(i)})
			}
			if diff := cmp.Diff([]service{{1, 1}, {2, 3}, {1, 0}, {1, 1}}, got, cmp.AllowUnexported(service{})); diff != "" || shape.Services != 3 {
				t.Errorf("%d Services (-want +got)\n%s", shape.Services, diff)
			}
			made := New(shape)
			if routes := routesOf(t, made.Snapshot(), 1); len(routes) != 2 || routes[1].Front.Port != Port+1 || len(routes[1].Pool.Endpoints) != 3 {
				t.Errorf("two ports: %+v", routes)
			}
		})
	}
}

// An EndpointSlice in which nothing has changed is nobody's news.
func TestWithLeavesOtherSlicesAlone(t *testing.T) {
	c := New(Shape{Services: 2, Endpoints: Each(250)})
	before := c.Snapshot()
	list := c.EndpointsOf(0)
	list[120] = c.Fresh(0)
	after := c.With(before, 0, list)
	changed := 0
	was := map[string]any{}
	key := before.Services()
	for svc := range key {
		for s := range before.Slices(svc.Key) {
			was[s.Name] = s
		}
		for s := range after.Slices(svc.Key) {
			if was[s.Name] != any(s) {
				changed++
			}
		}
	}
	if changed != 1 {
		t.Errorf("%d slices were written, want 1", changed)
	}
}
