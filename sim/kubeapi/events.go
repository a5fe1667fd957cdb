package kubeapi

import (
	"encoding/json"
	"io"
	"net/http"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

// takeEvent accepts what a client records, and tells it to the log.
func (s *Server) takeEvent(w http.ResponseWriter, r *http.Request, q *request) {
	const most = 1 << 20
	body, err := io.ReadAll(io.LimitReader(r.Body, most))
	if err != nil {
		s.fail(w, r, http.StatusBadRequest, metav1.StatusReasonBadRequest, err.Error())
		return
	}
	into := q.fresh()
	if r.Method == http.MethodPatch {
		_ = json.Unmarshal(body, into) // an increased count; the rest of the event is not known here
	} else if _, _, err := codecs.UniversalDeserializer().Decode(body, nil, into); err != nil {
		s.fail(w, r, http.StatusBadRequest, metav1.StatusReasonBadRequest, "the body is no event: "+err.Error())
		return
	}
	var o runtime.Object = into
	switch e := o.(type) {
	case *eventsv1.Event:
		s.options.Log.Info("event", "type", e.Type, "reason", e.Reason, "about", e.Regarding.Kind+"/"+e.Regarding.Name, "note", e.Note)
	case *corev1.Event:
		s.options.Log.Info("event", "type", e.Type, "reason", e.Reason, "about", e.InvolvedObject.Kind+"/"+e.InvolvedObject.Name, "note", e.Message)
	}
	s.mu.Lock()
	s.version++
	version := s.version
	s.mu.Unlock()
	made := q.shallow(into)
	made.SetResourceVersion(versionText(version))
	if made.GetUID() == "" {
		made.SetUID(uid("Event " + keyOf(made) + made.GetResourceVersion()))
	}
	s.write(w, r, http.StatusCreated, nil, made)
}
