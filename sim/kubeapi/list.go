package kubeapi

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// cut is a list that was handed out in parts: its later parts are of the same moment as the first.
type cut struct {
	version uint64
	all     []object
}

// manyCuts is how many moments are kept for lists in parts; with an older one a client must begin anew (410 Expired).
const manyCuts = 8

// position is what a continue token says.
type position struct {
	Version uint64 `json:"v"`
	After   string `json:"after"` // the key of the last object handed out
}

func (s *Server) listAll(w http.ResponseWriter, r *http.Request, q *request) {
	query := r.URL.Query()
	limit, _ := strconv.Atoi(query.Get("limit"))
	at := position{}
	if token := query.Get("continue"); token != "" {
		text, err := base64.RawURLEncoding.DecodeString(token)
		if err != nil || json.Unmarshal(text, &at) != nil {
			s.fail(w, r, http.StatusBadRequest, metav1.StatusReasonBadRequest, "continue key is not valid")
			return
		}
	}
	all, version, ok := s.moment(q.resource, at.Version, query)
	if !ok {
		s.fail(w, r, http.StatusGone, metav1.StatusReasonExpired, "the moment of that list is forgotten: list anew without continue or resourceVersionMatch")
		return
	}
	if at.After != "" {
		i, found := slices.BinarySearchFunc(all, at.After, func(o object, key string) int { return compareKeys(keyOf(o), key) })
		if found {
			i++
		}
		all = all[i:]
	}
	meta := metav1.ListMeta{ResourceVersion: versionText(version)}
	var chosen []object
	for i, o := range all {
		if !q.wants(o) {
			continue
		}
		chosen = append(chosen, o)
		if limit > 0 && len(chosen) == limit && i+1 < len(all) {
			text, _ := json.Marshal(position{version, keyOf(o)})
			meta.Continue = base64.RawURLEncoding.EncodeToString(text)
			if q.labels.Empty() && q.fields.Empty() && q.namespace == "" {
				left := int64(len(all) - i - 1)
				meta.RemainingItemCount = &left
			}
			s.keep(q.resource, version, all)
			break
		}
	}
	s.mu.Lock()
	s.tally(r, q.resource).hand(chosen...)
	s.mu.Unlock()
	s.writeList(w, r, q.resource, meta, chosen)
}

func compareKeys(a, b string) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

// moment is all objects of a resource now, or at that version when it is not 0.
func (s *Server) moment(r *resource, version uint64, query interface{ Get(string) string }) ([]object, uint64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.collections[r]
	exact := query.Get("resourceVersionMatch") == string(metav1.ResourceVersionMatchExact)
	if exact && version == 0 {
		version, _ = strconv.ParseUint(query.Get("resourceVersion"), 10, 64)
	}
	if version == 0 || version == s.version {
		return c.all(), s.version, true
	}
	for _, k := range c.cuts {
		if k.version == version {
			return k.all, version, true
		}
	}
	return nil, 0, false
}

// keep remembers a moment for the rest of a list.
func (s *Server) keep(r *resource, version uint64, all []object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := s.collections[r]
	if slices.ContainsFunc(c.cuts, func(k cut) bool { return k.version == version }) {
		return
	}
	c.cuts = append(c.cuts, cut{version, all})
	if len(c.cuts) > manyCuts {
		c.cuts = slices.Delete(c.cuts, 0, 1)
	}
}
