package kubeapi

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/apimachinery/pkg/watch"
)

const (
	asJSON     = "application/json"
	asProtobuf = "application/vnd.kubernetes.protobuf"
)

var (
	scheme = func() *runtime.Scheme {
		s := runtime.NewScheme()
		for _, add := range []func(*runtime.Scheme) error{corev1.AddToScheme, discoveryv1.AddToScheme, networkingv1.AddToScheme, eventsv1.AddToScheme} {
			if err := add(s); err != nil {
				panic(fmt.Sprintf("register the types of the API: %v", err)) // the same types every time
			}
		}
		metav1.AddToGroupVersion(s, core)
		return s
	}()
	codecs = serializer.NewCodecFactory(scheme)
)

// encoding is what a client wants.
type encoding struct {
	runtime.SerializerInfo
	table bool // as meta.k8s.io/v1 Table
}

// negotiate takes the first that the client accepts and this server has; JSON where it does not say.
func negotiate(r *http.Request) (encoding, error) {
	accept := r.Header.Get("Accept")
	if accept == "" {
		accept = asJSON
	}
	for _, clause := range strings.Split(accept, ",") {
		name, params, err := mime.ParseMediaType(strings.TrimSpace(clause))
		if err != nil {
			continue
		}
		if name == "*/*" || name == "application/*" {
			name = asJSON
		}
		info, ok := runtime.SerializerInfoForMediaType(codecs.SupportedMediaTypes(), name)
		if !ok || name != asJSON && name != asProtobuf {
			continue
		}
		switch params["as"] {
		case "":
			return encoding{info, false}, nil
		case "Table":
			if name == asJSON && params["g"] == metav1.GroupName && params["v"] == "v1" {
				return encoding{info, true}, nil
			}
		}
	}
	return encoding{}, fmt.Errorf("only the following media types are accepted: %s, %s", asJSON, asProtobuf)
}

// write answers with one object; with a table where the client wants one and there is one.
func (s *Server) write(w http.ResponseWriter, r *http.Request, code int, res *resource, o runtime.Object) {
	e, err := negotiate(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotAcceptable)
		return
	}
	if one, ok := o.(object); ok && e.table && res != nil {
		o = res.tableOf(metav1.ListMeta{ResourceVersion: one.GetResourceVersion()}, []object{one}, r.URL.Query().Get("includeObject"))
	}
	e.write(w, code, o)
}

func (s *Server) writeList(w http.ResponseWriter, r *http.Request, res *resource, meta metav1.ListMeta, all []object) {
	e, err := negotiate(r)
	switch {
	case err != nil:
		http.Error(w, err.Error(), http.StatusNotAcceptable)
	case e.table:
		e.write(w, http.StatusOK, res.tableOf(meta, all, r.URL.Query().Get("includeObject")))
	case e.MediaType == asProtobuf:
		streamList(w, res, meta, all)
	default:
		e.write(w, http.StatusOK, res.list(meta, all))
	}
}

func (e encoding) write(w http.ResponseWriter, code int, o runtime.Object) {
	var b bytes.Buffer // a body that cannot be written must not begin with 200
	if err := e.Serializer.Encode(o, &b); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", e.MediaType)
	w.WriteHeader(code)
	_, _ = w.Write(b.Bytes()) // a client that hangs up loses nothing but its own answer
}

func (s *Server) fail(w http.ResponseWriter, r *http.Request, code int, reason metav1.StatusReason, message string) {
	s.write(w, r, code, nil, status(code, reason, message))
}

func status(code int, reason metav1.StatusReason, message string) *metav1.Status {
	return &metav1.Status{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Status"},
		Status:   metav1.StatusFailure, Message: message, Reason: reason, Code: int32(code),
	}
}

func notFound(r *resource, name string) *metav1.Status {
	st := status(http.StatusNotFound, metav1.StatusReasonNotFound, fmt.Sprintf("%s %q not found", r.name, name))
	st.Details = &metav1.StatusDetails{Name: name, Group: r.Group, Kind: r.name}
	return st
}

// stream is the body of a watch: frames of WatchEvents.
type stream struct {
	encoding
	resource *resource
	include  string
	first    bool
	frames   io.Writer
	http     *http.ResponseController
}

// open begins a watch's answer.
func (s *Server) open(w http.ResponseWriter, r *http.Request, res *resource) (*stream, error) {
	e, err := negotiate(r)
	if err != nil {
		return nil, err
	}
	kind := e.MediaType
	if kind == asProtobuf {
		kind += ";stream=watch"
	}
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	return &stream{encoding: e, resource: res, include: r.URL.Query().Get("includeObject"), first: true,
		frames: e.StreamSerializer.Framer.NewFrameWriter(w), http: http.NewResponseController(w)}, nil
}

// send writes one event; false when nobody reads any more.
func (x *stream) send(typ watch.EventType, o runtime.Object) bool {
	if one, ok := o.(object); ok && x.table && x.resource != nil {
		t := x.resource.tableOf(metav1.ListMeta{ResourceVersion: one.GetResourceVersion()}, []object{one}, x.include)
		if !x.first {
			t.ColumnDefinitions = nil
		}
		x.first, o = false, t
	}
	var b bytes.Buffer
	if x.Serializer.Encode(o, &b) != nil {
		return false
	}
	e := &metav1.WatchEvent{Type: string(typ), Object: runtime.RawExtension{Raw: b.Bytes()}}
	return x.StreamSerializer.Serializer.Encode(e, x.frames) == nil
}

func (x *stream) flush() bool { return x.http.Flush() == nil }
