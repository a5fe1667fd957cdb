package kubeapi

import (
	"net/http"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// request is what a path and a query ask for.
type request struct {
	*resource
	namespace string // "": of all namespaces
	name      string // "": all
	labels    labels.Selector
	fields    fields.Selector
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	path := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	var gv schema.GroupVersion
	switch {
	case path[0] == "api" && len(path) > 2:
		gv, path = schema.GroupVersion{Version: path[1]}, path[2:]
	case path[0] == "apis" && len(path) > 3:
		gv, path = schema.GroupVersion{Group: path[1], Version: path[2]}, path[3:]
	default:
		s.discover(w, r, path)
		return
	}
	q := request{}
	if path[0] == "namespaces" && len(path) > 2 {
		q.namespace, path = path[1], path[2:]
	}
	if q.resource = find(gv, path[0]); q.resource == nil || len(path) > 2 {
		s.options.Log.Debug("no such path", "path", r.URL.Path, "agent", r.UserAgent())
		s.fail(w, r, http.StatusNotFound, metav1.StatusReasonNotFound, "the server could not find the requested resource")
		return
	}
	if len(path) == 2 {
		q.name = path[1]
	}
	if r.Method == http.MethodPost && q.kind == "Event" {
		s.takeEvent(w, r, &q)
		return
	}
	if r.Method == http.MethodPatch && q.kind == "Event" { // an event that is repeated
		s.takeEvent(w, r, &q)
		return
	}
	if r.Method != http.MethodGet {
		s.fail(w, r, http.StatusMethodNotAllowed, metav1.StatusReasonMethodNotAllowed,
			"this server is fed with whole states, and nobody writes to it: "+r.Method+" is not supported")
		return
	}
	if q.resource == endpointsOf {
		s.wantEndpoints()
	}
	query := r.URL.Query()
	var err error
	if q.labels, err = labels.Parse(query.Get("labelSelector")); err != nil {
		s.fail(w, r, http.StatusBadRequest, metav1.StatusReasonBadRequest, "labelSelector: "+err.Error())
		return
	}
	if q.fields, err = fields.ParseSelector(query.Get("fieldSelector")); err == nil {
		err = q.knows(q.fields)
	}
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, metav1.StatusReasonBadRequest, "fieldSelector: "+err.Error())
		return
	}
	watching := query.Get("watch") == "true" || query.Get("watch") == "1"
	switch {
	case watching:
		s.watch(w, r, &q)
	case q.name != "":
		s.get(w, r, &q)
	default:
		s.listAll(w, r, &q)
	}
}

// wants reports whether the request asks for that object.
func (q *request) wants(o object) bool {
	if q.namespace != "" && o.GetNamespace() != q.namespace || q.name != "" && o.GetName() != q.name {
		return false
	}
	return (q.labels.Empty() || q.labels.Matches(labels.Set(o.GetLabels()))) && (q.fields.Empty() || q.fields.Matches(q.fieldsOf(o)))
}

func (r *resource) fieldsOf(o object) fields.Set {
	set := fields.Set{}
	if r.fields != nil {
		set = r.fields(o)
	}
	set["metadata.name"], set["metadata.namespace"] = o.GetName(), o.GetNamespace()
	return set
}

// knows refuses a field that is not selectable, as a real server does, rather than take it for empty.
func (r *resource) knows(f fields.Selector) error {
	if r.kind == "Event" {
		return nil // there are none to select from
	}
	known := r.fieldsOf(r.fresh())
	for _, need := range f.Requirements() {
		if !known.Has(need.Field) {
			return &unknownField{r.kind, need.Field}
		}
	}
	return nil
}

type unknownField struct{ kind, field string }

func (u *unknownField) Error() string {
	return "field label not supported for " + u.kind + ": " + u.field
}

func (s *Server) get(w http.ResponseWriter, r *http.Request, q *request) {
	key := q.name
	if q.namespaced {
		key = q.namespace + "/" + q.name
	}
	s.mu.RLock()
	o := s.collections[q.resource].items[key]
	s.mu.RUnlock()
	if o == nil {
		st := notFound(q.resource, q.name)
		s.write(w, r, http.StatusNotFound, nil, st)
		return
	}
	s.write(w, r, http.StatusOK, q.resource, o)
}
