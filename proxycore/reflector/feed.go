package reflector

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"svclab/proxycore/cluster"
)

// feed reads one resource. It is one goroutine's.
type feed struct {
	*Reflector
	resource
	index   int
	decoder decoder
	pause   *backoff

	have    map[cluster.Key]object // as last told; nil before the first list
	version string                 // up to which have is known
	listed  time.Time
	anew    bool // have may be of another history: versions say nothing
	unsure  bool // nothing is asked of the next list's version
	seen    uint64
	told    uint64 // of seen
}

func (f *feed) run(ctx context.Context) {
	for list := true; ctx.Err() == nil; {
		var err error
		if list {
			err = f.list(ctx)
			list = err != nil
		}
		if err == nil {
			err = f.watch(ctx)
			list = f.due(time.Now())
		}
		var refused *refusal
		switch {
		case ctx.Err() != nil:
			return
		case errors.As(err, &refused) && refused.code == http.StatusGone: // the server has forgotten what was since
			f.options.Log.Info("list anew", "resource", f.name, "because", err)
			list, f.unsure, err = true, list, nil
		case errors.As(err, &refused) && refused.code == http.StatusGatewayTimeout: // it has never been as far: another history
			list, f.anew, f.unsure = true, true, true
		case errors.As(err, &refused) && refused.code == http.StatusNotFound && f.optional:
			f.none()
			f.options.Log.Info("the API server has none", "resource", f.name)
			list, f.pause.now = true, f.pause.most
			err = nil
		case errors.As(err, new(misread)):
			list = true
		}
		if err == nil && f.pause.fresh() {
			f.pause.next() // a watch that is over as soon as it began must not be asked for without end
			continue
		}
		d := f.pause.next()
		if err != nil {
			f.counts.failed[f.index].Add(1)
			f.options.Log.Warn("ask the API server", "resource", f.name, "error", err, "again in", d)
		}
		_ = f.options.Wait(ctx, d)
	}
}

// misread is an answer that makes no sense: a watch cannot go on behind it.
type misread struct{ error }

func (m misread) Unwrap() error { return m.error }

// due: it is time to list anew.
func (f *feed) due(now time.Time) bool {
	return f.options.Resync > 0 && now.Sub(f.listed) >= f.options.Resync
}

// none: the server has no such resource, so there are no objects of it.
func (f *feed) none() {
	if f.have == nil {
		f.have = map[cluster.Key]object{}
		f.tell(f, nil, true)
	}
}

func (f *feed) query() url.Values {
	q := url.Values{}
	if f.labels != "" {
		q.Set("labelSelector", f.labels)
	}
	if f.fields != "" {
		q.Set("fieldSelector", f.fields)
	}
	return q
}

// list reads everything, and tells what is other than before. It takes what the server has at hand, but nothing that is older
// than what is known.
func (f *feed) list(ctx context.Context) error {
	q := f.query()
	switch {
	case f.unsure:
	case f.version == "":
		q.Set("resourceVersion", "0")
	default:
		q.Set("resourceVersion", f.version)
		q.Set("resourceVersionMatch", string(metav1.ResourceVersionMatchNotOlderThan))
	}
	began := time.Now()
	var all []object
	version := ""
	for {
		meta, err := f.part(ctx, q, &all)
		if err != nil {
			return fmt.Errorf("list: %w", err)
		}
		if version = meta.ResourceVersion; meta.Continue == "" {
			break
		}
		q = f.query() // a server may cut a list though nobody asks for it
		q.Set("continue", meta.Continue)
	}
	if version == "" {
		return errors.New("list: the answer has no resourceVersion")
	}
	f.replace(all)
	f.options.Log.Info("listed", "resource", f.name, "objects", len(all), "took", time.Since(began))
	f.version, f.listed, f.anew, f.unsure = version, time.Now(), false, false
	return nil
}

func (f *feed) part(ctx context.Context, q url.Values, all *[]object) (metav1.ListMeta, error) {
	a, err := f.get(ctx, f.path, q, false)
	if err != nil {
		return metav1.ListMeta{}, err
	}
	defer a.Close()
	each := func(b []byte) error {
		o, err := f.object(b, a.protobuf)
		if err == nil {
			*all = append(*all, o)
		}
		return err
	}
	if !a.protobuf {
		return jsonList(a, f.kind, each)
	}
	const buffer = 128 << 10
	r := listReader{Reader: bufio.NewReaderSize(a, buffer)}
	return r.list(f.kind, each)
}

