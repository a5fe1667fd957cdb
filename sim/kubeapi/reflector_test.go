package kubeapi_test

import (
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"

	"svclab/proxycore/cluster"
	"svclab/proxycore/reflector"
	"svclab/sim/kubeapi"
)

// Every kind of change comes through, in either encoding, and what is no proxy's business does not.
func TestReflectorFollows(t *testing.T) {
	for _, encoding := range []string{"protobuf", "json"} {
		t.Run(encoding, func(t *testing.T) {
			front := func(w http.ResponseWriter, r *http.Request, api http.Handler) {
				if encoding == "json" {
					r.Header.Set("Accept", "application/json")
				}
				api.ServeHTTP(w, r)
			}
			f := feed(t, kubeapi.Options{}, front)
			s := some()
			headless := svc("h", "None")
			headless.Labels = map[string]string{corev1.IsHeadlessService: ""}
			f.api.Set(s.WithNode(node("node-2", "10.244.2.0/24")).WithService(headless))
			f.until(t, text(s))
			for name, next := range map[string]func() *cluster.Snapshot{
				"a Service added": func() *cluster.Snapshot { return s.WithService(svc("c", "10.96.0.3")) },
				"a Service other": func() *cluster.Snapshot { return s.WithService(svc("a", "10.96.0.9")) },
				"a Service gone":  func() *cluster.Snapshot { return s.WithoutService(cluster.Key{Namespace: "default", Name: "b"}) },
				"endpoints other": func() *cluster.Snapshot { return s.WithSlice(endpoints("a", "a-1", "10.244.1.9")) },
				"a slice added":   func() *cluster.Snapshot { return s.WithSlice(endpoints("a", "a-2", "10.244.1.9")) },
				"a slice of another Service": func() *cluster.Snapshot {
					return s.WithoutSlice(cluster.Key{Namespace: "default", Name: "b"}, cluster.Key{Namespace: "default", Name: "b-1"}).WithSlice(endpoints("a", "b-1", "10.244.1.3"))
				},
				"the node other": func() *cluster.Snapshot { return s.WithNode(node("node-1", "10.244.7.0/24")) },
				"the node gone":  func() *cluster.Snapshot { return s.WithoutNode("node-1") },
				"ServiceCIDRs":   func() *cluster.Snapshot { return s.WithServiceCIDRs(netip.MustParsePrefix("10.0.0.0/16")) },
				"no ServiceCIDR": func() *cluster.Snapshot { return s.WithServiceCIDRs() },
				"nothing left":   func() *cluster.Snapshot { return &cluster.Snapshot{} },
			} {
				n := next()
				f.api.Set(n)
				f.until(t, text(n))
				f.api.Set(s)
				f.until(t, text(s))
				if len(f.pauses) > 0 {
					t.Fatalf("%s: there was an error", name)
				}
			}
		})
	}
}

// The first state waits for the slowest list, and a server without ServiceCIDRs is none without state.
func TestReflectorWaitsForAllLists(t *testing.T) {
	gate := make(chan struct{})
	served := make(chan string, 100)
	f := feed(t, kubeapi.Options{}, func(w http.ResponseWriter, r *http.Request, api http.Handler) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/servicecidrs"):
			http.NotFound(w, r)
		case strings.HasSuffix(r.URL.Path, "/endpointslices") && r.URL.Query().Get("watch") == "":
			<-gate
			fallthrough
		default:
			if r.URL.Query().Get("watch") != "" {
				served <- r.URL.Path
			}
			api.ServeHTTP(w, r)
		}
	})
	s := some()
	f.api.Set(s)
	<-served // services and nodes are watched: their lists are told
	<-served
	close(gate)
	if others := f.until(t, text(s.WithServiceCIDRs())); others != 0 {
		t.Errorf("%d states before the first whole one", others)
	}
}

