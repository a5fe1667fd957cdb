package kubeapi

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/serializer/protobuf"

	"svclab/proxycore/cluster"
)

func service(name, ip string, labels ...string) *corev1.Service {
	o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default"}}
	o.Spec.ClusterIP, o.Spec.ClusterIPs, o.Spec.Type = ip, []string{ip}, corev1.ServiceTypeClusterIP
	o.Spec.Ports = []corev1.ServicePort{{Port: 80, Protocol: corev1.ProtocolTCP}}
	for _, l := range labels {
		o.Labels = map[string]string{l: ""}
	}
	return o
}

func slice(service, name string, addresses ...string) *discoveryv1.EndpointSlice {
	port, proto, none := int32(8080), corev1.ProtocolTCP, ""
	o := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "default", Labels: map[string]string{discoveryv1.LabelServiceName: service}}}
	o.AddressType = discoveryv1.AddressTypeIPv4
	o.Ports = []discoveryv1.EndpointPort{{Name: &none, Port: &port, Protocol: &proto}}
	for _, a := range addresses {
		o.Endpoints = append(o.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return o
}

func serve(t *testing.T, o Options) (*Server, string) {
	t.Helper()
	s := New(o)
	h := httptest.NewServer(s)
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		h.Close()
	})
	return s, h.URL
}

func ask(t *testing.T, url, accept string) (code int, kind string, body []byte) {
	t.Helper()
	r, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Accept", accept)
	r.Header.Set("User-Agent", "test/v1")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	body, err = io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, answer.Header.Get("Content-Type"), body
}

func names(t *testing.T, body []byte) string {
	t.Helper()
	var l corev1.ServiceList
	if err := json.Unmarshal(body, &l); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	var out []string
	for _, s := range l.Items {
		out = append(out, s.Name)
	}
	return strings.Join(out, " ")
}

func TestListsAndSelectors(t *testing.T) {
	s, url := serve(t, Options{})
	s.Set((&cluster.Snapshot{}).WithServiceCIDRs(netip.MustParsePrefix("10.96.0.0/16")).WithService(service("a", "10.96.0.1")).WithService(service("b", "None")).
		WithService(service("c", "10.96.0.3", "service.kubernetes.io/service-proxy-name")).WithSlice(slice("a", "a-1", "10.244.1.1")))
	for query, want := range map[string]string{
		"":                                    "a b c",
		"?fieldSelector=metadata.name%3Db":    "b",
		"?fieldSelector=spec.clusterIP!=None": "a c",
		"?labelSelector=!service.kubernetes.io/service-proxy-name": "a b",
	} {
		if _, _, body := ask(t, url+"/api/v1/services"+query, "application/json"); names(t, body) != want {
			t.Errorf("%s: got %q, want %q", query, names(t, body), want)
		}
	}
	for path, want := range map[string]int{
		"/api/v1/namespaces/default/services/a": 200, "/api/v1/namespaces/default/services/z": 404, "/api/v1/namespaces/default": 200,
		"/api/v1/services?fieldSelector=spec.nonsense%3Da": 400, "/api/v1/secrets": 404, "/apis/networking.k8s.io/v1/servicecidrs/kubernetes": 200,
		"/api/v1/services?labelSelector=((": 400, "/healthz": 200, "/version": 200, "/apis": 200, "/apis/discovery.k8s.io/v1": 200,
	} {
		if code, _, body := ask(t, url+path, "application/json"); code != want {
			t.Errorf("%s: %d %s, want %d", path, code, body, want)
		}
	}
	if code, _, _ := ask(t, url+"/api/v1/services", "text/html"); code != http.StatusNotAcceptable {
		t.Errorf("text/html: %d", code)
	}
}