func (f *feed) object(b []byte, protobuf bool) (o object, err error) {
	if protobuf {
		o, err = f.decode(&f.decoder, b)
	} else {
		o = f.fresh()
		err = json.Unmarshal(b, o)
		f.trim(o)
	}
	if err == nil && o.GetName() == "" {
		err = errors.New("it has no name")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", f.kind, err)
	}
	return o, nil
}

// replace makes all that there is.
func (f *feed) replace(all []object) {
	first := f.have == nil
	have := make(map[cluster.Key]object, len(all))
	var changes []change
	if first {
		changes = make([]change, 0, len(all))
	}
	for _, o := range all {
		f.count(o)
		key := keyOf(o)
		was := f.have[key]
		if was != nil && !f.anew && was.GetResourceVersion() == o.GetResourceVersion() {
			have[key] = was
			continue
		}
		have[key] = o
		changes = append(changes, change{f.index, was, o})
	}
	for key, was := range f.have {
		if have[key] == nil {
			changes = append(changes, change{f.index, was, nil})
		}
	}
	f.have = have
	f.tell(f, changes, first)
}

func (f *feed) count(o object) {
	if s, ok := o.(*discoveryv1.EndpointSlice); !ok || s.AddressType != discoveryv1.AddressTypeFQDN {
		f.seen++
	}
}

// watch follows what happens until the server has had enough, which is no error, or a list is due.
func (f *feed) watch(ctx context.Context) error {
	// As client-go: at some time between five and ten minutes, so that not all clients come back at once.
	const least, grace = 5 * time.Minute, 30 * time.Second
	long := least + rand.N(least)
	if f.options.Resync > 0 {
		long = min(long, max(time.Second, time.Until(f.listed.Add(f.options.Resync))))
	}
	ctx, cancel := context.WithTimeout(ctx, long+grace) // of a server that is not there any more
	defer cancel()
	q := f.query()
	q.Set("watch", "true")
	q.Set("resourceVersion", f.version)
	q.Set("allowWatchBookmarks", "true")
	q.Set("timeoutSeconds", strconv.Itoa(int(long/time.Second)))
	a, err := f.get(ctx, f.path, q, true)
	if err != nil {
		return fmt.Errorf("watch: %w", err)
	}
	defer a.Close()
	const brief = time.Second
	defer func(began time.Time) {
		if time.Since(began) > brief {
			f.pause.reset()
		}
	}(time.Now())
	err = f.follow(framesOf(a), a.protobuf)
	if err == io.EOF {
		return nil
	}
	return fmt.Errorf("watch: %w", err)
}

func (f *feed) follow(events *frames, protobuf bool) error {
	var changes []change
	for {
		typ, kind, b, err := events.next()
		if err == nil {
			err = f.event(typ, kind, b, protobuf, events, &changes)
		}
		if f.seen != f.told && (err != nil || !events.more()) {
			f.pause.reset()
			f.tell(f, changes, false)
			changes = nil
		}
		if err != nil {
			return err
		}
	}
}

func (f *feed) event(typ watch.EventType, kind string, b []byte, protobuf bool, events *frames, changes *[]change) error {
	if typ == watch.Error {
		return events.failure(b)
	}
	if kind != f.kind {
		return misread{fmt.Errorf("the server tells of %s, and not of %s", kind, f.kind)}
	}
	if typ == watch.Bookmark {
		o := f.fresh()
		err := error(nil)
		if protobuf {
			err = o.(interface{ Unmarshal([]byte) error }).Unmarshal(b)
		} else {
			err = json.Unmarshal(b, o)
		}
		if err != nil {
			return misread{err}
		}
		f.version = o.GetResourceVersion()
		return nil
	}
	o, err := f.object(b, protobuf)
	if err != nil {
		return misread{err}
	}
	key := keyOf(o)
	was := f.have[key]
	switch typ {
	case watch.Added, watch.Modified:
		f.have[key] = o
		*changes = append(*changes, change{f.index, was, o})
	case watch.Deleted:
		delete(f.have, key)
		if was != nil {
			*changes = append(*changes, change{f.index, was, nil})
		}
	default:
		return misread{fmt.Errorf("the server tells of an event of type %q", typ)}
	}
	f.count(o)
	f.version = o.GetResourceVersion()
	return nil
}
