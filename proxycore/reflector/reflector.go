// Package reflector feeds a proxy from a Kubernetes API server: it lists and watches what a Service proxy acts on, and hands
// over whole states (cluster.Snapshot), one after the other, as soon as the one before is in force.
//
//	services ────────┐                        ┌─► fold ─► apply(state) ─► fold what came meanwhile ─► …
//	endpointslices ──┤ list, watch ─► changes ┤
//	node ────────────┤                        └─ nothing waits on a timer: the first change of a quiet time is applied at once
//	servicecidrs ────┘
//
// It is plain HTTP with Kubernetes' types, without client-go: protobuf, or JSON from a server that has none. An end of a watch
// is followed by another from the last version (bookmarks move it), 410 Gone by a new list, of which only the differences are
// changes; errors by a growing pause.
//
// What a first sync costs here is mostly the server's encoding: a list is decoded while it comes in, object by object, with a
// few allocations each (decoder), and the state is built of the ordered lists in O(N). It is one list and not a stream of
// initial events (WatchList, KEP-3157): those say in every frame what they are of, and took the server twice as long for
// 10,000 EndpointSlices of 10 endpoints (45 ms for 22), which on two cores nothing on this side can make good.
package reflector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"svclab/proxycore/cluster"
)

// Options say what to read where.
type Options struct {
	API  string // required: the URL of the API server: "http://127.0.0.1:8001", as kubectl proxy serves it, or https
	Node string // required: the name of the node, whose Node alone is read

	CA        string // optional: a file with the certificates that an https server may show; the machine's by default
	TokenFile string // optional: a file with a bearer token, which is read anew for every request
	Agent     string // optional: the User-Agent; default "svclab"

	Resync time.Duration // optional: how often everything is listed anew, though nothing asks for it; 0: never
	Log    *slog.Logger  // optional

	// Wait is optional: the clock of pauses after errors. It returns early with the context's error.
	Wait func(ctx context.Context, d time.Duration) error
}

// Reflector is one proxy's feed.
type Reflector struct {
	options Options
	base    *url.URL
	client  *http.Client
	feeds   []*feed

	mu      sync.Mutex // guards pending
	pending news
	came    chan struct{} // of size 1: something is pending

	counts counts
}

// New checks the options. Nothing is asked yet.
func New(o Options) (*Reflector, error) {
	base, err := url.Parse(o.API)
	if err != nil || base.Scheme != "http" && base.Scheme != "https" || base.Host == "" {
		return nil, fmt.Errorf("%q is no URL of an API server: write for example http://127.0.0.1:8001, where kubectl proxy answers", o.API)
	}
	if o.Node == "" {
		return nil, errors.New("the name of the node is missing")
	}
	if o.Agent == "" {
		o.Agent = "svclab"
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Wait == nil {
		o.Wait = wait
	}
	r := &Reflector{options: o, base: base, came: make(chan struct{}, 1)}
	if r.client, err = clientOf(o); err != nil {
		return nil, err
	}
	for i, res := range resources(o.Node) {
		r.feeds = append(r.feeds, &feed{Reflector: r, resource: res, index: i, pause: newBackoff(feedPause)})
	}
	return r, nil
}

func wait(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Run reads until the context ends, whose error it returns. apply is called with the first state when every list is there,
// and then with each that differs, always by the goroutine that called Run. A state that it fails to apply is applied again
// after a growing pause, with all that has come meanwhile.
func (r *Reflector) Run(ctx context.Context, apply func(context.Context, *cluster.Snapshot) error) error {
	var feeds sync.WaitGroup
	defer feeds.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, f := range r.feeds {
		feeds.Go(func() { f.run(ctx) })
	}
	state := &folder{}
	pause := newBackoff(applyPause)
	for {
		select {
		case <-r.came:
		case <-ctx.Done():
			return ctx.Err()
		}
		n := r.take()
		if len(n.changes) == 0 && n.listed == 0 && n.seen == state.seen {
			continue // came with what was taken before
		}
		state.fold(n)
		if state.missing > 0 {
			continue
		}
		for {
			began := time.Now()
			err := apply(ctx, state.snapshot)
			if err == nil {
				r.counts.inForce(state.seen)
				r.options.Log.Debug("applied", "services", state.snapshot.Len(), "took", time.Since(began))
				pause.reset()
				break
			}
			if ctx.Err() != nil {
				return ctx.Err()
			}
			d := pause.next()
			r.options.Log.Error("apply", "error", err, "again in", d)
			if err := r.options.Wait(ctx, d); err != nil {
				return err
			}
			state.fold(r.take())
		}
	}
}

// news is what has come since the last Apply.
type news struct {
	changes []change
	listed  int                  // how many resources have been listed for the first time
	seen    [numResources]uint64 // objects of lists, and events, as of now
}

// change is one object added or replaced, or gone.
type change struct {
	index int // of the resource
	was   object
	now   object // nil: gone
}

// tell hands changes over. first: they are all there is of the resource.
func (r *Reflector) tell(f *feed, changes []change, first bool) {
	f.told = f.seen
	r.mu.Lock()
	if r.pending.changes == nil {
		r.pending.changes = changes
	} else {
		r.pending.changes = append(r.pending.changes, changes...)
	}
	r.pending.seen[f.index] = f.seen
	if first {
		r.pending.listed++
	}
	r.mu.Unlock()
	r.counts.received(f.index, f.seen)
	select {
	case r.came <- struct{}{}:
	default:
	}
}

func (r *Reflector) take() news {
	r.mu.Lock()
	defer r.mu.Unlock()
	n := r.pending
	r.pending = news{seen: n.seen}
	return n
}

// pauses after errors.
type pauses struct{ least, most time.Duration }

var (
	feedPause  = pauses{100 * time.Millisecond, 30 * time.Second}
	applyPause = pauses{100 * time.Millisecond, 10 * time.Second}
)

// backoff doubles with each error, and is drawn between its half and itself, so that many proxies do not come back at once.
type backoff struct {
	pauses
	now time.Duration // the next, at most
}

func newBackoff(p pauses) *backoff { return &backoff{p, p.least} }

func (b *backoff) reset()      { b.now = b.least }
func (b *backoff) fresh() bool { return b.now == b.least }

func (b *backoff) next() time.Duration {
	d := b.now/2 + rand.N(b.now/2)
	b.now = min(2*b.now, b.most)
	return d
}

// address joins the API's URL, which may have a path of its own, and one of a resource.
func (r *Reflector) address(of string, query url.Values) string {
	u := *r.base
	u.Path = strings.TrimSuffix(u.Path, "/") + of
	u.RawQuery = query.Encode()
	return u.String()
}