// What is said in protobuf is what is said in JSON.
func TestProtobuf(t *testing.T) {
	s, url := serve(t, Options{})
	s.Set((&cluster.Snapshot{}).WithService(service("a", "10.96.0.1")))
	_, kind, body := ask(t, url+"/api/v1/services", "application/vnd.kubernetes.protobuf,application/json")
	if kind != "application/vnd.kubernetes.protobuf" {
		t.Fatalf("content type %s", kind)
	}
	o, _, err := protobuf.NewSerializer(scheme, scheme).Decode(body, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	l, ok := o.(*corev1.ServiceList)
	if !ok || len(l.Items) != 1 || l.Items[0].Name != "a" || l.Items[0].ResourceVersion == "" || l.ResourceVersion == "" {
		t.Errorf("got %#v", o)
	}
}

// A list in parts is of one moment, whatever happens between the parts; a moment that is forgotten is 410.
func TestParts(t *testing.T) {
	s, url := serve(t, Options{})
	snap := &cluster.Snapshot{}
	for i := range 5 {
		snap = snap.WithService(service(fmt.Sprintf("s%d", i), "10.96.0.1"))
	}
	s.Set(snap)
	var got []string
	next := ""
	for part := 0; ; part++ {
		_, _, body := ask(t, url+"/api/v1/services?limit=2&continue="+next, "application/json")
		got = append(got, names(t, body))
		var l corev1.ServiceList
		if err := json.Unmarshal(body, &l); err != nil {
			t.Fatal(err)
		}
		if next = l.Continue; next == "" {
			break
		}
		s.Set(snap.WithoutService(cluster.Key{Namespace: "default", Name: "s4"}).WithService(service(fmt.Sprintf("s0%d", part), "10.96.0.1")))
	}
	if strings.Join(got, "|") != "s0 s1|s2 s3|s4" {
		t.Errorf("parts %q", got)
	}
	if code, _, _ := ask(t, url+"/api/v1/services?limit=2&continue=eyJ2IjoxMiwiYWZ0ZXIiOiJkZWZhdWx0L3MwIn0", "application/json"); code != http.StatusGone {
		t.Errorf("a forgotten moment: %d, want 410", code)
	}
	if code, _, _ := ask(t, url+"/api/v1/services?continue=nonsense!", "application/json"); code != http.StatusBadRequest {
		t.Errorf("a token that is none: %d, want 400", code)
	}
}

// follow opens a watch and returns what it says, one event a line: "ADDED a".
func follow(t *testing.T, url string) (next func() string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("User-Agent", "test/v1")
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); answer.Body.Close() })
	lines := make(chan string)
	go func() {
		defer close(lines)
		scan := bufio.NewScanner(answer.Body)
		scan.Buffer(nil, 1<<20)
		for scan.Scan() {
			var e struct {
				Type   string
				Object struct {
					Metadata metav1.ObjectMeta
					Code     int
				}
			}
			if err := json.Unmarshal(scan.Bytes(), &e); err != nil {
				e.Type = err.Error()
			}
			word := e.Object.Metadata.Name
			if e.Type == "BOOKMARK" {
				word = e.Object.Metadata.Annotations[metav1.InitialEventsAnnotationKey]
			}
			if e.Type == "ERROR" {
				word = fmt.Sprint(e.Object.Code)
			}
			select {
			case lines <- strings.TrimSpace(e.Type + " " + word):
			case <-ctx.Done():
				return
			}
		}
	}()
	return func() string {
		select {
		case l, ok := <-lines:
			if !ok {
				return "end"
			}
			return l
		case <-time.After(10 * time.Second):
			return "nothing"
		}
	}
}

func want(t *testing.T, next func() string, lines ...string) {
	t.Helper()
	for _, l := range lines {
		if got := next(); got != l {
			t.Fatalf("got %q, want %q", got, l)
		}
	}
}