// What comes while a state is put in force is put together into the next one, and counted when it is in force.
func TestReflectorPutsTogether(t *testing.T) {
	f := feed(t, kubeapi.Options{}, nil)
	s := some()
	f.api.Set(s)
	f.until(t, text(s))
	busy, free := make(chan bool), make(chan bool)
	f.mu.Lock()
	f.apply = func(*cluster.Snapshot) error { busy <- true; <-free; return nil }
	f.mu.Unlock()
	s = s.WithService(svc("first", "10.96.1.1"))
	f.api.Set(s)
	<-busy
	const many = 500
	for i := range many {
		s = s.WithService(svc(fmt.Sprint("svc-", i%50), fmt.Sprintf("10.96.2.%d", i%200+1)))
		f.api.Set(s)
	}
	services := func() reflector.Count { return f.Counts()[0] }
	soon(t, func() bool { return services().Received == 2+1+many })
	if c := services(); c.InForce != 2 {
		t.Errorf("%d are in force while the first is being applied, want 2", c.InForce)
	}
	f.mu.Lock()
	f.apply = nil
	f.mu.Unlock()
	free <- true
	if others := f.until(t, text(s)); others != 1 {
		t.Errorf("%d states before the last, want 1: the first change", others)
	}
	soon(t, func() bool { return services().InForce == 2+1+many }) // is counted right after
}

// A state that cannot be applied is tried again after growing pauses, together with what has come meanwhile.
func TestReflectorTriesAgain(t *testing.T) {
	f := feed(t, kubeapi.Options{}, nil)
	s, tries := some(), 0
	f.mu.Lock()
	f.apply = func(*cluster.Snapshot) error {
		if tries++; tries <= 5 {
			return errors.New("no")
		}
		return nil
	}
	f.mu.Unlock()
	f.api.Set(s)
	f.until(t, text(s))
	var got []time.Duration
	for len(f.pauses) > 0 {
		got = append(got, <-f.pauses)
	}
	if len(got) != 5 || got[4] < 800*time.Millisecond || got[4] > 1600*time.Millisecond {
		t.Errorf("pauses %v, want five, the last about a second", got)
	}
	f.mu.Lock()
	tries = 4
	f.mu.Unlock()
	s = s.WithService(svc("c", "10.96.0.3"))
	f.api.Set(s)
	f.until(t, text(s))
	if d := <-f.pauses; d > 100*time.Millisecond {
		t.Errorf("after a success the pause is %s, want a short one", d)
	}
}

// The watch that ended is followed by one from the last version, which bookmarks move without any change.
func TestReflectorBookmarks(t *testing.T) {
	type query struct{ version, timeout string }
	asked := make(chan query, 100)
	var mu sync.Mutex
	var end []context.CancelFunc
	f := feed(t, kubeapi.Options{Bookmark: 5 * time.Millisecond}, func(w http.ResponseWriter, r *http.Request, api http.Handler) {
		if q := r.URL.Query(); strings.HasSuffix(r.URL.Path, "/services") && q.Get("watch") != "" {
			asked <- query{q.Get("resourceVersion"), q.Get("timeoutSeconds")}
			ctx, cancel := context.WithCancel(r.Context())
			mu.Lock()
			end = append(end, cancel)
			mu.Unlock()
			r = r.WithContext(ctx)
		}
		api.ServeHTTP(w, r)
	})
	s := some()
	f.api.Set(s)
	f.until(t, text(s))
	first := <-asked
	n := s.WithNode(node("node-1", "10.244.9.0/24")) // a version that no Service has
	f.api.Set(n)
	f.until(t, text(n))
	for { // until a bookmark has been told
		time.Sleep(20 * time.Millisecond)
		mu.Lock()
		for _, cancel := range end {
			cancel()
		}
		mu.Unlock()
		if again := <-asked; again.version != first.version {
			break
		}
	}
	if first.timeout == "" {
		t.Error("the watch has no timeoutSeconds")
	}
	f.api.Set(s)
	f.until(t, text(s))
}

// A server that has forgotten what was since is listed anew, and only differences are changes.
func TestReflectorGone(t *testing.T) {
	var mu sync.Mutex
	refuse, lists := false, 0
	cut := make(chan context.CancelFunc, 100)
	f := feed(t, kubeapi.Options{History: 4}, func(w http.ResponseWriter, r *http.Request, api http.Handler) {
		if strings.HasSuffix(r.URL.Path, "/services") {
			mu.Lock()
			no := refuse
			if r.URL.Query().Get("watch") == "" {
				lists++
			}
			mu.Unlock()
			if no {
				http.Error(w, "not now", http.StatusServiceUnavailable)
				return
			}
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			if r.URL.Query().Get("watch") != "" {
				cut <- cancel
			}
			r = r.WithContext(ctx)
		}
		api.ServeHTTP(w, r)
	})
	s := some()
	f.api.Set(s)
	f.until(t, text(s))
	end := <-cut // it watches
	mu.Lock()
	refuse = true
	mu.Unlock()
	end()
	<-f.pauses // it has found out
	for i := range 100 {
		s = s.WithService(svc(fmt.Sprint("new-", i), fmt.Sprintf("10.96.3.%d", i+1)))
		f.api.Set(s)
	}
	s = s.WithoutService(cluster.Key{Namespace: "default", Name: "b"})
	f.api.Set(s)
	mu.Lock()
	refuse = false
	mu.Unlock()
	f.until(t, text(s))
	mu.Lock()
	defer mu.Unlock()
	if lists != 2 {
		t.Errorf("%d lists, want the first and one anew", lists)
	}
}

