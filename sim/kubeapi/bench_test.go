package kubeapi

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"svclab/proxycore/cluster"
)

// many is a cluster of n Services with ten endpoints each.
func many(n int) *cluster.Snapshot {
	s := &cluster.Snapshot{}
	for i := range n {
		name := fmt.Sprintf("svc-%05d", i)
		var endpoints []string
		for e := range 10 {
			endpoints = append(endpoints, fmt.Sprintf("10.%d.%d.%d", 128+e, i/250, i%250+1))
		}
		s = s.WithService(service(name, fmt.Sprintf("10.96.%d.%d", i/250, i%250+1))).WithSlice(slice(name, name+"-abcde", endpoints...))
	}
	return s
}

// BenchmarkLists is what kube-proxy asks for at its start, with 10,000 Services of ten endpoints: at most a second for both
// lists, in either encoding.
func BenchmarkLists(b *testing.B) {
	s := New(Options{})
	s.Set(many(10000))
	h := httptest.NewServer(s)
	defer h.Close()
	defer s.Close()
	for _, accept := range []string{"application/vnd.kubernetes.protobuf", "application/json"} {
		b.Run(accept[len("application/"):], func(b *testing.B) {
			for b.Loop() {
				for _, path := range []string{"/api/v1/services", "/apis/discovery.k8s.io/v1/endpointslices"} {
					r, err := http.NewRequest(http.MethodGet, h.URL+path, nil)
					if err != nil {
						b.Fatal(err)
					}
					r.Header.Set("Accept", accept)
					answer, err := http.DefaultClient.Do(r)
					if err != nil {
						b.Fatal(err)
					}
					n, err := io.Copy(io.Discard, answer.Body)
					answer.Body.Close()
					if err != nil || n < 1<<20 {
						b.Fatalf("%d bytes: %v", n, err)
					}
				}
			}
		})
	}
}

// BenchmarkMemory compares what the server keeps with the objects that it was given: at most as much again.
func BenchmarkMemory(b *testing.B) {
	inUse := func() float64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return float64(m.HeapAlloc)
	}
	for b.Loop() {
		before := inUse()
		snap := many(10000)
		objects := inUse() - before
		s := New(Options{})
		s.Set(snap)
		server := inUse() - before - objects
		b.ReportMetric(objects/1e6, "MB-objects")
		b.ReportMetric(server/1e6, "MB-server")
		b.ReportMetric((objects+server)/objects, "times-objects")
		runtime.KeepAlive(snap)
		runtime.KeepAlive(s)
	}
}

// BenchmarkSet is a change of one Service's endpoints among many.
func BenchmarkSet(b *testing.B) {
	for _, n := range []int{1000, 30000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			one := many(n)
			two := one.WithSlice(slice("svc-00007", "svc-00007-abcde", "10.200.0.1"))
			s := New(Options{})
			s.Set(one)
			for b.Loop() {
				s.Set(two)
				s.Set(one)
			}
		})
	}
}