func TestWatch(t *testing.T) {
	s, url := serve(t, Options{})
	one := (&cluster.Snapshot{}).WithService(service("a", "10.96.0.1"))
	s.Set(one)
	all := follow(t, url+"/api/v1/services?watch=true&sendInitialEvents=true&allowWatchBookmarks=true&resourceVersionMatch=NotOlderThan")
	mine := follow(t, url+"/api/v1/services?watch=true&labelSelector=x")
	want(t, all, "ADDED a", "BOOKMARK true")
	s.Set(one) // again: nothing happens
	s.Set(one.WithService(service("b", "10.96.0.2")))
	want(t, all, "ADDED b")
	s.Set(one.WithService(service("b", "10.96.0.2", "x")))
	want(t, all, "MODIFIED b")
	want(t, mine, "ADDED b") // begins to match
	s.Set(one.WithService(service("b", "10.96.0.3")))
	want(t, all, "MODIFIED b")
	want(t, mine, "DELETED b") // matches no more
	s.Set(one)
	want(t, all, "DELETED b")
	_, _, body := ask(t, url+"/api/v1/services", "application/json")
	var l corev1.ServiceList
	if err := json.Unmarshal(body, &l); err != nil {
		t.Fatal(err)
	}
	late := follow(t, url+"/api/v1/services?watch=true&timeoutSeconds=1&allowWatchBookmarks=true&resourceVersion="+l.ResourceVersion)
	want(t, late, "BOOKMARK", "end") // its time is over, and it knows from where to go on
	if code, _, _ := ask(t, url+"/api/v1/services?watch=true&sendInitialEvents=true", "application/json"); code != http.StatusUnprocessableEntity {
		t.Errorf("sendInitialEvents alone: %d, want 422", code)
	}
	if code, _, _ := ask(t, url+"/api/v1/services?watch=true&resourceVersion=999999", "application/json"); code != http.StatusGatewayTimeout {
		t.Errorf("a version of the future: %d, want 504", code)
	}
}

// A watcher that begins, or falls, behind what the server remembers is told 410; others are not held up by it.
func TestLaggingWatchers(t *testing.T) {
	s, url := serve(t, Options{History: 8})
	snap := &cluster.Snapshot{}
	s.Set(snap.WithService(service("a", "10.96.0.1")))
	stuck := follow(t, url+"/api/v1/services?watch=true") // nobody reads it
	quick := follow(t, url+"/api/v1/services?watch=true")
	want(t, quick, "ADDED a")
	big := service("a", "10.96.0.1")
	big.Annotations = map[string]string{"padding": strings.Repeat("x", 64<<10)} // sockets are full soon
	for i := range 400 {
		o := big.DeepCopy()
		o.Spec.ClusterIP = fmt.Sprintf("10.96.1.%d", i%250)
		s.Set(snap.WithService(o))
		want(t, quick, "MODIFIED a")
	}
	for last := ""; ; {
		switch got := stuck(); got {
		case "ADDED a", "MODIFIED a":
			last = got
			continue
		case "ERROR 410":
			want(t, stuck, "end")
			return
		default:
			t.Fatalf("after %q: %q, want ERROR 410", last, got)
		}
	}
}

func TestWatchFromForgottenVersion(t *testing.T) {
	s, url := serve(t, Options{History: 8})
	for i := range 50 {
		s.Set((&cluster.Snapshot{}).WithService(service("a", fmt.Sprintf("10.96.0.%d", i+1))))
	}
	if code, _, _ := ask(t, url+"/api/v1/services?watch=true&resourceVersion=3", "application/json"); code != http.StatusGone {
		t.Errorf("%d, want 410", code)
	}
}

// What a proxy has been handed is counted, and whether that is all.
func TestHanded(t *testing.T) {
	s, url := serve(t, Options{})
	one := (&cluster.Snapshot{}).WithService(service("a", "10.96.0.1"))
	s.Set(one)
	if n, all := s.Handed("test", "services"); n != 0 || all {
		t.Errorf("before anybody asks: %d, %v", n, all)
	}
	next := follow(t, url+"/api/v1/services?watch=true")
	want(t, next, "ADDED a")
	until := func(n uint64) {
		t.Helper()
		for end := time.Now().Add(5 * time.Second); ; time.Sleep(time.Millisecond) {
			got, all := s.Handed("test", "services")
			if got == n && all {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("handed %d, all %v; want %d", got, all, n)
			}
		}
	}
	until(1)
	s.Set(one.WithService(service("b", "10.96.0.2")))
	want(t, next, "ADDED b")
	until(2)
	// Of slices, those of names are not counted: no proxy does.
	names := slice("a", "a-names", "db.example.com")
	names.AddressType = discoveryv1.AddressTypeFQDN
	s.Set(one.WithSlice(slice("a", "a-1", "10.244.1.1")).WithSlice(names))
	nextSlice := follow(t, url+"/apis/discovery.k8s.io/v1/endpointslices?watch=true")
	want(t, nextSlice, "ADDED a-1")
	want(t, nextSlice, "ADDED a-names")
	if n, _ := s.Handed("test", "endpointslices"); n != 1 {
		t.Errorf("handed %d slices, want 1", n)
	}
}