// Another server in the place of the first, which counts its versions from one again, is believed.
func TestReflectorServerComesBack(t *testing.T) {
	f := feed(t, kubeapi.Options{}, nil)
	s := some()
	for i := range 50 { // versions go up, of every resource
		f.api.Set(s.WithService(svc("x", fmt.Sprintf("10.96.4.%d", i+1))))
	}
	f.api.Set(&cluster.Snapshot{})
	f.api.Set(s)
	f.until(t, text(s))
	for i := range 50 { // the second is never as far as the first
		f.api.Set(s.WithService(svc("y", fmt.Sprintf("10.96.4.%d", i+1))).WithNode(node("node-1", fmt.Sprintf("10.244.%d.0/24", i))).
			WithServiceCIDRs(netip.PrefixFrom(netip.AddrFrom4([4]byte{10, 100, byte(i), 0}), 24)).WithSlice(endpoints("b", "b-1", fmt.Sprintf("10.244.1.%d", i+10))))
	}
	f.api.Set(s)
	f.until(t, text(s))
	other := kubeapi.New(kubeapi.Options{})
	var next *cluster.Snapshot
	for was := versionOf(t, f.api, "a"); ; { // with the version that another object had at the first
		next = (&cluster.Snapshot{}).WithService(svc("a", "10.96.0.77"))
		if other.Set(next); versionOf(t, other, "a") == was {
			break
		}
	}
	t.Cleanup(func() { other.Close() })
	f.mu.Lock()
	old := f.api
	f.api = other
	f.mu.Unlock()
	if err := old.Close(); err != nil { // ends all watches
		t.Fatal(err)
	}
	f.until(t, text(next))
}

// versionOf is the resourceVersion of a Service.
func versionOf(t *testing.T, api *kubeapi.Server, name string) string {
	t.Helper()
	w := httptest.NewRecorder()
	api.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/api/v1/namespaces/default/services/"+name, nil))
	var o corev1.Service
	if err := json.Unmarshal(w.Body.Bytes(), &o); err != nil {
		t.Fatal(err)
	}
	return o.ResourceVersion
}

// A server that is not there is asked again and again, at growing intervals.
func TestReflectorUnreachable(t *testing.T) {
	f := &fed{api: kubeapi.New(kubeapi.Options{}), states: make(chan string, 10), pauses: make(chan time.Duration, 10000), ended: make(chan error, 1)}
	gone := httptest.NewServer(nil)
	gone.Close()
	f.start(t, reflector.Options{API: gone.URL, Node: "n"})
	longest := time.Duration(0)
	for range 100 {
		longest = max(longest, <-f.pauses)
	}
	f.stop()
	if longest < 15*time.Second || longest > 30*time.Second {
		t.Errorf("the longest pause was %s, want about 30s", longest)
	}
	if c := f.Counts()[0]; c.Failures < 5 || c.Received != 0 {
		t.Errorf("%+v", c)
	}
}

