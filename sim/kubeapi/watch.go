package kubeapi

import (
	"net/http"
	"strconv"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher is one client that is told what happens.
type watcher struct {
	*request
	stream  *stream
	version uint64 // what it has been told up to
	group   *tally
}

// watch streams events from a version on, or the present objects first: as ADDED before a bookmark that ends them
// (sendInitialEvents, KEP-3157), or without such a mark for resourceVersion 0 and none.
func (s *Server) watch(w http.ResponseWriter, r *http.Request, q *request) {
	query := r.URL.Query()
	initial := query.Get("sendInitialEvents") == "true"
	bookmarks := query.Get("allowWatchBookmarks") == "true"
	if initial && (!bookmarks || query.Get("resourceVersionMatch") != string(metav1.ResourceVersionMatchNotOlderThan)) {
		s.fail(w, r, http.StatusUnprocessableEntity, metav1.StatusReasonInvalid,
			"sendInitialEvents needs allowWatchBookmarks and resourceVersionMatch=NotOlderThan")
		return
	}
	from, err := parseVersion(query.Get("resourceVersion"))
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, metav1.StatusReasonBadRequest, "resourceVersion is no number")
		return
	}
	present := initial || from == 0
	s.mu.Lock()
	c := s.collections[q.resource]
	var all []object
	switch {
	case from > s.version:
		s.mu.Unlock()
		s.fail(w, r, http.StatusGatewayTimeout, metav1.StatusReasonTimeout, "Too large resource version: "+query.Get("resourceVersion"))
		return
	case present:
		all, from = c.all(), s.version
	case from < c.trimmed:
		s.mu.Unlock()
		s.fail(w, r, http.StatusGone, metav1.StatusReasonExpired, "too old resource version: "+query.Get("resourceVersion"))
		return
	}
	x := &watcher{request: q, version: from, group: s.tally(r, q.resource)}
	x.group.reached[x] = 0
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(x.group.reached, x)
	}()
	if x.stream, err = s.open(w, r, q.resource); err != nil {
		s.fail(w, r, http.StatusNotAcceptable, metav1.StatusReasonNotAcceptable, err.Error())
		return
	}
	for _, o := range all {
		if q.wants(o) && !x.tell(watch.Added, o) {
			return
		}
	}
	if initial && !x.bookmark(from, true) {
		return
	}
	s.follow(x, r, bookmarks)
}

func parseVersion(text string) (uint64, error) {
	if text == "" {
		return 0, nil
	}
	return strconv.ParseUint(text, 10, 64)
}

// follow tells what happens until somebody hangs up, the client's time is over, or it lags too far behind.
func (s *Server) follow(x *watcher, r *http.Request, bookmarks bool) {
	var end <-chan time.Time
	if seconds, _ := strconv.Atoi(r.URL.Query().Get("timeoutSeconds")); seconds > 0 {
		t := time.NewTimer(time.Duration(seconds) * time.Second)
		defer t.Stop()
		end = t.C
	}
	tick := time.NewTicker(s.options.Bookmark)
	defer tick.Stop()
	for x.stream.flush() {
		s.mu.Lock()
		list, ok := s.collections[x.resource].since(x.version)
		if ok && len(list) == 0 {
			x.version = s.version
			x.group.reached[x] = s.version
		}
		changed := s.changed
		s.mu.Unlock()
		if !ok {
			x.stream.send(watch.Error, status(http.StatusGone, metav1.StatusReasonExpired, "too old resource version: you lag more than the server remembers"))
			return
		}
		for _, e := range list {
			if !x.pass(e) {
				return
			}
		}
		if len(list) > 0 {
			continue
		}
		select {
		case <-changed:
		case <-tick.C:
			if bookmarks && !x.bookmark(x.version, false) {
				return
			}
		case <-end:
			if bookmarks {
				x.bookmark(x.version, false)
			}
			return
		case <-r.Context().Done():
			return
		case <-s.done:
			return
		}
	}
}

// pass tells of an event as this watcher sees it: an object that begins to match its selectors is ADDED, one that no
// longer does is DELETED.
func (x *watcher) pass(e event) bool {
	x.version = e.version
	was, is := e.was != nil && x.wants(e.was), e.typ != watch.Deleted && x.wants(e.now)
	switch {
	case is && was:
		return x.tell(watch.Modified, e.now)
	case is:
		return x.tell(watch.Added, e.now)
	case !was:
		return true
	case e.typ == watch.Deleted:
		return x.tell(watch.Deleted, e.now)
	}
	gone := x.shallow(e.was)
	gone.SetResourceVersion(e.now.GetResourceVersion())
	return x.tell(watch.Deleted, gone)
}

func (x *watcher) tell(typ watch.EventType, o object) bool {
	x.group.hand(o)
	return x.stream.send(typ, o)
}

func (x *watcher) bookmark(version uint64, initial bool) bool {
	o := x.shallow(x.fresh())
	o.SetResourceVersion(versionText(version))
	if initial {
		o.SetAnnotations(map[string]string{metav1.InitialEventsAnnotationKey: "true"})
	}
	return x.stream.send(watch.Bookmark, o) && x.stream.flush()
}