// Endpoints are derived from the slices, as long as somebody asks.
func TestEndpoints(t *testing.T) {
	s, url := serve(t, Options{})
	no := false
	two := slice("a", "a-2", "10.244.2.1")
	two.Endpoints[0].Conditions.Ready = &no
	s.Set((&cluster.Snapshot{}).WithService(service("a", "10.96.0.1")).WithSlice(slice("a", "a-1", "10.244.1.2", "10.244.1.1")).WithSlice(two))
	get := func() string {
		_, _, body := ask(t, url+"/api/v1/namespaces/default/endpoints/a", "application/json")
		var o struct {
			Subsets []struct {
				Addresses, NotReadyAddresses []struct{ IP string }
				Ports                        []struct{ Port int }
			}
		}
		if err := json.Unmarshal(body, &o); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(o.Subsets)
	}
	if got, want := get(), "[{[{10.244.1.1} {10.244.1.2}] [{10.244.2.1}] [{8080}]}]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	s.Set((&cluster.Snapshot{}).WithService(service("a", "10.96.0.1")).WithSlice(slice("a", "a-1", "10.244.1.2")))
	if got, want := get(), "[{[{10.244.1.2}] [] [{8080}]}]"; got != want {
		t.Errorf("after a change: got %s, want %s", got, want)
	}
}

// The columns are kubectl's.
func TestTables(t *testing.T) {
	s, url := serve(t, Options{})
	svc, list := service("a", "10.96.0.1"), slice("a", "a-1", "10.244.1.1", "10.244.1.2", "10.244.1.3", "10.244.1.4")
	svc.CreationTimestamp = metav1.NewTime(time.Now().Add(-9*24*time.Hour - time.Hour))
	list.CreationTimestamp = svc.CreationTimestamp
	s.Set((&cluster.Snapshot{}).WithService(svc).WithSlice(list))
	for path, want := range map[string]string{
		"/api/v1/services":                         "Name Type Cluster-IP External-IP Port(s) Age Selector | a ClusterIP 10.96.0.1 <none> 80/TCP 9d <none>",
		"/apis/discovery.k8s.io/v1/endpointslices": "Name AddressType Ports Endpoints Age | a-1 IPv4 8080 10.244.1.1,10.244.1.2,10.244.1.3 + 1 more... 9d",
	} {
		_, _, body := ask(t, url+path, "application/json;as=Table;v=v1;g=meta.k8s.io,application/json")
		var table metav1.Table
		if err := json.Unmarshal(body, &table); err != nil || table.Kind != "Table" {
			t.Fatalf("%v in %s", err, body)
		}
		var words []string
		for _, c := range table.ColumnDefinitions {
			words = append(words, c.Name)
		}
		for _, r := range table.Rows {
			words = append(words, "|", strings.Trim(fmt.Sprint(r.Cells), "[]"))
		}
		if got := strings.Join(words, " "); got != want {
			t.Errorf("%s:\n got %s\nwant %s", path, got, want)
		}
	}
}

func TestEventsAreTaken(t *testing.T) {
	_, url := serve(t, Options{})
	body := `{"apiVersion":"events.k8s.io/v1","kind":"Event","metadata":{"name":"e","namespace":"default"},"reason":"Starting","type":"Normal"}`
	answer, err := http.Post(url+"/apis/events.k8s.io/v1/namespaces/default/events", "application/json", bytes.NewReader([]byte(body)))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusCreated {
		t.Errorf("%s", answer.Status)
	}
	if answer, err := http.Post(url+"/api/v1/namespaces/default/services", "application/json", bytes.NewReader([]byte("{}"))); err != nil || answer.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("a Service was taken: %v %v", answer, err)
	}
}