// An event that is cut off, one of another kind and nonsense are errors; what is true comes through all the same.
func TestReflectorMisreads(t *testing.T) {
	for name, spoil := range map[string]func(w http.ResponseWriter){
		"half an event": func(w http.ResponseWriter) { _, _ = w.Write([]byte{0, 0, 1, 0, 10, 5, 'A', 'D'}) },
		"half a length": func(w http.ResponseWriter) { _, _ = w.Write([]byte{0, 0}) },
		"nonsense":      func(w http.ResponseWriter) { _, _ = w.Write([]byte{0, 0, 0, 4, 0xff, 0xff, 0xff, 0xff}) },
		"another kind": func(w http.ResponseWriter) {
			_, _ = w.Write(frame("ADDED", "Pod", nil))
		},
		"another type": func(w http.ResponseWriter) { _, _ = w.Write(frame("INVENTED", "Service", []byte{10, 3, 10, 1, 'x'})) },
		"no name":      func(w http.ResponseWriter) { _, _ = w.Write(frame("ADDED", "Service", nil)) },
		"a large size": func(w http.ResponseWriter) { _, _ = w.Write([]byte{0xff, 0xff, 0xff, 0xff, 1}) },
	} {
		t.Run(name, func(t *testing.T) {
			// What was damaged on its way is whole at the next time; what is wrong with the server's history stays so until a list.
			lasting := strings.HasPrefix(name, "another") || name == "no name"
			var mu sync.Mutex
			lists, watches := 0, 0
			f := feed(t, kubeapi.Options{}, func(w http.ResponseWriter, r *http.Request, api http.Handler) {
				if strings.HasSuffix(r.URL.Path, "/services") {
					mu.Lock()
					if r.URL.Query().Get("watch") == "" {
						lists++
					} else {
						watches++
					}
					bad := watches > 0 && lists == 1 && (lasting || watches == 1)
					mu.Unlock()
					if bad {
						w.Header().Set("Content-Type", "application/vnd.kubernetes.protobuf;stream=watch")
						spoil(w)
						return
					}
				}
				api.ServeHTTP(w, r)
			})
			s := some()
			f.api.Set(s)
			f.until(t, text(s))
			s = s.WithService(svc("c", "10.96.0.3"))
			f.api.Set(s)
			f.until(t, text(s))
			if c := f.Counts()[0]; c.Failures != 1 {
				t.Errorf("%d failures, want 1", c.Failures)
			}
		})
	}
}

// frame is an event of a watch, in protobuf, with an object of so many bytes.
func frame(typ, kind string, object []byte) []byte {
	field := func(number byte, b []byte) []byte { return append([]byte{number<<3 | 2, byte(len(b))}, b...) }
	envelope := slices.Concat([]byte("k8s\x00"), field(1, field(2, []byte(kind))), field(2, object))
	event := slices.Concat(field(1, []byte(typ)), field(2, field(1, envelope)))
	return append([]byte{0, 0, 0, byte(len(event))}, event...)
}

// Over https the certificate is checked, and a token is shown, as it is in the file now.
func TestReflectorHTTPS(t *testing.T) {
	f := &fed{api: kubeapi.New(kubeapi.Options{}), states: make(chan string, 10), pauses: make(chan time.Duration, 10000), ended: make(chan error, 1)}
	t.Cleanup(func() { f.api.Close() })
	f.api.Set(some())
	h := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer open sesame" || r.UserAgent() != "test/1" {
			http.Error(w, "who are you?", http.StatusUnauthorized)
			return
		}
		f.api.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	dir := t.TempDir()
	ca, token := filepath.Join(dir, "ca"), filepath.Join(dir, "token")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.Certificate().Raw})
	if err := errors.Join(os.WriteFile(ca, certificate, 0o600), os.WriteFile(token, []byte("wrong\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	f.start(t, reflector.Options{API: h.URL, Node: "node-1", CA: ca, TokenFile: token, Agent: "test/1"})
	<-f.pauses
	if err := os.WriteFile(token, []byte("open sesame\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	f.until(t, text(some()))
}

// A full list now and then finds what a watch has not told, though nothing is wrong with the watch.
func TestReflectorResync(t *testing.T) {
	lists := make(chan string, 100)
	f := &fed{api: kubeapi.New(kubeapi.Options{}), states: make(chan string, 100), pauses: make(chan time.Duration, 10000), ended: make(chan error, 1)}
	t.Cleanup(func() { f.api.Close() })
	s := some()
	f.api.Set(s)
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if q := r.URL.Query(); strings.HasSuffix(r.URL.Path, "/services") && q.Get("watch") == "" {
			lists <- q.Get("resourceVersionMatch")
		}
		f.api.ServeHTTP(w, r)
	}))
	t.Cleanup(h.Close)
	f.start(t, reflector.Options{API: h.URL, Node: "node-1", Resync: time.Second})
	f.until(t, text(s))
	if first, again := <-lists, <-lists; first != "" || again != "NotOlderThan" {
		t.Errorf("lists ask for %q, %q", first, again)
	}
}
