package kubeapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"svclab/proxycore/cluster"
	"svclab/proxycore/reflector"
	"svclab/sim/kubeapi"
)

// fed is a reflector that reads from a server, and what it has applied.
type fed struct {
	*reflector.Reflector
	api    *kubeapi.Server
	states chan string // every state that was applied, as text
	pauses chan time.Duration
	stop   context.CancelFunc
	ended  chan error

	mu    sync.Mutex
	apply func(s *cluster.Snapshot) error // beside noting it
	front func(w http.ResponseWriter, r *http.Request, api http.Handler)
}

// feed starts both. front may stand between them.
func feed(t *testing.T, o kubeapi.Options, front func(http.ResponseWriter, *http.Request, http.Handler)) *fed {
	t.Helper()
	f := &fed{api: kubeapi.New(o), front: front, states: make(chan string, 1000), pauses: make(chan time.Duration, 10000), ended: make(chan error, 1)}
	h := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		front, api := f.front, f.api
		f.mu.Unlock()
		if front == nil {
			api.ServeHTTP(w, r)
			return
		}
		front(w, r, api)
	}))
	t.Cleanup(h.Close)
	t.Cleanup(func() { f.api.Close() })
	f.start(t, reflector.Options{API: h.URL, Node: "node-1"})
	return f
}

func (f *fed) start(t *testing.T, o reflector.Options) {
	t.Helper()
	o.Wait = func(ctx context.Context, d time.Duration) error {
		f.pauses <- d
		return ctx.Err()
	}
	var err error
	if f.Reflector, err = reflector.New(o); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	f.stop = stop
	go func() {
		f.ended <- f.Run(ctx, func(_ context.Context, s *cluster.Snapshot) error {
			f.mu.Lock()
			apply := f.apply
			f.mu.Unlock()
			if apply != nil {
				if err := apply(s); err != nil {
					return err
				}
			}
			f.states <- text(s)
			return nil
		})
	}()
	t.Cleanup(func() {
		stop()
		if err := <-f.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
}

// until waits for a state to be applied, and returns how many came before it.
func (f *fed) until(t *testing.T, want string) (others int) {
	t.Helper()
	late := time.After(10 * time.Second)
	last := "nothing"
	for ; ; others++ {
		select {
		case last = <-f.states:
			if last == want {
				return others
			}
		case <-late:
			t.Fatalf("the last state is\n%s\nwant\n%s", last, want)
		}
	}
}

// soon waits for what must come.
func soon(t *testing.T, is func() bool) {
	t.Helper()
	for began := time.Now(); !is(); time.Sleep(time.Millisecond) {
		if time.Since(began) > 10*time.Second {
			t.Fatal("it does not come")
		}
	}
}

// text is a state as a proxy sees it.
func text(s *cluster.Snapshot) string {
	var lines []string
	for svc := range s.Services() {
		lines = append(lines, fmt.Sprintf("%s %v %s", svc.Key, svc.ClusterIPs, svc.Object.Spec.Type))
		for slice := range s.Slices(svc.Key) {
			lines = append(lines, fmt.Sprintf("%s of %s %v", slice.Key, slice.Service, slice.Addresses))
		}
	}
	for n := range s.Nodes() {
		lines = append(lines, fmt.Sprintf("%s %v", n.Name, n.PodCIDRs))
	}
	return strings.Join(append(lines, fmt.Sprint(s.ServiceCIDRs())), "\n")
}

func svc(name string, ip string) *corev1.Service {
	o := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}
	o.Spec.ClusterIP, o.Spec.Ports = ip, []corev1.ServicePort{{Port: 80}}
	return o
}

func endpoints(service, name string, addresses ...string) *discoveryv1.EndpointSlice {
	o := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "default", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
	for _, a := range addresses {
		o.Endpoints = append(o.Endpoints, discoveryv1.Endpoint{Addresses: []string{a}})
	}
	return o
}

func node(name, pods string) *corev1.Node {
	return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: corev1.NodeSpec{PodCIDRs: []string{pods}}}
}

// some is a state with a bit of everything; of node-2 the reflector must not hear.
func some() *cluster.Snapshot {
	return (&cluster.Snapshot{}).WithServiceCIDRs(netip.MustParsePrefix("10.96.0.0/16"), netip.MustParsePrefix("fd00:10:96::/48")).
		WithNode(node("node-1", "10.244.1.0/24")).
		WithService(svc("a", "10.96.0.1")).WithSlice(endpoints("a", "a-1", "10.244.1.1", "10.244.1.2")).
		WithService(svc("b", "10.96.0.2")).WithSlice(endpoints("b", "b-1", "10.244.1.3"))
}
